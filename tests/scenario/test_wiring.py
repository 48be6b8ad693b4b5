"""The World of a scenario: who hears whom, and what is recorded."""

from pathlib import Path
from typing import Any

import h5py
import pytest

from peergrid.errors import DataError, PeergridError
from peergrid.results import open_run
from peergrid.scenario.run import check, prepare, run
from peergrid.scenario.wiring import Wired
from tests.scenario.small import write
from tests.scenario.stub_market import StubMarket


def heard(step: int = -1) -> dict[str, Any]:
    assert StubMarket.last is not None
    return {eid: dict(names) for eid, names in StubMarket.last.heard[step].items()}


def test_what_the_market_hears(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "run.h5")
    first, then = heard(0), heard(1)
    assert list(first["Resource-0"]["flexibility"].values()) == [None]
    message = next(iter(then["Resource-0"]["flexibility"].values()))
    assert (message["t0_s"], len(message["p_max_kw"])) == (3600.0, 24)
    assert set(then["Meter-5"]) == {"Vm[pu]", "P[MW]", "Q[MVar]"}
    assert set(then["Head"]) == {"P[MW]", "Q[MVar]", "P_loss[MW]"}


def test_warm_up_run_and_closing_step(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "run.h5")
    assert StubMarket.last is not None
    assert len(StubMarket.last.heard) == 1 + 3 + 1
    data = open_run(tmp_path / "run.h5")
    assert str(data["time"].values[0]).startswith("2016-06-29T22:00")
    assert (data.sizes["time"], data.attrs["status"]) == (3, "complete")


def test_the_file_says_what_it_is_of(tmp_path: Path) -> None:
    path = write(tmp_path)
    run(path, tmp_path / "run.h5")
    attrs = open_run(tmp_path / "run.h5").attrs
    assert attrs["scenario"] == path.read_text(encoding="utf-8")
    wanted = {"seed": 1, "hours": 3, "network": "ieee12", "v_min_pu": 0.9, "v_max_pu": 1.1}
    assert {name: attrs[name] for name in wanted} == wanted
    assert "pandapower" in attrs["versions"]


def test_states_are_kept_for_every_simulator_of_ours(tmp_path: Path) -> None:
    run(write(tmp_path, more="[record]\ncheckpoint_hours = 1"), tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        kept = set(file["State"])
    assert kept == {"Grid-0", "Weather-0", "Load-0", "EVFleet-0", "Battery-0", "PV-0"}


def test_only_some_attributes(tmp_path: Path) -> None:
    run(write(tmp_path, more="[record]\nattributes = ['Vm[pu]']"), tmp_path / "run.h5")
    assert list(open_run(tmp_path / "run.h5").data_vars) == ["Bus.Vm[pu]"]


def test_swapped_meters_tell_of_each_other(tmp_path: Path) -> None:
    run(write(tmp_path, more="[plant]\nswap_meters = [[3, 12]]"), tmp_path / "run.h5")
    assert list(heard()["Meter-3"]["Vm[pu]"]) == ["Grid-0.Bus-12"]
    assert list(heard()["Meter-12"]["Vm[pu]"]) == ["Grid-0.Bus-3"]
    assert list(heard()["Meter-4"]["Vm[pu]"]) == ["Grid-0.Bus-4"]


def test_the_plant_differs_behind_the_markets_back(tmp_path: Path) -> None:
    more = "[plant]\nimpedance_scale = 2.0\nload_scale = 1.5"
    run(write(tmp_path), tmp_path / "a.h5")
    run(write(tmp_path, more=more), tmp_path / "b.h5")
    a, b = open_run(tmp_path / "a.h5"), open_run(tmp_path / "b.h5")
    ratio = b["Load.P[MW]"].values / a["Load.P[MW]"].values
    assert ratio == pytest.approx(1.5)
    assert b["Grid.P_loss[MW]"].values.sum() > 3.0 * a["Grid.P_loss[MW]"].values.sum()


def test_two_cars_at_one_bus(tmp_path: Path) -> None:
    path = write(tmp_path, more="[[ev]]\nbuses = [4]")
    run(path, tmp_path / "run.h5")
    data = open_run(tmp_path / "run.h5")
    assert [str(eid) for eid in data["EV"].values] == [
        "EVFleet-0.EV-0",
        "EVFleet-0.EV-1",
        "EVFleet-1.EV-0",
    ]


def test_a_quarter_of_an_hour(tmp_path: Path) -> None:
    text = write(tmp_path).read_text(encoding="utf-8")
    path = tmp_path / "fine.toml"
    path.write_text("step_s = 900\n" + text, encoding="utf-8")
    report = run(path, tmp_path / "run.h5")
    data = open_run(report.path)
    assert (report.steps, str(data["time"].values[0])[:16]) == (12, "2016-06-29T22:00")


def test_somebody_elses_grid_takes_the_place_of_ours(tmp_path: Path) -> None:
    pytest.importorskip("mosaik_components.pandapower")
    theirs = '[simulators]\nmarket = MARKET\ngrid = { python = "mosaik_components.pandapower:'
    plant = "[plant]\nimpedance_scale = 1.3\n"
    run(write(tmp_path, more=plant), tmp_path / "a.h5")
    run(write(tmp_path, more=plant + theirs + 'Simulator" }'), tmp_path / "b.h5")
    a, b = open_run(tmp_path / "a.h5"), open_run(tmp_path / "b.h5")
    assert b["Bus.Vm[pu]"].values == pytest.approx(a["Bus.Vm[pu]"].values, abs=1e-6)
    assert set(heard()["Head"]) == {"P[MW]", "Q[MVar]"}


def test_ours_in_another_process(tmp_path: Path) -> None:
    more = (
        "[simulators]\nmarket = MARKET\n"
        "battery = { cmd = '%(python)s -m peergrid.cosim.battery %(addr)s' }"
    )
    run(write(tmp_path), tmp_path / "a.h5")
    run(write(tmp_path, more=more), tmp_path / "b.h5")
    a, b = open_run(tmp_path / "a.h5"), open_run(tmp_path / "b.h5")
    assert all(a[name].identical(b[name]) for name in a.data_vars)


LISTED = """
[market]
participants = "listed"
[[participant]]
bus = 5
[[flexible_load]]
buses = [5, 4]
p_rated_kw = 2
"""


def test_the_background_speaks_but_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    link = Wired.link

    def spy(self: Wired, src: Any, dest: Any, *pairs: Any, **how: Any) -> None:
        if src.type in ("Resource", "Participant"):
            told.append(dest.full_id)
        link(self, src, dest, *pairs, **how)

    monkeypatch.setattr(Wired, "link", spy)
    setup = prepare(write(tmp_path, more=LISTED))
    run(setup, tmp_path / "run.h5")
    found = setup.market_params()
    assert "participants" not in found["settings"]
    assert [p["bus"] for p in found["participants"]][:3] == [5, 2, 3]
    resources = [r["name"] for p in found["participants"] for r in p["resources"]]
    assert all(heard()[f"Resource-{k}"]["flexibility"] for k in range(len(resources)))
    assert set(told) == {
        "FlexibleLoad-0.FlexibleLoad-0",
        "EVFleet-0.EV-1",
        "Battery-0.Battery-0",
        "PV-0.PV-1",
    }


def test_a_simulator_that_is_not_there(tmp_path: Path) -> None:
    path = write(tmp_path, more='[simulators]\nmarket = MARKET\ngrid = { python = "no.such:Grid" }')
    with pytest.raises(DataError, match=r"small.toml: simulators.grid = 'no.such:Grid'"):
        run(path, tmp_path / "run.h5")
    assert not (tmp_path / "run.h5").exists()


def test_check_builds_but_writes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    found = check(path)
    assert found["participants"] == 11
    assert found["devices"] == {"load": 11, "ev": 2, "battery": 1, "pv": 2}
    assert sorted(tmp_path.iterdir()) == [path]


def test_same_seed_same_bits_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(prepare(write(tmp_path), seed=seed), tmp_path / f"{name}.h5")
    a, b, c = (open_run(tmp_path / f"{name}.h5") for name in "abc")
    assert all(a[name].identical(b[name]) for name in a.data_vars)
    assert not a["Load.P[MW]"].identical(c["Load.P[MW]"])


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("", encoding="utf-8")
    with pytest.raises(PeergridError, match="--out"):
        run(write(tmp_path), blocker / "run.h5")
