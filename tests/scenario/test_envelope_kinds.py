"""Every kind of envelopes on the published 33-bus case: one line of the scenario changes it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from peergrid.results import open_run
from peergrid.results.metrics import summary
from peergrid.scenario.run import run

SCENARIOS = Path("scenarios").resolve()
HOURS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kinds")
    shutil.copytree(SCENARIOS / "ieee33_doe", place / "ieee33_doe")
    return place


def played(folder: Path, name: str, **lines: str) -> Path:
    """A few hours around noon of the scenario with other lines."""
    text = (SCENARIOS / "ieee33_doe.toml").read_text(encoding="utf-8")
    for key, value in {"hours": str(HOURS), "start": "2024-06-20T10:00+00:00", **lines}.items():
        quoted = value if value.isdigit() or key == "start" else f'"{value}"'
        quoted = f'"{value}"' if key == "start" else quoted
        text, hits = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {quoted} ", text)
        assert hits == 1, key
    file = folder / f"{name}.toml"
    file.write_text(text, encoding="utf-8")
    return run(file, folder / f"{name}.h5").path


@pytest.mark.parametrize("kind", ["none", "static", "doe", "dfe-two-stage", "dfe-joint"])
def test_one_line_changes_the_kind(folder: Path, kind: str) -> None:
    found = summary(played(folder, kind, kind=kind))
    assert (found["status"], found["unconverged_clearings"]) == ("complete", 0)
    assert found["envelope_breaches"] == 0
    assert found["payment_imbalance_eur"] < 1e-6
    if kind != "none":
        assert found["corner_violation_pu"] <= 1e-5
        assert found["binding_rows"] > 0
        assert 0.0 < found["linear_gap_pu"] < 0.02


def test_polygons_leave_more_room_than_boxes(folder: Path) -> None:
    boxes = open_run(played(folder, "boxes"))
    file = folder / "polygons.toml"
    text = (folder / "boxes.toml").read_text(encoding="utf-8")
    file.write_text(text.replace('kind = "doe"', 'kind = "doe"\nshape = "polygon"'), "utf-8")
    polygons = open_run(run(file, folder / "polygons.h5").path)
    traded = [float(data["Market.traded[MW]"].sum()) for data in (boxes, polygons)]
    assert traded[1] > 1.05 * traded[0]
    inside = polygons["Participant.P[MW]"] <= polygons["Participant.P_max[MW]"] + 1e-9
    assert bool(inside.where(np.isfinite(polygons["Participant.P[MW]"]), True).all())


def test_a_price_on_losses_is_heeded(folder: Path) -> None:
    free = summary(played(folder, "free", kind="dfe-joint"))
    file = folder / "priced.toml"
    text = (folder / "free.toml").read_text(encoding="utf-8")
    priced = 'kind = "dfe-joint"\nloss_price_eur_per_mwh = 30.0'
    file.write_text(text.replace('kind = "dfe-joint"', priced), "utf-8")
    found = summary(run(file, folder / "priced.h5").path)
    assert found["loss_kwh"] < free["loss_kwh"]
    assert found["payment_imbalance_eur"] < 1e-6


def test_binding_rows_are_told_by_bus(folder: Path) -> None:
    data = open_run(played(folder, "by-bus"))
    binds = data["Meter.binds"].values
    assert set(np.unique(binds)) <= {-1.0, 0.0, 1.0, 2.0}
    assert (binds == 2.0).any(), "the limit on the rise"
