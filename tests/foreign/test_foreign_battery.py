"""A battery of somebody else takes part in the market by nothing but its flexibility message."""

import importlib.util
from pathlib import Path
from typing import Any

import h5py
import mosaik
import numpy as np
import pytest

from peergrid.devices.flexibility import parse

FILE = Path(__file__).parents[2] / "scenarios" / "plugin" / "foreign_battery.py"
START = "2016-06-29T23:00+02:00"
HOURS, KWH, KW = 24, 100.0, 25.0


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FILE.parent))
    spec = importlib.util.spec_from_file_location("foreign_battery", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_imports_nothing_of_ours() -> None:
    code = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(code) <= 30
    assert [line for line in code if line.startswith(("import", "from"))] == [
        "import mosaik_api_v3"
    ]


def test_its_message_is_well_formed(plugin: Any) -> None:
    battery = plugin.ForeignBattery()
    battery.create(1, "Cell", kwh=KWH, kw=KW)
    battery.step(0, {}, 0)
    message = parse(battery.get_data({"Cell-0": ["flexibility"]})["Cell-0"]["flexibility"])
    assert (message.kind, message.steps, message.t0_s) == ("FRBC", 24, 3600)
    assert message.storage is not None
    assert message.storage.e_now_kwh == KWH / 2


def test_the_market_sends_it_where_it_is_worth_something(plugin: Any, tmp_path: Path) -> None:
    config = {
        name: {"python": f"peergrid.cosim.{module}:{name}Simulator"}
        for name, module in {"Load": "load", "Market": "market", "Recorder": "recorder"}.items()
    }
    config["Theirs"] = {"python": "foreign_battery:ForeignBattery"}
    out = tmp_path / "run.h5"
    with mosaik.World(config, cache=False, skip_greetings=True) as world:  # type: ignore[arg-type]
        steps = {"step_size": 3600, "start": START}
        loads = world.start("Load", **steps, hours=HOURS + 2, horizon=24, seed=1)
        load: Any = loads.Load(bus=18, p_nom_kw=90.0, q_nom_kvar=40.0)
        cell: Any = world.start("Theirs").Cell(kwh=KWH, kw=KW)
        members = [
            {"name": "house", "bus": 18, "resources": [{"name": "load", "side": "load"}]},
            {"name": "cell", "bus": 30, "resources": [{"name": "cell", "side": "generation"}]},
        ]
        settings = {"meters": [], "hours": HOURS + 2}
        market: Any = world.start("Market", **steps).Market(
            participants=members, network="ieee33", tariff={}, settings=settings
        )
        for device, member in zip((load, cell), market.children, strict=False):
            names = ["flexibility", "P[MW]"]
            shifted = {"time_shifted": True, "initial_data": dict.fromkeys(names)}
            world.connect(device, member.children[0], *names, **shifted)
        world.connect(market.children[1].children[0], cell, "P_set[MW]")
        recorder = world.start("Recorder", step_size=3600).Recorder(filename=str(out))
        world.connect(cell, recorder, "P[MW]")
        world.connect(market.children[1].children[0], recorder, "P_set[MW]")
        world.connect(market.children[1], recorder, "traded[MW]")
        world.run(until=(HOURS + 2) * 3600)
    with h5py.File(out) as file:
        series = {}
        file["Series"].visititems(
            lambda name, item: (
                series.update({name.split("/", 1)[1]: item[:]})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
    power, asked = series["P[MW]"], series["P_set[MW]"]
    energy = KWH / 2
    for value in power:
        energy -= 1000 * (value / 0.95 if value > 0 else value * 0.95)
        assert -1e-6 <= energy <= KWH + 1e-6
    sold = power.clip(min=0).sum() * 1000
    assert sold > 40  # what it starts with is worth more to the neighbour than nothing
    known = np.isfinite(asked)
    assert known[1:-1].all()
    assert abs(power[known] - asked[known]).max() < 1e-6  # it can do what it said it could
