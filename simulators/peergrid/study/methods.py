"""The ways to run a day: alone, unlimited, inside static, operating or flexibility envelopes.

Every method ends in the same clearing of the market, inside the boxes that it found; so what
differs between them is the boxes (and, for ``dfe-joint-loss``, a charge on losses that is published
with them).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import Certified, certify, inspect
from peergrid.envelopes.dfe import Agreed, two_stage
from peergrid.envelopes.doe import Allocation, Objective, allocate
from peergrid.envelopes.rows import Rows
from peergrid.errors import DataError
from peergrid.market.admm import Settings
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from peergrid.market.result import Warm
from peergrid.operator.loss_charge import loss_charge
from peergrid.operator.negotiate import extents, inside, negotiate
from peergrid.study.case import Case
from peergrid.study.day import Day

Floats = NDArray[np.float64]
OBJECTIVE: dict[str, Objective] = {
    "doe-equal": "equal",
    "doe-prop": "proportional",
    "doe-maxmin": "max-min",
    "doe-log": "log",
    "doe-width": "width",
}
SETTINGS = Settings(max_iterations=5000).tightened(1e-6)
LOSS_PRICE_EUR_PER_KWH = 0.03
NEGOTIATED_SHARE = 5e-6
NEGOTIATED_PRICE_SHARE = 2e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What is cleared at last, and the envelopes it is cleared in.

    Parameters
    ----------
    problem
        With its boxes drawn in by the margins.
    certified
        Envelopes with the rows that prove them; None without envelopes.
    iterations
        Spent on the way to them.
    warm
        Where the last clearing starts.
    """

    problem: Problem
    certified: Certified[Any] | None = None
    iterations: int = 0
    warm: Warm | None = None


def run(
    case: Case,
    method: str,
    settings: Settings = SETTINGS,
    *,
    loss_price_eur_per_kwh: float = LOSS_PRICE_EUR_PER_KWH,
) -> Day:
    """Plan and clear the day.

    Parameters
    ----------
    case
        The day.
    method
        One of ``METHODS``.
    settings
        Of all clearings. The default is tight: losses are flat around the optimum of the costs, and
        the market's usual tolerance leaves them up to 0.3 % off.
    loss_price_eur_per_kwh
        What ``dfe-joint-loss`` charges for losses.

    Raises
    ------
    DataError
        If there is no such method.
    """
    if method not in PLANS:
        raise DataError("study", "method", method, ", ".join(METHODS))
    began, busy = time.perf_counter(), time.process_time()
    plan = PLANS[method](case, settings, loss_price_eur_per_kwh)
    planned = time.perf_counter()
    found = clear(plan.problem, settings, plan.warm)
    return Day(
        case=case,
        method=method,
        problem=plan.problem,
        clearing=found,
        certified=plan.certified,
        iterations=plan.iterations + found.iterations,
        seconds=time.perf_counter() - began,
        certify_seconds=planned - began,
        cpu_seconds=time.process_time() - busy,
    )


def static_box(certified: Boxes, least: Floats) -> Boxes:
    """One box for all hours: the smallest of them, and what is granted where that is more."""
    smallest = certified.extent.min(axis=1, keepdims=True)
    return Boxes.of_extent(np.maximum(np.broadcast_to(smallest, least.shape), least))


def _alone(case: Case, settings: Settings, price: float) -> Plan:
    return Plan(problem=case.alone)


def _unlimited(case: Case, settings: Settings, price: float) -> Plan:
    return Plan(problem=case.problem)


def _static(case: Case, settings: Settings, price: float) -> Plan:
    given = operating(case, "proportional")
    boxes = static_box(given.boxes, case.room.least)
    return _within(case, inspect(case.limits, boxes, given.rows))


def _operating(objective: Objective) -> Callable[[Case, Settings, float], Plan]:
    return lambda case, settings, price: _within(case, operating(case, objective))


def operating(case: Case, objective: Objective) -> Certified[Allocation]:
    """Dynamic operating envelopes of a day, certified."""
    offer = case.offer

    def share_out(rows: Rows) -> tuple[Boxes, Allocation]:
        found = allocate(rows, offer, objective)
        return found.boxes, found

    return certify(case.limits, case.room.most, share_out)


def _two_stage(case: Case, settings: Settings, price: float) -> Plan:
    free, room = clear(case.problem, settings), case.room
    desired = extents(case.problem, free, room)

    def agree(rows: Rows) -> tuple[Boxes, Agreed]:
        found = two_stage(rows, desired, room.least, room.most)
        return found.boxes, found

    plan = _within(case, certify(case.limits, room.most, agree))
    return replace(plan, iterations=free.iterations, warm=free.warm)


def _joint(case: Case, settings: Settings, price: float) -> Plan:
    return _agreed(case, case.problem, settings)


def _joint_with_losses(case: Case, settings: Settings, price: float) -> Plan:
    charge = loss_charge(case.limits, price, reactive=case.problem.reactive is not None)
    return _agreed(case, replace(case.problem, losses=charge), settings)


def _agreed(case: Case, problem: Problem, settings: Settings) -> Plan:
    certified = negotiate(problem, case.limits, case.room, loosened(settings))
    found = certified.found
    return Plan(
        problem=inside(problem, certified.boxes, case.room),
        certified=certified,
        iterations=found.iterations,
        warm=found.clearing.warm,
    )


def _within(case: Case, certified: Certified[Any]) -> Plan:
    limited = inside(case.problem, certified.boxes, case.room)
    return Plan(problem=limited, certified=certified)


def loosened(settings: Settings) -> Settings:
    """For a negotiation, which ends on residuals alone: what is agreed needs no more digits."""
    return replace(
        settings,
        tolerance_share=max(settings.tolerance_share, NEGOTIATED_SHARE),
        tolerance_price_share=max(settings.tolerance_price_share, NEGOTIATED_PRICE_SHARE),
    )


PLANS: dict[str, Callable[[Case, Settings, float], Plan]] = {
    "base": _alone,
    "none": _unlimited,
    "static": _static,
    **{name: _operating(objective) for name, objective in OBJECTIVE.items()},
    "dfe-two-stage": _two_stage,
    "dfe-joint": _joint,
    "dfe-joint-loss": _joint_with_losses,
}
METHODS = tuple(PLANS)
