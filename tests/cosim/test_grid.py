"""The grid on the wire: the official component's names, signs and voltages; losses; no history."""

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import mosaik
import mosaik_api_v3
import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest

from peergrid.cosim.attributes import MODELS, outputs_of
from peergrid.cosim.grid import GRID, GridSimulator
from peergrid.errors import DataError, ModelError
from tests.cosim.helpers import PYTHON_SINK, PYTHON_SOURCE

OURS = {"python": "peergrid.cosim.grid:GridSimulator"}
OFFICIAL = {"python": "mosaik_components.pandapower:Simulator"}
HOURS = 4
SHARED = {
    "Bus": ("P[MW]", "Q[MVar]", "Vm[pu]", "Va[deg]"),
    "Line": ("I[kA]",),
    "ExternalGrid": ("P[MW]", "Q[MVar]"),
}
NETS: dict[str, Callable[[], Any]] = {
    "case33bw": pn.case33bw,
    "cigre_mv": pn.create_cigre_network_mv,
}


def empty(net: Any) -> Any:
    """The net without the loads it brings along."""
    for table in ("load", "sgen", "storage"):
        net[table] = net[table].iloc[:0]
    return net


def profiles(net: Any, hours: int = HOURS) -> dict[int, dict[str, list[float]]]:
    """Load and generation of some buses, different every hour."""
    rng = np.random.default_rng(3)
    scale = 0.05 if net.bus.vn_kv.max() < 20 else 0.3
    return {
        int(bus): {
            "P_load[MW]": (scale * rng.uniform(0.2, 1.0, hours)).tolist(),
            "Q_load[MVar]": (scale * rng.uniform(0.0, 0.4, hours)).tolist(),
            "P_gen[MW]": (scale * rng.uniform(0.0, 1.5, hours)).tolist(),
            "Q_gen[MVar]": (scale * rng.uniform(-0.1, 0.1, hours)).tolist(),
        }
        for bus in net.bus.index[2::2]
    }


def play(
    starter: dict[str, str],
    net: Any,
    columns: dict[int, dict[str, list[Any]]],
    attributes: dict[str, tuple[str, ...]],
    *,
    reverse: bool = False,
    time_resolution: float = 1.0,
    source_step: int = 3600,
    until: int = HOURS * 3600,
) -> dict[int, Any]:
    """Run a grid in a scenario; what it published by time, entity id and attribute."""
    config: Any = {"Grid": starter, "Source": PYTHON_SOURCE, "Sink": PYTHON_SINK}
    into: dict[int, Any] = {}
    with mosaik.World(
        config, cache=False, time_resolution=time_resolution, skip_greetings=True
    ) as w:
        step = (
            {"step_size": 3600} if starter is OURS else {"step_size": round(3600 / time_resolution)}
        )
        grid = w.start("Grid", **step).Grid(net=net)
        names = sorted(next(iter(columns.values())))
        source = w.start("Source", step_size=source_step, attrs=names)
        sink = w.start("Sink", step_size=3600).Sink(into=into)
        children = {child.eid: child for child in grid.children}
        wires = [(bus, name) for bus in columns for name in columns[bus]]
        played = {bus: source.Column(values=columns[bus]) for bus in columns}
        for bus, name in reversed(wires) if reverse else wires:
            w.connect(played[bus], children[f"Bus-{bus}"], name)
        for child in children.values():
            if child.type in attributes:
                w.connect(child, sink, *attributes[child.type])
        if starter is OURS:
            w.connect(grid, sink, *outputs_of("Grid"))
        w.run(until=round(until / time_resolution), print_progress=False)
    return {
        time: {source.partition(".")[2]: values for source, values in row.items()}
        for time, row in into.items()
    }


def simulator(net: Any = None, **params: Any) -> GridSimulator:
    sim = GridSimulator()
    sim.init("Grid", time_resolution=1.0, step_size=3600)
    sim.create(1, "Grid", net=pn.case33bw() if net is None else net, **params)
    return sim


def everything_of(sim: GridSimulator) -> dict[str, dict[str, Any]]:
    grid: Any = sim.get_data({GRID: list(outputs_of("Grid"))})
    for eid in sim.get_extra_info():
        grid.update(sim.get_data({eid: list(outputs_of(eid.partition("-")[0]))}))
    return dict(grid)


def nominal_inputs(sim: GridSimulator) -> dict[str, Any]:
    return {
        eid: {
            "P_load[MW]": {"L": info["p_nom_kw"] / 1e3},
            "Q_load[MVar]": {"L": info["q_nom_kvar"] / 1e3},
        }
        for eid, info in sim.get_extra_info().items()
        if eid.startswith("Bus-")
    }


def test_it_complies_with_the_api() -> None:
    sim = GridSimulator()
    assert mosaik_api_v3.check_api_compliance(sim) is True  # type: ignore[no-untyped-call]
    assert sim.meta["api_version"] == "3.0"
    assert sim.meta["models"]["Grid"]["public"]
    assert not sim.meta["models"]["Bus"]["public"]


@pytest.mark.parametrize("name", NETS)
def test_the_official_grid_in_our_place_gives_the_same(name: str) -> None:
    net = empty(NETS[name]())
    columns = profiles(net)
    ours = play(OURS, copy.deepcopy(net), columns, SHARED)
    official = play(OFFICIAL, copy.deepcopy(net), columns, SHARED)
    assert ours.keys() == official.keys() == {3600 * hour for hour in range(HOURS)}
    compared = 0
    for time, row in official.items():
        for eid, values in row.items():
            for attribute, value in values.items():
                own = ours[time][eid][attribute]
                assert type(own) is float
                assert own == pytest.approx(value, abs=1e-6, nan_ok=True), (eid, attribute)
                compared += 1
    assert compared > HOURS * 4 * len(net.bus)


def test_the_order_of_connect_does_not_matter() -> None:
    columns = profiles(pn.case33bw())
    outputs = {model: outputs_of(model) for model in ("Bus", "Line", "ExternalGrid")}
    runs = [play(OURS, pn.case33bw(), columns, outputs, reverse=r) for r in (False, True)]
    assert runs[0] == runs[1]


def test_many_sources_at_one_bus_add_up_in_any_order() -> None:
    sources = {f"Load-{k}": 0.1 + 1e-17 * k + 0.01 * k for k in range(9)}
    rows = []
    for names in (sorted(sources), sorted(sources, reverse=True)):
        sim = simulator()
        sim.step(0, {"Bus-17": {"P_load[MW]": {name: sources[name] for name in names}}}, 3600)
        rows.append(everything_of(sim))
    assert rows[0] == rows[1]
    assert rows[0]["Bus-17"]["P[MW]"] == math.fsum(sources.values())


def test_bus_power_is_load_positive_and_balances_at_the_head() -> None:
    net = pn.create_cigre_network_mv()
    columns = profiles(net)
    outputs = {model: outputs_of(model) for model in ("Bus", "Line", "Trafo", "ExternalGrid")}
    for time, row in play(OURS, net, columns, outputs).items():
        hour = time // 3600
        asked = {b: v["P_load[MW]"][hour] - v["P_gen[MW]"][hour] for b, v in columns.items()}
        for bus, expected in asked.items():
            assert row[f"Bus-{bus}"]["P[MW]"] == pytest.approx(expected, abs=1e-12)
        branches = sum(v["P_loss[MW]"] for e, v in row.items() if e.startswith(("Line", "Trafo")))
        head = row["ExternalGrid-0"]["P[MW]"]
        assert row[GRID]["P_loss[MW]"] == pytest.approx(branches, abs=1e-12)
        assert head == pytest.approx(sum(asked.values()) + row[GRID]["P_loss[MW]"], abs=1e-6)
        assert row["Bus-0"]["P[MW]"] == pytest.approx(-head, abs=1e-12)
        assert row[GRID]["converged"] is True


def test_an_absent_input_is_zero() -> None:
    sim = simulator()
    sim.step(0, nominal_inputs(sim), 3600)
    assert everything_of(sim)["Bus-17"]["Vm[pu]"] < 0.95
    sim.step(3600, {"Bus-17": {"P_load[MW]": {"A": None, "B": float("nan")}}}, 3600)
    idle = everything_of(sim)
    assert all(idle[eid]["Vm[pu]"] == 1.0 for eid in idle if eid.startswith("Bus-"))
    assert idle["ExternalGrid-0"]["P[MW]"] == pytest.approx(0.0, abs=1e-12)


def test_an_hour_without_solution_is_nan_and_the_next_one_is_as_ever() -> None:
    columns: dict[int, Any] = {17: {"P_load[MW]": [0.1, 1e6, 0.1, 0.1]}}
    rows = play(OURS, pn.case33bw(), columns, {"Bus": ("Vm[pu]",), "Line": ("I[kA]",)})
    assert [rows[3600 * hour][GRID]["converged"] for hour in range(4)] == [True, False, True, True]
    lost = rows[3600]
    assert all(math.isnan(lost[eid]["Vm[pu]"]) for eid in lost if eid.startswith("Bus-"))
    assert math.isnan(lost[GRID]["P_loss[MW]"])
    assert rows[0] == rows[7200] == rows[10800]


def test_state_is_plain_and_restore_goes_on_with_the_same_bits() -> None:
    first = simulator()
    inputs = nominal_inputs(first)
    first.step(0, inputs, 3600)
    state = json.loads(json.dumps(first.state()))
    first.step(3600, {"Bus-5": {"P_gen[MW]": {"G": 0.4}}}, 3600)
    second = GridSimulator()
    second.init("Grid", time_resolution=1.0, step_size=3600, restore=state)
    second.create(1, "Grid", net=pn.case33bw())
    assert second.step(0, {}, 3600) == 3600
    assert everything_of(second)["Bus-17"] == state["outputs"]["Bus-17"]
    second.step(3600, {"Bus-5": {"P_gen[MW]": {"G": 0.4}}}, 3600)
    assert everything_of(second) == everything_of(first)


@pytest.mark.parametrize("time_resolution", [1.0, 60.0, 900.0])
def test_time_resolution_and_a_faster_source(time_resolution: float) -> None:
    quarter_hours: dict[int, Any] = {17: {"P_load[MW]": [0.01 * k for k in range(4 * HOURS)]}}
    rows = play(
        OURS,
        pn.case33bw(),
        quarter_hours,
        {"Bus": ("P[MW]",)},
        time_resolution=time_resolution,
        source_step=900,
    )
    hours = [row["Bus-17"]["P[MW]"] for row in rows.values()]
    assert list(rows) == [round(3600 * hour / time_resolution) for hour in range(HOURS)]
    assert hours == pytest.approx([0.04 * hour for hour in range(HOURS)], abs=1e-15)


def test_values_are_plain_and_json_ready() -> None:
    sim = simulator(pn.create_cigre_network_mv())
    sim.step(0, nominal_inputs(sim), 3600)
    data = everything_of(sim)
    kinds = {type(value) for values in data.values() for value in values.values()}
    assert kinds == {float, bool}
    json.dumps([data, sim.get_extra_info()])
    assert set(data) == {GRID, *sim.get_extra_info()}
    for eid, values in data.items():
        assert set(values) == set(outputs_of(eid.partition("-")[0]))
    again: Any = sim.get_data({"Bus-3": ["Vm[pu]"]})
    again["Bus-3"]["Vm[pu]"] = 0.0
    assert everything_of(sim) == data


def test_children_tell_what_they_are() -> None:
    sim = GridSimulator()
    sim.init("Grid", time_resolution=1.0)
    net = pn.create_cigre_network_mv()
    grid = sim.create(1, "Grid", net=net)[0]
    by_eid = {child["eid"]: child for child in grid["children"]}
    assert by_eid["Line-0"]["rel"] == [f"Bus-{net.line.from_bus[0]}", f"Bus-{net.line.to_bus[0]}"]
    assert by_eid["Trafo-1"]["rel"] == [f"Bus-{net.trafo.hv_bus[1]}", f"Bus-{net.trafo.lv_bus[1]}"]
    bus = by_eid["Bus-3"]["extra_info"]
    assert bus["nominal voltage [kV]"] == 20.0
    assert bus["index"] == 3
    at_bus = net.load[net.load.bus == 3]
    assert bus["p_nom_kw"] == pytest.approx(at_bus.p_mw.sum() * 1e3)
    assert bus["q_nom_kvar"] == pytest.approx(at_bus.q_mvar.sum() * 1e3)
    assert by_eid["Line-0"]["extra_info"]["rating_ka"] == pytest.approx(net.line.max_i_ka[0])
    assert by_eid["Line-0"]["extra_info"]["rating_assumed"] is False
    assert {child["type"] for child in grid["children"]} == set(MODELS) & {
        "Bus",
        "Line",
        "Trafo",
        "ExternalGrid",
    }
    plain = copy.deepcopy(net)
    pp.runpp(plain, numba=False)
    sim.step(0, nominal_inputs(sim), 3600)
    own = [row["Vm[pu]"] for eid, row in everything_of(sim).items() if eid.startswith("Bus-")]
    np.testing.assert_allclose(own, plain.res_bus.vm_pu, atol=1e-9)


def test_a_grid_comes_from_a_file_a_name_or_a_net(tmp_path: Any) -> None:
    path = tmp_path / "net.json"
    pp.to_json(pn.case33bw(), str(path))
    names = []
    for params in ({"json": str(path)}, {"network": "pandapower:case33bw"}, {"net": pn.case33bw()}):
        sim = GridSimulator()
        sim.init("Grid", time_resolution=1.0)
        sim.create(1, "Grid", slack_vm_pu=1.02, impedance_scale=1.1, **params)
        sim.step(0, nominal_inputs(sim), 3600)
        names.append([row for eid, row in sorted(everything_of(sim).items()) if eid != GRID])
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "one of net, json, network"),
        ({"network": "ieee33", "json": "a.json"}, "one of net, json, network"),
        ({"network": "ieee34"}, "ieee33"),
        ({"json": "no_such_file.json"}, "no_such_file.json"),
        ({"network": "ieee33", "slack_vm_pu": -1.0}, "a positive number"),
        ({"network": "ieee33", "impedance_scale": "much"}, "a positive number"),
    ],
)
def test_a_wrong_grid_is_one_clear_line(params: dict[str, Any], says: str) -> None:
    sim = GridSimulator()
    sim.init("Grid", time_resolution=1.0)
    with pytest.raises(DataError, match=says) as caught:
        sim.create(1, "Grid", **params)
    assert "\n" not in str(caught.value)


def test_one_grid_a_simulator_and_inputs_at_buses_only() -> None:
    sim = simulator()
    with pytest.raises(ModelError, match="one Grid"):
        sim.create(1, "Grid", network="ieee33")
    with pytest.raises(ModelError, match="Bus-3 takes no Vm"):
        sim.step(0, {"Bus-3": {"Vm[pu]": {"A": 1.0}}}, 3600)
    with pytest.raises(ModelError, match="no Grid"):
        GridSimulator().get_net()
