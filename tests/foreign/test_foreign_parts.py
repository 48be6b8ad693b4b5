"""Parts of others in our scenarios, ours in theirs, and each of ours in a process of its own."""

import importlib
import importlib.metadata
import importlib.util
import inspect
import socket
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import mosaik.util
import numpy as np
import pandapower.networks as pn
import pytest

from tests.cosim.helpers import PYTHON_SINK, PYTHON_SOURCE

GRIDS = {
    "ours": {"python": "peergrid.cosim.grid:GridSimulator"},
    "official": {"python": "mosaik_components.pandapower:Simulator"},
}
START = "2016-06-21 06:00:00"
HOURS = 4


def world(config: dict[str, Any]) -> Any:
    return mosaik.World(config, cache=False, skip_greetings=True)


def bus(grid: Any, index: int) -> Any:
    return next(child for child in grid.children if child.eid == f"Bus-{index}")


def received(into: dict[int, Any], ending: str) -> list[dict[str, Any]]:
    """What the sink got from one source, hour by hour."""
    return [next(v for k, v in row.items() if k.endswith(ending)) for row in into.values()]


def unloaded() -> Any:
    net = pn.case33bw()
    net.load = net.load.iloc[:0]
    return net


@pytest.mark.parametrize("kind", GRIDS)
def test_the_pv_of_mosaik_drives_a_grid(kind: str) -> None:
    config = {
        "Grid": GRIDS[kind],
        "PV": {"python": "mosaik_components.pv.pvsimulator:PVSimulator"},
        "Sun": PYTHON_SOURCE,
        "Sink": PYTHON_SINK,
    }
    into: dict[int, Any] = {}
    with world(config) as w:
        grid = w.start("Grid", step_size=3600).Grid(net=unloaded())
        sun = w.start("Sun", attrs=["DNI[W/m2]"]).Column(values={"DNI[W/m2]": [0, 300, 600, 900]})
        pv = w.start("PV", start_date=START, step_size=3600).PV(
            latitude=53.0, area=1000.0, efficiency=0.2, el_tilt=30.0, az_tilt=0.0
        )
        sink = w.start("Sink").Sink(into=into)
        w.connect(sun, pv, "DNI[W/m2]")
        w.connect(pv, bus(grid, 17), ("P[MW]", "P_gen[MW]"))
        w.connect(pv, sink, "P[MW]")
        w.connect(bus(grid, 17), sink, "P[MW]", "Vm[pu]")
        w.run(until=HOURS * 3600, print_progress=False)
    fed_in = [row["P[MW]"] for row in received(into, "PV_0")]
    at_bus = received(into, "Bus-17")
    assert fed_in[0] == 0.0
    assert max(fed_in) > 0.05
    assert [row["P[MW]"] for row in at_bus] == pytest.approx([-p for p in fed_in], abs=1e-12)
    highest = int(np.argmax(fed_in))
    assert np.argmax([row["Vm[pu]"] for row in at_bus]) == highest
    assert at_bus[highest]["Vm[pu]"] > 1.0


def test_our_parts_serve_the_official_grid_as_they_serve_ours() -> None:
    pytest.importorskip("peergrid.cosim.load")
    pytest.importorskip("peergrid.cosim.generator")
    seen = {kind: run_our_parts(starter) for kind, starter in GRIDS.items()}
    for hour, row in seen["ours"].items():
        assert row["Grid.Bus-17"]["P[MW]"] > 0.0
        assert row["Grid.Bus-5"]["P[MW]"] == pytest.approx(-0.05 * (1 + hour // 3600), abs=1e-9)
        for source, values in row.items():
            assert values == pytest.approx(seen["official"][hour][source], abs=1e-6)


def run_our_parts(grid_starter: dict[str, str]) -> dict[int, Any]:
    """A load of ours at bus 17 and a dispatched generator of ours at bus 5 of a grid."""
    config = {
        "Grid": grid_starter,
        "Load": {"python": "peergrid.cosim.load:LoadSimulator"},
        "Generator": {"python": "peergrid.cosim.generator:GeneratorSimulator"},
        "Order": PYTHON_SOURCE,
        "Sink": PYTHON_SINK,
    }
    into: dict[int, Any] = {}
    orders = {"P_set[MW]": [0.05 * (1 + hour) for hour in range(HOURS)]}
    with world(config) as w:
        grid = w.start("Grid", sim_id="Grid", step_size=3600).Grid(net=unloaded())
        load = w.start("Load", step_size=3600).Load(p_nom_kw=90.0, q_nom_kvar=30.0)
        generator = w.start("Generator", step_size=3600).Generator(
            p_max_kw=500.0, cost_eur_per_mwh=80.0
        )
        order = w.start("Order", attrs=["P_set[MW]"]).Column(values=orders)
        sink = w.start("Sink").Sink(into=into)
        w.connect(order, generator, "P_set[MW]")
        w.connect(load, bus(grid, 17), ("P[MW]", "P_load[MW]"), ("Q[MVar]", "Q_load[MVar]"))
        w.connect(generator, bus(grid, 5), ("P[MW]", "P_gen[MW]"))
        for index in (5, 17):
            w.connect(bus(grid, index), sink, "P[MW]", "Q[MVar]", "Vm[pu]")
        w.run(until=HOURS * 3600, print_progress=False)
    return into


@pytest.mark.parametrize("kind", GRIDS)
def test_a_csv_of_mosaik_loads_a_grid(kind: str, tmp_path: Path) -> None:
    table = tmp_path / "loads.csv"
    values = [0.05, 0.1, 0.0, 0.2]
    rows = [f"2016-06-21 {6 + h:02d}:00:00,{v},{v / 4}" for h, v in enumerate(values)]
    rows.append("2016-06-21 10:00:00,0,0")
    table.write_text("\n".join(["House", "Date,P,Q", *rows]) + "\n", encoding="utf-8")
    config = {
        "Grid": GRIDS[kind],
        "CSV": {"python": "mosaik_csv:CSV"},
        "Sink": PYTHON_SINK,
    }
    into: dict[int, Any] = {}
    with world(config) as w:
        grid = w.start("Grid", step_size=3600).Grid(net=unloaded())
        house = w.start("CSV", sim_start=START, datafile=str(table)).House()
        sink = w.start("Sink").Sink(into=into)
        w.connect(house, bus(grid, 32), ("P", "P_load[MW]"), ("Q", "Q_load[MVar]"))
        w.connect(bus(grid, 32), sink, "P[MW]", "Q[MVar]", "Vm[pu]")
        w.run(until=HOURS * 3600, print_progress=False)
    seen = received(into, "Bus-32")
    assert [row["P[MW]"] for row in seen] == pytest.approx(values, abs=1e-12)
    assert [row["Q[MVar]"] for row in seen] == pytest.approx([v / 4 for v in values], abs=1e-12)
    assert seen[2]["Vm[pu]"] == pytest.approx(1.0, abs=1e-9)
    assert seen[3]["Vm[pu]"] < seen[1]["Vm[pu]"] < 1.0


@pytest.fixture
def hdf5_recorder(monkeypatch: pytest.MonkeyPatch) -> str:
    """``module:class`` of mosaik-hdf5; its name is not the same in all versions.

    Version 0.4 (Python 3.11) stands on simpy 3.0, which asks ``pkg_resources`` for its own version
    and nothing else; setuptools has that module no longer, so a stand-in answers.
    """
    if importlib.util.find_spec("pkg_resources") is None:
        stand_in = types.ModuleType("pkg_resources")
        vars(stand_in)["get_distribution"] = importlib.metadata.distribution
        monkeypatch.setitem(sys.modules, "pkg_resources", stand_in)
    reasons = []
    for name in ("mosaik_hdf5", "mosaik_components.hdf5"):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            reasons.append(str(error))
            continue
        for attribute, value in vars(module).items():
            if inspect.isclass(value) and "step" in vars(value) and "create" in vars(value):
                return f"{name}:{attribute}"
    pytest.skip(f"mosaik-hdf5 cannot be imported: {reasons}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_recorder_of_mosaik_writes_our_grid(hdf5_recorder: str, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    duration = HOURS * 3600
    config = {"Grid": GRIDS["ours"], "Source": PYTHON_SOURCE, "DB": {"python": hdf5_recorder}}
    column = {"P_load[MW]": [0.1, 0.2, 0.3, 0.4]}
    with world(config) as w:
        grid = w.start("Grid", sim_id="Grid", step_size=3600).Grid(net=unloaded())
        load = w.start("Source", attrs=["P_load[MW]"]).Column(values=column)
        database = w.start("DB", step_size=3600, duration=duration).Database(filename=str(path))
        w.connect(load, bus(grid, 17), "P_load[MW]")
        w.connect(bus(grid, 17), database, "P[MW]", "Vm[pu]")
        lines = [child for child in grid.children if child.type == "Line"]
        mosaik.util.connect_many_to_one(w, lines, database, "I[kA]", "P_loss[MW]")
        w.connect(grid, database, "P_loss[MW]")
        w.run(until=duration, print_progress=False)
    with h5py.File(path) as file:
        series = file["Series"]
        power = series["Grid.Bus-17/P[MW]"][:]
        losses = series["Grid.Grid-0/P_loss[MW]"][:]
        assert power.tolist() == column["P_load[MW]"]
        assert np.all(np.diff(losses) > 0.0)
        branch_losses = [series[f"Grid.{line.eid}/P_loss[MW]"][:] for line in lines]
        np.testing.assert_allclose(np.sum(branch_losses, axis=0), losses, atol=1e-12)
        related = {name.decode() for name, _ in file["Relations/Grid.Line-0"][:]}
        assert {"/Relations/Grid.Bus-0", "/Relations/Grid.Bus-1"} <= related


@dataclass(frozen=True)
class Part:
    """One of our simulators: how to start it and create one entity, and what to look at."""

    module: str
    model: str
    attributes: tuple[str, ...]
    params: dict[str, Any] = field(default_factory=dict)
    start: dict[str, Any] = field(default_factory=dict)


PARTS = [
    Part("grid", "Grid", ("P_loss[MW]", "converged"), {"network": "ieee33"}),
    Part("weather", "Weather", ("GHI[W/m2]", "T_air[C]")),
    Part("pv", "PV", ("P[MW]", "Q[MVar]"), {"kwp": 5.0}),
    Part("wind", "WindTurbine", ("P[MW]", "Q[MVar]"), {"turbine": "BergeyExcel10"}),
    Part("generator", "Generator", ("P[MW]",), {"p_max_kw": 10.0, "cost_eur_per_mwh": 80.0}),
    Part("load", "Load", ("P[MW]", "Q[MVar]"), {"p_nom_kw": 1.0, "q_nom_kvar": 0.3}),
    Part("flexible_load", "FlexibleLoad", ("P[MW]", "unserved[MWh]"), {"p_rated_kw": 5.0}),
    Part("appliance", "Appliance", ("P[MW]", "cycles_left"), {"phases_kw": [2.0, 0.5]}),
    Part(
        "building",
        "Building",
        ("P[MW]", "T_in[C]"),
        {"p_max_kw": 3.0, "r_k_per_kw": 8.0, "c_kwh_per_k": 3.0},
    ),
    Part("battery", "Battery", ("P[MW]", "SoC[%]"), {"e_max_kwh": 10.0, "p_max_kw": 5.0}),
    Part("ev_fleet", "EVFleet", ("P[MW]", "n_plugged"), {"num_ev": 2}),
    Part(
        "market",
        "Market",
        ("iterations", "status"),
        {"participants": [{"bus": 2, "resources": [{"name": "Load-0", "side": "load"}]}]},
        {"start": "2016-06-30T00:00:00+02:00"},
    ),
    Part("recorder", "Checkpoint", ()),
]


@pytest.fixture(params=PARTS, ids=lambda part: part.module)
def part(request: pytest.FixtureRequest) -> Part:
    found: Part = request.param
    return found


def play_part(part: Part, starter: dict[str, Any]) -> dict[int, Any]:
    """Two hours of a part alone: its attributes and its checkpoint, by hour."""
    into: dict[int, Any] = {}
    with world({"Part": starter, "Sink": PYTHON_SINK}) as w:
        simulator = w.start("Part", sim_id="Part", step_size=3600, **part.start)
        sink = w.start("Sink").Sink(into=into)
        if part.attributes:
            entity = getattr(simulator, part.model)(**part.params)
            w.connect(entity, sink, *part.attributes)
        w.connect(simulator.Checkpoint(), sink, "state")
        w.run(until=2 * 3600, print_progress=False)
    return into


def in_process(part: Part) -> dict[int, Any]:
    module = importlib.import_module(f"peergrid.cosim.{part.module}")
    name = next(
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "step")
    )
    return play_part(part, {"python": f"{module.__name__}:{name}"})


def assert_same_as_in_process(part: Part, remote: dict[int, Any]) -> None:
    assert list(remote) == [0, 3600]  # a part that fails remotely ends the run without an error
    local = in_process(part)
    for hour, row in local.items():
        assert row.keys() == remote[hour].keys()
        for source, values in row.items():
            assert values.keys() == remote[hour][source].keys()
            for name, value in values.items():
                if name != "state":
                    assert remote[hour][source][name] == pytest.approx(value, nan_ok=True)
                else:
                    assert remote[hour][source][name]["steps_done"] == hour // 3600 + 1


def test_a_part_started_by_command(part: Part) -> None:
    command = f"%(python)s -m peergrid.cosim.{part.module} %(addr)s"
    assert_same_as_in_process(part, play_part(part, {"cmd": command}))


def test_a_part_that_is_already_running(part: Part) -> None:
    with server(part.module) as address:
        assert_same_as_in_process(part, play_part(part, {"connect": address}))


@contextmanager
def server(module: str) -> Iterator[str]:
    """One of our simulators as a server that waits for mosaik; its address."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    command = [sys.executable, "-m", f"peergrid.cosim.{module}", "--remote", address]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: process.poll() is not None or not can_bind(port))
            yield address
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def can_bind(port: int) -> bool:
    """Whether nobody listens; a trial connection would be taken for mosaik's."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("waited too long")
        time.sleep(0.05)
