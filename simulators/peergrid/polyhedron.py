"""The nearest point of a polyhedron, exactly, for many hours at once.

The dual active-set method of D. Goldfarb and A. Idnani, "A numerically stable dual method for
solving strictly convex quadratic programs", Mathematical Programming 27, 1983,
doi 10.1007/BF02591962, for a diagonal metric::

    min  sum_k w_k / 2 (x_k - point_k)^2
    s.t. rows x <= limit,   floor <= x <= ceiling

It starts at the point itself and takes in one broken constraint after the other, so an hour in
which nothing is broken costs one look at its rows; it ends with the exact answer and with the
multipliers of all constraints, which are what the rows are worth.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TOLERANCE = 1e-11  # of a constraint, relative to its size at the point
REFINEMENTS = 3
DEPENDENT = 1e-12  # a direction so short lies in the span of the active ones


@dataclass(frozen=True, eq=False)
class Nearest:
    """Answer for K coordinates, J rows and T hours.

    Parameters
    ----------
    x
        ``(K, T)`` the nearest points.
    multiplier
        ``(J, T)`` of the rows, not negative.
    floor_multiplier, ceiling_multiplier
        ``(K, T)`` of the bounds, not negative.
    found
        ``(T,)`` whether the hour's polyhedron has a point at all; if not, ``x`` is meaningless.
    """

    x: Floats
    multiplier: Floats
    floor_multiplier: Floats
    ceiling_multiplier: Floats
    found: NDArray[np.bool_]


def nearest(
    point: Floats,
    weight: Floats,
    rows: Floats,
    limit: Floats,
    floor: Floats,
    ceiling: Floats,
    columns: NDArray[np.int64] | None = None,
) -> Nearest:
    """Project every hour's point.

    Parameters
    ----------
    point
        ``(K, T)``.
    weight
        ``(K,)``, positive.
    rows
        ``(T, J, K)``, or ``(1, J, K)`` where they are the same in all hours.
    limit
        ``(J, T)``; infinite rows are left out.
    floor, ceiling
        ``(K, T)``; infinite entries are no bound.
    columns
        What :func:`columns_of` says of the rows, where it is known from before.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> found = nearest(np.array([[3.0], [1.0]]), np.ones(2), np.ones((1, 1, 2)), 2.0 * one,
    ...     np.zeros((2, 1)), np.full((2, 1), np.inf))
    >>> found.x[:, 0].tolist(), found.multiplier[:, 0].tolist()
    ([2.0, 0.0], [1.0])
    """
    count, hours = point.shape
    columns = columns_of(rows) if columns is None else columns
    x, multipliers = np.empty((count, hours)), np.zeros((rows.shape[1] + 2 * count, hours))
    found = np.ones(hours, dtype=np.bool_)
    _nearest(
        np.ascontiguousarray(point),
        np.sqrt(weight),
        np.ascontiguousarray(rows),
        columns,
        tuple(np.ascontiguousarray(part) for part in (limit, floor, ceiling)),
        x,
        multipliers,
        found,
    )
    split = rows.shape[1]
    return Nearest(
        x,
        multipliers[:split],
        multipliers[split : split + count],
        multipliers[split + count :],
        found,
    )


def columns_of(rows: Floats) -> NDArray[np.int64]:
    """Columns that are not zero in any hour, for each row, padded with -1: ``(J, most)``.

    >>> columns_of(np.array([[[0.0, 2.0, 0.0], [1.0, 0.0, 1.0]]])).tolist()
    [[1, -1], [0, 2]]
    """
    used = (rows != 0.0).any(axis=0)
    most = int(used.sum(axis=1).max(initial=0))
    order = np.argsort(~used, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(used, order, axis=1), order, -1)


@njit(cache=True, error_model="numpy")
def _normal(k, rows, root, out):  # type: ignore[no-untyped-def]
    """Normal of constraint ``k`` in the scaled coordinates: a row, a floor or a ceiling."""
    count, split = rows.shape[1], rows.shape[0]
    out[:] = 0.0
    if k < split:
        for i in range(count):
            out[i] = rows[k, i] / root[i]
    elif k < split + count:
        out[k - split] = -1.0 / root[k - split]
    else:
        out[k - split - count] = 1.0 / root[k - split - count]


@njit(cache=True, error_model="numpy")
def _sizes(point, rows, columns, limit, h, size):  # type: ignore[no-untyped-def]
    """Size of each row at the point, by which its violation is judged."""
    for j in range(rows.shape[0]):
        size[j] = abs(limit[j, h])
        for c in range(columns.shape[1]):
            i = columns[j, c]
            if i < 0:
                break
            size[j] += abs(rows[j, i] * point[i, h])


@njit(cache=True, error_model="numpy")
def _most_broken(y, point, rows, columns, sizes, bounds, h, tight):  # type: ignore[no-untyped-def]
    """Constraint that is broken most, relative to its size, or -1; and by how much."""
    limit, floor, ceiling = bounds
    split, count = rows.shape
    worst, which, amount = TOLERANCE, -1, 0.0
    for j in range(split):
        bound = limit[j, h]
        if tight[j] or not np.isfinite(bound):
            continue
        total = -bound
        for c in range(columns.shape[1]):
            i = columns[j, c]
            if i < 0:
                break
            total += rows[j, i] * y[i]
        if total > worst * sizes[j]:
            worst, which, amount = total / sizes[j], j, total
    for i in range(count):
        size = 1.0 + abs(point[i, h])
        low, high = floor[i, h] - y[i], y[i] - ceiling[i, h]
        if low > worst * size and not tight[split + i]:
            worst, which, amount = low / size, split + i, low
        if high > worst * size and not tight[split + count + i]:
            worst, which, amount = high / size, split + count + i, high
    return which, amount


@njit(cache=True, error_model="numpy")
def _free_rows(normals, active, split):  # type: ignore[no-untyped-def]
    """Active rows, as unit vectors over the coordinates that no active bound holds."""
    m, count = normals.shape
    free, which = np.ones(count, dtype=np.bool_), np.empty(m, dtype=np.int64)
    rows = 0
    for a in range(m):
        if active[a] >= split:
            free[(active[a] - split) % count] = False
        else:
            which[rows] = a
            rows += 1
    unit, length = np.zeros((rows, count)), np.zeros(rows)
    for j in range(rows):
        for i in range(count):
            if free[i]:
                unit[j, i] = normals[which[j], i]
                length[j] += unit[j, i] ** 2
        length[j] = np.sqrt(length[j])
        unit[j] /= length[j]
    return free, which[:rows], unit, length


@njit(cache=True, error_model="numpy")
def _direction(normal, normals, active, split, step):  # type: ignore[no-untyped-def]
    """Direction of ``normal`` that leaves the active constraints alone, and the rest's shares.

    Bounds are eliminated, not solved for: weights may differ by many orders of magnitude.
    """
    m, count = normals.shape
    free, which, unit, length = _free_rows(normals, active, split)
    for i in range(count):
        step[i] = normal[i] if free[i] else 0.0
    r = np.zeros(m)
    if len(which) > 0:
        share = np.linalg.solve(unit @ unit.T, unit @ step)
        for j in range(len(which)):
            r[which[j]] = share[j] / length[j]
            for i in range(count):
                step[i] -= share[j] * unit[j, i]
    for a in range(m):
        if active[a] >= split:
            i = (active[a] - split) % count
            left = normal[i]
            for j in range(len(which)):
                left -= r[which[j]] * normals[which[j], i]
            r[a] = left / normals[a, i]
    size, length_sq = 0.0, 0.0
    for i in range(count):
        size += normal[i] ** 2 if free[i] else 0.0
        length_sq += step[i] ** 2
    return r, length_sq, size


@njit(cache=True, error_model="numpy")
def _polished(normals, active, root, point, rows, bounds, h, y, u):  # type: ignore[no-untyped-def]
    """Answer from the active constraints alone, without the rounding of the steps."""
    limit, floor, ceiling = bounds
    m, count = normals.shape
    split = rows.shape[0]
    free, which, unit, length = _free_rows(normals, active, split)
    for a in range(m):
        if active[a] >= split:
            i = (active[a] - split) % count
            y[i] = floor[i, h] if active[a] < split + count else ceiling[i, h]
    metric, over = unit @ unit.T, np.empty(len(which))
    for _ in range(REFINEMENTS):
        for i in range(count):
            if free[i]:
                y[i] = point[i, h]
                for j in range(len(which)):
                    y[i] -= u[which[j]] * normals[which[j], i] / root[i]
        for j in range(len(which)):
            k = active[which[j]]
            over[j] = (np.sum(rows[k] * y) - limit[k, h]) / length[j]
        if len(which) > 0:
            worth = np.linalg.solve(metric, over)
            for j in range(len(which)):
                u[which[j]] = max(u[which[j]] + worth[j] / length[j], 0.0)
    for a in range(m):
        if active[a] >= split:
            i = (active[a] - split) % count
            left = root[i] * (point[i, h] - y[i])
            for j in range(len(which)):
                left -= u[which[j]] * normals[which[j], i]
            u[a] = max(left / normals[a, i], 0.0)


@njit(cache=True, error_model="numpy")
def _nearest(point, root, rows_of, columns, bounds, x, multipliers, found):  # type: ignore[no-untyped-def]
    """All hours, one after the other."""
    split, count = rows_of.shape[1], rows_of.shape[2]
    total = split + 2 * count
    normals, normal = np.empty((count, count)), np.empty(count)
    active, u = np.empty(count, dtype=np.int64), np.empty(count + 1)
    tight = np.zeros(total, dtype=np.bool_)
    y, step, sizes = np.empty(count), np.empty(count), np.empty(split)
    for h in range(point.shape[1]):
        rows = rows_of[min(h, rows_of.shape[0] - 1)]
        y[:] = point[:, h]
        tight[:] = False
        _sizes(point, rows, columns, bounds[0], h, sizes)
        m = 0
        for _ in range(50 * (total + 1)):
            k, broken = _most_broken(y, point, rows, columns, sizes, bounds, h, tight)
            if k < 0:
                break
            _normal(k, rows, root, normal)
            mine = 0.0
            while True:
                r, length, size = _direction(normal, normals[:m], active[:m], split, step)
                blocked, least = -1, np.inf
                for a in range(m):
                    if r[a] > 0.0 and u[a] / r[a] < least:
                        blocked, least = a, u[a] / r[a]
                full = broken / length if length > DEPENDENT * size and m < count else np.inf
                t = min(full, least)
                if not np.isfinite(t):
                    found[h] = False
                    break
                mine += t
                for a in range(m):
                    u[a] -= t * r[a]
                if np.isfinite(full):
                    for i in range(count):
                        y[i] -= t * step[i] / root[i]
                    broken -= t * length
                if full <= least:
                    normals[m, :] = normal
                    active[m], u[m] = k, mine
                    tight[k] = True
                    m += 1
                    break
                tight[active[blocked]] = False
                for a in range(blocked, m - 1):
                    normals[a, :] = normals[a + 1, :]
                    active[a], u[a] = active[a + 1], u[a + 1]
                m -= 1
            if not found[h]:
                break
        else:
            found[h] = False
        if found[h] and m > 0:
            _polished(normals[:m], active[:m], root, point, rows, bounds, h, y, u)
        x[:, h] = y
        for a in range(m):
            multipliers[active[a], h] = u[a]
