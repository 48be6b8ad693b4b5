"""The clearing by ADMM: set up, iterate, report."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from peergrid.market import admm
from peergrid.market.checks import check
from peergrid.market.coupling import Coupling
from peergrid.market.goods import envelope_boxes
from peergrid.market.participant import Participants
from peergrid.market.problem import Problem, fold_boxes
from peergrid.market.report import report
from peergrid.market.result import Clearing, Warm
from peergrid.market.setup import rebalance, set_up
from peergrid.market.start import start, watch_more
from peergrid.threads import one_thread

Floats = NDArray[np.float64]
BALANCE_EVERY = 10
RHO_RANGE = (1e-3, 1e2)  # of a penalty taken over from another clearing


def clear_by_admm(
    problem: Problem,
    settings: admm.Settings,
    *,
    certify: bool = True,
    warm: Warm | None = None,
) -> Clearing:
    """Clear the market by ADMM; the AC network couples the agents if the problem has a grid.

    Parameters
    ----------
    problem
        What is to be cleared.
    settings
        Of the iteration.
    certify
        Whether to compute the lower bound, and to stop early when it proves the schedule good.
    warm
        Start from here if its shape fits, else from the reference schedule at import prices.
    """
    check(problem)
    if problem.grid is None and problem.reactive is None:
        problem = replace(problem, agents=problem.agents.without_reactive())
    with one_thread():
        found, fixed = _iterate(problem, settings, certify, warm)
        if fixed is None:
            return found
        whole, _ = _iterate(replace(problem, agents=fixed), settings, certify, found.warm)
    extra = max(whole.objective_eur - found.objective_eur, 0.0)  # whole cycles are relaxed ones
    return replace(
        whole,
        iterations=found.iterations + whole.iterations,
        history=found.history + whole.history,
        dual_history=found.dual_history + whole.dual_history,
        lower_bound_eur=found.lower_bound_eur,
        integer_gap=extra / max(abs(found.objective_eur), 1.0),
    )


def _iterate(
    problem: Problem, settings: admm.Settings, certify: bool, warm: Warm | None
) -> tuple[Clearing, Participants | None]:
    """One run of the iteration; and the agents with their cycles fixed, if there are any."""
    folded = fold_boxes(problem)
    if warm is not None and warm.rho and settings.rho is None:
        settings = replace(settings, rho=float(np.clip(warm.rho, *RHO_RANGE)))
    setup, state = start(set_up(folded, settings, certify=certify), warm)
    settings = setup.settings

    def look(state: admm.State, _: Coupling) -> tuple[admm.State, Coupling, bool]:
        nonlocal setup
        before = setup
        setup, state = watch_more(setup, state)
        if setup is before and state.iteration % BALANCE_EVERY == 0:
            setup, state = rebalance(setup, state)
        good = (
            certify
            and setup is before
            and _is_certified(report(setup, state, admm.Status.RUNNING), settings)
        )
        return state, setup.coupling, good

    state, _, status = admm.solve(
        state, folded.agents.propose, setup.coupling, settings, folded.dt_h, look
    )
    found = _with_private_congestion(problem, folded, report(setup, state, status))
    if status is admm.Status.ITERATION_LIMIT and certify and _is_certified(found, settings):
        found = replace(found, status=admm.Status.CONVERGED)
    if len(problem.agents.cycling) == 0:
        return found, None
    rows = setup.coupling.agents
    asked = state.asked[:rows], setup.coupling.weight[:rows]
    return found, problem.agents.with_best_starts(*asked)


def _is_certified(found: Clearing, settings: admm.Settings) -> bool:
    violation = 0.0 if found.grid is None else found.grid.worst
    return (
        abs(found.gap) <= settings.tolerance_gap
        and found.box_violation_kw <= settings.tolerance_kw
        and violation <= settings.tolerance_pu
    )


def _with_private_congestion(problem: Problem, folded: Problem, found: Clearing) -> Clearing:
    """Add the congestion prices of boxes that were folded into a resource's limits."""
    price = found.price_eur_per_kwh[problem.owner]
    if problem.reactive is not None:
        follows = problem.agents.follow_kvar_per_kw[:, None]
        price = price + follows * found.price_eur_per_kvarh[problem.owner]
    worth = problem.agents.worth_of_limits(folded.agents, found.schedule_kw, price)
    congestion = found.congestion_eur_per_kwh.copy()
    np.add.at(congestion, problem.owner, worth)
    boxes = envelope_boxes(problem)
    own = found.schedule_kvar[problem.agents.row_resource[len(problem.owner) :]]
    inside = boxes.rows @ np.vstack([found.schedule_kw, own]) + boxes.offset_kw
    return replace(
        found,
        # a device may be unable to keep its own box
        box_violation_kw=max(boxes.violation_kw(inside), found.box_violation_kw),
        congestion_eur_per_kwh=congestion,
        price_eur_per_kwh=found.price_eur_per_kwh + (congestion - found.congestion_eur_per_kwh),
    )
