"""Progressive filling: shares that rise together until the room is used up.

All groups of shares rise at the same level; where a row is full, the groups that enter it stop, and
the others rise on (Bertsekas and Gallager, "Data Networks", 2nd ed., section 6.5.2). One group for
each side of the community gives the proportional (or equal) allocation, one for each share the
max-min fair one. Exact, by stepping from event to event.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
ROUNDING = 1e-15  # of a level
FULL = 1e-12  # room of a row, relative to its limit, that counts as none


def fill(
    demand: Floats, room: Floats, least: Floats, most: Floats, rate: Floats, group: Indices
) -> Floats:
    """Shares ``(K, T)`` between ``least`` and ``most`` with ``demand @ share <= room``.

    Parameters
    ----------
    demand
        ``(T, J, K)``, not negative.
    room
        ``(J, T)``; infinite rows never fill.
    least, most
        ``(K, T)``; what ``least`` takes is granted even where it does not fit. A negative one gives
        room, and is taken back first, as far as there is room.
    rate
        ``(K, T)`` share per level, positive: at level x a share is ``clip(rate x, least, most)``.
    group
        ``(K,)`` number of each share's group, from 0 on.

    Examples
    --------
    >>> one = np.ones((2, 1))
    >>> fill(np.array([[[1.0, 1.0], [0.0, 2.0]]]), np.array([[1.0], [0.5]]), 0 * one, one, one,
    ...     np.arange(2))[:, 0].tolist()  # the second stops at 0.25, the first takes the rest
    [0.75, 0.25]
    """
    share = np.minimum(least, most).copy()
    _fill(
        np.ascontiguousarray(demand),
        np.ascontiguousarray(room),
        np.ascontiguousarray(least),
        np.ascontiguousarray(most),
        np.ascontiguousarray(rate),
        group,
        share,
    )
    return share


@njit(cache=True, error_model="numpy")
def _fill(demand, room, least, most, rate, group, share):  # type: ignore[no-untyped-def]
    count, hours = share.shape
    rows = demand.shape[1]
    for h in range(hours):
        frozen = np.zeros(group.max() + 1 if count else 0, dtype=np.bool_)
        left, slope = np.empty(rows), np.empty(rows)
        level = 0.0
        for k in range(count):
            level = min(level, least[k, h] / rate[k, h])
        for j in range(rows):
            left[j] = room[j, h]
            for k in range(count):
                share[k, h] = least[k, h]
                left[j] -= demand[h, j, k] * least[k, h]
        while True:
            # next event: a share starts, a share ends, or a row is full
            step = np.inf
            moving = False
            slope[:] = 0.0
            for k in range(count):
                if frozen[group[k]] or share[k, h] >= most[k, h]:
                    continue
                start, end = least[k, h] / rate[k, h], most[k, h] / rate[k, h]
                if level < start - ROUNDING * abs(start):
                    step = min(step, start - level)
                    continue
                moving = True
                step = min(step, end - level)
                for j in range(rows):
                    slope[j] += demand[h, j, k] * rate[k, h]
            full = -1
            for j in range(rows):
                if slope[j] > 0.0 and np.isfinite(room[j, h]):
                    fits = max(left[j], 0.0) / slope[j]
                    if fits < step:
                        step, full = fits, j
            if not np.isfinite(step):
                break
            level += step
            if moving:
                for k in range(count):
                    if frozen[group[k]] or share[k, h] >= most[k, h]:
                        continue
                    start = least[k, h] / rate[k, h]
                    if level - step < start - ROUNDING * abs(start):
                        continue
                    share[k, h] = max(share[k, h], min(rate[k, h] * level, most[k, h]))
                    end = most[k, h] / rate[k, h]
                    if level >= end - ROUNDING * abs(end):
                        share[k, h] = most[k, h]
                for j in range(rows):
                    left[j] -= slope[j] * step
            if full < 0:
                continue
            for j in range(rows):
                if slope[j] <= 0.0 or not np.isfinite(room[j, h]):
                    continue
                if j != full and left[j] > FULL * abs(room[j, h]):
                    continue
                for k in range(count):
                    if demand[h, j, k] > 0.0:
                        frozen[group[k]] = True
