"""Envelopes as polygons in the plane of active and reactive power, wider than boxes.

A box keeps the network's rows at its worst corner, so it withholds all that is possible with less
reactive power only, or with less active power. Instead every participant gets a budget in each row,
what its box takes there and its share of what all boxes leave::

    a p + b q <= budget of the participant,   sum of the budgets <= limit of the row

Its polygon is what its contract and its budgets allow. It contains the box, and since budgets add
up, nobody needs to know where the others stand. It is published as radii along rays from the middle
of the box, through its corners: at most :data:`RAYS`, and four more through the corners of the box
where fewer would cut into it.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.convex import SAME, Planar, cut, flat, limited
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.polygon_corners import hours_of, is_kept, near, tangents, worst_in
from peergrid.envelopes.rows import Rows, current_rows, voltage_rows

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
RAYS = 12
CORNERS = RAYS + 4
ROUNDING = 1e-9  # of a budget
HALVINGS = 7
REPAIRS = 8
LESS = 0.9  # of the share, where another look finds a corner that breaks a limit
NOTHING = 1e-300
RESERVE = 0.005  # of ratings


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """Limits on the injections of N participants over T hours, export positive.

    Parameters
    ----------
    p_kw, q_kvar
        ``(N, K, T)`` corners of convex polygons, counter-clockwise; the last one is repeated where
        there are fewer than K.
    """

    p_kw: Floats
    q_kvar: Floats

    def bounding(self) -> Boxes:
        """The smallest boxes around them."""
        return Boxes(
            p_max_kw=self.p_kw.max(axis=1),
            p_min_kw=self.p_kw.min(axis=1),
            q_max_kvar=self.q_kvar.max(axis=1),
            q_min_kvar=self.q_kvar.min(axis=1),
        )

    def area(self) -> Floats:
        """Area of each, ``(N, T)`` [kW kvar]."""
        p, q = self.p_kw - self.p_kw[:, :1], self.q_kvar - self.q_kvar[:, :1]
        after_p, after_q = np.roll(p, -1, axis=1), np.roll(q, -1, axis=1)
        return np.asarray((p * after_q - after_p * q).sum(axis=1) / 2.0)

    def slice_p(self, q_kvar: Floats) -> tuple[Floats, Floats]:
        """Least and largest active power ``(N, T)`` at given reactive power ``(N, T)``.

        Beyond the polygon, at the reactive power in it that is nearest.
        """
        q, p = self.q_kvar, self.p_kw
        level = np.clip(q_kvar, q.min(axis=1), q.max(axis=1))[:, None]
        after_p, after_q = np.roll(p, -1, axis=1), np.roll(q, -1, axis=1)
        rise = after_q - q
        flat = rise == 0.0
        share = np.where(flat, 0.0, (level - q) / np.where(flat, 1.0, rise))
        crossed = np.where(flat, q == level, (share >= 0.0) & (share <= 1.0))
        at = p + share * (after_p - p)
        low = np.where(crossed, at, np.inf).min(axis=1)
        return low, np.where(crossed, at, -np.inf).max(axis=1)

    def planes(self) -> tuple[Floats, Floats, Floats]:
        """Half-planes ``a p + b q <= limit``, each ``(N, K + 4, T)``: edges, then bounding box.

        An edge without length has ``a = b = limit = 0``.
        """
        along = [np.roll(part, -1, axis=1) - part for part in (self.p_kw, self.q_kvar)]
        length, bounds = np.hypot(*along), self.bounding().extent
        size = np.abs(bounds).reshape(4, -1, bounds.shape[1]).max(axis=0)
        real = length > SAME * size[:, None]
        unit = np.where(real, length, 1.0)
        a, b = np.where(real, along[1] / unit, 0.0), np.where(real, -along[0] / unit, 0.0)
        sides = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
        shape = (len(a), 4, a.shape[2])
        outer = [np.broadcast_to(side[None, :, None], shape) for side in sides]
        edge = a * self.p_kw + b * self.q_kvar
        box = bounds.reshape(4, *size.shape).transpose(1, 0, 2)
        return (
            np.concatenate([a, outer[0]], axis=1),
            np.concatenate([b, outer[1]], axis=1),
            np.concatenate([edge, box], axis=1),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CertifiedPolygons:
    """Polygons with what is known about them.

    Parameters
    ----------
    polygons
        ``(N, K, T)``.
    share
        ``(T,)`` how far from the boxes (0) to the budgets (1) they reach.
    violation_pu, overload
        ``(T,)`` what the worst corners break at most under the exact power flow; NaN in hours that
        were not certified.
    """

    polygons: Polygons
    share: Floats
    violation_pu: Floats
    overload: Floats


def polygons(
    limits: Limits, rows: Rows, boxes: Boxes, most: Floats, hours: Indices | None = None
) -> CertifiedPolygons:
    """Polygons around boxes that keep the limits under the exact power flow, whoever stands where.

    Parameters
    ----------
    limits
        What to keep.
    rows
        Rows on which the boxes were certified.
    boxes
        ``(N, T)``, finite.
    most
        ``(4 N, T)`` largest extents (see :meth:`Boxes.of_extent`) that contracts allow.
    hours
        Which hours to certify, all by default; the others keep to the linear rows.
    """
    most = np.maximum(most, boxes.extent)
    chosen = np.arange(limits.hours) if hours is None else hours
    reports = [np.ones(limits.hours), *(np.full(limits.hours, np.nan) for _ in range(2))]
    part = limits if hours is None else limits.only(chosen)
    inner = boxes.hours(chosen)
    exact = hours_of(rows, chosen).and_(tangents(part, inner, most[:, chosen]))
    found = _certified(part, exact, inner, _allowed(exact, inner, most[:, chosen]))
    for report, values in zip(reports, found[1:], strict=True):
        report[chosen] = values
    drawn = found[0]
    if hours is not None:
        linear = voltage_rows(limits).and_(current_rows(limits))
        whole = _allowed(rows.and_(near(linear, most)), boxes, most)
        for values, certain in zip(whole, drawn, strict=True):
            values[:, :, chosen] = certain
        drawn = whole
    return CertifiedPolygons(
        polygons=Polygons(p_kw=drawn[0], q_kvar=drawn[1]),
        share=reports[0],
        violation_pu=reports[1],
        overload=reports[2],
    )


def drawn_in(envelopes: Polygons, margin: Floats, firm: tuple[Floats, Floats]) -> Polygons:
    """Polygons that leave a margin to their border.

    Parameters
    ----------
    envelopes
        ``(N, K, T)``.
    margin
        ``(4 N, T)`` by how much injections may exceed what is scheduled, to each side.
    firm
        Injections ``(N, T)`` that nobody can change [kW, kvar]: they fit in any case, and are all
        that is left of a polygon with less room than the margin.
    """
    a, b, limit = envelopes.planes()
    up, down, q_up, q_down = (side[:, None] for side in np.split(margin, 4))
    room = limit - np.maximum(a, 0.0) * up - np.maximum(-a, 0.0) * down
    room -= np.maximum(b, 0.0) * q_up + np.maximum(-b, 0.0) * q_down
    size = np.abs(limit[:, -4:]).max(axis=1, keepdims=True)
    room += SAME * size
    inner = flat(envelopes.p_kw, envelopes.q_kvar)
    for k in range(a.shape[1]):
        inner = cut(inner, (a[:, k].ravel(), b[:, k].ravel()), room[:, k].ravel())
    fixed = np.stack([part.ravel() for part in firm], axis=1)
    empty = np.isnan(inner[0][:, 0])
    for part, values in zip(inner, fixed.T, strict=True):
        part[empty] = values[empty, None]
    with np.errstate(invalid="ignore"):
        beyond = a * firm[0][:, None] + b * firm[1][:, None] > room + SAME * size
    outside = np.flatnonzero(beyond.any(axis=1).ravel() & ~empty)
    return _polygons(limited(inner, fixed[:, None], outside, CORNERS), firm[0].shape)


def _allowed(rows: Rows, boxes: Boxes, most: Floats) -> Planar:
    """What contracts and budgets allow around boxes, ``(N, K, T)``."""
    up, down, q_up, q_down = (side.ravel() for side in np.split(most, 4))
    p_kw, q_kvar = [up, -down, -down, up], [q_up, q_up, -q_down, -q_down]
    inner = np.stack(p_kw, axis=1), np.stack(q_kvar, axis=1)
    for j, budget in enumerate(_budgets(rows, boxes, most)):
        inner = cut(inner, (rows.a[j].ravel(), rows.b[j].ravel()), budget.ravel())
    own = _box_corners(boxes)
    found = _polygons(limited(inner, own, np.empty(0, dtype=np.int64), RAYS), boxes.p_max_kw.shape)
    return found.p_kw, found.q_kvar


def _budgets(rows: Rows, boxes: Boxes, most: Floats) -> Floats:
    """What each participant may take of each row, ``(J, N, T)``.

    Room is shared like the row's use by boxes, or by contracts where boxes do not use it.
    """
    count, hours = rows.a.shape[1:]
    demand = rows.demand.transpose(1, 2, 0).reshape(len(rows.at), 4, count, hours)
    used, reach = (
        (demand * extent.reshape(4, count, hours)).sum(axis=1) for extent in (boxes.extent, most)
    )
    wanted = np.maximum(used, 0.0)
    wanted = np.where(wanted.sum(axis=1, keepdims=True) > 0.0, wanted, np.maximum(reach, 0.0))
    share = wanted / np.maximum(wanted.sum(axis=1, keepdims=True), NOTHING)
    counts = np.isfinite(rows.limit)
    room = np.maximum(np.where(counts, rows.limit, 0.0) - used.sum(axis=1), 0.0)
    budget = used + share * room[:, None] + ROUNDING * reach
    return np.where(counts[:, None], budget, np.inf)


def _certified(
    limits: Limits, rows: Rows, boxes: Boxes, wide: Planar
) -> tuple[Planar, Floats, Floats, Floats]:
    """Polygons drawn in towards the boxes where they break a limit; share and what is broken."""
    share = _reach(limits, rows, boxes, wide)
    for again in range(REPAIRS, -1, -1):
        drawn = _between(boxes, wide, share)
        moved = np.flatnonzero(np.broadcast_to(share < 1.0, boxes.p_max_kw.shape).ravel())
        inner = limited(flat(*drawn), _box_corners(boxes), moved, RAYS)
        found = _polygons(inner, boxes.p_max_kw.shape)
        points = found.p_kw, found.q_kvar
        broken = worst_in(limits, rows, points)
        fits = is_kept(worst_in(_reserving(limits, share), rows, points))
        if fits.all():
            break
        share = np.where(fits, share, LESS * share if again > 1 else 0.0)
    return points, share, *broken


def _reach(limits: Limits, rows: Rows, boxes: Boxes, wide: Planar) -> Floats:
    """How far from the boxes to all that budgets allow polygons may reach, ``(T,)``."""
    good, bad = np.zeros(limits.hours), np.ones(limits.hours)
    hours, share = np.arange(limits.hours), np.ones(limits.hours)
    for _ in range(HALVINGS + 1):
        p_kw, q_kvar = (part[:, :, hours] for part in _between(boxes, wide, share))
        held = _reserving(limits.only(hours), share[hours])
        fits = is_kept(worst_in(held, hours_of(rows, hours), (p_kw, q_kvar)))
        good[hours] = np.where(fits, share[hours], good[hours])
        bad[hours] = np.where(fits, bad[hours], share[hours])
        hours = np.flatnonzero(good < 1.0)
        if len(hours) == 0:
            break
        share = (good + bad) / 2.0
    return good


def _reserving(limits: Limits, share: Floats) -> Limits:
    """Ratings with a reserve, for the worst corner of a current is searched for, not proven.

    None at share zero: those are the boxes, whose corners are known.
    """
    return replace(limits, loading_max=limits.loading_max * (1.0 - RESERVE * share))


def _between(boxes: Boxes, wide: Planar, share: Floats) -> Planar:
    """Corners on their rays from the boxes' middles, this share of the way from the boxes' border.

    The boxes' own corners come after them.
    """
    size = zip((boxes.p_max_kw, boxes.q_max_kvar), (boxes.p_min_kw, boxes.q_min_kvar), strict=True)
    middle, half = zip(*(((up + low) / 2.0, (up - low) / 2.0) for up, low in size), strict=True)
    away = [part - centre[:, None] for part, centre in zip(wide, middle, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = [reach[:, None] / np.abs(part) for reach, part in zip(half, away, strict=True)]
    border = np.fmin(np.fmin(*inside), 1.0)
    scale = border + share * (1.0 - border)
    own = _box_corners(boxes).reshape(*middle[0].shape, 4, 2).transpose(3, 0, 2, 1)
    p_kw, q_kvar = (
        np.concatenate([centre[:, None] + scale * part, corner], axis=1)
        for centre, part, corner in zip(middle, away, own, strict=True)
    )
    return p_kw, q_kvar


def _polygons(corners_of: Planar, shape: tuple[int, ...]) -> Polygons:
    """From corners ``(N T, K)``."""
    p_kw, q_kvar = (part.reshape(*shape, -1).transpose(0, 2, 1).copy() for part in corners_of)
    return Polygons(p_kw=p_kw, q_kvar=q_kvar)


def _box_corners(boxes: Boxes) -> Floats:
    """Corners of boxes, ``(N T, 4, 2)``, counter-clockwise."""
    right, left = boxes.p_max_kw.ravel(), boxes.p_min_kw.ravel()
    top, bottom = boxes.q_max_kvar.ravel(), boxes.q_min_kvar.ravel()
    p_kw, q_kvar = np.stack([right, left, left, right]), np.stack([top, top, bottom, bottom])
    return np.stack([p_kw.T, q_kvar.T], axis=2)
