"""Imports go one way (docs/design.md, section 1)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "simulators" / "peergrid"
BASE = {"units", "errors", "polyhedron", "compiled", "threads"}

# What each part of the package may import besides itself and `units`, `errors`.
ALLOWED: dict[str, set[str]] = {
    "units": set(),
    "errors": set(),
    "polyhedron": set(),
    "compiled": set(),
    "threads": set(),
    "milp": set(),
    "network": set(),
    "devices": set(),
    "inputs": set(),
    "results": set(),
    "envelopes": {"network"},
    "market": {"network", "devices", "milp"},
    "operator": {"network", "devices", "inputs", "envelopes", "market"},
    "cosim": {"network", "devices", "inputs", "envelopes", "market", "operator", "results"},
    "study": {
        "network",
        "devices",
        "inputs",
        "envelopes",
        "market",
        "milp",
        "operator",
        "planning",
        "scenario",
    },
    "planning": {"network", "devices", "milp"},
    "scenario": {"network", "inputs", "results"},
    "cli": {"network", "devices", "inputs", "results", "scenario", "study", "planning"},
}
KNOW_MOSAIK = {"cosim", "scenario"}
MOSAIK = ("mosaik", "mosaik_api_v3", "mosaik_components")
# Figures read files; what else is drawn or printed comes out of them, by definitions of a study.
ANALYSIS_READS = {"results", "study"}


def files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, wherever in it, with its relative level."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield module, node.level
            if module == "peergrid":  # from peergrid import network
                yield from ((f"peergrid.{alias.name}", 0) for alias in node.names)


def parts_of(path: Path) -> set[str]:
    """Parts of peergrid that a file imports."""
    names = (name.split(".") for name, _ in imported(path))
    return {name[1] for name in names if name[0] == "peergrid" and len(name) > 1} - {"__version__"}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


OURS = [path for path in files(PACKAGE) if part(path) != "__init__"]


def test_every_part_has_its_place() -> None:
    assert {part(path) for path in OURS} <= set(ALLOWED)


@pytest.mark.parametrize("path", OURS, ids=name)
def test_arrows_go_one_way(path: Path) -> None:
    own = part(path)
    wrong = parts_of(path) - ALLOWED[own] - {own} - (BASE if own not in BASE else set())
    assert not wrong, f"{own} must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", [p for p in OURS if part(p) not in KNOW_MOSAIK], ids=name)
def test_only_adapters_and_scenarios_know_mosaik(path: Path) -> None:
    wrong = {module for module, _ in imported(path) if module.split(".")[0] in MOSAIK}
    assert not wrong


def test_no_relative_imports() -> None:
    folders = ("simulators", "tests", "scenarios", "analysis", "benchmarks", "tools")
    wrong = [
        name(path)
        for folder in folders
        for path in files(ROOT / folder)
        if any(level for _, level in imported(path))
    ]
    assert not wrong


def test_the_clearing_knows_no_envelopes() -> None:
    assert not any("envelopes" in parts_of(path) for path in files(PACKAGE / "market"))


@pytest.mark.parametrize("folder", ["analysis", "benchmarks", "scenarios"])
def test_users_of_the_package_take_public_names_only(folder: str) -> None:
    for path in files(ROOT / folder):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("peergrid"):
                names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
                assert not [n for n in names if n.startswith("_") and n != "__version__"], path


def test_figures_read_files_only() -> None:
    for path in files(ROOT / "analysis"):
        assert parts_of(path) - BASE <= ANALYSIS_READS, name(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import peergrid.market.admm", {"market"}),
        ("from peergrid import cosim, units", {"cosim", "units"}),
        ("def f():\n    from peergrid.results.reader import open_run", {"results"}),
        ("import numpy", set()),
    ],
)
def test_the_test_sees_every_kind_of_import(tmp_path: Path, text: str, found: set[str]) -> None:
    path = tmp_path / "m.py"
    path.write_text(text, encoding="utf-8")
    assert parts_of(path) == found
