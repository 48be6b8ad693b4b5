"""Whole sites and sizes from the linear relaxation, which is tight: round, solve again, swap.

The relaxation spreads what is worth building over neighbouring buses. So the buses with the
greatest sizes are taken, whole sizes are rounded one after the other, each time solving again from
the last basis. Then each site in turn is *swapped*: set free with everything else given, the
relaxation tells whether another bus could pay, and the one it prefers is tried. The relaxation's
cost bounds all plans, so the gap is proven; where it is too wide, branch and bound goes on from
here (:func:`peergrid.planning.milp.by_milp`).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from peergrid.milp.model import Limits, Model, relative_gap, within
from peergrid.milp.relaxed import Relaxed
from peergrid.planning.problem import Problem, Technology

Floats = NDArray[np.float64]
Solved = tuple[float, Mapping[str, Floats]]
SWEEPS = 3
SURE = 1e-9


def dive(
    problem: Problem, model: Model, relaxed: Relaxed, first: Solved, limits: Limits
) -> Mapping[str, Floats] | None:
    """Values of all blocks with whole numbers, from the relaxation's; None if it ends nowhere."""
    bound, values = first
    for technology in problem.technologies:
        _take_sites(relaxed, technology, values)
    best = relaxed.solve()
    for technology in problem.technologies:
        if technology.whole and best[1]:
            best = _round_sizes(relaxed, technology, best)
    for _ in range(SWEEPS):
        if not best[1] or relative_gap(best[0], bound) <= limits.gap:
            break
        before = best[0]
        for technology in problem.technologies:
            best = _swap_sites(relaxed, technology, best)
        if best[0] >= before - SURE * abs(before):
            break
    best = _take_modes(relaxed, model, best)
    if not best[1]:
        return None
    return {name: within(block, best[1][name]) for name, block in model.blocks.items()}


def _has_sites(technology: Technology) -> bool:
    return technology.slots < len(technology.rows)


def _take_sites(relaxed: Relaxed, technology: Technology, values: Mapping[str, Floats]) -> None:
    """Keep the buses with the greatest sizes."""
    if not _has_sites(technology):
        return
    sizes = values[f"size {technology.name}"][:, 0]
    chosen = np.argsort(-sizes, kind="stable")[: technology.slots]
    _give_sites(relaxed, technology, chosen)


def _give_sites(relaxed: Relaxed, technology: Technology, chosen: NDArray[np.int64]) -> None:
    sites = np.zeros(len(technology.rows))
    sites[chosen] = 1.0
    relaxed.give(f"site {technology.name}", np.arange(len(sites)), sites)


def _round_sizes(relaxed: Relaxed, technology: Technology, best: Solved) -> Solved:
    """Give sizes their nearest whole numbers one after the other, the clearest first."""
    name = f"size {technology.name}"
    open_places = list(range(len(technology.rows)))
    while open_places:
        sizes = best[1][name][:, 0]
        place = min(open_places, key=lambda k: abs(float(sizes[k]) - round(float(sizes[k]))))
        near = [float(np.round(sizes[place])), float(np.floor(sizes[place]))]
        near.append(near[1] + 1.0)
        for value in dict.fromkeys(near):
            relaxed.give(name, np.array([place]), value)
            found = relaxed.solve()
            if found[1]:
                break
        else:
            return found
        best = found
        open_places.remove(place)
    return best


def _swap_sites(relaxed: Relaxed, technology: Technology, best: Solved) -> Solved:
    """Try other buses for each that is taken."""
    if not _has_sites(technology):
        return best
    name = technology.name
    places = np.arange(len(technology.rows))
    for k in range(technology.slots):
        sites = best[1][f"site {name}"][:, 0]
        chosen = np.flatnonzero(sites > 0.5)
        if k >= len(chosen):
            break
        others = np.delete(chosen, k)
        open_sites = np.setdiff1d(places, others)
        relaxed.free(f"site {name}", open_sites)
        if technology.whole:
            relaxed.free(f"size {name}", places)
        hoped, values = relaxed.solve()
        if values and hoped < best[0] - SURE * abs(best[0]):
            sizes = values[f"size {name}"][:, 0].copy()
            sizes[others] = -1.0
            _give_sites(relaxed, technology, np.append(others, int(np.argmax(sizes))))
            found = relaxed.solve()
            if technology.whole and found[1]:
                found = _round_sizes(relaxed, technology, found)
            if found[1] and found[0] < best[0]:
                best = found
                continue
        _give_sites(relaxed, technology, chosen)
        if technology.whole:
            relaxed.give(f"size {name}", places, np.round(best[1][f"size {name}"][:, 0]))
    return best


def _take_modes(relaxed: Relaxed, model: Model, best: Solved) -> Solved:
    """Give every storage the direction it mostly has."""
    modes = [name for name in model.blocks if name.startswith("mode ")]
    if not modes or not best[1]:
        return best
    for name in modes:
        storage = name.removeprefix("mode ")
        charging = best[1][f"charge {storage}"] >= best[1][f"discharge {storage}"]
        relaxed.give(name, np.arange(charging.size), charging.ravel().astype(np.float64))
    return relaxed.solve()
