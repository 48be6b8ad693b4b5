"""A day under one method: what it cost, what it did to the grid, how its envelopes were used."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import Certified
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing
from peergrid.network.power_flow import PowerFlow
from peergrid.operator.loss_charge import charge_eur
from peergrid.operator.negotiate import extents
from peergrid.study.binding import Binding, binding
from peergrid.study.case import Case
from peergrid.study.money import Money, money
from peergrid.units import mw_from_kw

Floats = NDArray[np.float64]
NO_EXTENT_KW = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """Result of one method for N communities, R resources, n buses and T hours.

    Parameters
    ----------
    case, method
        What was run.
    problem
        What was cleared at last: its boxes are the envelopes drawn in by the margins.
    clearing
        Schedule, positions, trades and prices.
    certified
        Envelopes and the rows that prove them; None without envelopes.
    iterations
        Of all clearings together.
    seconds, certify_seconds, cpu_seconds
        Wall clock of everything and of finding envelopes; processor time of everything [s].
    """

    case: Case
    method: str
    problem: Problem
    clearing: Clearing
    certified: Certified[Any] | None
    iterations: int
    seconds: float
    certify_seconds: float
    cpu_seconds: float

    @property
    def boxes(self) -> Boxes | None:
        """The envelopes as published, ``(N, T)``; None without."""
        return None if self.certified is None else self.certified.boxes

    @property
    def allowed(self) -> Boxes:
        """What each community may do: its envelope, or all its contract allows."""
        return Boxes.of_extent(self.case.room.most) if self.boxes is None else self.boxes

    @cached_property
    def flow(self) -> PowerFlow:
        """Exact power flow of the schedule."""
        return self.case.limits.flow(self.clearing.position_kw, self.clearing.position_kvar)

    @cached_property
    def binding(self) -> tuple[Binding, ...]:
        """Rows that the envelopes fill, hour by hour."""
        if self.certified is None:
            return ()
        return binding(self.case.limits, self.certified, np.maximum(self.needed, 0.0))

    @property
    def needed(self) -> Floats:
        """Extents ``(4 N, T)`` that the schedule needs with its margins."""
        return extents(self.problem, self.clearing, self.case.room)

    @cached_property
    def money(self) -> Money:
        """Who pays what."""
        return money(self.problem, self.clearing)

    @property
    def cost_eur(self) -> float:
        """Cost of all communities together, a charge on losses left out [EUR]."""
        losses = self.problem.losses
        if losses is None:
            return self.clearing.objective_eur
        p_kw, q_kvar = self.clearing.position_kw, self.clearing.position_kvar
        positions = np.concatenate([p_kw, q_kvar])[: losses.rows.shape[1]]
        charged = charge_eur(losses, positions, self.problem.dt_h)
        return self.clearing.objective_eur - charged

    @property
    def loss_kwh(self) -> float:
        """Losses of the feeder over the day."""
        return float(self.problem.dt_h * self.flow.loss_kw.sum())

    @property
    def loss_kvarh(self) -> float:
        """Reactive losses of the feeder over the day."""
        return float(self.problem.dt_h * self.flow.loss_kvar.sum())

    @property
    def traded_mwh(self) -> float:
        """Active energy traded between communities."""
        trades = self.clearing.trades
        return 0.0 if trades is None else self._energy(trades.flow_kw)

    @property
    def traded_mvarh(self) -> float:
        """Reactive energy traded between communities."""
        trades = self.clearing.reactive_trades
        return 0.0 if trades is None else self._energy(trades.flow_kw)

    def _energy(self, flow_kw: Floats) -> float:
        return float(mw_from_kw(self.problem.dt_h * flow_kw.sum()))

    @property
    def linear_gap_pu(self) -> float:
        """By how much the linear model's voltages are off at the corners, at most; NaN without."""
        return float("nan") if self.certified is None else float(self.certified.linear_gap_pu.max())

    @property
    def schedule_violation_pu(self) -> float:
        """By how much the schedule itself leaves the voltage limits, at most."""
        limits = self.case.limits
        outside = np.maximum(self.flow.vm_pu - limits.v_max_pu, limits.v_min_pu - self.flow.vm_pu)
        return float(max(outside[1:].max(), 0.0))

    @property
    def used_share(self) -> float:
        """Share of what is allowed, on the side of each schedule, that it needs with its margin."""
        half = 2 * len(self.case.at)
        given, needed = self.allowed.extent[:half], self.needed[:half]
        up = self.clearing.position_kw >= 0.0
        side = np.concatenate([up, ~up]) & (given > NO_EXTENT_KW)
        return float(needed[side].sum() / given[side].sum()) if side.any() else float("nan")

    @property
    def jain_boxes(self) -> float:
        """Fairness of the widths of the envelopes, relative to contracts; NaN without."""
        if self.boxes is None:
            return float("nan")
        contract = Boxes.of_extent(self.case.contract).width_kw().sum(axis=1)
        return jain(self.boxes.width_kw().sum(axis=1) / np.maximum(contract, NO_EXTENT_KW))

    def savings_eur(self, base: "Day") -> Floats:
        """What each community saves against another day, ``(N,)`` [EUR]."""
        return np.asarray(base.money.total_eur - self.money.total_eur)

    def jain_savings(self, base: "Day") -> float:
        """Fairness of the savings; who pays more than before counts as saving nothing."""
        return jain(np.maximum(self.savings_eur(base), 0.0))


def jain(values: Floats) -> float:
    """Jain's index: 1 where all have the same, 1/N where one has all; NaN where nobody has any.

    R. K. Jain, D.-M. Chiu and W. R. Hawe, "A quantitative measure of fairness and discrimination
    for resource allocation in shared computer systems", DEC-TR-301, 1984.

    Examples
    --------
    >>> jain(np.array([1.0, 1.0])), jain(np.array([1.0, 0.0]))
    (1.0, 0.5)
    """
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares > 0.0 else float("nan")
