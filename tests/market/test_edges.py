"""Extreme and impossible inputs: a right answer, or one line that says what to do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from numpy.typing import NDArray

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError, ModelError, PeergridError, SolverError
from peergrid.market.admm import Settings, Status
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.problem import Grid, Problem
from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower

Floats = NDArray[np.float64]
GAP = 1.5e-4  # the iteration stops at 1e-4 of the cost, or of 1 EUR
WAYS: list[dict[str, Any]] = [
    {"network": "none"},
    {"network": "ac"},
    {"network": "envelope", "method": "central"},
    {"network": "branch-flow", "method": "central"},
]
BY_ADMM = ("none", "envelope", "ac")


def chain(n: int, *, z: Floats | complex = 0.02 + 0.01j, **changes: Any) -> Feeder:
    """Buses in a row at 0.4 kV, per unit of 100 kVA."""
    impedance = np.broadcast_to(np.asarray(z, dtype=np.complex128), n)
    columns: dict[str, Any] = {
        "name": "chain",
        "base_mva": 0.1,
        "bus_id": np.arange(n),
        "vn_kv": np.full(n, 0.4),
        "parent": np.arange(n) - 1,
        "r_pu": impedance.real.copy(),
        "x_pu": impedance.imag.copy(),
        "ratio": np.ones(n),
        "shift_deg": np.zeros(n),
        "branch_kind": ("line",) * n,
        "branch_index": np.arange(n) - 1,
        "slack_vm_pu": 1.0,
        "i_max_ka": np.full(n, 0.5),
        "rating_assumed": np.zeros(n, dtype=bool),
    }
    none = dict.fromkeys(("g_sh_pu", "b_sh_pu", "p_load_kw", "q_load_kvar"), np.zeros(n))
    return Feeder(**(none | columns | changes))


def sun(steps: int, size: float = 1.0, dt_h: float = 1.0) -> dict[str, Any]:
    peak = np.maximum(np.sin((np.arange(steps) * dt_h // 1 % 24 - 6) / 12 * np.pi), 0)
    return {"kind": "PEBC", "p_min_kw": [0.0] * steps, "p_max_kw": (20 * size * peak).tolist()}


def battery(steps: int, size: float = 1.0) -> dict[str, Any]:
    return {
        "kind": "FRBC",
        "p_min_kw": [-5.0 * size] * steps,
        "p_max_kw": [5.0 * size] * steps,
        "e_min_kwh": [0.0] * steps + [5.0 * size],
        "e_max_kwh": 10.0 * size,
        "e_now_kwh": 5.0 * size,
        "eta_charge": 0.95,
        "eta_discharge": 0.95,
        "cost": {"wear": 0.005},
    }


def vehicle(steps: int, size: float = 1.0) -> dict[str, Any]:
    """Every day away from 8 to 17 h for a trip of 10 kWh; leaves with 30 of 40 kWh."""
    plugged, e_min, demand = np.ones(steps), np.full(steps + 1, 4.0 * size), np.zeros(steps)
    for leave in range(8, steps - 8, 24):
        plugged[leave : leave + 9], e_min[leave], demand[leave + 8] = 0.0, 30.0 * size, 10.0 * size
    return battery(steps, size) | {
        "p_min_kw": (-11.0 * size * plugged).tolist(),
        "p_max_kw": [0.0] * steps,
        "e_min_kwh": e_min.tolist(),
        "e_max_kwh": 40.0 * size,
        "e_now_kwh": 20.0 * size,
        "demand_kwh": demand.tolist(),
    }


def problem(
    messages: list[dict[str, Any]],
    owner: list[int],
    *,
    at: list[int],
    feeder: Feeder | None = None,
    steps: int = 24,
    firm_kw: float | Floats = -3.0,
    dt_h: float = 1.0,
    **limits: Any,
) -> Problem:
    """A community whose firm load and import price swing over the day; feed-in 0.05 EUR/kWh."""
    hour = np.arange(steps) * dt_h // 1
    shape = (len(at), steps)
    firm = np.broadcast_to(firm_kw * (1.0 + 0.5 * np.sin(hour / 24 * 2 * np.pi)), shape).copy()
    parsed = [parse({"t0_s": 0, "dt_s": 3600 * dt_h, **message}) for message in messages]
    rows = np.array(at, dtype=np.int64)
    return Problem(
        agents=build_agents(parsed, steps, dt_h),
        owner=np.array(owner, dtype=np.int64),
        pool=np.zeros(len(at), dtype=np.int64),
        firm_kw=firm,
        price_import_eur_per_kwh=0.25 + 0.1 * np.sin(hour / 24 * 4 * np.pi),
        price_feed_in_eur_per_kwh=np.full(steps, 0.05),
        box_min_kw=np.full(shape, -np.inf),
        box_max_kw=np.full(shape, np.inf),
        grid=Grid.of(feeder or chain(4), rows, 0.3 * firm, **limits),
    )


def usual(steps: int = 24, *, at: tuple[int, int, int] = (1, 2, 3), **changes: Any) -> Problem:
    """Sun, a battery and a vehicle, one each at three connection points."""
    three = [sun(steps), battery(steps), vehicle(steps)]
    return problem(three, [0, 1, 2], at=list(at), steps=steps, **changes)


def optimum(case: Problem) -> float:
    return clear(case, method="central", network="branch-flow").objective_eur


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "change",
    [
        {"demand_kwh": [0, 0, 60.0, 0, 0, 0]},  # a trip longer than the battery
        {"e_min_kwh": [0.0] * 6 + [9.9], "p_min_kw": [-0.1] * 6},  # not enough time to fill it
    ],
    ids=["trip", "departure"],
)
def test_an_agent_that_cannot_serve_its_own_needs(
    way: dict[str, Any], change: dict[str, Any]
) -> None:
    case = problem([sun(6), battery(6) | change], [0, 1], at=[1, 2], steps=6)
    assert case.agents.unreachable().tolist() == [False, True]
    told = "resource 1" if way.get("method") is None else "infeasible"
    with pytest.raises((ModelError, SolverError), match=told):
        clear(case, **way)


@pytest.mark.parametrize(
    ("cycle", "told"),
    [
        ({"p_kw": [1, 1, 1], "earliest": 0, "latest": 2, "count": 1}, "at most the 2 steps"),
        ({"p_kw": [1, 1], "earliest": 0, "latest": 3, "count": 2}, "2 x 2 steps"),
        ({"p_kw": [1], "earliest": 5, "latest": 9, "count": 1}, "<= 6 steps"),
        ({"p_kw": [], "earliest": 0, "latest": 3, "count": 1}, "a cycle"),
    ],
    ids=str,
)
def test_a_cycle_that_does_not_fit_its_window(cycle: dict[str, Any], told: str) -> None:
    message = {"kind": "PPBC", "p_min_kw": [-1.0] * 6, "p_max_kw": [0.0] * 6, "profiles": [cycle]}
    with pytest.raises(DataError, match=r"flexibility message: profiles\[0\]") as caught:
        problem([message], [0], at=[1], steps=6)
    assert told in str(caught.value)


def _net(*lines: tuple[int, int], sources: tuple[int, ...] = (0,)) -> pp.pandapowerNet:
    net = pp.create_empty_network()
    for _ in range(4):
        pp.create_bus(net, 20.0)
    for a, b in lines:
        pp.create_line_from_parameters(net, a, b, 1.0, 0.1, 0.1, 0.0, 0.2)
    for bus in sources:
        pp.create_ext_grid(net, bus)
    return net


@pytest.mark.parametrize(
    ("sources", "told"), [([0], "meshed.*open a switch"), ([0, 3], "ext_grid 0, 1.*keep one")]
)
def test_a_network_that_is_not_radial(sources: list[int], told: str) -> None:
    net = pp.create_empty_network()
    for _ in range(4):
        pp.create_bus(net, 20.0)
    for a, b in ((0, 1), (1, 2), (2, 3), (0, 3))[: 5 - len(sources)]:
        pp.create_line_from_parameters(net, a, b, 1.0, 0.1, 0.1, 0.0, 0.2)
    for bus in sources:
        pp.create_ext_grid(net, bus)
    with pytest.raises(ModelError, match=told):
        from_pandapower(net)


@pytest.mark.parametrize("place", ["one bus", "root of a feeder", "no impedance"])
@pytest.mark.filterwarnings("error")
def test_everyone_at_the_root_sees_no_network(place: str) -> None:
    """A slack above the band does not matter; the same bill as without a network."""
    at = (0, 0, 0) if place != "no impedance" else (1, 2, 3)
    feeder = chain(1 if place == "one bus" else 4, z=0.0j if any(at) else 0.02 + 0.01j)
    case = usual(at=at, feeder=feeder, v_max_pu=0.95 if place == "one bus" else 1.1, loading=1.0)
    on_ac, free = clear(case, network="ac"), clear(case, network="none")
    assert on_ac.status is Status.CONVERGED
    assert on_ac.objective_eur == pytest.approx(free.objective_eur, rel=2 * GAP)
    assert np.abs(on_ac.loss_price_eur_per_kwh).max() < 1e-12
    assert not on_ac.congestion_eur_per_kwh.any()
    np.testing.assert_allclose(on_ac.import_kw[0], -on_ac.position_kw.sum(axis=0), atol=1e-9)


def test_lines_without_impedance_only_join_buses() -> None:
    """Buses 1 and 2 are one: as on the feeder without the line between them."""
    lossy = 0.02 + 0.01j
    feeder = chain(5, z=np.array([0, lossy, 0, lossy, lossy]))
    whole = usual(at=(1, 2, 4), feeder=feeder, v_min_pu=0.992)
    merged = usual(at=(1, 1, 3), v_min_pu=0.992)
    found, best = clear(whole, network="ac"), optimum(merged)
    assert found.status is Status.CONVERGED
    assert found.grid is not None
    assert found.grid.violation_pu.max() <= Settings().tolerance_pu
    np.testing.assert_array_equal(found.grid.vm_pu[1], found.grid.vm_pu[2])
    np.testing.assert_array_equal(found.price_eur_per_kwh[0], found.price_eur_per_kwh[1])
    assert found.objective_eur == pytest.approx(best, rel=GAP)
    assert optimum(whole) == pytest.approx(best, rel=1e-6)


def test_the_band_is_not_that_of_the_root() -> None:
    """A slack above everybody's band is no violation; the same voltage at a bus is."""
    high = chain(3, slack_vm_pu=1.101)
    hung = problem([battery(4)], [0], at=[2], steps=4, feeder=high, firm_kw=-60.0)
    beyond = problem([battery(4)], [0], at=[2], steps=4, feeder=chain(3, slack_vm_pu=1.2))
    found = clear(hung, network="ac")
    assert found.status is Status.CONVERGED
    assert found.grid is not None
    assert found.grid.vm_pu[0, 0] == pytest.approx(1.101)
    assert found.grid.violation_pu.max() == 0.0
    stuck = clear(beyond, network="ac")
    assert stuck.status is Status.ITERATION_LIMIT
    assert stuck.relaxation is not None
    assert "breaks a limit" in stuck.relaxation.verdict


def test_neighbours_at_one_bus_are_like_one() -> None:
    devices, half = [sun(24), battery(24), vehicle(24)], np.array([[-1.5], [-1.5], [-3.0]])
    apart = clear(problem(devices, [0, 1, 2], at=[2, 2, 3], firm_kw=half), network="ac")
    as_one = clear(problem(devices, [0, 0, 1], at=[2, 3]), network="ac")
    assert apart.objective_eur == pytest.approx(as_one.objective_eur, rel=2 * GAP)
    np.testing.assert_array_equal(apart.price_eur_per_kwh[0], apart.price_eur_per_kwh[1])


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_nobody_there(way: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="participants = 0: allowed: at least one"):
        clear(problem([], [], at=[]), **way)


@pytest.mark.parametrize("network", BY_ADMM)
@pytest.mark.parametrize("firm_kw", [-3.0, 0.0, 4.0], ids=["load", "nothing", "surplus"])
@pytest.mark.filterwarnings("error")
def test_nothing_flexible_there(network: Any, firm_kw: float) -> None:
    case = problem([], [], at=[1, 3], firm_kw=firm_kw)
    found = clear(case, network=network)
    bill = np.where(firm_kw < 0, case.price_import_eur_per_kwh, case.price_feed_in_eur_per_kwh)
    assert found.status is Status.CONVERGED
    assert found.schedule_kw.shape == (0, 24)
    np.testing.assert_array_equal(found.position_kw, case.firm_kw)
    assert found.objective_eur == pytest.approx(float(bill @ found.import_kw[0]), abs=1e-9)
    assert found.objective_eur - found.lower_bound_eur == pytest.approx(0.0, abs=1e-6)
    lost = 0.0 if found.grid is None else found.grid.loss_kw
    np.testing.assert_allclose(found.import_kw[0], lost - case.firm_kw.sum(axis=0), atol=1e-9)


def test_a_community_that_needs_no_import() -> None:
    """Its own sun covers it, and there is more than it can use."""
    case = problem([sun(24)], [0], at=[1, 2], firm_kw=-0.1)
    noon = slice(10, 14)
    found = clear(case, network="ac")
    assert np.all(found.import_kw[0, noon] < 0.0)
    np.testing.assert_allclose(found.theta_eur_per_kwh[0, noon], 0.05, atol=1e-6)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"price_feed_in_eur_per_kwh": np.full(4, 0.5)}, r"price_feed_in_eur_per_kwh\[0\] = 0.5"),
        ({"price_import_eur_per_kwh": np.array([0.2, np.nan, 0.2, 0.2])}, "4 finite numbers"),
        ({"price_feed_in_eur_per_kwh": np.zeros(3)}, "4 finite numbers"),
        ({"firm_kw": np.full((2, 4), np.nan)}, "firm_kw.*finite numbers"),
    ],
    ids=["wash trading", "NaN", "short", "NaN power"],
)
def test_prices_and_powers_that_cannot_be(
    way: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    case = problem([sun(4), battery(4)], [0, 1], at=[1, 2], steps=4)
    with pytest.raises(DataError, match=f"^market: .*{told}"):
        clear(replace(case, **change), **way)


@pytest.mark.parametrize("way", [WAYS[1], WAYS[3]], ids=str)
def test_firm_load_beyond_the_feeder(way: dict[str, Any]) -> None:
    case = usual(4)
    case.firm_kw[2, 1] = -1e5
    told = "steps \\[1\\]" if way["network"] == "ac" else "infeasible"
    with pytest.raises(SolverError, match=told):
        clear(case, **way)


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ({"method": "auction"}, "method = 'auction': allowed: admm, central"),
        ({"network": "dc"}, "network = 'dc': allowed: none, envelope, agreement, ac"),
        ({"network": "ac", "method": "central"}, "with central"),
        ({"method": "central", "solver": "MAGIC"}, "solver = 'MAGIC': allowed: one that is"),
    ],
)
def test_ways_that_do_not_exist(way: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        clear(usual(1), **way)
    with pytest.raises(DataError, match=r"problem\.grid = None: allowed: a Grid"):
        clear(replace(usual(1), grid=None), network="ac")
    with pytest.raises(PeergridError, match="one pool, not several"):
        clear(replace(usual(1), pool=np.arange(3)), network="ac")


@pytest.mark.parametrize("parts", [2, 4, 12])
def test_parts_of_an_hour_with_the_same_data_cost_the_same(parts: int) -> None:
    steps, dt_h = 24 * parts, 1.0 / parts
    best = optimum(problem([sun(24), battery(24)], [0, 1], at=[1, 3]))
    devices = [sun(steps, dt_h=dt_h), battery(steps)]
    split = problem(devices, [0, 1], at=[1, 3], steps=steps, dt_h=dt_h)
    assert optimum(split) == pytest.approx(best, rel=1e-6)
    assert clear(split, network="ac").objective_eur == pytest.approx(best, rel=GAP)


@pytest.mark.parametrize("size", [1e-3, 1e-1, 1e2, 1e6], ids=str)
def test_any_size_of_community(size: float) -> None:
    """All powers in proportion, on a feeder in proportion: the bill is in proportion."""
    devices = [sun(24, size), battery(24, size), vehicle(24, size)]
    feeder = chain(4, base_mva=0.1 * size)
    case = problem(devices, [0, 1, 2], at=[1, 2, 3], feeder=feeder, firm_kw=-3.0 * size)
    found, best = clear(case, network="ac"), size * optimum(usual())
    assert abs(found.objective_eur - best) <= 1e-3 * max(best, 1.0)
    assert abs(found.gap) <= 1e-3
    assert found.lower_bound_eur <= best * (1.0 + 1e-6)


@pytest.mark.parametrize("steps", [1, 31 * 24])
def test_an_hour_or_a_month_at_once(steps: int) -> None:
    case = usual(steps)
    found = clear(case, network="ac")
    assert found.status is Status.CONVERGED
    assert found.objective_eur == pytest.approx(optimum(case), rel=GAP)
