"""The agents' own side of the clearing: what they know of themselves and how they answer prices."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError, ModelError
from peergrid.market import cycle_prox, storage_prox
from peergrid.market.blocks.inverter import Inverters
from peergrid.market.burning import burning_kw
from peergrid.market.cycle_prox import Cycles, build_cycles
from peergrid.market.participant import Participants
from peergrid.market.reactive import Reactive

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Agents:
    """Private problems of R flexible resources over T steps.

    Cost of a schedule ``p`` (EUR): ``sum_t dt_h (linear p + quadratic p^2 + discomfort
    (p - p_ref)^2) + wear (charge + discharge) dt_h``, ``p_min <= p <= p_max``, and for storages
    the energy recursion of :mod:`peergrid.market.storage_prox`; for cycles (``cycling``) the hull
    of their whole starts, :mod:`peergrid.market.cycle_prox`. ``stores`` and ``cycling`` are the
    resources that have one or the other. ``follow_kvar_per_kw`` ``(R,)`` is the reactive injection
    that comes with each kW, on top of what ``reactive`` offers.
    """

    dt_h: float
    p_min_kw: Floats
    p_max_kw: Floats
    p_ref_kw: Floats
    linear_eur_per_kwh: Floats
    quadratic_eur_per_kw2h: Floats
    discomfort_eur_per_kw2h: Floats
    wear_eur_per_kwh: Floats
    stores: Indices
    storage: tuple[Floats, ...]
    cycling: Indices
    cycles: Cycles
    reactive: Reactive
    follow_kvar_per_kw: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Number of resources and steps."""
        resources, steps = self.p_min_kw.shape
        return resources, steps

    @property
    def size_kw(self) -> Floats:
        """Largest power of each resource over the horizon, ``(R,)``, at least 0.1 kW."""
        reach = np.maximum(np.abs(self.p_min_kw), np.abs(self.p_max_kw))
        return np.asarray(np.maximum(reach.max(axis=1, initial=0.0), 0.1))

    @property
    def row_size_kw(self) -> Floats:
        """Reach of each row of the proposals, ``(A,)``."""
        own = self.reactive
        reach = np.maximum(np.abs(own.q_min_kvar), np.abs(own.q_max_kvar))
        q_size = np.minimum(reach.max(axis=1, initial=0.1), self.size_kw[own.resource])
        return np.concatenate([self.size_kw, np.maximum(q_size, 0.1)])

    @property
    def row_resource(self) -> Indices:
        """Resource of each row of the proposals, ``(A,)``."""
        return np.concatenate([np.arange(self.shape[0]), self.reactive.resource])

    @property
    def is_foldable(self) -> NDArray[np.bool_]:
        """Resources ``(R,)`` that can keep a limit of their participant by themselves."""
        foldable = np.array((self.p_max_kw > self.p_min_kw).any(axis=1), dtype=bool)
        foldable[self.cycling] = False
        return foldable

    def reference_kw(self) -> Floats:
        """What the resources would do by themselves, ``(A, T)``."""
        p_kw = np.clip(self.p_ref_kw, self.p_min_kw, self.p_max_kw)
        return np.vstack([p_kw, self.reactive.q_ref_kvar])

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Proximal step of every agent: least cost plus ``weight / 2 (p - target)^2``.

        Parameters
        ----------
        target_kw
            ``(A, T)``.
        weight_eur_per_kw2
            ``(A,)``.

        Returns
        -------
        ndarray
            ``(A, T)`` proposed injections [kW, kvar].
        """
        count = self.shape[0]
        p_kw = self._answer(target_kw[:count], weight_eur_per_kw2[:count])[0]
        if len(self.reactive.resource) == 0:
            return p_kw
        weight = weight_eur_per_kw2[count:]
        return np.vstack([p_kw, self.reactive.nearest(target_kw[count:], weight, self.dt_h)])

    def best_value(self, price_eur_per_kwh: Floats) -> Floats:
        """Least of cost minus revenue at given prices ``(A, T)``, per resource ``(R,)`` [EUR].

        These are the dual values from which the lower bound is built; they tell nothing else.
        """
        count, steps = self.shape
        priced = self._with_price(price_eur_per_kwh[:count])
        p_kw, charge, discharge = priced._answer(np.zeros((count, steps)), np.zeros(count))
        value = priced._cost(p_kw, charge, discharge)
        best = self.reactive.best(price_eur_per_kwh[count:], self.dt_h)
        np.subtract.at(value, self.reactive.resource, best)
        return value

    def cost(self, p_kw: Floats) -> Floats:
        """Cost of proposed schedules ``(R, T)`` per agent [EUR], with what storages must burn."""
        burnt = np.nan_to_num(self.burning_kw(p_kw))
        net = p_kw[self.stores]
        return self._cost(p_kw, np.maximum(-net, 0.0) + burnt, np.maximum(net, 0.0) + burnt)

    def reactive_cost(self, q_kvar: Floats) -> Floats:
        """Cost of reactive injections ``(R, T)`` per agent [EUR], beyond what follows p."""
        cost = np.zeros(self.shape[0])
        own = self.reactive
        np.add.at(cost, own.resource, own.cost(q_kvar[own.resource], self.dt_h))
        return cost

    def burning_kw(self, p_kw: Floats) -> Floats:
        """What the storages ``(S, T)`` charge and discharge at once under ``(R, T)`` [kW]."""
        if p_kw.shape != self.shape:
            raise DataError("agents", "schedule_kw", p_kw.shape, f"shape {self.shape}")
        return burning_kw(self.storage, self.dt_h, p_kw[self.stores])

    def inverters(self) -> Inverters:
        """Second proposals of the resources whose active and reactive power limit each other."""
        own, joint = self.reactive, self.reactive.joint
        rows = np.zeros((2 * len(joint), len(self.row_resource)))
        pair = np.arange(len(joint))
        rows[pair, own.resource[joint]] = 1.0
        rows[len(joint) + pair, self.shape[0] + joint] = 1.0
        size = np.minimum(own.apparent_kva[joint], self.size_kw[own.resource[joint]])
        return Inverters(
            rows=rows,
            offset_kw=np.zeros((len(rows), self.shape[1])),
            size_kw=np.tile(np.maximum(size, 0.1), 2),
            reactive=own.of(joint),
        )

    def without_reactive(self) -> "Agents":
        """The same agents asked for active power only."""
        return replace(self, reactive=self.reactive.none())

    def with_best_starts(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> "Agents":
        """The same agents with every cycle fixed at its best whole starts.

        Best in the sense of the proximal step: cheapest at the prices at hand, and near to what
        was agreed in the relaxed clearing.
        """
        count = self.shape[0]
        total, pull = self._quadratic(target_kw[:count], weight_eur_per_kw2[:count])
        chosen = cycle_prox.nearest_all(self.cycles, total[self.cycling, 0], pull[self.cycling])
        low, high = self.p_min_kw.copy(), self.p_max_kw.copy()
        low[self.cycling] = high[self.cycling] = chosen
        none = np.empty(0, dtype=np.int64)
        return replace(
            self, p_min_kw=low, p_max_kw=high, cycling=none, cycles=build_cycles([], self.shape[1])
        )

    def within(self, p_min_kw: Floats, p_max_kw: Floats) -> "Agents":
        """The same agents with limits ``(R, T)`` that are at least as tight as their own."""
        low = np.clip(p_min_kw, self.p_min_kw, self.p_max_kw)
        high = np.clip(p_max_kw, low, self.p_max_kw)
        box = storage_box(low[self.stores], high[self.stores])
        return replace(self, p_min_kw=low, p_max_kw=high, storage=(box, *self.storage[1:]))

    def worth_of_limits(
        self, tightened: "Agents", p_kw: Floats, price_eur_per_kwh: Floats
    ) -> Floats:
        """What one more kW of the limits that were tightened is worth, ``(R, T)`` [EUR/kWh].

        The price less the marginal cost. A storage's marginal cost is the value of its energy,
        which it keeps to itself: zero here.
        """
        marginal = (
            self.linear_eur_per_kwh
            + 2.0 * self.quadratic_eur_per_kw2h[:, None] * p_kw
            + 2.0 * self.discomfort_eur_per_kw2h[:, None] * (p_kw - self.p_ref_kw)
        )
        high, low = tightened.p_max_kw, tightened.p_min_kw
        at_high = (high < self.p_max_kw - 1e-6) & (p_kw >= high - 1e-6)
        at_low = (low > self.p_min_kw + 1e-6) & (p_kw <= low + 1e-6)
        worth = np.where(at_high, -np.maximum(price_eur_per_kwh - marginal, 0.0), 0.0)
        worth += np.where(at_low, np.maximum(marginal - price_eur_per_kwh, 0.0), 0.0)
        worth[self.stores] = 0.0
        return worth

    def reactive_kvar(self, proposal: Floats) -> Floats:
        """Reactive injection of each resource ``(R, T)`` that goes with proposals ``(A, T)``."""
        count, own = self.shape[0], self.reactive
        total = np.zeros(self.shape)
        total[own.resource] = own.inside(proposal[own.resource], proposal[count:])
        return total

    def unreachable(self, tolerance_kwh: float = 1e-6) -> NDArray[np.bool_]:
        """Which resources ``(R,)`` are storages whose energy bounds no schedule can meet."""
        box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = self.storage
        low, high = e_now.copy(), e_now.copy()
        failed = np.zeros(len(e_now), dtype=bool)
        for t in range(self.shape[1]):
            fall = self.dt_h * (eta_c[:, t] * box[0, :, t] - box[3, :, t] / eta_d[:, t])
            rise = self.dt_h * (eta_c[:, t] * box[1, :, t] - box[2, :, t] / eta_d[:, t])
            low = np.maximum(keep * low + fall - demand[:, t], e_lo[:, t])
            high = np.minimum(keep * high + rise - demand[:, t], e_hi[:, t])
            failed |= low > high + tolerance_kwh
            low = np.minimum(low, high)
        result = np.zeros(self.shape[0], dtype=bool)
        result[self.stores] = failed
        return result

    def _with_price(self, price_eur_per_kwh: Floats) -> "Agents":
        return replace(self, linear_eur_per_kwh=self.linear_eur_per_kwh - price_eur_per_kwh)

    def _cost(self, p_kw: Floats, charge: Floats, discharge: Floats) -> Floats:
        per_step = (
            self.linear_eur_per_kwh * p_kw
            + self.quadratic_eur_per_kw2h[:, None] * p_kw**2
            + self.discomfort_eur_per_kw2h[:, None] * (p_kw - self.p_ref_kw) ** 2
        )
        cost: Floats = self.dt_h * per_step.sum(axis=1)
        wear = self.wear_eur_per_kwh[self.stores]
        cost[self.stores] += self.dt_h * wear * (charge + discharge).sum(axis=1)
        return cost

    def _quadratic(self, target_kw: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """Curvature ``(R, 1)`` and pull ``(R, T)`` of ``curvature / 2 p^2 - pull p``."""
        curvature = 2.0 * self.dt_h * (self.quadratic_eur_per_kw2h + self.discomfort_eur_per_kw2h)
        pull = (
            weight[:, None] * target_kw
            + 2.0 * self.dt_h * self.discomfort_eur_per_kw2h[:, None] * self.p_ref_kw
            - self.dt_h * self.linear_eur_per_kwh
        )
        return (weight + curvature)[:, None], pull

    def _answer(self, target_kw: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
        """Minimiser for each agent; the quadratic cost is folded into weight and target."""
        total, pull = self._quadratic(target_kw, weight)
        flat = total <= 0.0
        ideal = np.where(
            flat, np.where(pull > 0.0, np.inf, -np.inf), pull / np.where(flat, 1.0, total)
        )
        p_kw = np.clip(ideal, self.p_min_kw, self.p_max_kw)
        charge = discharge = np.empty((0, p_kw.shape[1]))
        if len(self.stores):
            charge, discharge = self._store(pull[self.stores], total[self.stores, 0])
            p_kw[self.stores] = discharge - charge
        if len(self.cycling):
            chosen = total[self.cycling, 0], pull[self.cycling]
            p_kw[self.cycling] = cycle_prox.project_all(self.cycles, *chosen)
        return p_kw, charge, discharge

    def _store(self, pull: Floats, weight: Floats) -> tuple[Floats, Floats]:
        """Storage answers; a zero weight is replaced by one too small to change the value."""
        size = self.size_kw[self.stores]
        weight = np.maximum(weight, 1e-9 * self.dt_h / size)
        charge, discharge = np.empty_like(pull), np.empty_like(pull)
        wear = self.dt_h * self.wear_eur_per_kwh[self.stores]
        failed = storage_prox.solve(
            self.storage, self.dt_h, weight, pull / weight[:, None], wear, charge, discharge
        )
        if failed >= 0:
            who = int(self.stores[failed])
            raise ModelError(
                f"resource {who}: no schedule meets its energies: a trip, a departure or an "
                "envelope asks for more than its powers allow; see Agents.unreachable"
            )
        return charge, discharge


def opened(agents: Participants) -> "Agents":
    """The agents' own data, for references that know everything; no part of the coordinator.

    Raises
    ------
    ModelError
        If the data are not here to be read.
    """
    if not isinstance(agents, Agents):
        raise ModelError("this needs the agents' own data, which they keep to themselves")
    return agents


def storage_box(p_min_kw: Floats, p_max_kw: Floats) -> Floats:
    """Least and most charge, least and most discharge from limits on the injection."""
    return np.stack(
        [
            np.maximum(-p_max_kw, 0.0),
            np.maximum(-p_min_kw, 0.0),
            np.maximum(p_min_kw, 0.0),
            np.maximum(p_max_kw, 0.0),
        ]
    )
