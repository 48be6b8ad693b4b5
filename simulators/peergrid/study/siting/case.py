"""From a scenario file with a table ``[plan]`` to a planning problem over its reported hours.

What the problem knows is what a run of the scenario would realise without forecast errors: loads,
plants that are there already, prices and weather come from the same data and functions as in the
simulators. ``[plant]``, by which the real grid differs from the model, is not known to planners.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.prices import prices_of
from peergrid.network.from_pandapower import from_pandapower
from peergrid.planning.problem import Objective, Problem
from peergrid.scenario.plan_tables import PlanTable
from peergrid.scenario.run import prepare
from peergrid.scenario.setup import REACTIVE_PRICES, Setup
from peergrid.scenario.starters import is_own
from peergrid.study.siting.availability import Availability, reported
from peergrid.study.siting.present import injections
from peergrid.study.siting.technologies import Choice, choices_of
from peergrid.units import hours, mw_from_kw

Floats = NDArray[np.float64]
DAY_H = 24
REFUSED = ("battery", "ev", "flexible_load", "generator", "appliance", "building")
"""Tables of devices that decide for themselves: a plan cannot count on what they do."""
KNOWN = ("weather", "load", "pv", "wind")
"""Parts whose power a plan computes itself, so they must be peergrid's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A planning problem, and the scenario it comes from.

    Parameters
    ----------
    setup
        The prepared scenario.
    problem
        What is to be planned.
    choices
        Tables of the file, in the order of the problem's technologies.
    """

    setup: Setup
    problem: Problem
    choices: tuple[Choice, ...]


def case_of(file: str | Path, *, objective: Objective | None = None) -> Case:
    """Read a scenario and state what is to be planned.

    Parameters
    ----------
    file
        The TOML file.
    objective
        Instead of the file's.

    Raises
    ------
    PeergridError
        One line that says what is wrong where.
    """
    setup = prepare(file)
    plan = _plan_of(setup)
    _check(setup)
    network = setup.scenario.network
    feeder = from_pandapower(setup.net, name=network.case).with_slack(network.slack_vm_pu)
    sky = Availability(setup=setup)
    choices = choices_of(plan, feeder, sky)
    p_inj_kw, q_inj_kvar = injections(sky, feeder)
    price_import, price_feed_in = _prices(setup, sky)
    problem = Problem(
        name=setup.file.name,
        feeder=feeder,
        dt_h=hours(setup.clock.step_s),
        p_inj_kw=p_inj_kw,
        q_inj_kvar=q_inj_kvar,
        price_import_eur_per_kwh=price_import,
        price_feed_in_eur_per_kwh=price_feed_in,
        technologies=tuple(choice.technology for choice in choices),
        v_min_pu=network.v_min_pu,
        v_max_pu=network.v_max_pu,
        max_loading=network.max_loading_percent / 100.0,
        budget_eur=np.inf if plan.budget_eur is None else plan.budget_eur,
        objective=objective or plan.objective,
        exclusive=plan.exclusive,
        net=setup.net,
    )
    return Case(setup=setup, problem=problem, choices=choices)


def _plan_of(setup: Setup) -> PlanTable:
    plan = setup.scenario.plan
    if plan is None:
        allowed = (
            "a table [plan] that says what may be built, such as [[plan.pv]] with max_kwp = 400"
        )
        raise DataError(setup.file.name, "plan", None, allowed)
    return plan


def _check(setup: Setup) -> None:
    """Refuse what a plan cannot know or cannot keep."""
    where, scenario = setup.file.name, setup.scenario
    if scenario.hours % DAY_H:
        allowed = f"whole days, {DAY_H}, {2 * DAY_H}, ...: a plan's days must repeat"
        raise DataError(where, "hours", scenario.hours, allowed)
    for part in REFUSED:
        tables = getattr(scenario, part)
        if tables:
            allowed = (
                "none beside [plan], which cannot dispatch what is there already: "
                "take it out, or list what may be built under [plan]"
            )
            raise DataError(where, f"[[{part}]]", f"{len(tables)} table(s)", allowed)
    for part in KNOWN:
        if not is_own(scenario, part):
            allowed = "peergrid's own: a plan cannot ask another simulator what is to come"
            raise DataError(where, f"simulators.{part}", "another simulator", allowed)


def _prices(setup: Setup, sky: Availability) -> tuple[Floats, Floats]:
    """Prices of import and of feed-in as it is paid ``(T,)`` [EUR/kWh]."""
    tariff = setup.scenario.prices.model_dump(exclude=set(REACTIVE_PRICES))
    tariff["timezone"] = setup.scenario.timezone
    found = prices_of(tariff, sky.span, base_dir=setup.base_dir)
    now = reported(setup)
    return mw_from_kw(found.import_eur_per_mwh[now]), mw_from_kw(found.feed_in_eur_per_mwh[now])
