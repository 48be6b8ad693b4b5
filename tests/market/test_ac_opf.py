"""ADMM on the exact AC network against an AC optimal power flow by interior point."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.market_cases import community
from peergrid.devices.flexibility import parse
from peergrid.market.admm import Settings, Status
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.problem import Grid, Problem
from peergrid.market.result import Clearing
from peergrid.network.feeder import Feeder
from peergrid.network.power_flow import PowerFlow, solve
from tests.market.ac_opf import AcOpf, solve_ac_opf
from tests.strategies import radial_feeders

Floats = NDArray[np.float64]
# Where a limit binds, prices still creep when they change by the default 2e-5 EUR/kWh per step.
TIGHT = Settings(tolerance_gap=0.0, tolerance_eur_per_kwh=4e-6, max_iterations=600)


def flow_of(problem: Problem, schedule_kw: Floats | None = None) -> PowerFlow:
    """Power flow under a schedule, or under what nobody can change."""
    grid = problem.grid
    assert grid is not None
    p_kw, q_kvar = grid.background_kw.copy(), grid.background_kvar.copy()
    np.add.at(p_kw, grid.at, problem.firm_kw)
    np.add.at(q_kvar, grid.at, grid.firm_kvar)
    if schedule_kw is not None:
        np.add.at(p_kw, grid.at[problem.owner], schedule_kw)
    return solve(grid.feeder, p_kw, q_kvar)


def within(problem: Problem, **limits: Any) -> Problem:
    """The same problem with other limits of the grid."""
    assert problem.grid is not None
    return replace(problem, grid=replace(problem.grid, **limits))


def cost_eur(problem: Problem, schedule_kw: Floats) -> float:
    """Cost of a schedule by the exact power flow, wear of what storages must burn included."""
    agents = problem.agents
    power_kw = np.zeros(agents.shape)
    power_kw[agents.stores] = np.abs(schedule_kw[agents.stores])
    power_kw[agents.stores] += 2.0 * agents.burning_kw(schedule_kw)
    cost = agents.linear_eur_per_kwh * schedule_kw + agents.wear_eur_per_kwh[:, None] * power_kw
    cost += agents.quadratic_eur_per_kw2h[:, None] * schedule_kw**2
    cost += agents.discomfort_eur_per_kw2h[:, None] * (schedule_kw - agents.p_ref_kw) ** 2
    head = flow_of(problem, schedule_kw).head_p_kw
    bill = problem.price_import_eur_per_kwh * np.maximum(head, 0.0)
    bill -= problem.price_feed_in_eur_per_kwh * np.maximum(-head, 0.0)
    return float(problem.dt_h * (cost.sum() + bill.sum()))


def both(problem: Problem, how: Settings = TIGHT) -> tuple[Clearing, AcOpf]:
    """Cleared by ADMM, and the best that interior point finds."""
    found = clear(problem, how, network="ac")
    reference = solve_ac_opf(problem, [found.schedule_kw])
    assert reference.success
    check_reference(problem, reference)
    return found, reference


def check_reference(problem: Problem, reference: AcOpf) -> None:
    """The reference keeps the laws, by other code than its own."""
    flow = flow_of(problem, reference.schedule_kw)
    np.testing.assert_allclose(reference.vm_pu, flow.vm_pu, atol=1e-6)
    size = np.abs(problem.firm_kw).sum() + 1.0
    np.testing.assert_allclose(reference.import_kw, flow.head_p_kw, atol=1e-6 * size)


def agree(found: Clearing, reference: AcOpf, relative: float, iterations: int = 600) -> None:
    """Same cost, limits kept, in time."""
    assert found.grid is not None
    assert found.status is Status.CONVERGED
    assert found.iterations <= iterations
    assert found.objective_eur == pytest.approx(reference.objective_eur, rel=relative)
    assert found.grid.violation_pu.max() <= 1e-4
    assert found.grid.overload.max() <= 1e-4


def agree_or_say_so(found: Clearing, reference: AcOpf, relative: float) -> None:
    """Not converging is a status, not an error; but what is called converged is right."""
    if found.status is Status.CONVERGED:
        agree(found, reference, relative)
    else:
        assert found.status is Status.ITERATION_LIMIT


@pytest.mark.parametrize("pv_scale", [1.0, 3.0])
def test_uncongested_it_finds_the_optimum(pv_scale: float) -> None:
    problem = community("ieee33", pv_scale=pv_scale)
    found, reference = both(problem, Settings(tolerance_gap=0.0))
    agree(found, reference, 1e-6, iterations=200)
    assert found.relaxation is not None
    assert found.relaxation.is_exact
    at_participants = reference.price_eur_per_kwh[problem.grid.at]  # type: ignore[union-attr]
    np.testing.assert_allclose(found.price_eur_per_kwh, at_participants, atol=5e-5)


@pytest.mark.parametrize("pv_scale", [4.0, 5.0, 7.0])
def test_with_a_binding_upper_voltage_it_finds_the_optimum(pv_scale: float) -> None:
    problem = community("ieee33", pv_scale=pv_scale)
    found, reference = both(problem)
    agree(found, reference, 1e-4)
    assert reference.mu_eur_per_pu2.max() > 1.0
    assert found.relaxation is not None
    assert not found.relaxation.is_exact
    at_participants = reference.price_eur_per_kwh[problem.grid.at]  # type: ignore[union-attr]
    np.testing.assert_allclose(found.price_eur_per_kwh, at_participants, atol=5e-4)


def test_with_a_binding_lower_voltage_vehicles_charge_around_it() -> None:
    problem = community("ieee33")
    firm = flow_of(problem).vm_pu.min(axis=0)
    found, reference = both(within(problem, v_min_pu=firm - 0.001))
    agree(found, reference, 1e-4)
    assert reference.mu_eur_per_pu2.min() < -1.0
    assert found.relaxation is not None
    assert found.relaxation.is_exact


def test_an_unreachable_lower_voltage_is_no_success() -> None:
    problem = community("ieee33")
    firm = flow_of(problem).vm_pu.min(axis=0)
    narrow = within(problem, v_min_pu=firm - 0.0005)
    assert not solve_ac_opf(narrow).success
    assert clear(narrow, TIGHT, network="ac").status is Status.ITERATION_LIMIT


@pytest.mark.parametrize("share", [0.95, 0.8])
def test_with_a_binding_current_it_finds_the_optimum(share: float) -> None:
    problem = community("ieee33", pv_scale=3.0)
    free = clear(problem, Settings(), network="ac")
    current = np.abs(flow_of(problem, free.schedule_kw).j_pu[1:])
    most = float((current / problem.grid.feeder.i_max_pu[1:, None]).max())  # type: ignore[union-attr]
    found, reference = both(within(problem, loading=share * most))
    agree(found, reference, 1e-4)
    assert reference.kappa_eur_per_pu2.max() > 1.0


@pytest.mark.parametrize("pv_scale", [1.0, 5.0])
@pytest.mark.parametrize("hours", [slice(11, 14), slice(2, 5)])
def test_with_mildly_negative_prices_it_finds_the_optimum(pv_scale: float, hours: slice) -> None:
    problem = with_prices(community("ieee33", pv_scale=pv_scale), hours, -0.02, -0.05)
    found, reference = both(problem)
    agree_or_say_so(found, reference, 1e-4)
    assert found.objective_eur == pytest.approx(reference.objective_eur, rel=1e-4)
    assert problem.agents.burning_kw(found.schedule_kw).max() <= 1e-3


@pytest.mark.parametrize("pv_scale", [1.0, 5.0])
def test_with_strongly_negative_prices_storages_burn_and_the_schedule_is_optimal(
    pv_scale: float,
) -> None:
    problem = with_prices(community("ieee33", pv_scale=pv_scale), slice(11, 14), -0.1, -0.2)
    found, reference = both(problem)
    assert found.status is Status.CONVERGED
    burnt = problem.agents.burning_kw(found.schedule_kw)
    assert burnt.max() > 9.0
    assert np.minimum(reference.charge_kw, reference.discharge_kw).max() > 9.0
    cost = cost_eur(problem, found.schedule_kw)
    assert cost == pytest.approx(reference.objective_eur, rel=1e-4)


def with_prices(problem: Problem, hours: slice, buy: float, sell: float) -> Problem:
    """The problem with other tariffs in some hours."""
    prices = problem.price_import_eur_per_kwh.copy(), problem.price_feed_in_eur_per_kwh.copy()
    prices[0][hours], prices[1][hours] = buy, sell
    return replace(problem, price_import_eur_per_kwh=prices[0], price_feed_in_eur_per_kwh=prices[1])


def small(feeder: Feeder, seed: int, steps: int = 6) -> Problem:
    """PV and storages on all buses of a feeder, within what it carries.

    The band leaves room for what nobody can change and for half of what PV can add to it, so that
    a schedule exists and the upper limit binds.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(1, feeder.n_bus)
    swing = rng.uniform(0.2, 1.0, (len(rows), steps))
    some_kw = 20.0 * feeder.base_mva  # so that no community is next to nothing
    firm_kw = -(some_kw + 0.8 * feeder.p_load_kw[rows, None]) * swing
    total = np.abs(firm_kw).sum() / steps
    sun = np.maximum(np.sin((np.arange(steps) + 0.5) / steps * np.pi), 0.0)
    plants = 1.5 * total * rng.dirichlet(np.ones(len(rows)))[:, None] * sun
    messages = [_message(kind="PEBC", p_min_kw=[0.0] * steps, p_max_kw=p.tolist()) for p in plants]
    messages += [_battery(0.2 * total / len(rows), steps, rng) for _ in rows]
    shape = firm_kw.shape
    problem = Problem(
        agents=build_agents(messages, steps, 1.0),
        owner=np.tile(np.arange(len(rows)), 2),
        pool=np.zeros(len(rows), dtype=np.int64),
        firm_kw=firm_kw,
        price_import_eur_per_kwh=rng.uniform(0.1, 0.3, steps),
        price_feed_in_eur_per_kwh=np.full(steps, 0.06),
        box_min_kw=np.full(shape, -np.inf),
        box_max_kw=np.full(shape, np.inf),
        grid=Grid.of(feeder, rows, -feeder.q_load_kvar[rows, None] * swing),
    )
    firm = flow_of(problem).vm_pu
    sunny = flow_of(problem, np.vstack([plants, np.zeros(shape)])).vm_pu
    low, top = firm.min(axis=1, keepdims=True), firm.max(axis=1, keepdims=True)
    rise = np.maximum(sunny.max(axis=1, keepdims=True) - top, 0.0)
    return within(problem, v_min_pu=low - 0.01, v_max_pu=top + 0.5 * rise + 1e-4)


def _battery(power_kw: float, steps: int, rng: np.random.Generator) -> Any:
    return _message(
        kind="FRBC",
        p_min_kw=[-power_kw] * steps,
        p_max_kw=[power_kw] * steps,
        e_max_kwh=3.0 * power_kw,
        e_now_kwh=power_kw * float(rng.uniform(0.5, 2.5)),
        eta_charge=0.95,
        eta_discharge=0.95,
        cost={"wear": 0.005},
    )


def _message(**parts: Any) -> Any:
    return parse({"t0_s": 0, "dt_s": 3600, **parts})


def scaled(problem: Problem) -> Settings:
    """Settings whose residual suits the size of a small community."""
    size = float(np.abs(problem.firm_kw).sum(axis=0).max())
    return Settings(tolerance_gap=0.0, tolerance_kw=1e-3 * size, max_iterations=600)


def line(seed: int, n: int = 4) -> Feeder:
    """A random feeder of lines at its nominal voltage."""
    rng = np.random.default_rng(seed)
    return Feeder(
        name=f"line {seed}",
        base_mva=1.0,
        bus_id=np.arange(n),
        vn_kv=np.full(n, 12.66),
        parent=np.array([-1, *(rng.integers(0, i) for i in range(1, n))]),
        r_pu=rng.uniform(0.001, 0.05, n) / n,
        x_pu=rng.uniform(0.001, 0.05, n) / n,
        ratio=np.ones(n),
        shift_deg=np.zeros(n),
        branch_kind=("line",) * n,
        branch_index=np.arange(n) - 1,
        g_sh_pu=np.zeros(n),
        b_sh_pu=np.zeros(n),
        p_load_kw=rng.uniform(0.0, 100.0, n),
        q_load_kvar=rng.uniform(0.0, 50.0, n),
        slack_vm_pu=1.0,
        i_max_ka=np.full(n, 0.4),
        rating_assumed=np.zeros(n, dtype=bool),
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_back_feed_on_a_small_feeder_it_finds_the_optimum(seed: int) -> None:
    problem = small(line(seed), seed)
    found, reference = both(problem, scaled(problem))
    agree(found, reference, 2e-4)
    assert reference.mu_eur_per_pu2.max() > 1.0


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    feeder=radial_feeders(max_bus=8, generation=False),
    seed=st.integers(0, 1000),
)
def test_on_random_feeders_it_finds_the_optimum_or_says_so(feeder: Feeder, seed: int) -> None:
    problem = small(feeder, seed)
    agree_or_say_so(*both(problem, scaled(problem)), 1e-3)
