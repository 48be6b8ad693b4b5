"""Concave fairness over shares: log, alpha-fair and total width, by an interior-point method.

Alpha-fair utility (J. Mo and J. Walrand, "Fair end-to-end window-based congestion control",
IEEE/ACM Trans. Networking 8(5), 2000, doi 10.1109/90.879343): ``s^(1-alpha) / (1-alpha)``, the
logarithm at alpha 1, the plain sum at alpha 0; the larger alpha, the nearer to max-min.

    max  sum_k w_k u_alpha(s_k)   s.t.  demand s <= room,   least <= s <= most

by a log barrier with Newton steps (Boyd and Vandenberghe, "Convex Optimization", section 11.3).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHARPEST = 1e9  # weight of the utility against the barrier at the end
STEEPER = 20.0  # from one barrier problem to the next
DAMPING = 1e-13  # of the scaled Newton metric
FLOOR = 1e-9  # shares below count as this in the utility


def most_useful(
    demand: Floats, room: Floats, least: Floats, most: Floats, weight: Floats, alpha: float
) -> Floats:
    """Shares ``(K, T)`` of largest utility.

    Parameters
    ----------
    demand
        ``(T, J, K)``, not negative.
    room
        ``(J, T)``; infinite rows do not count.
    least, most
        ``(K, T)``; ``least`` is granted: rows that it fills leave nothing to those who enter them.
    weight
        ``(K, T)``, not negative.
    alpha
        0 or more.
    """
    share = least.copy()
    for h in range(least.shape[1]):
        rows = np.isfinite(room[:, h])
        rows[rows] = demand[h, rows] @ most[:, h] > room[rows, h]
        if not rows.any():
            share[:, h] = most[:, h]
            continue
        used = demand[h, rows]
        left = room[rows, h] - used @ least[:, h]
        tight = left <= FLOOR * np.maximum(np.abs(room[rows, h]), FLOOR)
        free = (most[:, h] > least[:, h] + FLOOR) & ~(used[tight] > 0.0).any(axis=0)
        if not free.any():
            continue
        inner = np.ascontiguousarray(used[~tight][:, free])
        scale = left[~tight]
        share[free, h] = _solve(
            np.ascontiguousarray(inner / scale[:, None]),
            least[free, h],
            most[free, h],
            weight[free, h] / max(weight[free, h].max(), FLOOR),
            float(alpha),
        )
    return share


@njit(cache=True, error_model="numpy")
def _value(step, s, low, high, rows, weight, alpha, sharp):  # type: ignore[no-untyped-def]
    """Barrier objective at ``s + step``; infinite outside."""
    total = 0.0
    for k in range(len(s)):
        x = s[k] + step[k]
        if x <= low[k] or x >= high[k]:
            return np.inf
        y = x + FLOOR
        if alpha == 1.0:
            total -= sharp * weight[k] * np.log(y)
        else:
            total -= sharp * weight[k] * y ** (1.0 - alpha) / (1.0 - alpha)
        total -= np.log(x - low[k]) + np.log(high[k] - x)
    for j in range(rows.shape[0]):
        left = 1.0
        for k in range(len(s)):
            left -= rows[j, k] * (s[k] + step[k] - low[k])
        if left <= 0.0:
            return np.inf
        total -= np.log(left)
    return total


@njit(cache=True, error_model="numpy")
def _newton(gradient, own, rows, left):  # type: ignore[no-untyped-def]
    """Newton step for the metric ``diag(own) + rows' diag(left^-2) rows``.

    By the Woodbury identity, so the system has the size of the rows, which are few; its diagonal
    is damped against rows that are alike.
    """
    few = rows.shape[0]
    inner, right = np.zeros((few, few)), np.zeros(few)
    for j in range(few):
        for k in range(len(own)):
            if rows[j, k] == 0.0:
                continue
            right[j] += rows[j, k] * gradient[k] / own[k]
            for i in range(few):
                inner[j, i] += rows[j, k] * rows[i, k] / own[k]
        inner[j, j] += left[j] ** 2
    for j in range(few):
        inner[j, j] *= 1.0 + DAMPING
    back = np.linalg.solve(inner, right)
    step = np.empty(len(own))
    for k in range(len(own)):
        pull = gradient[k]
        for j in range(few):
            pull -= rows[j, k] * back[j]
        step[k] = -pull / own[k]
    return step


@njit(cache=True, error_model="numpy")
def _solve(rows, low, high, weight, alpha):  # type: ignore[no-untyped-def]
    """One hour; rows are scaled so that the room above ``low`` is one."""
    count = len(low)
    reach = 0.5
    for j in range(rows.shape[0]):
        total = 0.0
        for k in range(count):
            total += rows[j, k] * (high[k] - low[k])
        if total > 0.0:
            reach = min(reach, 0.5 / total)
    s = low + reach * (high - low)
    none = np.zeros(count)
    sharp = 1.0
    while True:
        for _ in range(60):
            gradient, own = np.empty(count), np.empty(count)
            for k in range(count):
                y = s[k] + FLOOR
                gradient[k] = -sharp * weight[k] * y ** (-alpha)
                gradient[k] += -1.0 / (s[k] - low[k]) + 1.0 / (high[k] - s[k])
                own[k] = sharp * weight[k] * alpha * y ** (-alpha - 1.0)
                own[k] += (s[k] - low[k]) ** -2 + (high[k] - s[k]) ** -2
            left = np.ones(rows.shape[0])
            for j in range(rows.shape[0]):
                for k in range(count):
                    left[j] -= rows[j, k] * (s[k] - low[k])
                for k in range(count):
                    gradient[k] += rows[j, k] / left[j]
            step = _newton(gradient, own, rows, left)
            fall = 0.0
            for k in range(count):
                fall -= gradient[k] * step[k]
            if fall <= 1e-10:
                break
            before = _value(none, s, low, high, rows, weight, alpha, sharp)
            size = 1.0
            while size > 1e-12:
                if _value(size * step, s, low, high, rows, weight, alpha, sharp) <= (
                    before - 0.1 * size * fall
                ):
                    break
                size *= 0.5
            else:
                break
            s = s + size * step
        if sharp >= SHARPEST:
            return s
        sharp *= STEEPER
