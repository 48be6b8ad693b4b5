"""Joint envelopes: communities and operator agree on boxes while the market clears.

The clearing itself is the negotiation (`network = "agreement"`): private problems, trades and the
operator's rows are the blocks of one ADMM, so every box a DOE could have given is among those that
may be agreed. Boxes are then filled up with the room that is left, looked at under the exact power
flow, and negotiated again on corrected rows until they are safe; at last trades are cleared inside
the agreed boxes.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import Certified, certify
from peergrid.envelopes.dfe import Agreed, hand_out
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import Rows
from peergrid.market.admm import Settings
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing, Warm
from peergrid.market.trading import Agreement
from peergrid.polyhedron import nearest

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
NO_REACH_KW = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Room:
    """What the two sides bring to the table, ``(4 N, T)``; see :class:`Agreement`.

    ``commits`` says whether participants may commit themselves; see :meth:`committing`.
    """

    margin: Floats
    least: Floats
    most: Floats
    commits: bool = False

    def committing(self) -> "Room":
        """The same with commitments: nobody is granted the right to fall back to firm load.

        What a participant will inject (or draw) at least then counts for the others; its box may
        lie on one side of zero.
        """
        up, down, q_up, q_down = np.split(np.maximum(self.most, self.least), 4)
        lowest = -np.concatenate([down, up, q_down, q_up])
        return replace(self, least=np.minimum(self.least, lowest), commits=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Negotiated:
    """One round: what was agreed, the clearing in which it was, and all iterations so far."""

    agreed: Agreed
    clearing: Clearing
    iterations: int


def negotiate(
    problem: Problem,
    limits: Limits,
    room: Room,
    settings: Settings,
    *,
    warm: Warm | None = None,
    hours: Indices | None = None,
    near: Boxes | None = None,
) -> Certified[Negotiated]:
    """Agree on envelopes that are safe under the exact power flow.

    Parameters
    ----------
    problem
        What is to be cleared; its boxes are contracts and rights only.
    limits
        What the network must keep.
    room
        Margins, and what is granted and allowed in any case.
    settings
        Of the iteration.
    warm
        Where the first negotiation starts.
    hours, near
        Hours to certify, all by default, and boxes that theirs may be near to.
    """
    latest, before = warm, 0

    def allocate(rows: Rows) -> tuple[Boxes, Negotiated]:
        nonlocal latest, before
        found = negotiated(problem, rows, room, settings, latest)
        latest, before = found.clearing.warm, before + found.iterations
        return found.agreed.boxes, replace(found, iterations=before)

    return certify(limits, room.most, allocate, hours, near)


def negotiated(
    problem: Problem, rows: Rows, room: Room, settings: Settings, warm: Warm | None
) -> Negotiated:
    """One negotiation on given rows."""
    terms = replace(problem, agreement=agreement(problem, rows, room))
    found = clear(terms, settings, warm, network="agreement", certificate="off")
    wanted = np.clip(extents(problem, found, room), room.least, np.maximum(room.least, room.most))
    granted = np.maximum(rows.limit, rows.used(room.least))
    reach = np.maximum(np.abs(room.most).max(axis=1), NO_REACH_KW)
    far = np.full_like(wanted, np.inf)
    met = nearest(wanted, 1.0 / reach, rows.demand, granted, room.least, far)
    worth = found.worth_of_rows
    if worth is None:
        worth = np.zeros_like(rows.limit)
    agreed = Agreed(
        boxes=Boxes.of_extent(hand_out(rows, met.x, room.most)),
        extent=met.x,
        worth=worth,
        binding=worth > 0.0,
    )
    return Negotiated(agreed=agreed, clearing=found, iterations=found.iterations)


def agreement(problem: Problem, rows: Rows, room: Room) -> Agreement:
    """The operator's rows for the market, over the goods that are traded."""
    limit = np.maximum(rows.limit, rows.used(room.least))
    if problem.reactive is not None:
        return Agreement(
            demand=rows.demand,
            limit=limit,
            margin=room.margin,
            least=room.least,
            most=np.maximum(room.least, room.most),
        )
    half = rows.demand.shape[2] // 2
    taken = np.matmul(rows.demand[:, :, half:], room.least[half:].T[:, :, None])[:, :, 0].T
    return Agreement(
        demand=np.ascontiguousarray(rows.demand[:, :, :half]),
        limit=limit - taken,
        margin=room.margin[:half],
        least=room.least[:half],
        most=np.maximum(room.least, room.most)[:half],
    )


def extents(problem: Problem, found: Clearing, room: Room) -> Floats:
    """Extents ``(4 N, T)`` that cleared positions need with their margins."""
    p_kw, q_kvar = found.position_kw, found.position_kvar
    half = len(room.margin) // 2
    active = np.concatenate([p_kw, -p_kw]) + room.margin[:half]
    if problem.reactive is None:
        return np.concatenate([active, room.least[half:]])
    return np.concatenate([active, np.concatenate([q_kvar, -q_kvar]) + room.margin[half:]])


def inside(problem: Problem, boxes: Boxes, room: Room) -> Problem:
    """The problem with envelopes, drawn in by the margins, as its boxes.

    Where the margins do not fit, the box closes on its middle; what is firm always fits, unless it
    was committed away.
    """
    up, down, q_up, q_down = np.split(boxes.extent - room.margin, 4)
    low, high = _ordered(-down, up)
    if not room.commits:
        low, high = np.minimum(low, problem.firm_kw), np.maximum(high, problem.firm_kw)
    limited = replace(
        problem,
        box_min_kw=np.minimum(np.maximum(low, problem.box_min_kw), high),
        box_max_kw=np.maximum(np.minimum(high, problem.box_max_kw), low),
    )
    trade = problem.reactive
    if trade is None:
        return limited
    q_low, q_high = _ordered(-q_down, q_up)
    if not room.commits:
        q_low, q_high = np.minimum(q_low, trade.firm_kvar), np.maximum(q_high, trade.firm_kvar)
    return replace(limited, reactive=replace(trade, box_min_kvar=q_low, box_max_kvar=q_high))


def _ordered(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    middle = (low + high) / 2.0
    crossed = low > high
    return np.where(crossed, middle, low), np.where(crossed, middle, high)
