"""Linear network rows for the households' programme, and the exact check afterwards.

LinDistFlow in its recursive form, which is sparse (:mod:`peergrid.network.linear` has the
equations and their source): the flow into each branch is what is drawn behind it, and squared
voltages drop along the way. Around the expected injections both are corrected by the exact power
flow, so losses are in the rows there. Limits are soft: hard ones contradict the published case, in
which lines are overloaded.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from peergrid.market.stochastic_costs import CostOf
from peergrid.market.stochastic_problem import Households, Wires
from peergrid.market.stochastic_terms import TermOf, cycle_power, position
from peergrid.milp.algebra import Algebra, Constraint, Expression
from peergrid.milp.model import Variables
from peergrid.network.feeder import Feeder
from peergrid.network.linear import downstream, lindistflow
from peergrid.network.power_flow import PowerFlow, solve
from peergrid.units import kw_from_pu

Floats = NDArray[np.float64]


def flow_balance(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """The flow into a branch is what its bus draws and what flows on (Kirchhoff's current law)."""
    if day.wires is None:
        return []
    drawn = -(_places(day.wires) @ position(day, x, of)) - day.wires.background_kw[:, day.step]
    return [x["flow"] - _onward(day.wires.feeder) @ x["flow"] == drawn]


def voltage_drop(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Squared voltages, referred to the head, drop along each branch (Kirchhoff's voltage law)."""
    if day.wires is None:
        return []
    feeder = day.wires.feeder
    per_kw = 2.0 * np.abs(feeder.transformation) ** 2 / kw_from_pu(1.0, feeder.base_mva)
    per_kw[0] = 0.0
    from_parent = sparse.csr_array(_onward(feeder).T)
    falls = of.weigh((per_kw * feeder.r_pu)[:, None], x["flow"])
    falls_q = of.weigh((per_kw * feeder.x_pu)[:, None], reactive_flow(day, x, of))
    return [x["drop"] == from_parent @ x["drop"] + falls + falls_q]


def ratings(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """What flows through a branch is at most its rating, or over it at a price."""
    if day.wires is None or day.wires.loading is None:
        return []
    around = around_expected(day)
    limit, losses = around.active_limit_kw(day.wires.loading), around.flow_gap_kw
    lines = np.flatnonzero(np.isfinite(limit).all(axis=1))
    flow, over = x["flow"][lines, :], x["over"][lines, :]
    high, low = limit[lines] - losses[lines], -limit[lines] - losses[lines]
    return [flow - over <= high, flow + over >= low]


def band(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Voltages stay in the band, or leave it at a price."""
    if day.wires is None:
        return []
    rows = np.arange(1, day.wires.feeder.n_bus)
    squared, outside = voltage_sq(day, x, of)[rows, :], x["outside"][rows, :]
    return [squared + outside >= day.wires.v_min_pu**2, squared - outside <= day.wires.v_max_pu**2]


def congestion(day: Households, x: Variables, of: Algebra) -> Expression:
    """Price of what exceeds ratings and leaves the band (of squares, so half of it)."""
    if day.wires is None:
        return of.weigh(np.zeros(x["buy"].shape), x["buy"])
    weight = np.tile(day.weight_h, (day.wires.feeder.n_bus, 1))
    lines = of.weigh(day.wires.over_eur_per_kwh * weight, x["over"])
    return lines + of.weigh(day.wires.outside_eur_per_pu_h / 2.0 * weight, x["outside"])


def voltage_sq(day: Households, x: Variables, of: Algebra) -> Expression:
    """Squared voltages ``(n, K)``: without load, less the drop, corrected where expected."""
    wires = wires_of(day)
    referred = np.tile(1.0 / np.abs(wires.feeder.transformation)[:, None] ** 2, len(day.step))
    return around_expected(day).voltage_offset - of.weigh(referred, x["drop"])


def reactive_flow(day: Households, x: Variables, of: Algebra) -> Expression:
    """Reactive flow into each branch ``(n, K)``; it follows what devices do by their tan phi."""
    wires = wires_of(day)
    paths = downstream(wires.feeder)
    fixed = _places(wires) @ day.flat(day.firm_kvar) + wires.background_kvar[:, day.step]
    found = -(paths @ fixed)
    for owner, tan_phi, power in (
        (day.plants.owner, day.plants.tan_phi, x["plant"]),
        (day.stores.owner, day.stores.tan_phi, x["discharge"] - x["charge"]),
        (day.appliances.owner, -day.appliances.tan_phi, cycle_power(day, x, of)),
    ):
        if np.any(tan_phi):
            found = found + (paths[:, wires.at[owner]] * -tan_phi) @ power
    return found


def exact(day: Households, p_kw: Floats, q_kvar: Floats) -> PowerFlow:
    """Power flow under injections ``(N, K)`` of the households."""
    wires = wires_of(day)
    everywhere = (
        _places(wires) @ own + others[:, day.step]
        for own, others in ((p_kw, wires.background_kw), (q_kvar, wires.background_kvar))
    )
    return solve(wires.feeder, *everywhere)


@dataclass(frozen=True, kw_only=True, eq=False)
class Around:
    """How far the linear rows are from the exact power flow at the expected injections."""

    feeder: Feeder
    p_kw: Floats
    q_kvar: Floats
    flow: PowerFlow

    @classmethod
    def of(cls, day: Households) -> "Around":
        """Of a problem."""
        wires = wires_of(day)
        own = day.flat(wires.expected_kw), day.flat(wires.expected_kvar)
        p_kw = _places(wires) @ own[0] + wires.background_kw[:, day.step]
        q_kvar = _places(wires) @ own[1] + wires.background_kvar[:, day.step]
        return cls(feeder=wires.feeder, p_kw=p_kw, q_kvar=q_kvar, flow=exact(day, *own))

    @cached_property
    def voltage_offset(self) -> Floats:
        """What squared voltages are without their drop, ``(n, K)``."""
        model = lindistflow(self.feeder)
        gap = self.flow.vm_pu**2 - model.voltage_sq(self.p_kw, self.q_kvar)
        return model.v0_sq[:, None] + np.nan_to_num(gap)

    @cached_property
    def flow_gap_kw(self) -> Floats:
        """Losses behind the parent end of each branch, ``(n, K)``."""
        return np.nan_to_num(self.flow.p_branch_kw + downstream(self.feeder) @ self.p_kw)

    def active_limit_kw(self, loading: float) -> Floats:
        """Largest active flow under each rating ``(n, K)``, at the voltage and reactive flow."""
        parent = np.maximum(self.feeder.parent, 0)
        vm_kv = np.nan_to_num(self.flow.vm_pu, nan=1.0)[parent] * self.feeder.vn_kv[parent][:, None]
        # sqrt(3) kV kA is MVA
        apparent = loading * np.sqrt(3e6) * vm_kv * self.feeder.i_max_parent_ka[:, None]
        reactive = np.nan_to_num(self.flow.q_branch_kvar)
        active = np.sqrt(np.maximum(apparent**2 - reactive**2, 0.0))
        active[0] = np.inf
        return np.asarray(active)


@lru_cache(maxsize=2)
def around_expected(day: Households) -> Around:
    """The same, once for a problem: every row asks for it."""
    return Around.of(day)


def wires_of(day: Households) -> Wires:
    """The feeder between the households, which there must be."""
    if day.wires is None:
        raise ValueError("these households have no feeder between them")
    return day.wires


def _places(wires: Wires) -> sparse.csr_array:
    """``(n, N)``: puts households at their buses."""
    count = len(wires.at)
    shape = (wires.feeder.n_bus, count)
    return sparse.csr_array((np.ones(count), (wires.at, np.arange(count))), shape=shape)


def _onward(feeder: Feeder) -> sparse.csr_array:
    """``(n, n)``: adds up what the branches behind each bus carry."""
    buses = np.arange(1, feeder.n_bus)
    shape = (feeder.n_bus, feeder.n_bus)
    return sparse.csr_array((np.ones(len(buses)), (feeder.parent[1:], buses)), shape=shape)


TERMS: tuple[TermOf, ...] = (flow_balance, voltage_drop, ratings, band)
COSTS: tuple[CostOf, ...] = (congestion,)
