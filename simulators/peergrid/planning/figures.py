"""What a plan is worth by exact power flow, hour by hour."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.network.power_flow import PowerFlow, solve
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem, Storage, Technology

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """Figures of a plan; series have one entry per step ``(T,)``.

    Parameters
    ----------
    plan
        The plan.
    flow
        Its exact power flow.
    """

    plan: Plan
    flow: PowerFlow

    @property
    def problem(self) -> Problem:
        """What was asked."""
        return self.plan.problem

    @property
    def import_kw(self) -> Floats:
        """Drawn from the external grid, losses included."""
        return np.maximum(self.flow.head_p_kw, 0.0)

    @property
    def export_kw(self) -> Floats:
        """Fed into the external grid."""
        return np.maximum(-self.flow.head_p_kw, 0.0)

    @property
    def loss_kw(self) -> Floats:
        """Active losses."""
        return np.asarray(self.flow.loss_kw)

    @property
    def v_min_pu(self) -> Floats:
        """Lowest voltage."""
        return np.asarray(self.flow.vm_pu.min(axis=0))

    @property
    def v_max_pu(self) -> Floats:
        """Highest voltage."""
        return np.asarray(self.flow.vm_pu.max(axis=0))

    @property
    def loading(self) -> Floats:
        """Highest loading [1]."""
        return np.asarray(self.flow.loading.max(axis=0))

    @cached_property
    def surplus_kw(self) -> Floats:
        """What each bus sells ``(n, T)``: its surplus; never while it buys."""
        return np.maximum(self.plan.p_inj_kw, 0.0)

    @cached_property
    def deficit_kw(self) -> Floats:
        """What each bus buys ``(n, T)``."""
        return np.maximum(-self.plan.p_inj_kw, 0.0)

    @property
    def traded_kw(self) -> Floats:
        """Traded inside the community: the smaller of all surplus and all deficit."""
        return np.asarray(np.minimum(self.surplus_kw.sum(axis=0), self.deficit_kw.sum(axis=0)))

    @property
    def generated_kw(self) -> Floats:
        """Fed in by new plants."""
        total = np.zeros(self.problem.steps)
        for plant in self.problem.plants:
            total += self.plan.power(plant).sum(axis=0)
        return total

    def contribution_kw(self) -> dict[str, Floats]:
        """What each technology contributes to what is traded ``(T,)``.

        A bus's sale comes from whatever feeds in there, each in proportion; all sales have the
        same part in what is traded. What was there before the plan is left out.
        """
        injected = np.maximum(self.problem.p_inj_kw, 0.0)
        shares: dict[str, Floats] = {}
        given: list[tuple[Technology, Floats]] = []
        for technology in self.problem.technologies:
            at = np.zeros_like(injected)
            np.add.at(at, technology.rows, np.maximum(self.plan.power(technology), 0.0))
            given.append((technology, at))
            injected = injected + at
        sold = self.surplus_kw
        all_sold = sold.sum(axis=0)
        part = np.divide(self.traded_kw, all_sold, out=np.zeros_like(all_sold), where=all_sold > 0)
        for technology, at in given:
            own = np.divide(at, injected, out=np.zeros_like(at), where=injected > 0.0)
            shares[technology.name] = np.asarray((own * sold).sum(axis=0) * part)
        return shares

    @property
    def energy_cost_eur(self) -> float:
        """Paid for import less earned by export."""
        p = self.problem
        bill = self.import_kw @ p.price_import_eur_per_kwh
        return float((bill - self.export_kw @ p.price_feed_in_eur_per_kwh) * p.dt_h)

    @property
    def owning_cost_eur(self) -> float:
        """Share of the investment and upkeep, less fixed revenue."""
        parts = (t.cost_eur * self.plan.size[t.name].sum() for t in self.problem.technologies)
        return float(sum(parts))

    @property
    def wear_cost_eur(self) -> float:
        """Wear of storages."""
        return float(sum(self._wear(storage) for storage in self.problem.storages))

    @property
    def cost_eur(self) -> float:
        """Energy, owning and wear."""
        return self.energy_cost_eur + self.owning_cost_eur + self.wear_cost_eur

    @property
    def traded_kwh(self) -> float:
        """Energy traded inside the community."""
        return float(self.traded_kw.sum() * self.problem.dt_h)

    @property
    def score(self) -> float:
        """The objective, to be minimised: EUR, or minus the kWh traded."""
        return -self.traded_kwh if self.problem.objective == "traded" else self.cost_eur

    @property
    def violation_pu(self) -> float:
        """Largest excess of a voltage [pu] or loading [1]."""
        p, vm = self.problem, self.flow.vm_pu[1:]
        below, above = p.v_min_pu - vm, vm - p.v_max_pu
        over = self.flow.loading - p.max_loading
        return float(max(below.max(initial=0.0), above.max(initial=0.0), over.max(), 0.0))

    def to_dict(self) -> dict[str, float]:
        """Figures of the whole span."""
        dt_h = self.problem.dt_h
        return {
            "cost_eur": self.cost_eur,
            "energy_cost_eur": self.energy_cost_eur,
            "owning_cost_eur": self.owning_cost_eur,
            "wear_cost_eur": self.wear_cost_eur,
            "capex_eur": self.plan.capex_eur,
            "traded_kwh": self.traded_kwh,
            "import_kwh": float(self.import_kw.sum() * dt_h),
            "export_kwh": float(self.export_kw.sum() * dt_h),
            "loss_kwh": float(self.loss_kw.sum() * dt_h),
            "vm_min_pu": float(self.v_min_pu.min()),
            "vm_max_pu": float(self.v_max_pu.max()),
            "max_loading": float(self.loading.max()),
        }

    def _wear(self, storage: Storage) -> float:
        moved = np.abs(self.plan.p_kw[storage.name]).sum() * self.problem.dt_h
        return float(storage.wear_eur_per_kwh * moved)


def figures_of(plan: Plan) -> Figures:
    """Figures of a plan.

    Raises
    ------
    SolverError
        If the power flow of some step has no solution.
    """
    flow = solve(plan.problem.feeder, plan.p_inj_kw, plan.problem.q_inj_kvar)
    if not flow.converged.all():
        step = int(np.argmin(flow.converged))
        raise SolverError(f"{plan.problem.name}: the power flow of step {step} has no solution")
    return Figures(plan=plan, flow=flow)
