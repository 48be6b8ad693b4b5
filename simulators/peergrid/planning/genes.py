"""Plans as points of the unit cube, so that any search can look for them.

Every technology has as many slots as it may have sites. A slot has a gene for its bus, one for its
size and, where it stores energy, one for every step::

    | bus | size | power in step 0 | ... | power in step T-1 |

Every point of the cube is a plan that keeps budget, totals and energies, and every such plan has a
point: a bus that is taken gives way to the next free candidate; sizes are drawn into the bounds of
their total and shrink to the budget, those that come in any size first; a power is cut to what
leaves the energy inside its reachable set (:meth:`peergrid.planning.problem.Storage.reach`). Only
limits of the network are left to the search. The middle of a power gene, ``IDLE`` wide, stands for
nothing at all, so that searches find idleness, which has no measure otherwise.
"""

from typing import NamedTuple

import numpy as np

from peergrid.compiled import compiled
from peergrid.planning.plan import LEAST_SIZE, Plan
from peergrid.planning.problem import Floats, Ints, Plant, Problem, Storage, Technology

IDLE = 0.3
_WHOLE = 1e-9


class Genome(NamedTuple):
    """The problem as the compiled decoder takes it: K technologies, U slots, T steps.

    Slots of technology k are ``slot[k] .. slot[k + 1] - 1``, its candidate rows
    ``rows[first[k] : first[k + 1]]``, and ``gene[u]`` is the first gene of slot u. Columns of
    technologies are in units per size; plants have no bounds of energy, storages no ``profile``.
    """

    slot: Ints
    first: Ints
    rows: Ints
    gene: Ints
    stores: Ints
    whole: Ints
    max_per_site: Floats
    total_min: Floats
    total_max: Floats
    capex: Floats
    profile: Floats
    charge: Floats
    discharge: Floats
    low: Floats
    high: Floats
    start: Floats
    demand: Floats
    eta_charge: Floats
    eta_discharge: Floats
    budget: float
    dt_h: float


class Decoded(NamedTuple):
    """A plan by slots: feeder rows and sizes ``(U,)``, injections ``(U, T)`` [kW].

    Of many plans, each has one more axis in front.
    """

    row: Ints
    size: Floats
    p_kw: Floats


def genome_of(problem: Problem) -> Genome:
    """The tables of a problem."""
    chosen, steps = problem.technologies, problem.steps
    slots = [t.slots for t in chosen]
    per_slot = [2 + steps * isinstance(t, Storage) for t in chosen]
    widths = np.repeat(per_slot, slots)
    stored = {name: np.zeros((len(chosen), steps)) for name in ("charge", "discharge", "demand")}
    low, high = np.zeros((len(chosen), steps + 1)), np.zeros((len(chosen), steps + 1))
    profile = np.zeros((len(chosen), steps))
    for k, technology in enumerate(chosen):
        if isinstance(technology, Storage):
            low[k], high[k] = technology.reach(problem.dt_h)
            stored["charge"][k] = technology.charge_kw
            stored["discharge"][k] = technology.discharge_kw
            stored["demand"][k] = technology.demand_kwh
        elif isinstance(technology, Plant):
            profile[k] = technology.available_kw
    return Genome(
        slot=_edges(slots),
        first=_edges([len(t.rows) for t in chosen]),
        rows=np.concatenate([t.rows for t in chosen] or [np.zeros(0, dtype=np.int64)]),
        gene=_edges(widths.tolist())[:-1],
        stores=np.array([isinstance(t, Storage) for t in chosen], dtype=np.int64),
        whole=np.array([t.whole for t in chosen], dtype=np.int64),
        max_per_site=_column(chosen, "max_per_site"),
        total_min=_column(chosen, "total_min"),
        total_max=_column(chosen, "total_max"),
        capex=_column(chosen, "capex_eur"),
        profile=profile,
        low=low,
        high=high,
        start=_column(chosen, "e_start_kwh"),
        eta_charge=_column(chosen, "eta_charge", 1.0),
        eta_discharge=_column(chosen, "eta_discharge", 1.0),
        budget=problem.budget_eur,
        dt_h=problem.dt_h,
        **stored,
    )


def n_genes(problem: Problem) -> int:
    """Dimension of the cube."""
    return sum(t.slots * (2 + problem.steps * isinstance(t, Storage)) for t in problem.technologies)


def plan_of(problem: Problem, genes: Floats) -> Plan:
    """The plan that a point ``(D,)`` stands for."""
    genome = genome_of(problem)
    many = decoded(1, len(genome.gene), problem.steps)
    decode_all(genome, np.ascontiguousarray(genes, dtype=np.float64)[None, :], many)
    found = Decoded(*(part[0] for part in many))
    nothing = Plan.nothing(problem)
    for k, technology in enumerate(problem.technologies):
        for u in range(genome.slot[k], genome.slot[k + 1]):
            place = int(np.flatnonzero(technology.rows == found.row[u])[0])
            nothing.size[technology.name][place] += found.size[u]
            if isinstance(technology, Storage):
                nothing.p_kw[technology.name][place] += found.p_kw[u]
    return nothing


def genes_of(plan: Plan) -> Floats:
    """A point ``(D,)`` that stands for a plan, which must keep the problem's bounds."""
    parts = []
    for technology in plan.problem.technologies:
        size = plan.size[technology.name]
        order = np.argsort(size <= LEAST_SIZE, kind="stable")[: technology.slots]
        for place in np.sort(order):
            site = (place + 0.5) / len(technology.rows)
            parts.append(np.array([site, _size_gene(technology, size[place])]))
            if isinstance(technology, Storage):
                parts.append(
                    _power_genes(technology, size[place], plan.p_kw[technology.name][place])
                )
    return np.concatenate(parts) if parts else np.zeros(0)


def decoded(points: int, slots: int, steps: int) -> Decoded:
    """Room for the plans of many points by slots."""
    row = np.zeros((points, slots), dtype=np.int64)
    size, p_kw = np.zeros((points, slots)), np.zeros((points, slots, steps))
    return Decoded(row=row, size=size, p_kw=p_kw)


@compiled
def decode_all(genome: Genome, points: Floats, found: Decoded) -> None:
    """Write the plans of points ``(C, D)`` into ``found``."""
    for c in range(len(points)):
        decode(genome, points[c], Decoded(found.row[c], found.size[c], found.p_kw[c]))


@compiled
def decode(genome: Genome, genes: Floats, found: Decoded) -> None:
    """Write the plan of a point into ``found``."""
    _place(genome, genes, found)
    _size(genome, genes, found)
    for k in range(len(genome.stores)):
        for u in range(genome.slot[k], genome.slot[k + 1]):
            if genome.stores[k]:
                _run_storage(genome, k, u, genes, found)
            else:
                for t in range(found.p_kw.shape[1]):
                    found.p_kw[u, t] = found.size[u] * genome.profile[k, t]


@compiled
def _place(genome: Genome, genes: Floats, found: Decoded) -> None:
    """Buses: the candidate that the gene names, or the next one that is free."""
    for k in range(len(genome.stores)):
        first, count = genome.first[k], genome.first[k + 1] - genome.first[k]
        for u in range(genome.slot[k], genome.slot[k + 1]):
            place = min(max(int(genes[genome.gene[u]] * count), 0), count - 1)
            taken = True
            while taken:
                taken = False
                for other in range(genome.slot[k], u):
                    if found.row[other] == genome.rows[first + place]:
                        taken = True
                if taken:
                    place = (place + 1) % count
            found.row[u] = genome.rows[first + place]


@compiled
def _size(genome: Genome, genes: Floats, found: Decoded) -> None:
    """Sizes: inside the bounds of each total, then whole, then shrunk to the budget."""
    cost = 0.0
    for k in range(len(genome.stores)):
        _wish(genome, k, genes, found)
        if genome.whole[k]:
            _round_down(genome, k, found)
        cost += genome.capex[k] * _total(genome, k, found)
    for whole in range(2):  # what comes in any size gives way first
        if cost > genome.budget:
            cost = _shrink(genome, whole, cost, found)


@compiled
def _total(genome: Genome, k: int, found: Decoded) -> float:
    total = 0.0
    for u in range(genome.slot[k], genome.slot[k + 1]):
        total += found.size[u]
    return total


@compiled
def _wish(genome: Genome, k: int, genes: Floats, found: Decoded) -> None:
    """Sizes of a technology as the genes have them, drawn into the bounds of the total."""
    most = genome.max_per_site[k]
    for u in range(genome.slot[k], genome.slot[k + 1]):
        share = min(max(genes[genome.gene[u] + 1], 0.0), 1.0)
        found.size[u] = share * most
        if genome.whole[k]:  # every number has the same part of the gene
            found.size[u] = min(np.floor(share * (most + 1.0)), most)
    total = _total(genome, k, found)
    if total > genome.total_max[k]:
        for u in range(genome.slot[k], genome.slot[k + 1]):
            found.size[u] *= genome.total_max[k] / total
    elif total < genome.total_min[k]:
        room = (genome.slot[k + 1] - genome.slot[k]) * most - total
        rise = (genome.total_min[k] - total) / room
        for u in range(genome.slot[k], genome.slot[k + 1]):
            found.size[u] += (most - found.size[u]) * rise


@compiled
def _round_down(genome: Genome, k: int, found: Decoded) -> None:
    """Whole sizes whose sums from the first slot on are the rounded ones."""
    running = 0.0
    for u in range(genome.slot[k], genome.slot[k + 1]):
        before = np.floor(running + _WHOLE)
        running += found.size[u]
        found.size[u] = np.floor(running + _WHOLE) - before


@compiled
def _shrink(genome: Genome, whole: int, cost: float, found: Decoded) -> float:
    """Shrink technologies of one kind alike, but not below their totals; returns the cost."""
    spare = 0.0
    for k in range(len(genome.stores)):
        if genome.whole[k] == whole:
            excess = _total(genome, k, found) - genome.total_min[k]
            spare += genome.capex[k] * max(excess, 0.0)
    if spare <= 0.0:
        return cost
    kept = max(1.0 - (cost - genome.budget) / spare, 0.0)
    for k in range(len(genome.stores)):
        total = _total(genome, k, found)
        if genome.whole[k] == whole and genome.capex[k] > 0.0 and total > genome.total_min[k]:
            least = genome.total_min[k] / total
            for u in range(genome.slot[k], genome.slot[k + 1]):
                found.size[u] *= least + (1.0 - least) * kept
            if whole:
                _round_down(genome, k, found)
            cost -= genome.capex[k] * (total - _total(genome, k, found))
    return cost


@compiled
def _run_storage(genome: Genome, k: int, u: int, genes: Floats, found: Decoded) -> None:
    """Powers of a storage: as the genes wish, cut to the reachable energies."""
    energy, size, dt_h = genome.start[k], found.size[u], genome.dt_h
    eta_charge, eta_discharge = genome.eta_charge[k], genome.eta_discharge[k]
    for t in range(found.p_kw.shape[1]):
        gene = min(max(genes[genome.gene[u] + 2 + t], 0.0), 1.0)
        wish = 2.0 * gene - 1.0
        share = max(abs(wish) - IDLE, 0.0) / (1.0 - IDLE)
        if wish > 0.0:
            change = -share * genome.discharge[k, t] / eta_discharge * dt_h
        else:
            change = share * genome.charge[k, t] * eta_charge * dt_h
        rest = energy - genome.demand[k, t]
        change = min(max(change, genome.low[k, t + 1] - rest), genome.high[k, t + 1] - rest)
        energy = rest + change
        stored = change / eta_charge if change > 0.0 else change * eta_discharge
        found.p_kw[u, t] = -size * stored / dt_h


def _size_gene(technology: Technology, size: float) -> float:
    """The gene of a size."""
    most = technology.max_per_site
    return (size + 0.5) / (most + 1.0) if technology.whole else min(size / most, 1.0)


def _power_genes(storage: Storage, size: float, p_kw: Floats) -> Floats:
    """Genes ``(T,)`` of a storage's powers."""
    limit = np.where(p_kw > 0.0, storage.discharge_kw, storage.charge_kw) * size
    share = np.divide(np.abs(p_kw), limit, out=np.zeros_like(p_kw), where=limit > 0.0)
    wish = np.where(share > 0.0, IDLE + (1.0 - IDLE) * np.minimum(share, 1.0), 0.0)
    return np.asarray(0.5 + 0.5 * np.sign(p_kw) * wish)


def _edges(lengths: list[int]) -> Ints:
    """Where parts of these lengths begin, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _column(chosen: tuple[Technology, ...], name: str, absent: float = 0.0) -> Floats:
    return np.array([getattr(t, name, absent) for t in chosen], dtype=np.float64)
