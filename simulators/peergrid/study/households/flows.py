"""What flows in a day of households: arrays in plain numbers, from a plan or from a file.

Arrays are ``(N, S, T)``: household, scenario, time [kW]. A day that was metered has one scenario of
probability 1.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market.stochastic_plan import Plan
from peergrid.study.households.day import StudyDay

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Flows:
    """A day of N households, L lines and B buses (the head left out), S scenarios, T steps.

    Parameters
    ----------
    names, lines, buses
        Of the households, of the lines ("89-90") and of the buses ("90").
    may_sell
        ``(N,)``; who may is a prosumer, who may not a consumer.
    probability
        ``(S,)``.
    dt_h
        Step length [h].
    hour_of_day
        ``(T,)`` local hour at which each step begins.
    buy_kw, sell_kw
        Trade with the retailer.
    buy_local_kw, sell_local_kw
        Trade with neighbours.
    pv_kw
        PV that was used or sold, not what the sun offered.
    storage_out_kw, storage_in_kw
        Discharge and charge of batteries and vehicles at the connection point.
    loading
        ``(L, S, T)`` of each line, against its rating.
    vm_pu
        ``(B, S, T)`` voltages.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(S, T)`` of the retailer.
    fee_eur_per_kwh
        On each kWh traded between neighbours.
    """

    names: tuple[str, ...]
    lines: tuple[str, ...]
    buses: tuple[str, ...]
    may_sell: Bools
    probability: Floats
    dt_h: float
    hour_of_day: Floats
    buy_kw: Floats
    sell_kw: Floats
    buy_local_kw: Floats
    sell_local_kw: Floats
    pv_kw: Floats
    storage_out_kw: Floats
    storage_in_kw: Floats
    loading: Floats
    vm_pu: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    fee_eur_per_kwh: float

    @property
    def consumption_kw(self) -> Floats:
        """Net import and PV used: load, appliances, cooling, and what storage takes on balance.

        Over a day that ends with the energy it began with, the last is the losses of storages and
        what vehicles use on trips.
        """
        bought = self.buy_kw + self.buy_local_kw - self.sell_kw - self.sell_local_kw
        return np.asarray(bought + self.pv_kw)

    @property
    def used_kw(self) -> Floats:
        """Load, appliances and cooling alone, never negative."""
        used = self.consumption_kw + self.storage_out_kw - self.storage_in_kw
        return np.asarray(np.maximum(used, 0.0))

    @cached_property
    def paired(self) -> tuple[Floats, Floats]:
        """Sold to and bought from neighbours, equal in sum in each step and scenario.

        A solver leaves them apart by its tolerance; both are scaled to their mean.
        """
        sold, bought = np.maximum(self.sell_local_kw, 0.0), np.maximum(self.buy_local_kw, 0.0)
        totals = sold.sum(axis=0), bought.sum(axis=0)
        both = (totals[0] > 0.0) & (totals[1] > 0.0)
        middle = (totals[0] + totals[1]) / 2.0
        sold_factor, bought_factor = (
            np.divide(middle, total, out=np.zeros_like(middle), where=both) for total in totals
        )
        return sold * sold_factor, bought * bought_factor

    def expected(self, values: Floats) -> Floats:
        """Mean over the scenarios, ``(..., S, T)`` to ``(..., T)``."""
        return np.asarray(np.einsum("s,...st->...t", self.probability, values))

    def energy_kwh(self, power_kw: Floats) -> Floats:
        """Expected energy of the day, ``(..., S, T)`` to ``(...,)``."""
        return np.asarray(self.dt_h * self.expected(power_kw).sum(axis=-1))

    def hours(self, first: float, last: float) -> Bools:
        """Steps that begin at or after one hour of the day and before another, ``(T,)``."""
        return np.asarray((self.hour_of_day >= first) & (self.hour_of_day < last))


def flows_of(plan: Plan, day: StudyDay) -> Flows:
    """What flows under a plan. Storage is what can give back: batteries and vehicles, not cooling.

    Raises
    ------
    SolverError
        If the plan was made without a feeder.
    """
    asked = plan.day
    if plan.network is None or asked.wires is None:
        raise SolverError("these households were planned without the feeder between them")
    feeder = asked.wires.feeder
    stores = asked.stores
    pv, into, out = (np.zeros(asked.shape) for _ in range(3))
    np.add.at(pv, asked.plants.owner, plan.plant_kw)
    np.add.at(into, stores.owner[stores.two_way], plan.charge_kw[stores.two_way])
    np.add.at(out, stores.owner[stores.two_way], plan.discharge_kw[stores.two_way])
    parents = feeder.bus_id[feeder.parent[1:]]
    pairs = zip(parents, feeder.bus_id[1:], strict=True)
    return Flows(
        names=asked.names,
        lines=tuple(f"{parent}-{bus}" for parent, bus in pairs),
        buses=tuple(str(bus) for bus in feeder.bus_id[1:]),
        may_sell=asked.may_sell,
        probability=asked.probability,
        dt_h=asked.dt_h,
        hour_of_day=np.arange(day.profiles.span.n_total, dtype=np.float64) * asked.dt_h,
        buy_kw=plan.buy_kw,
        sell_kw=plan.sell_kw,
        buy_local_kw=plan.buy_local_kw,
        sell_local_kw=plan.sell_local_kw,
        pv_kw=pv,
        storage_out_kw=out,
        storage_in_kw=into,
        loading=plan.network.loading[1:],
        vm_pu=plan.network.vm_pu[1:],
        price_import_eur_per_kwh=asked.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=asked.price_feed_in_eur_per_kwh,
        fee_eur_per_kwh=asked.fee_eur_per_kwh,
    )
