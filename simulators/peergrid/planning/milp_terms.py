"""What is built and how it runs, as blocks, rows and costs of a linear programme."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peergrid.milp.affine import Block
from peergrid.milp.algebra import Algebra, Constraint, Expression
from peergrid.milp.model import Cost, Term, Variables
from peergrid.planning.plan import LEAST_SIZE, Plan
from peergrid.planning.problem import Plant, Problem, Storage, Technology

Floats = NDArray[np.float64]


def building_blocks(problem: Problem, *, modes: bool) -> dict[str, Block]:
    """Sizes, sites and powers of everything that can be built, by name; ``modes``: directions."""
    blocks = {}
    for technology in problem.technologies:
        name, count = technology.name, len(technology.rows)
        most = technology.max_per_site
        blocks[f"size {name}"] = Block.of((count, 1), most, integer=technology.whole)
        if technology.slots < count:
            blocks[f"site {name}"] = Block.of((count, 1), 1.0, integer=True)
        if isinstance(technology, Storage):
            blocks[f"charge {name}"] = Block.of((count, problem.steps), most * technology.charge_kw)
            blocks[f"discharge {name}"] = Block.of(
                (count, problem.steps), most * technology.discharge_kw
            )
            blocks[f"energy {name}"] = Block.of((count, problem.steps + 1))
            if modes:
                blocks[f"mode {name}"] = Block.of((count, problem.steps), 1.0, integer=True)
    return blocks


def building_terms(problem: Problem) -> list[Term]:
    """Rows of what is built."""
    terms: list[Term] = []
    for technology in problem.technologies:
        terms.append(_sites(technology))
        if isinstance(technology, Storage):
            terms.append(_powers(problem, technology))
            terms.append(_energies(problem, technology))
    terms.append(_budget(problem))
    return terms


def costs_of(problem: Problem) -> list[Cost]:
    """Costs in EUR; or minus the energy traded in kWh."""
    if problem.objective == "traded":
        return [_traded(problem)]
    return [_energy(problem), *(_owning(problem, t) for t in problem.technologies)]


def power_of(technology: Technology, x: Variables, of: Algebra) -> Expression:
    """Injections of a technology at its candidate buses ``(candidates, T)`` [kW]."""
    name = technology.name
    if isinstance(technology, Plant):
        profile = technology.available_kw
        return of.weigh(profile[None, :], _spread(x[f"size {name}"], len(profile)))
    return x[f"discharge {name}"] - x[f"charge {name}"]


def whole_values(plan: Plan, name: str) -> Floats:
    """Values of a block of whole numbers in a plan: sizes, sites, directions, who sells."""
    kind, _, technology = name.partition(" ")
    if kind == "size":
        return plan.size[technology][:, None]
    if kind == "site":
        return (plan.size[technology] > LEAST_SIZE)[:, None].astype(np.float64)
    if kind == "mode":
        return (plan.p_kw[technology] <= 0.0).astype(np.float64)
    if kind == "sells":
        return (plan.p_inj_kw > 0.0).astype(np.float64)
    raise KeyError(name)


def burning_pays(problem: Problem) -> bool:
    """Whether charging and discharging at once is surely worth something.

    It may be elsewhere too, where limits of the network bind; then it shows in the answer.
    """
    prices = problem.price_import_eur_per_kwh, problem.price_feed_in_eur_per_kwh
    return problem.objective == "traded" or any(np.any(price < 0.0) for price in prices)


def _spread(column: Expression, count: int) -> Expression:
    """A column ``(c, 1)`` repeated ``count`` times."""
    return column[:, np.zeros(count, dtype=np.int64)]


def _sites(technology: Technology) -> Term:
    """``size <= max site``, at most so many sites, the total inside its bounds."""
    name, count = technology.name, len(technology.rows)

    def term(x: Variables, _: Algebra) -> Sequence[Constraint]:
        size = x[f"size {name}"]
        total = np.ones((1, count)) @ size
        rows = [total >= technology.total_min]
        if np.isfinite(technology.total_max):
            rows.append(total <= technology.total_max)
        if technology.slots < count:
            site = x[f"site {name}"]
            rows.append(size - technology.max_per_site * np.eye(count) @ site <= 0.0)
            rows.append(np.ones((1, count)) @ site <= float(technology.slots))
        return rows

    return term


def _powers(problem: Problem, storage: Storage) -> Term:
    """Powers within what is built; one direction at a time where burning energy could pay."""
    name, steps, most = storage.name, problem.steps, storage.max_per_site
    limits = {"charge": storage.charge_kw[None, :], "discharge": storage.discharge_kw[None, :]}

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        size = _spread(x[f"size {name}"], steps)
        rows = [x[f"{way} {name}"] - of.weigh(limit, size) <= 0.0 for way, limit in limits.items()]
        if f"mode {name}" in x:
            mode = x[f"mode {name}"]
            charging = of.weigh(most * limits["charge"], mode)
            giving = of.weigh(most * limits["discharge"], mode)
            rows.append(x[f"charge {name}"] - charging <= 0.0)
            rows.append(x[f"discharge {name}"] + giving <= most * limits["discharge"])
        return rows

    return term


def _energies(problem: Problem, storage: Storage) -> Term:
    """The recursion of the energy, and its bounds."""
    name, steps, dt_h = storage.name, problem.steps, problem.dt_h

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        size, energy = x[f"size {name}"], x[f"energy {name}"]
        now, then = np.arange(steps), np.arange(1, steps + 1)
        stored = of.weigh(storage.eta_charge * dt_h, x[f"charge {name}"]) - of.weigh(
            dt_h / storage.eta_discharge, x[f"discharge {name}"]
        )
        used = of.weigh(storage.demand_kwh[None, :], _spread(size, steps))
        all_sizes = _spread(size, steps + 1)
        return [
            energy[:, now[:1]] - of.weigh(storage.e_start_kwh, size) == 0.0,
            energy[:, then] - energy[:, now] - stored + used == 0.0,
            energy - of.weigh(storage.e_min_kwh[None, :], all_sizes) >= 0.0,
            energy - of.weigh(storage.e_max_kwh[None, :], all_sizes) <= 0.0,
        ]

    return term


def _budget(problem: Problem) -> Term:
    """Investment within the budget."""

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        if not np.isfinite(problem.budget_eur) or not problem.technologies:
            return []
        parts = [
            np.ones((1, len(t.rows))) @ of.weigh(t.capex_eur / 1000.0, x[f"size {t.name}"])
            for t in problem.technologies
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return [total <= problem.budget_eur / 1000.0]

    return term


def _energy(problem: Problem) -> Cost:
    """What is drawn from and fed into the external grid [EUR]."""
    scale = problem.dt_h

    def cost(x: Variables, of: Algebra) -> Expression:
        price = problem.price_import_eur_per_kwh[None, :] * scale
        paid = problem.price_feed_in_eur_per_kwh[None, :] * scale
        return of.weigh(price, x["import"]) - of.weigh(paid, x["export"])

    return cost


def _owning(problem: Problem, technology: Technology) -> Cost:
    """Share of the investment; wear of storages [EUR]."""
    name = technology.name

    def cost(x: Variables, of: Algebra) -> Expression:
        total = np.ones((1, len(technology.rows))) @ of.weigh(
            technology.cost_eur, x[f"size {name}"]
        )
        if isinstance(technology, Storage) and technology.wear_eur_per_kwh > 0.0:
            moved = x[f"charge {name}"] + x[f"discharge {name}"]
            worn = of.weigh(technology.wear_eur_per_kwh * problem.dt_h, moved)
            everywhere = np.ones((1, len(technology.rows))) @ worn
            return _with_first(everywhere, total, problem.steps, of)
        return total

    return cost


def _with_first(row: Expression, one: Expression, steps: int, of: Algebra) -> Expression:
    """A row of T entries with another entry spread over them, so that sums add up."""
    return row + of.weigh(1.0 / steps, _spread(one, steps))


def _traded(problem: Problem) -> Cost:
    """Minus the energy traded [kWh]."""
    return lambda x, of: of.weigh(-problem.dt_h, x["traded"])
