"""Exact proximal step of appliances with cycles over their horizon, and their nearest schedules.

A profile is the power ``q`` of one cycle of L steps. It runs ``n`` times inside ``[earliest,
latest)``, each run ended before the next begins: starts ``s_j`` with ``s_j + L <= s_{j+1}``. Here
``q`` is consumption and injection is positive as everywhere, so ``p[s_j + l] = -q[l]``; the power
of a resource is the sum of its profiles. With ``x_s = 1`` for a start at ``s`` the schedules are
the integer points of ``sum x = n``, ``sum of x over the starts that cover t <= 1``, ``x >= 0``. The
ones of every row are consecutive, so the matrix is totally unimodular (Fulkerson and Gross, Pacific
J. Math. 15, 1965) and the rows describe the convex hull; a resource has the sum of its hulls.

Linear costs are least at schedules, found by dynamic programming in O(T (n + L)) per profile over
``u_j = s_j - earliest - (j - 1) L``, which may only rise from 0 to the slack ``latest - earliest -
n L``. Quadratic: ``min sum_t -pull_t p_t + weight / 2 p_t^2`` over the hull projects ``pull /
weight``, by Wolfe's method (Finding the nearest point in a polytope, Math. Programming 11, 1976)
with that oracle: it holds a corral of affinely independent schedules, goes to the nearest point of
their affine hull and drops those whose share would turn negative; finitely many corrals, no step
size. The corral is a QR factorisation of its schedules with one more coordinate ``scale``, which
makes affine independence linear. All schedules draw the same energy, so ``pull`` loses its mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from peergrid.devices.flexibility import Flexibility
from peergrid.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
ENUMERATED = 4096  # most combinations that nearest_integer tries one by one
SWEEPS = 100  # most rounds of its coordinate descent beyond that
OPTIMAL = 1e-14  # gap, relative to the size of schedules and residual, that ends a projection
DEPENDENT = 1e-11  # part of a schedule outside the corral's span that counts as none
DROPPED = 1e-14  # share in the corral that counts as none


@dataclass(frozen=True, kw_only=True, eq=False)
class Cycles:
    """Profiles of S resources with cycles over T steps; the arrays are read-only.

    Parameters
    ----------
    steps
        Horizon T.
    p_kw
        ``(K, L)`` power of one cycle of each profile [kW], consumption positive; zero after it.
    length, earliest, latest, count
        ``(K,)`` steps of a cycle, first step it may run in, step before which it ends, times run.
    first
        ``(S + 1,)``; the profiles of resource r are ``first[r]`` to below ``first[r + 1]``.
    """

    steps: int
    p_kw: Floats
    length: Indices
    earliest: Indices
    latest: Indices
    count: Indices
    first: Indices

    @property
    def shape(self) -> tuple[int, int]:
        """Number of resources S and steps T."""
        return len(self.first) - 1, self.steps

    @property
    def tables(self) -> tuple[Floats, Indices, Indices, Indices, Indices, Indices]:
        """What the compiled functions take."""
        return self.p_kw, self.length, self.earliest, self.latest, self.count, self.first


def build_cycles(messages: Sequence[Flexibility], steps: int) -> Cycles:
    """Tables of the profiles in flexibility messages, one resource per message.

    Windows are cut to the horizon; limits, costs and all else in the messages are left aside.

    Raises
    ------
    DataError
        If a profile does not fit into what the horizon leaves of its window.
    """
    first = np.cumsum([0, *(len(message.profiles) for message in messages)], dtype=np.int64)
    profiles = [profile for message in messages for profile in message.profiles]
    table = np.zeros((len(profiles), max((len(p["p_kw"]) for p in profiles), default=1)))
    windows = np.empty((4, len(profiles)), dtype=np.int64)
    for k, profile in enumerate(profiles):
        n, size, latest = profile["count"], len(profile["p_kw"]), min(profile["latest"], steps)
        if n * size > latest - profile["earliest"]:
            r = int(np.searchsorted(first, k, side="right")) - 1
            where, name = f"flexibility message {r}", f"profiles[{k - first[r]}]"
            allowed = f"{n} x {size} steps between earliest and the end of the horizon, {steps}"
            raise DataError(where, name, dict(profile), allowed)
        table[k, :size] = profile["p_kw"]
        windows[:, k] = size, profile["earliest"], latest, n
    for array in (table, windows, first):
        array.flags.writeable = False
    length, earliest, latest, count = windows
    window = {"length": length, "earliest": earliest, "latest": latest, "count": count}
    return Cycles(steps=steps, p_kw=table, first=first, **window)


@njit(cache=True, error_model="numpy")
def _schedule(tables, resource, starts, without, steps):  # type: ignore[no-untyped-def]
    """Injection ``(T,)`` of a resource with given starts, leaving one profile out (-1: none)."""
    power, length, _, _, count, first = tables
    p_kw = np.zeros(steps)
    at = 0
    for k in range(first[resource], first[resource + 1]):
        for start in starts[at : at + count[k]]:
            if k != without:
                p_kw[start : start + length[k]] -= power[k, : length[k]]
        at += count[k]
    return p_kw


@njit(cache=True, error_model="numpy")
def _cheapest(tables, k, slope, starts):  # type: ignore[no-untyped-def]
    """Earliest starts of profile ``k`` with the least ``slope . p``; returns that value."""
    power, length, earliest, latest, count, _ = tables
    n, size, begin = count[k], length[k], earliest[k]
    slack = latest[k] - begin - n * size
    cost = np.zeros(slack + (n - 1) * size + 1)
    for i in range(size):
        cost -= power[k, i] * slope[begin + i : begin + i + len(cost)]
    # value[j, u]: least cost of the cycles j, ..., n - 1 if none of them starts before slack u
    value = np.zeros((n + 1, slack + 1))
    for j in range(n - 1, -1, -1):
        value[j, slack] = cost[slack + j * size] + value[j + 1, slack]
        for u in range(slack - 1, -1, -1):
            value[j, u] = min(value[j, u + 1], cost[u + j * size] + value[j + 1, u])
    u = 0
    for j in range(n):
        while u < slack and cost[u + j * size] + value[j + 1, u] > value[j, u + 1]:
            u += 1
        starts[j] = begin + j * size + u
    return value[0, 0]


@njit(cache=True, error_model="numpy")
def best_starts(tables, resource, price):  # type: ignore[no-untyped-def]
    """Schedule that earns the most at prices ``(T,)`` [EUR per kW and step injected].

    Returns the injection ``(T,)`` [kW] and the starts, profile after profile and rising in each.
    """
    count, first = tables[4], tables[5]
    starts = np.empty(count[first[resource] : first[resource + 1]].sum(), dtype=np.int64)
    slope, at = -price, 0
    for k in range(first[resource], first[resource + 1]):
        _cheapest(tables, k, slope, starts[at:])
        at += count[k]
    return _schedule(tables, resource, starts, -1, len(price)), starts


@njit(cache=True, error_model="numpy")
def _join(corral, m, schedule, scale):  # type: ignore[no-untyped-def]
    """Make ``schedule`` member ``m`` of the corral; False if it depends on the others."""
    members, basis, factor, share, _ = corral
    members[m], share[m], factor[:m, m] = schedule, 0.0, 0.0
    rest = basis[m]
    rest[0], rest[1:] = scale, schedule
    size = np.sqrt(np.dot(rest, rest))
    for _ in range(2):  # the second time for what rounding left of the first
        part = np.dot(basis[:m], rest)
        factor[:m, m] += part
        rest -= np.dot(part, basis[:m])
    factor[m, m] = np.sqrt(np.dot(rest, rest))
    rest /= factor[m, m]
    return factor[m, m] > DEPENDENT * size


@njit(cache=True, error_model="numpy")
def _leave(corral, m, out):  # type: ignore[no-untyped-def]
    """Take member ``out`` from a corral of ``m``; rotations make its factor a triangle again."""
    members, basis, factor, share, _ = corral
    for i in range(out, m - 1):
        members[i], share[i] = members[i + 1], share[i + 1]
        factor[: i + 2, i] = factor[: i + 2, i + 1]
    for i in range(out, m - 1):
        size = np.hypot(factor[i, i], factor[i + 1, i])
        c, s = factor[i, i] / size, factor[i + 1, i] / size
        for rows in (basis, factor):
            upper = rows[i].copy()
            rows[i] = c * upper + s * rows[i + 1]
            rows[i + 1] = c * rows[i + 1] - s * upper


@njit(cache=True, error_model="numpy")
def _settle(corral, m):  # type: ignore[no-untyped-def]
    """Wolfe's minor cycles: shares of the nearest point; members left, 0 if nothing moved."""
    _, basis, factor, share, target = corral
    moved = False
    while True:
        fresh, lift = np.dot(basis[:m], target), basis[:m, 0].copy()
        for i in range(m - 1, -1, -1):
            fresh[i] = (fresh[i] - np.dot(factor[i, i + 1 : m], fresh[i + 1 :])) / factor[i, i]
            lift[i] = (lift[i] - np.dot(factor[i, i + 1 : m], lift[i + 1 :])) / factor[i, i]
        fresh += (1.0 - fresh.sum()) / lift.sum() * lift  # nearest point of the affine hull
        step, out = 1.0, -1
        for i in range(m):
            if fresh[i] <= DROPPED:
                reach = share[i] / (share[i] - fresh[i]) if share[i] > fresh[i] else 0.0
                if out < 0 or reach < step:
                    step, out = reach, i
        share[:m] += step * (fresh - share[:m])
        moved = moved or step > 0.0
        if out < 0:
            return m
        _leave(corral, m, out)
        m -= 1
        if not moved:
            return 0


@njit(cache=True, error_model="numpy")
def project(tables, resource, weight, pull):  # type: ignore[no-untyped-def]
    """Minimum of ``sum_t -pull_t p_t + weight / 2 p_t^2`` over the hull: injection ``(T,)`` [kW].

    ``weight`` [EUR/kW2], at zero the best schedule; ``pull`` ``(T,)`` [EUR/kW]. Every point on the
    way is in the hull and nearer than the last: the cap and rounding only end the way early.
    """
    power, count, first, steps = tables[0], tables[4], tables[5], len(pull)
    p_kw, _ = best_starts(tables, resource, pull)
    scale = 0.0
    for k in range(first[resource], first[resource + 1]):
        scale += np.sqrt(count[k] * (power[k] ** 2).sum())
    if not (weight > 0.0 and scale > 0.0):
        return p_kw
    target, room = np.zeros(steps + 1), steps + 1
    target[1:] = (pull - pull.mean()) / weight
    members, basis = np.empty((room, steps)), np.empty((room, steps + 1))
    corral = (members, basis, np.zeros((room, room)), np.empty(room), target)
    _join(corral, 0, p_kw, scale)
    share, m = corral[3], 1
    share[0] = 1.0
    for _ in range(100 + 20 * steps):
        rest = target[1:] - p_kw
        schedule, _ = best_starts(tables, resource, rest)
        gap = np.dot(rest, schedule - p_kw)
        if not gap > OPTIMAL * scale * (scale + np.sqrt(np.dot(rest, rest))) or m == room:
            break
        m = _settle(corral, m + 1) if _join(corral, m, schedule, scale) else 0
        if m == 0:
            break
        p_kw = np.dot(share[:m] / share[:m].sum(), members[:m])
    return p_kw


@njit(cache=True, error_model="numpy")
def _advance(tables, k, starts):  # type: ignore[no-untyped-def]
    """Next starts of profile ``k``; after the last ones the first again, and False."""
    _, length, earliest, latest, count, _ = tables
    size, n = length[k], count[k]
    for j in range(n - 1, -1, -1):
        if starts[j] + (n - j) * size < latest[k]:
            starts[j:n] = starts[j] + 1 + size * np.arange(n - j)
            return True
    starts[:n] = earliest[k] + size * np.arange(n)
    return False


@njit(cache=True, error_model="numpy")
def nearest_integer(tables, resource, weight, pull):  # type: ignore[no-untyped-def]
    """Schedule with the least ``sum_t -pull_t p_t + weight / 2 p_t^2``: injection and starts.

    One profile: the best at prices ``pull``, as all its schedules have the same ``p . p``. Several:
    every combination of all but the profile with most slack, each with the best of that one, which
    is exact. If there are more than ``ENUMERATED``: the best of these and of the best at ``pull``,
    then coordinate descent until no profile alone improves. Units as in :func:`project`.
    """
    _, length, earliest, latest, count, first = tables
    p_kw, starts = best_starts(tables, resource, pull)
    own = np.arange(first[resource], first[resource + 1])
    if len(own) < 2 or not weight > 0.0:
        return p_kw, starts
    at = np.cumsum(count[own]) - count[own]
    free = np.argmax(latest[own] - earliest[own] - count[own] * length[own])
    least = np.dot(p_kw, weight / 2.0 * p_kw - pull)
    trial = np.full(len(starts), len(pull))
    going = False
    for i in range(len(own)):
        _advance(tables, own[i], trial[at[i] :])  # from beyond the last starts to the first
    for _ in range(ENUMERATED):
        rest = _schedule(tables, resource, trial, own[free], len(pull))
        _cheapest(tables, own[free], weight * rest - pull, trial[at[free] :])
        p_kw = _schedule(tables, resource, trial, -1, len(pull))
        value = np.dot(p_kw, weight / 2.0 * p_kw - pull)
        if value < least:
            least, starts = value, trial.copy()
        going = False
        for i in range(len(own)):
            going = going or (i != free and _advance(tables, own[i], trial[at[i] :]))
        if not going:
            break
    for _ in range(SWEEPS if going else 0):
        trial = starts.copy()
        for i in range(len(own)):
            rest = _schedule(tables, resource, starts, own[i], len(pull))
            _cheapest(tables, own[i], weight * rest - pull, starts[at[i] :])
        if np.all(trial == starts):
            break
    return _schedule(tables, resource, starts, -1, len(pull)), starts


@njit(cache=True, error_model="numpy")
def _every(tables, integer, weight, pull):  # type: ignore[no-untyped-def]
    p_kw = np.empty_like(pull)
    for r in range(len(pull)):
        task = (tables, r, weight[r], pull[r])
        p_kw[r] = nearest_integer(*task)[0] if integer else project(*task)
    return p_kw


def _answer(cycles: Cycles, integer: bool, weight: ArrayLike, pull: ArrayLike) -> Floats:
    """Answers of all resources to arrays that are brought to their shape."""
    per_resource = np.array(np.broadcast_to(weight, cycles.shape[:1]), dtype=np.float64)
    per_step = np.array(np.broadcast_to(pull, cycles.shape), dtype=np.float64, order="C")
    return np.asarray(_every(cycles.tables, integer, per_resource, per_step))


def project_all(cycles: Cycles, weight: ArrayLike, pull: ArrayLike) -> Floats:
    """Least of ``sum_t -pull_t p_t + weight / 2 p_t^2`` over the convex hull of the schedules.

    Parameters
    ----------
    weight
        ``(S,)`` [EUR/kW2], zero for the best schedule.
    pull
        ``(S, T)`` [EUR/kW].

    Returns
    -------
    ndarray
        ``(S, T)`` injections [kW].
    """
    return _answer(cycles, False, weight, pull)


def best_all(cycles: Cycles, price: ArrayLike) -> Floats:
    """Schedules ``(S, T)`` [kW] that earn the most at prices ``(S, T)`` [EUR per kW and step]."""
    return _answer(cycles, True, 0.0, price)


def nearest_all(cycles: Cycles, weight: ArrayLike, pull: ArrayLike) -> Floats:
    """Schedules with the least cost as in :func:`project_all`; see :func:`nearest_integer`."""
    return _answer(cycles, True, weight, pull)
