"""Convex polygons in the plane, many at once: cut by half-planes, hulls, fewer corners.

M polygons are arrays ``(M, L)`` of both coordinates, corners counter-clockwise; where a polygon has
fewer than L, the last one is repeated. A polygon may be a segment or a point; NaN: it is empty.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]
Planar = tuple[Floats, Floats]
SAME = 1e-9  # corners nearer to each other than this are one, relative to the largest coordinate


def cut(corners: Planar, normal: Planar, limit: Floats) -> Planar:
    """Parts of polygons inside ``normal @ point <= limit``; normals and limits are ``(M,)``."""
    beyond = normal[0][:, None] * corners[0] + normal[1][:, None] * corners[1] - limit[:, None]
    touched = np.flatnonzero((beyond > 0.0).any(axis=1))
    if len(touched) == 0:
        return corners
    parts = _cut(corners[0][touched], corners[1][touched], beyond[touched])
    slots = max(parts[0].shape[1], corners[0].shape[1])
    whole = padded(corners[0], slots), padded(corners[1], slots)
    for all_of, part in zip(whole, parts, strict=True):
        all_of[touched] = padded(part, slots)
    return whole


def flat(p_kw: Floats, q_kvar: Floats) -> Planar:
    """Corners ``(N, K, T)`` as ``(N T, K)``."""
    corners_p, corners_q = (part.transpose(0, 2, 1) for part in (p_kw, q_kvar))
    return corners_p.reshape(-1, p_kw.shape[1]), corners_q.reshape(-1, p_kw.shape[1])


def padded(values: Floats, slots: int) -> Floats:
    """A copy of corners ``(M, L)`` with the last one repeated up to that many."""
    more = np.repeat(values[:, -1:], max(slots - values.shape[1], 0), axis=1)
    return np.concatenate([values, more], axis=1)


def limited(corners: Planar, must: Floats, chosen: Indices, rays: int) -> Planar:
    """The chosen polygons with no more than ``rays`` corners and those of ``must``, ``(M, X, 2)``.

    So are all others that have more; the result has ``rays + X`` slots.
    """
    x, y = (padded(part, rays + must.shape[1]) for part in corners)
    moved = (np.diff(x, axis=1) != 0.0) | (np.diff(y, axis=1) != 0.0)
    many = np.flatnonzero(moved.sum(axis=1) >= rays)
    slots = rays + must.shape[1]
    for k in np.union1d(chosen, many).tolist():
        own = simpler(hull(np.stack([x[k], y[k]], axis=1)), rays)
        found = padded(hull(np.concatenate([own, must[k]])).T, slots)
        x[k, :slots], y[k, :slots] = found
    return x[:, :slots], y[:, :slots]


def hull(points: Floats) -> Floats:
    """Corners of the hull of points ``(L, 2)``, counter-clockwise (Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0).tolist()
    if len(ordered) < 3:
        return np.array(ordered)
    found: list[list[float]] = []
    for way in (ordered, ordered[::-1]):
        chain: list[list[float]] = []
        for point in way:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0.0:
                chain.pop()
            chain.append(point)
        found += chain[:-1]
    return np.array(found)


def simpler(corners: Floats, most: int) -> Floats:
    """A polygon ``(L, 2)`` without the corners that take least area with them."""
    while len(corners) > most:
        before, after = np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0)
        first, then = corners - before, after - corners
        lost = first[:, 0] * then[:, 1] - first[:, 1] * then[:, 0]
        corners = np.delete(corners, int(np.argmin(lost)), axis=0)
    return corners


def _turn(first: list[float], middle: list[float], last: list[float]) -> float:
    return (middle[0] - first[0]) * (last[1] - first[1]) - (middle[1] - first[1]) * (
        last[0] - first[0]
    )


def _cut(x: Floats, y: Floats, beyond: Floats) -> Planar:
    """An outer corner gives way to where the border enters and leaves the half-plane."""
    count, slots = x.shape
    found = np.full((2, count, slots, 2), np.nan)
    before, after = np.roll(beyond, 1, axis=1), np.roll(beyond, -1, axis=1)
    out = beyond > 0.0
    entering, leaving = out & (before <= 0.0), out & (after <= 0.0)
    back = np.where(entering, before, 0.0) / np.where(entering, before - beyond, 1.0)
    ahead = np.where(leaving, beyond, 0.0) / np.where(leaving, beyond - after, 1.0)
    for coordinate, values in enumerate((x, y)):
        last, following = np.roll(values, 1, axis=1), np.roll(values, -1, axis=1)
        found[coordinate, :, :, 0] = np.where(out, last + back * (values - last), values)
        found[coordinate, :, :, 1] = values + ahead * (following - values)
    found[:, out & ~entering, 0] = np.nan
    found[:, ~leaving, 1] = np.nan
    return _compact(*found.reshape(2, count, 2 * slots))


def _compact(x: Floats, y: Floats) -> Planar:
    """Without gaps (NaN) and repeated corners, as few slots as possible."""
    known = np.isfinite(x)
    x, y = _first(x, y, known)
    same = SAME * np.fmax(np.abs(x), np.abs(y)).max(axis=1, initial=0.0, where=np.isfinite(x))
    apart = np.fmax(np.abs(np.diff(x, axis=1)), np.abs(np.diff(y, axis=1))) > same[:, None]
    return _first(x, y, np.concatenate([np.isfinite(x[:, :1]), apart], axis=1))


def _first(x: Floats, y: Floats, keep: Bools) -> Planar:
    """The kept corners first, in order, the last of them repeated."""
    count = np.maximum(keep.sum(axis=1), 1)
    order = np.argsort(~keep, axis=1, kind="stable")[:, : count.max()]
    order = np.take_along_axis(order, np.minimum(np.arange(order.shape[1]), count[:, None] - 1), 1)
    return np.take_along_axis(x, order, axis=1), np.take_along_axis(y, order, axis=1)
