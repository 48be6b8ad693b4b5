"""The README says what the attribute table says."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from peergrid.cosim.attributes import MODELS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def tool() -> Any:
    path = ROOT / "tools" / "attribute_tables.py"
    spec = importlib.util.spec_from_file_location("attribute_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_readme_are_the_attribute_table(tool: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    wanted = "run: python tools/attribute_tables.py --write README.md"
    assert tool.replaced(text) == text, wanted


def test_every_model_and_attribute_is_in_the_tables(tool: Any) -> None:
    text = tool.tables()
    weather = {a.name for a in tool.WEATHER_IN}
    for model in MODELS.values():
        assert f"**{model.name}**" in text
        for attribute in model.attributes:
            assert attribute.name in weather or f"`{attribute.name}`" in text


def test_every_attribute_has_a_meaning_and_a_name_once_per_direction() -> None:
    for model in MODELS.values():
        keys = [(a.name, a.direction) for a in model.attributes]
        assert len(keys) == len(set(keys)), model.name
        assert all(a.meaning for a in model.attributes), model.name
