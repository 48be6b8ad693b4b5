"""The private side of the clearing: what agents know of themselves and how they answer prices.

Agents are resources (devices); several belong to one participant. Their data never leave
:class:`Agents`: the coordinator sends targets and weights, agents return proposals, and for the
certificate the optimal values of their problems. Rows of all arrays are resources, columns time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, Storage
from peergrid.errors import DataError, ModelError
from peergrid.market import storage_prox

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Agents:
    """Private problems of R flexible resources over T steps.

    Cost of a schedule ``p`` (EUR): ``sum_t dt_h (linear p + quadratic p^2 + discomfort
    (p - p_ref)^2) + wear (charge + discharge) dt_h``, ``p_min <= p <= p_max``, and for storages
    the energy recursion of :mod:`peergrid.market.storage_prox`.
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

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Proximal step of every agent: least cost plus ``weight / 2 (p - target)^2``.

        Parameters
        ----------
        target_kw
            ``(R, T)``.
        weight_eur_per_kw2
            ``(R,)``.

        Returns
        -------
        ndarray
            ``(R, T)`` proposed injections [kW].
        """
        return self._answer(target_kw, weight_eur_per_kw2)[0]

    def best_value(self, price_eur_per_kwh: Floats) -> Floats:
        """Least of cost minus revenue at given prices ``(R, T)``, per agent ``(R,)`` [EUR].

        These are the dual values from which the lower bound is built; they tell nothing else.
        """
        priced = self._with_price(price_eur_per_kwh)
        resources, steps = self.shape
        p_kw, charge, discharge = priced._answer(np.zeros((resources, steps)), np.zeros(resources))
        return priced._cost(p_kw, charge, discharge)

    def cost(self, p_kw: Floats) -> Floats:
        """Cost of proposed schedules ``(R, T)`` per agent [EUR]; storages: without burning."""
        charge, discharge = np.maximum(-p_kw, 0.0), np.maximum(p_kw, 0.0)
        return self._cost(p_kw, charge[self.stores], discharge[self.stores])

    def within(self, p_min_kw: Floats, p_max_kw: Floats) -> "Agents":
        """The same agents with limits ``(R, T)`` that are at least as tight as their own."""
        low = np.clip(p_min_kw, self.p_min_kw, self.p_max_kw)
        high = np.clip(p_max_kw, low, self.p_max_kw)
        box = _storage_box(low[self.stores], high[self.stores])
        return replace(self, p_min_kw=low, p_max_kw=high, storage=(box, *self.storage[1:]))

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

    def _answer(self, target_kw: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
        """Minimiser for each agent; fold the quadratic cost into weight and target."""
        curvature = 2.0 * self.dt_h * (self.quadratic_eur_per_kw2h + self.discomfort_eur_per_kw2h)
        total = (weight + curvature)[:, None]
        pull = (
            weight[:, None] * target_kw
            + 2.0 * self.dt_h * self.discomfort_eur_per_kw2h[:, None] * self.p_ref_kw
            - self.dt_h * self.linear_eur_per_kwh
        )
        flat = total <= 0.0
        ideal = np.where(
            flat, np.where(pull > 0.0, np.inf, -np.inf), pull / np.where(flat, 1.0, total)
        )
        p_kw = np.clip(ideal, self.p_min_kw, self.p_max_kw)
        charge = discharge = np.empty((0, p_kw.shape[1]))
        if len(self.stores):
            charge, discharge = self._store(pull[self.stores], total[self.stores, 0])
            p_kw[self.stores] = discharge - charge
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
            raise ModelError(f"storage {int(self.stores[failed])}: no schedule meets its energies")
        return charge, discharge


def build_agents(messages: Sequence[Flexibility], steps: int, dt_h: float) -> Agents:
    """Private problems from flexibility messages, which must all cover ``steps`` steps.

    Raises
    ------
    DataError
        If a message is shorter than the horizon.
    """
    for message in messages:
        if message.steps < steps:
            raise DataError("flexibility message", "p_max_kw", message.steps, f"{steps} steps")
    stores = [i for i, message in enumerate(messages) if message.storage is not None]
    return Agents(
        dt_h=dt_h,
        p_min_kw=_stack([m.p_min_kw for m in messages], steps),
        p_max_kw=_stack([m.p_max_kw for m in messages], steps),
        p_ref_kw=_stack([m.p_ref_kw for m in messages], steps),
        linear_eur_per_kwh=_stack([_linear(m) for m in messages], steps),
        quadratic_eur_per_kw2h=np.array([m.cost.quadratic_eur_per_kw2h for m in messages]),
        discomfort_eur_per_kw2h=np.array([m.cost.discomfort_eur_per_kw2h for m in messages]),
        wear_eur_per_kwh=np.array([m.cost.wear_eur_per_kwh for m in messages]),
        stores=np.array(stores, dtype=np.int64),
        storage=_storages([messages[i] for i in stores], steps),
    )


def _linear(message: Flexibility) -> Floats:
    """Linear cost per kWh; staying below ``p_max`` costs ``cut_cost`` per kWh."""
    linear = np.broadcast_to(message.cost.linear_eur_per_kwh, message.p_max_kw.shape)
    return np.asarray(linear - message.cost.cut_cost_eur_per_kwh, dtype=np.float64)


def _stack(rows: Sequence[Floats], steps: int) -> Floats:
    stacked = np.empty((len(rows), steps))
    for i, row in enumerate(rows):
        stacked[i] = row[:steps]
    return stacked


def _storages(messages: Sequence[Flexibility], steps: int) -> tuple[Any, ...]:
    """Columns for :func:`peergrid.market.storage_prox.solve`."""
    stores: list[Storage] = [m.storage for m in messages if m.storage is not None]
    p_min = _stack([m.p_min_kw for m in messages], steps)
    p_max = _stack([m.p_max_kw for m in messages], steps)
    return (
        _storage_box(p_min, p_max),
        _stack([s.eta_charge for s in stores], steps),
        _stack([s.eta_discharge for s in stores], steps),
        np.array([1.0 - s.leak for s in stores]),
        _stack([s.demand_kwh for s in stores], steps),
        np.array([s.e_now_kwh for s in stores]),
        _stack([s.e_min_kwh[1:] for s in stores], steps),
        _stack([s.e_max_kwh[1:] for s in stores], steps),
    )


def _storage_box(p_min_kw: Floats, p_max_kw: Floats) -> Floats:
    """Least and most charge, least and most discharge from limits on the injection."""
    return np.stack(
        [
            np.maximum(-p_max_kw, 0.0),
            np.maximum(-p_min_kw, 0.0),
            np.maximum(p_min_kw, 0.0),
            np.maximum(p_max_kw, 0.0),
        ]
    )
