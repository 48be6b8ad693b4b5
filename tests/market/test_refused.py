"""What cannot be cleared is refused in one line; what can, is reported as it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError, ModelError
from peergrid.market.admm import Settings, Status
from peergrid.market.build import build_agents
from peergrid.market.by_neighbours import NeighbourClearing
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from tests.market.test_cycles_cleared import CASES, cleared
from tests.market.test_edges import battery, chain, problem, sun, usual, vehicle


def test_branch_flow_by_admm_is_the_one_between_neighbours() -> None:
    found = clear(usual(2), Settings(max_iterations=3), network="branch-flow")
    assert isinstance(found, NeighbourClearing)
    assert found.status is Status.ITERATION_LIMIT


def overloaded(seed: int) -> Problem:
    rng, steps = np.random.default_rng(seed), 12
    elastic = {
        "kind": "PEBC",
        "p_min_kw": [-12.0] * steps,
        "p_max_kw": [0.0] * steps,
        "p_ref_kw": [-10.0] * steps,
        "cost": {"discomfort_eur_per_kw2h": 0.02},
    }
    return problem(
        [sun(steps), sun(steps), battery(steps), elastic],
        [0, 1, 2, 3],
        at=[1, 2, 3, 4],
        feeder=chain(5),
        steps=steps,
        loading=float(rng.uniform(0.03, 0.08)),
    )


@pytest.mark.parametrize("seed", range(6))
def test_converged_means_within_the_ratings(seed: int) -> None:
    found = clear(overloaded(seed), network="ac")
    assert found.grid is not None
    assert found.status is Status.ITERATION_LIMIT or found.grid.overload.max() <= 1e-4


def test_one_bus_has_no_branch_flow() -> None:
    case = usual(at=(0, 0, 0), feeder=chain(1))
    with pytest.raises(ModelError, match="one bus"):
        clear(case, method="central", network="branch-flow")


def test_no_hour() -> None:
    with pytest.raises(DataError, match="steps = 0"):
        clear(problem([], [], at=[1], steps=0), network="ac")


@pytest.mark.parametrize(
    "change",
    [
        {"at": np.array([1, 2])},
        {"at": np.array([1, 2, 9])},
        {"at": np.array([1, 2, -1])},
        {"firm_kvar": np.zeros((2, 24))},
        {"firm_kvar": np.full((3, 24), np.nan)},
        {"background_kw": np.zeros((3, 24))},
        {"v_min_pu": np.full(7, 0.9)},
        {"v_min_pu": np.nan},
        {"v_min_pu": 1.2},
        {"loading": -1.0},
        {"loading": np.ones(7)},
    ],
    ids=str,
)
def test_a_grid_that_does_not_fit(change: dict[str, Any]) -> None:
    case = usual()
    assert case.grid is not None
    with pytest.raises(DataError, match=f"grid.{next(iter(change))}"):
        clear(replace(case, grid=replace(case.grid, **change)), network="ac")


@pytest.mark.parametrize(
    "change",
    [
        {"owner": np.array([0, 1, 7])},
        {"owner": np.array([0, 1, -1])},
        {"owner": np.array([0, 1])},
        {"pool": np.array([0, 0, 5])},
        {"pool": np.array([0, 0, -1])},
        {"firm_kw": np.zeros((2, 24))},
        {"box_min_kw": np.zeros((2, 24))},
        {"box_min_kw": np.full((3, 24), np.nan)},
        {"box_min_kw": np.full((3, 24), 5.0), "box_max_kw": np.full((3, 24), -5.0)},
    ],
    ids=str,
)
def test_a_problem_that_does_not_fit(change: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(change))):
        clear(replace(usual(), **change), network="envelope")


def test_agents_of_another_length() -> None:
    messages = [parse({"t0_s": 0, "dt_s": 3600, **m}) for m in (sun(12), battery(12), vehicle(12))]
    with pytest.raises(DataError, match="agents"):
        clear(replace(usual(), agents=build_agents(messages, 12, 1.0)), network="envelope")


@pytest.mark.parametrize("way", [{}, {"method": "central"}], ids=str)
def test_several_pools_share_no_network(way: dict[str, Any]) -> None:
    network = "branch-flow" if way else "ac"
    with pytest.raises(DataError, match="one pool, not several"):
        clear(replace(usual(), pool=np.arange(3)), network=network, **way)


def test_an_unknown_certificate() -> None:
    with pytest.raises(DataError, match="certificate = 'maybe'"):
        clear(usual(), certificate="maybe")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("error")
def test_a_power_factor_gives_no_warning() -> None:
    clear(problem([sun(24) | {"q": {"min_pf": 0.9}}], [0], at=[3]), network="ac")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_whole_cycles_cost_no_less_than_relaxed_ones(case: Any) -> None:
    assert cleared(*case).integer_gap >= 0.0


@pytest.mark.parametrize("size", [1e-1, 1e2, 1e6])
@pytest.mark.parametrize("network", ["envelope", "ac"])
def test_size_does_not_change_the_way(size: float, network: Any) -> None:
    devices = [sun(24, size), battery(24, size), vehicle(24, size)]
    feeder = chain(4, base_mva=0.1 * size)
    case = problem(devices, [0, 1, 2], at=[1, 2, 3], feeder=feeder, firm_kw=-3.0 * size)
    scaled, one = clear(case, network=network), clear(usual(), network=network)
    assert scaled.status is Status.CONVERGED
    assert abs(scaled.iterations - one.iterations) <= 30


def test_a_box_that_a_device_cannot_keep_is_reported() -> None:
    message = {"kind": "PEBC", "p_min_kw": [2.0] * 3, "p_max_kw": [10.0] * 3}
    case = problem([message], [0], at=[1], steps=3, firm_kw=-1.0)
    found = clear(replace(case, box_max_kw=np.full((1, 3), -1.0)), network="envelope")
    assert found.box_violation_kw >= 1.0
