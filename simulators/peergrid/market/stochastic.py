"""Plan a community's day under scenarios: a two-stage stochastic mixed-integer linear programme.

First stage, decided before the scenario is known: when appliances start, and whether storages and
vehicles charge or discharge in each step. Second stage, by scenario: all powers and trades. The
terms are in :mod:`peergrid.market.stochastic_terms` and :mod:`peergrid.market.stochastic_network`;
they are solved by HiGHS (:mod:`peergrid.milp`).

A day (:class:`peergrid.market.stochastic_problem.Households`) is made from flexibility messages by
:func:`peergrid.market.stochastic_build.devices_of`; ``study/households/day.py`` makes a whole one.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market import stochastic_costs, stochastic_network, stochastic_terms
from peergrid.market.stochastic_blame import blame
from peergrid.market.stochastic_checks import check
from peergrid.market.stochastic_dive import dive
from peergrid.market.stochastic_plan import Plan, plan_of
from peergrid.market.stochastic_problem import Households
from peergrid.milp.model import Answer, Limits, Model, TimeLimitError
from peergrid.milp.solve import BackEnd, solve

Floats = NDArray[np.float64]
FIRST_STAGE = ("start", "mode")
MET_PU = 1e-6  # linear voltages this near to the exact ones have met them
BOTH_KW = 1e-5  # buying and selling at once below this is round-off


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a day is planned.

    Parameters
    ----------
    limits
        Gap, time and threads of the solver.
    back_end
        ``sparse``, or ``cvxpy`` for the same terms as expressions of cvxpy.
    dives
        Whether to look for a good solution by diving before branch and bound (``sparse`` only).
    corrections
        How often at most the network rows are corrected around the plan and its powers found
        anew, the first stage kept; less often where linear and exact voltages meet before.
    """

    limits: Limits = field(default_factory=Limits)
    back_end: BackEnd = "sparse"
    dives: bool = True
    corrections: int = 3


def plan(
    day: Households,
    settings: Settings | None = None,
    *,
    first_stage: Mapping[str, Floats] | None = None,
    refuses: bool = True,
) -> Plan:
    """The cheapest plan.

    Parameters
    ----------
    day
        What is to be planned.
    settings
        Of the solver.
    first_stage
        Values of ``start`` and ``mode`` that are given; None: they are decided.
    refuses
        Whether energies that no scenario can reach are refused; else the plan falls short of them.

    Raises
    ------
    DataError
        Naming household, device and hour of a demand that nothing can meet.
    SolverError
        If no solution was found in time.
    """
    settings = settings or Settings()
    if refuses:
        check(day)
    given = dict(first_stage or {})
    try:
        answer = _solved(day, given, settings, exclusive=False)
    except TimeLimitError:
        raise
    except SolverError as error:
        named = None if given else blame(day)
        if named is None:
            raise
        raise named from error
    if _both(answer) > BOTH_KW:
        answer = _solved(day, given, settings, exclusive=True)
    found = plan_of(day, answer)
    for _ in range(settings.corrections):
        if found.network is None or found.network.gap_pu <= MET_PU:
            break
        found = _corrected(found, settings)
    return found


def _corrected(found: Plan, settings: Settings) -> Plan:
    """The plan with network rows corrected around it, its first stage kept."""
    day = recentred(found.day, found)
    again = solve(model_of(day).fixed(found.first_stage), settings.limits)
    if _both(again) > BOTH_KW:
        again = solve(model_of(day, exclusive=True).fixed(found.first_stage), settings.limits)
    return replace(
        plan_of(day, again),
        programme_eur=found.programme_eur,
        bound_eur=found.bound_eur,
        is_optimal=found.is_optimal,
        binaries=found.binaries,
        build_s=found.build_s + again.build_s,
        solve_s=found.solve_s + again.solve_s,
    )


def model_of(day: Households, *, exclusive: bool = False) -> Model:
    """The programme; ``exclusive`` with the binaries against buying and selling at once."""
    terms = (*stochastic_terms.TERMS, *stochastic_network.TERMS)
    costs = (*stochastic_costs.COSTS, *stochastic_network.COSTS)
    return Model(
        blocks=stochastic_terms.blocks(day, exclusive=exclusive),
        terms=[partial(term, day) for term in terms],
        costs=[partial(cost, day) for cost in costs],
    )


def recentred(day: Households, found: Plan) -> Households:
    """The same day with its network rows corrected around a plan."""
    if day.wires is None:
        return day
    around = replace(day.wires, expected_kw=found.position_kw, expected_kvar=found.position_kvar)
    return replace(day, wires=around)


def _solved(
    day: Households, given: Mapping[str, Floats], settings: Settings, *, exclusive: bool
) -> Answer:
    model = model_of(day, exclusive=exclusive).fixed(given)
    if settings.back_end != "sparse" or not settings.dives or exclusive or not model.binaries:
        return solve(model, settings.limits, back_end=settings.back_end)
    begun = time.perf_counter()
    try:
        found = dive(day, model, settings.limits)
    except SolverError:  # no relaxation in time
        return solve(model, settings.limits)
    spent = time.perf_counter() - begun - found.build_s
    if found.values is not None and settings.limits.reached(found.cost_eur, found.bound_eur):
        return Answer(
            values=found.values,
            objective_eur=found.cost_eur,
            bound_eur=found.bound_eur,
            is_optimal=True,
            columns=found.columns,
            rows=found.rows,
            binaries=model.binaries,
            build_s=found.build_s,
            solve_s=spent,
        )
    answer = solve(model, settings.limits, start=found.values)
    return replace(answer, solve_s=answer.solve_s + spent)


def _both(answer: Answer) -> float:
    """How much a household buys and sells at once, at most [kW]."""
    bought = answer.values["buy"] + answer.values["buy_local"]
    sold = answer.values["sell"] + answer.values["sell_local"]
    return float(np.minimum(bought, sold).max(initial=0.0))
