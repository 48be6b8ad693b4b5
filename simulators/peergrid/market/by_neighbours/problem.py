"""The private problem of one bus in the clearing by neighbours: equations (1)-(16) around it.

Numbers of D. Antunes, T. Soares, H. Morais, "P2P markets to support trading in smart grids with
electric vehicles"; what of them is mended is listed in :mod:`peergrid.market.by_neighbours`. Around
bus n, whose line comes from its parent and whose children have lines of their own::

    parent, v fixed (22)      P, Q, l      bus n: v         P_j, Q_j
          o---------------[r + jx]------------o----------------------> children j
       multiplier of P, Q:  +y                | p, q            -y of line j (same y, other sign)
                                              resources, firm load, trade, import, export

Everything is per unit of :class:`peergrid.market.by_neighbours.bus.Units`, costs are per hour.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from peergrid.market.agents import opened
from peergrid.market.by_neighbours.bus import Bus, Units
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
SLACK_PRICE = 20.0  # of squared voltage beyond its limits, price units times power units per pu^2


@dataclass(frozen=True, kw_only=True, eq=False)
class Unknowns:
    """Variables of an agent, all ``(rows, T)`` in units."""

    shared: Any
    imports: Any
    exports: Any
    plants: Any
    charge: Any
    discharge: Any
    energy: Any
    current: Any
    voltage: Any
    beyond: Any

    @classmethod
    def of(cls, bus: Bus, steps: int) -> "Unknowns":
        """Fresh variables."""
        stores, lines = len(bus.stores), int(not bus.is_root)
        rows = {"shared": bus.rows, "imports": 1, "exports": 1, "plants": len(bus.plants)}
        rows |= dict.fromkeys(("charge", "discharge", "energy"), stores)
        rows |= dict.fromkeys(("current", "voltage", "beyond"), lines)
        return cls(**{name: _variable(name, count, steps) for name, count in rows.items()})


def _variable(name: str, rows: int, steps: int) -> Any:
    return cp.Variable((rows, steps), name=name) if rows else np.zeros((0, steps))


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """Parameters of an agent, set anew in every iteration.

    ``pull`` is the linear and ``rho`` half the quadratic coefficient of the augmented terms of
    (17) on ``shared``; ``v_parent`` the squared voltage of (22).
    """

    pull: Any
    rho: Any
    v_parent: Any

    @classmethod
    def of(cls, bus: Bus, steps: int) -> "Told":
        """Fresh parameters."""
        return cls(
            pull=cp.Parameter((bus.rows, steps)),
            rho=cp.Parameter(nonneg=True),
            v_parent=cp.Parameter((1, steps), nonneg=True),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """Constraints and costs of one agent, each in a function of its own."""

    problem: Problem
    bus: Bus
    units: Units
    unknown: Unknowns
    told: Told

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return len(self.bus.firm_p)

    @cached_property
    def injection(self) -> Any:
        """Net active injection of the bus, ``(1, T)``."""
        u = self.unknown
        return self.bus.firm_p[None, :] + _total(u.plants) + _total(u.discharge) - _total(u.charge)

    @cached_property
    def loss(self) -> Any:
        """Loss of the bus's own line, which its owner buys, ``(1, T)``."""
        return self.bus.r * _total(self.unknown.current)

    @property
    def own(self) -> tuple[Any, Any]:
        """P and Q into its own line at the parent's end, ``(1, T)`` each."""
        return self.unknown.shared[1:2], self.unknown.shared[2:3]

    @property
    def down(self) -> tuple[Any, Any]:
        """Total P and Q into the lines of its children, ``(1, T)`` each."""
        first, count = 1 + 2 * (not self.bus.is_root), len(self.bus.children)
        flows = self.unknown.shared[first:] if count else np.zeros((0, self.steps))
        return _total(flows[:count]), _total(flows[count:])

    def trade_balance(self) -> Any:
        """(2) and (3), signs mended: what is not injected is bought here, imported or exported."""
        u = self.unknown
        return self.injection - self.loss + u.shared[0:1] + u.imports - u.exports == 0.0

    def active_flow(self) -> Any:
        """(5) with the flow at the sending end."""
        return self.injection + self.own[0] - self.loss - self.down[0] == 0.0

    def reactive_flow(self) -> Any:
        """(6) with the flow at the sending end."""
        lost = self.bus.x * self.unknown.current
        return self.bus.firm_q[None, :] + self.own[1] - lost - self.down[1] == 0.0

    def voltage_drop(self) -> Any:
        """(7) in squared voltages and currents."""
        r, x = self.bus.r, self.bus.x
        drop = 2.0 * (r * self.own[0] + x * self.own[1])
        rise = (r**2 + x**2) * self.unknown.current
        return self.unknown.voltage == self.told.v_parent - drop + rise

    def cone(self) -> Any:
        """(8) as a second-order cone: ``v_parent l >= P^2 + Q^2``."""
        v, squared = self.told.v_parent, self.unknown.current
        legs = cp.vstack([2.0 * self.own[0], 2.0 * self.own[1], v - squared])
        return cp.SOC(cp.vec(v + squared, order="F"), legs, axis=0)

    def voltage_limits(self) -> list[Any]:
        """(10), elastic: a parent's voltage fixed by (22) can leave no other answer."""
        u = self.unknown
        return [
            u.voltage >= self.bus.v_min[None, :] - u.beyond,
            u.voltage <= self.bus.v_max[None, :] + u.beyond,
            u.beyond >= 0.0,
        ]

    def current_limit(self) -> list[Any]:
        """Rating of the line, where the grid limits currents."""
        finite = np.isfinite(self.bus.l_max)
        return [self.unknown.current <= self.bus.l_max] if finite else []

    def plant_limits(self) -> list[Any]:
        """(9)."""
        agents, rows = opened(self.problem.agents), self.bus.plants
        low, high = agents.p_min_kw[rows], agents.p_max_kw[rows]
        return _box(self.unknown.plants, low / self.units.power_kw, high / self.units.power_kw)

    def store_limits(self) -> list[Any]:
        """(11), (13) and (14) without the binaries of (12)."""
        box, _, _, _, _, _, e_lo, e_hi = opened(self.problem.agents).storage
        u, at, unit = self.unknown, self.bus.store_at, self.units.power_kw
        return [
            *_box(u.charge, box[0, at] / unit, box[1, at] / unit),
            *_box(u.discharge, box[2, at] / unit, box[3, at] / unit),
            *_box(u.energy, e_lo[at] / unit, e_hi[at] / unit),
        ]

    def store_energy(self) -> list[Any]:
        """(15), with a share kept from step to step."""
        u, at, unit = self.unknown, self.bus.store_at, self.units.power_kw
        _, eta_c, eta_d, keep, demand, e_now, _, _ = opened(self.problem.agents).storage
        first = (e_now[at] / unit)[:, None]
        before = cp.hstack([first, u.energy[:, :-1]]) if first.size else u.energy
        gain = cp.multiply(eta_c[at], u.charge) - cp.multiply(1.0 / eta_d[at], u.discharge)
        kept = cp.multiply(np.tile(keep[at][:, None], u.energy.shape[1]), before)
        after = kept + self.problem.dt_h * gain - demand[at] / unit
        return [u.energy == after] if first.size else []

    def participant_boxes(self) -> list[Any]:
        """Envelopes of the participants of the bus that have resources."""
        problem, unit = self.problem, self.units.power_kw
        limits = []
        for who in np.unique(problem.owner[np.concatenate([self.bus.plants, self.bus.stores])]):
            plants = problem.owner[self.bus.plants] == who
            stores = problem.owner[self.bus.stores] == who
            u = self.unknown
            flexible = _total(u.plants[plants]) + _total((u.discharge - u.charge)[stores])
            room = [
                box[who] - problem.firm_kw[who] for box in (problem.box_min_kw, problem.box_max_kw)
            ]
            limits += _box(flexible, room[0][None, :] / unit, room[1][None, :] / unit)
        return limits

    def balances(self) -> list[Any]:
        """Balances of the trade and, but for the root, of the active and the reactive flow."""
        flows = [] if self.bus.is_root else [self.active_flow(), self.reactive_flow()]
        return [self.trade_balance(), *flows]

    def limits(self) -> list[Any]:
        """All other constraints."""
        limits = [self.unknown.imports >= 0.0, self.unknown.exports >= 0.0]  # (16)
        limits += [*self.plant_limits(), *self.participant_boxes()]
        if len(self.bus.stores):
            limits += [*self.store_limits(), *self.store_energy()]
        if not self.bus.is_root:
            limits += [self.voltage_drop(), self.cone()]
            limits += [*self.voltage_limits(), *self.current_limit()]
        return limits

    def resource_cost(self) -> Any:
        """Linear, quadratic and wear cost of the resources, per hour."""
        agents, u = opened(self.problem.agents), self.unknown
        price, cost = self.units.price_eur_per_kwh, 0.0
        linear = agents.linear_eur_per_kwh / price
        for powers, rows in (
            (u.plants, self.bus.plants),
            (u.discharge - u.charge, self.bus.stores),
        ):
            if len(rows):
                cost += cp.sum(cp.multiply(linear[rows], powers)) + self._bent(powers, rows)
        if len(self.bus.stores):
            wear = np.tile(agents.wear_eur_per_kwh[self.bus.stores, None] / price, self.steps)
            cost += cp.sum(cp.multiply(wear, u.charge + u.discharge))
        return cost

    def _bent(self, powers: Any, rows: Indices) -> Any:
        """Quadratic cost and discomfort of some resources, where they have any."""
        agents, cost = opened(self.problem.agents), 0.0
        unit = self.units.power_kw / self.units.price_eur_per_kwh
        reference = agents.p_ref_kw[rows] / self.units.power_kw
        for i, row in enumerate(rows):
            bent = float(agents.quadratic_eur_per_kw2h[row]) * unit
            away = float(agents.discomfort_eur_per_kw2h[row]) * unit
            if bent:
                cost += bent * cp.sum_squares(powers[i])
            if away:
                cost += away * cp.sum_squares(powers[i] - reference[i])
        return cost

    def retail_cost(self) -> Any:
        """Import at the supplier's price less export at the feed-in tariff, per hour."""
        price = self.units.price_eur_per_kwh
        buy = self.problem.price_import_eur_per_kwh / price
        sell = self.problem.price_feed_in_eur_per_kwh / price
        return cp.sum(self.unknown.imports @ buy) - cp.sum(self.unknown.exports @ sell)

    def augmented(self) -> Any:
        """Terms of (17) on the trade and the copies of flows."""
        shared, told = self.unknown.shared, self.told
        return cp.sum(cp.multiply(told.pull, shared)) + told.rho / 2.0 * cp.sum_squares(shared)

    def beyond_cost(self) -> Any:
        """Price of voltages beyond their limits."""
        return SLACK_PRICE * cp.sum(self.unknown.beyond) if not self.bus.is_root else 0.0

    def own_cost(self) -> Any:
        """Its share of (1)."""
        return self.resource_cost() + self.retail_cost()


def _total(rows: Any) -> Any:
    """Sum of rows, ``(1, T)``."""
    if not rows.shape[0]:
        return np.zeros((1, rows.shape[1]))
    return cp.sum(rows, axis=0, keepdims=True)


def _box(expression: Any, low: Floats, high: Floats) -> list[Any]:
    """Limits where they are finite; equalities where they leave no room."""
    fixed = high - low <= 1e-9
    limits = []
    if fixed.any():
        limits.append(expression[fixed] == low[fixed])
    below, above = np.isfinite(low) & ~fixed, np.isfinite(high) & ~fixed
    if below.any():
        limits.append(expression[below] >= low[below])
    if above.any():
        limits.append(expression[above] <= high[above])
    return limits
