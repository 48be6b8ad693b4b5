"""Dynamic operating envelopes: the operator alone shares out the room of the rows.

Extents of the boxes are ``base + share * width`` (:class:`peergrid.envelopes.boxes.Offer`), and all
coefficients of the rows are positive, so shares compete for room. By what rule is the objective:

- *proportional*: all upper sides have one share, all lower sides another (Petrou et al., "Ensuring
  distribution network integrity using dynamic operating limits for prosumers", IEEE Trans. Smart
  Grid 12(5), 2021);
- *equal*: the same in kW instead of in shares;
- *max-min*: shares rise together, and those that no full row stops rise on;
- *log*, *alpha-fair*, *width*: largest sum of the utilities of shares, or of kW.

As long as the wishes fit without it, load is not counted on; only when room is short is the load
that is sure to be there credited to exports. In the same way room that nobody asked for is left to
load.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes, Offer
from peergrid.envelopes.fairness import most_useful
from peergrid.envelopes.filling import fill
from peergrid.envelopes.rows import Rows
from peergrid.errors import DataError

Floats = NDArray[np.float64]
Objective = Literal["proportional", "equal", "max-min", "log", "alpha-fair", "width"]
OBJECTIVES: tuple[Objective, ...] = (
    "proportional",
    "equal",
    "max-min",
    "log",
    "alpha-fair",
    "width",
)
TIGHT = 1e-6  # room of a row, relative to what is used, at which it binds
NO_WIDTH_KW = 1e-9
STEEPEST = 50.0  # of alpha-fair utilities: beyond, they leave the range of numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """Boxes, the shares they follow from, and which rows limit them.

    Parameters
    ----------
    boxes
        ``(N, T)``.
    share
        ``(2 N, T)`` of upper sides, then of lower sides.
    credit, spare
        ``(T,)`` share of the sure load that was counted on, and of load granted beyond the firm.
    binding
        ``(J, T)``.
    """

    boxes: Boxes
    share: Floats
    credit: Floats
    spare: Floats
    binding: NDArray[np.bool_]


def allocate(
    rows: Rows, offer: Offer, objective: Objective = "proportional", alpha: float = 2.0
) -> Allocation:
    """Share out the room of the rows, hour by hour.

    Parameters
    ----------
    rows
        What the boxes must keep together.
    offer
        What is granted anyway and what is wished on top.
    objective, alpha
        The rule, and its parameter where it is alpha-fair (0: width in shares, 1: log).
    """
    if objective not in OBJECTIVES:
        raise DataError("envelopes", "objective", objective, ", ".join(OBJECTIVES))
    if not 0.0 <= alpha <= STEEPEST:
        raise DataError("envelopes", "alpha", alpha, f"0 to {STEEPEST:g}; max-min is its limit")
    demand = shared_demand(rows, offer)
    room = rows.limit - rows.used(offer.base)
    credit, relief = _credit(rows, offer, demand, room)
    room = room + credit * relief
    share = _shares(demand, room, offer, objective, alpha)
    share = np.clip(share, offer.least, offer.most)
    left = room - _used(demand, share)
    extent = offer.extent(share) - credit * offer.sure
    wanted = (demand > 0.0) & (share < offer.most).T[:, None, :]
    binding = (left <= TIGHT * (np.abs(room) + 1e-12)) & wanted.any(axis=2).T
    spare = _spare(rows, offer, share, left)
    return Allocation(
        boxes=Boxes.of_extent(extent + spare * offer.spare),
        share=share,
        credit=credit,
        spare=spare,
        binding=binding & np.isfinite(rows.limit),
    )


def shared_demand(rows: Rows, offer: Offer) -> Floats:
    """Coefficients of the rows over the shares, ``(T, J, 2 N)``."""
    priced = rows.demand * offer.width.T[:, None, :]
    half = priced.shape[2] // 2
    return np.ascontiguousarray(priced[:, :, :half] + priced[:, :, half:])


def _used(demand: Floats, share: Floats) -> Floats:
    return np.asarray(np.matmul(demand, share.T[:, :, None])[:, :, 0].T)


def _shares(
    demand: Floats, room: Floats, offer: Offer, objective: Objective, alpha: float
) -> Floats:
    least, most = offer.least, offer.most
    count = len(least)
    side = np.repeat(np.arange(2), count // 2)
    width = np.maximum(offer.width[:count], NO_WIDTH_KW)
    if objective == "max-min":
        return fill(demand, room, least, most, np.ones_like(least), np.arange(count))
    if objective in ("proportional", "equal"):
        # A share that only waits for its least one to be passed is no reason to stop the others.
        rate = np.ones_like(least) if objective == "proportional" else width.max() / width
        return fill(demand, room, least, most, rate, side)
    weight = width / width.max() if objective == "width" else np.ones_like(least)
    weight = np.where(offer.width[:count] > NO_WIDTH_KW, weight, 0.0)
    power = {"log": 1.0, "width": 0.0}.get(objective, alpha)
    return most_useful(demand, room, least, most, weight, power)


def _credit(rows: Rows, offer: Offer, demand: Floats, room: Floats) -> tuple[Floats, Floats]:
    """Share ``(T,)`` of the sure load to count on, and what it gives back in each row."""
    relief = rows.used(offer.sure)
    short = _used(demand, offer.most) - room
    short = np.where(np.isfinite(rows.limit), short, -np.inf)
    helps = (short > 0.0) & (relief > 0.0)
    needed = np.where(helps, short / np.where(helps, relief, 1.0), 0.0)
    return np.clip(needed.max(axis=0, initial=0.0), 0.0, 1.0), relief


def _spare(rows: Rows, offer: Offer, share: Floats, left: Floats) -> Floats:
    """Room that nobody asked for, as a multiple ``(T,)`` of what takes it; none where all do."""
    takes = rows.used(offer.spare)
    takes = np.where(np.isfinite(rows.limit), takes, 0.0)
    ratio = np.where(takes > 0.0, left / np.where(takes > 0.0, takes, 1.0), np.inf)
    half = len(share) // 2
    satisfied = (share[half:] >= offer.most[half:]).all(axis=0)
    return np.where(satisfied, np.clip(ratio.min(axis=0, initial=np.inf), 0.0, 1.0), 0.0)
