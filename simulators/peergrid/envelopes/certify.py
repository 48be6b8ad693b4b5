"""Envelopes made safe under the exact power flow: allocate, look at the corners, correct, again.

Each pass replaces the rows by tangents of the exact limits, each at its own worst corner, so the
passes converge like Newton's method: two or three leave less than 1e-6 pu. What is left is closed
by drawing the boxes in towards what is granted anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.corners import Corners, corners, current_tangents, voltage_tangents
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import Rows, linear_rows
from peergrid.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Found = TypeVar("Found")
PASSES = 8
SETTLING = 4  # passes after which tangents are no longer replaced, only added
BINDS = 1e-6  # room of a row, relative to its limit
TOLERANCE_PU = 1e-6
TOLERANCE_LOADING = 1e-4
DRAWN_IN = 12  # halvings of what is left above the tolerance


@dataclass(frozen=True, kw_only=True, eq=False)
class Certified(Generic[Found]):
    """Boxes with the rows and corners that prove them.

    Parameters
    ----------
    boxes
        ``(N, T)``.
    rows
        The rows they were allocated on: tangents in certified hours.
    corners
        Exact states at the corners of the certified hours.
    violation_pu, overload
        ``(T,)`` what the corners break at most; NaN in hours that were not certified.
    linear_gap_pu
        ``(T,)`` by how much the linear model's voltages are off at the corners, at most.
    passes
        How many allocations it took.
    found
        What the allocation said about the boxes.
    """

    boxes: Boxes
    rows: Rows
    corners: Corners
    violation_pu: Floats
    overload: Floats
    linear_gap_pu: Floats
    passes: int
    found: Found


def certify(
    limits: Limits,
    most: Floats,
    allocate: Callable[[Rows], tuple[Boxes, Found]],
    hours: Indices | None = None,
    near: Boxes | None = None,
) -> Certified[Found]:
    """Allocate envelopes that keep the limits under the exact power flow.

    Parameters
    ----------
    limits
        What to keep.
    most
        ``(4 N, T)`` largest extents that the allocation may give.
    allocate
        Boxes ``(N, T)`` for given rows, and anything about them.
    hours
        Which hours to certify, all by default; the others keep to the linear rows.
    near
        Boxes of those hours whose corners may be near: the first tangents are taken there.

    Raises
    ------
    DataError
        If an extent is not finite: room cannot be shared out among wishes without an end.
    """
    if not np.isfinite(most).all():
        value = float(most[~np.isfinite(most)][0])
        raise DataError("envelopes", "wishes", value, "finite contracts and loads")
    chosen = np.arange(limits.hours) if hours is None else hours
    part = limits if hours is None else limits.only(chosen)
    rows = linear_rows(limits, most)
    if near is not None and np.isfinite(near.extent).all():
        at = np.unique(rows.at[np.isin(rows.kind, "current")])
        rows = _renewed(rows, part, corners(part, near, at), chosen, limits.hours, keep=False)
    for passes in range(1, PASSES + 1):
        boxes, found = allocate(rows)
        seen = corners(part, boxes.hours(chosen), np.unique(rows.at[np.isin(rows.kind, "current")]))
        if _is_good(part, seen) and (passes > 1 or _has_room(rows, boxes, chosen)):
            break
        if passes < PASSES:
            rows = _renewed(rows, part, seen, chosen, limits.hours, keep=passes >= SETTLING)
    else:
        boxes = _drawn_in(part, boxes, chosen)
        seen = corners(part, boxes.hours(chosen))
    return _certified(limits, part, chosen, (boxes, rows, seen, passes, found))


def inspect(limits: Limits, boxes: Boxes, rows: Rows) -> Certified[None]:
    """The corners of boxes that are given, allocated on ``rows``."""
    seen = corners(limits, boxes)
    return _certified(limits, limits, np.arange(limits.hours), (boxes, rows, seen, 1, None))


def _certified(
    limits: Limits,
    part: Limits,
    chosen: Indices,
    result: tuple[Boxes, Rows, Corners, int, Found],
) -> Certified[Found]:
    boxes, rows, seen, passes, found = result
    reports = [np.full(limits.hours, np.nan) for _ in range(3)]
    reports[0][chosen] = seen.voltage_violation_pu()
    reports[1][chosen] = seen.overload(part.loading_max)
    reports[2][chosen] = _linear_gap(part, seen)
    return Certified(
        boxes=boxes,
        rows=rows,
        corners=seen,
        violation_pu=reports[0],
        overload=reports[1],
        linear_gap_pu=reports[2],
        passes=passes,
        found=found,
    )


def _is_good(limits: Limits, seen: Corners) -> bool:
    return bool(
        (seen.voltage_violation_pu() <= TOLERANCE_PU).all()
        and (seen.overload(limits.loading_max) <= TOLERANCE_LOADING).all()
    )


def _has_room(rows: Rows, boxes: Boxes, chosen: Indices) -> bool:
    """Whether no linear row binds: those that do withhold room that tangents would give."""
    used, limit = rows.used(boxes.extent)[:, chosen], rows.limit[:, chosen]
    known = np.isfinite(limit)
    return bool((used[known] < limit[known] - BINDS * np.abs(limit[known])).all())


def _renewed(
    rows: Rows, part: Limits, seen: Corners, chosen: Indices, hours: int, *, keep: bool
) -> Rows:
    """The rows with tangents at the corners in the chosen hours, and rows that were missing.

    With ``keep`` earlier tangents of lower limits and of currents stay: they cut off nothing that
    is safe (both are convex), and end the to and fro of allocations that jump.
    """
    broken_high = np.any(seen.high.vm_pu > seen.v_max_pu + TOLERANCE_PU, axis=1)
    broken_low = np.any(seen.low.vm_pu < seen.v_min_pu - TOLERANCE_PU, axis=1)
    known = [rows.at[np.isin(rows.kind, kind)] for kind in ("upper", "lower")]
    buses = [
        np.union1d(had, np.flatnonzero(broken[1:]) + 1)
        for had, broken in zip(known, (broken_high, broken_low), strict=True)
    ]
    tangents = voltage_tangents(part, seen, *buses)
    if part.rated:
        tangents = tangents.and_(current_tangents(part, seen))
    upper = np.isin(rows.kind, "upper")
    convex = rows.where(~upper if keep else np.arange(0))
    if len(chosen) == hours:
        return tangents.and_(convex)
    replaced = rows.where(upper) if keep else rows
    others = replaced.without(chosen).and_(convex)
    others = others.where(np.any(np.isfinite(others.limit), axis=1))
    return others.and_(_widened(tangents, chosen, hours))


def _widened(rows: Rows, chosen: Indices, hours: int) -> Rows:
    """Rows of some hours as rows of all hours, in the others of which they do not count."""
    count, participants = rows.a.shape[:2]
    a, b = (np.zeros((count, participants, hours)) for _ in range(2))
    limit = np.full((count, hours), np.inf)
    a[:, :, chosen], b[:, :, chosen], limit[:, chosen] = rows.a, rows.b, rows.limit
    return Rows(a=a, b=b, limit=limit, at=rows.at, kind=rows.kind)


def _drawn_in(part: Limits, boxes: Boxes, chosen: Indices) -> Boxes:
    """Boxes drawn in towards the least ones in hours that still break a limit."""
    extent, least = boxes.extent, part.least.extent
    given = extent[:, chosen]
    low, high = np.zeros(len(chosen)), np.ones(len(chosen))
    for step in range(DRAWN_IN + 1):
        share = np.ones(len(chosen)) if step == 0 else (low + high) / 2.0
        seen = corners(part, Boxes.of_extent(least + share * (given - least)))
        good = (seen.voltage_violation_pu() <= TOLERANCE_PU) & (
            seen.overload(part.loading_max) <= TOLERANCE_LOADING
        )
        low, high = np.where(good, share, low), np.where(good, high, share)
    extent = extent.copy()
    extent[:, chosen] = least + low * (given - least)
    return Boxes.of_extent(extent)


def _linear_gap(limits: Limits, seen: Corners) -> Floats:
    """Largest difference between linear and exact voltages at the corners, ``(T,)`` [pu]."""
    boxes, gaps = seen.boxes, []
    for flow, p_kw, q_kvar in (
        (seen.high, boxes.p_max_kw, boxes.q_max_kvar),
        (seen.low, boxes.p_min_kw, boxes.q_min_kvar),
    ):
        linear = limits.model.voltage(*limits.injections(p_kw, q_kvar))
        gaps.append(np.abs(linear - flow.vm_pu).max(axis=0))
    return np.asarray(np.maximum(*gaps))
