"""Whole starts and modes from the linear relaxation: dive, then improve start by start.

The relaxation is tight (it costs a tenth of a per cent), and solving it again after a few decisions
takes milliseconds. The *dive* decides the starts that the relaxation leaves open, the clearest
first, and solves again. Then each appliance in turn is *improved*: set free with all others given,
the relaxation tells whether another start could pay, and the starts it uses are tried. At last the
few hours are decided in which a storage charges in one scenario and discharges in another. The
bound is that of the first relaxation, so the gap is proven; where it is too wide, branch and bound
goes on from here (:func:`peergrid.market.stochastic.plan`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.stochastic_problem import Households
from peergrid.milp.model import Limits, Model
from peergrid.milp.relaxed import Relaxed

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]
POWER_KW = 1e-6  # below it, a storage stands still
SHARE = 1e-6  # distance of a start from 0 or 1 that counts as none
CLEAR = 0.25  # share of open starts that one round decides
FEWEST = 20  # and of all cycles at least one in so many
TRIED = 4  # starts tried for one appliance
SWEEPS = 4  # rounds over all appliances


Best = tuple[float, Mapping[str, Floats]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A solution with whole starts and modes.

    ``values`` by block, None if the dive ended nowhere; ``bound_eur`` of the relaxation.
    """

    values: Mapping[str, Floats] | None
    cost_eur: float
    bound_eur: float
    columns: int
    rows: int
    build_s: float


def dive(day: Households, model: Model, limits: Limits) -> Found:
    """A good solution and a bound; blocks that the model has fixed stay fixed."""
    begun = time.perf_counter()
    relaxed = Relaxed(model, limits)
    build_s = time.perf_counter() - begun
    bound, values = relaxed.solve()
    cost = bound
    while values and _decide_starts(day, relaxed, values):
        cost, values = relaxed.solve()
    if values:
        cost, values = _improve(day, relaxed, limits, (cost, values), bound)
        cost, values = _decide_modes(day, relaxed, limits, (cost, values), bound)
    return Found(
        values=_whole(day, model, values) if values else None,
        cost_eur=cost,
        bound_eur=bound,
        columns=relaxed.columns,
        rows=relaxed.rows,
        build_s=build_s,
    )


def _decide_starts(day: Households, relaxed: Relaxed, values: Mapping[str, Floats]) -> bool:
    """Decide the clearest of the starts that are open; False if none is."""
    starts = _open_starts(day, values)
    least = max(1, len(day.appliances.cycles.count) // FEWEST)
    relaxed.give("start", starts[: max(least, round(CLEAR * len(starts)))], 1.0)
    return bool(len(starts))


def _decide_modes(
    day: Households, relaxed: Relaxed, limits: Limits, best: Best, bound: float
) -> Best:
    """Give every storage one mode where scenarios disagree.

    All at once what is expected of it, if that is good enough; else one after the other the cheaper
    mode.
    """
    cost, values = best
    decided: list[Indices] = []
    while values and len(places := np.flatnonzero(_torn(day, values))):
        into, out = _leanings(day, values, places)
        relaxed.give("mode", places, (into >= out).astype(np.float64))
        decided.append(places)
        cost, values = relaxed.solve()
    if not decided or (values and limits.reached(cost, bound)):
        return cost, values
    relaxed.free("mode", np.concatenate(decided))
    return _decide_modes_singly(day, relaxed, best)


def _decide_modes_singly(day: Households, relaxed: Relaxed, best: Best) -> Best:
    """The cheaper mode, one after the other, the clearest first."""
    cost, values = best
    while values and len(places := np.flatnonzero(_torn(day, values))):
        into, out = _leanings(day, values, places)
        place = places[np.argmax(np.abs(into - out) / (into + out)), None]
        tried = {}
        for mode in (0.0, 1.0):
            relaxed.give("mode", place, mode)
            tried[mode] = relaxed.solve()
        chosen = min(tried, key=lambda mode: tried[mode][0])
        relaxed.give("mode", place, chosen)
        cost, values = tried[chosen]
    return cost, values


def _leanings(
    day: Households, values: Mapping[str, Floats], places: Indices
) -> tuple[Floats, Floats]:
    """Expected charging and discharging at some modes [kW]."""
    into, out = (_expected(day, values[name]).ravel()[places] for name in ("charge", "discharge"))
    return into, out


def _open_starts(day: Households, values: Mapping[str, Floats]) -> Indices:
    """The likeliest broken start of each appliance that has one, the clearest first."""
    profile, _ = day.appliances.starts
    share = values["start"].ravel()
    broken = np.flatnonzero((share > SHARE) & (share < 1.0 - SHARE))
    ordered = broken[np.argsort(-share[broken], kind="stable")]
    _, first = np.unique(profile[ordered], return_index=True)
    return ordered[np.sort(first)]


def _torn(day: Households, values: Mapping[str, Floats]) -> Bools:
    """Where a storage charges in one scenario and discharges in another, ``(M, T)``."""
    into, out = (_by_scenario(day, values[name]) for name in ("charge", "discharge"))
    torn = (into > POWER_KW).any(axis=1) & (out > POWER_KW).any(axis=1)
    return np.asarray(torn, dtype=np.bool_)


def _by_scenario(day: Households, power: Floats) -> Floats:
    """Of the storages with a mode, ``(M, S, T)``."""
    _, scenarios, steps = day.shape
    return power[day.stores.two_way].reshape(-1, scenarios, steps)


def _expected(day: Households, power: Floats) -> Floats:
    return np.asarray(np.einsum("mst,s->mt", _by_scenario(day, power), day.probability))


def _improve(
    day: Households,
    relaxed: Relaxed,
    limits: Limits,
    best: tuple[float, Mapping[str, Floats]],
    bound: float,
) -> tuple[float, Mapping[str, Floats]]:
    """Try other starts, one appliance after the other, until half of the gap is reached."""
    profile, _ = day.appliances.starts
    values = best[1]
    places = [np.flatnonzero(profile == k) for k in range(len(day.appliances.cycles.count))]
    chosen = [values["start"].ravel()[found] for found in places]
    for found, share in zip(places, chosen, strict=True):
        relaxed.give("start", found, np.round(share))  # all of them: what follows moves none
    cost, values = relaxed.solve()
    if not values or limits.reached(2.0 * cost - bound, bound):
        return cost, values
    for _ in range(SWEEPS):
        before = cost
        for k, found in enumerate(places):
            for share in _candidates(relaxed, found, cost):
                relaxed.give("start", found, share)
                tried, answer = relaxed.solve()
                if answer and tried < cost:
                    cost, values, chosen[k] = tried, answer, share
            relaxed.give("start", found, np.round(chosen[k]))
            if limits.reached(2.0 * cost - bound, bound):
                return cost, values
        if before - cost < 0.1 * limits.gap * abs(before):
            break
    return cost, values


def _candidates(relaxed: Relaxed, found: Indices, cost: float) -> list[Floats]:
    """Whole starts of one appliance that could cost less, by what the relaxation would like."""
    relaxed.free("start", found)
    wished, answer = relaxed.solve()
    if not answer or cost - wished <= 1e-7 * abs(cost):
        return []
    share = answer["start"].ravel()[found]
    runs = round(float(share.sum()))
    if runs != 1:  # runs of one cycle exclude each other: only what is whole already is taken
        return [np.round(share)] if np.all(np.abs(share - np.round(share)) < SHARE) else []
    likely = np.argsort(-share)[:TRIED]
    return [np.eye(len(found))[place] for place in likely if share[place] > 1e-3]


def _whole(day: Households, model: Model, values: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """The same solution with whole starts, and each mode as it is given or the powers have it."""
    charging = (_by_scenario(day, values["charge"]) > POWER_KW).any(axis=1)
    given = model.blocks["mode"]
    mode = np.clip(charging.astype(np.float64), given.lower, given.upper)
    return {**values, "start": np.round(values["start"]), "mode": mode}
