"""What is to be planned: a feeder with its load and prices, and what may be built where.

Everything that can be built is a *technology*: one kind of thing, measured in units of its size
(kWp, kW, kWh, vehicles), at some of its candidate buses. A :class:`Plant` feeds in what its unit
profile says; a :class:`Storage` moves energy inside bounds that are given per unit of size, so a
battery (bounds constant) and a charging station (charging while plugged in, energy promised at
departures, energy used on trips) are the same thing. Powers are constant over each of T steps.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.network.feeder import Feeder
from peergrid.planning.checks import check
from peergrid.units import kw_from_pu, pu_from_kw

if TYPE_CHECKING:
    from pandapower import pandapowerNet

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Objective = Literal["cost", "traded"]
OBJECTIVES: tuple[Objective, ...] = ("cost", "traded")


@dataclass(frozen=True, kw_only=True, eq=False)
class Technology:
    """What can be built, per unit of its size.

    Parameters
    ----------
    name
        What it is called, such as ``pv`` or ``ev-2``.
    unit
        Unit of its size: ``kWp``, ``kW``, ``kWh``, ``vehicles``.
    rows
        Feeder rows of its candidate buses.
    sites
        Largest number of buses that get one.
    max_per_site
        Largest size at one bus.
    total_min, total_max
        Bounds of the sum over all buses.
    whole
        Whether sizes are whole numbers.
    capex_eur
        Investment per unit, what a budget counts.
    cost_eur
        Share of investment and upkeep that the planned steps bear, less fixed revenue, per unit.
    """

    name: str
    unit: str
    rows: Ints
    sites: int
    max_per_site: float
    total_min: float = 0.0
    total_max: float = np.inf
    whole: bool = False
    capex_eur: float = 0.0
    cost_eur: float = 0.0

    @property
    def slots(self) -> int:
        """Buses that can really get one."""
        return min(self.sites, len(self.rows))

    @property
    def largest_total(self) -> float:
        """What all sites together can hold."""
        return float(min(self.slots * self.max_per_site, self.total_max))


@dataclass(frozen=True, kw_only=True, eq=False)
class Plant(Technology):
    """A plant that feeds in what sun or wind gives.

    Parameters
    ----------
    available_kw
        Power per unit of size ``(T,)``.
    """

    available_kw: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage(Technology):
    """Something that stores energy: batteries, or vehicles at their chargers.

    The energy per unit of size obeys ``e[t+1] = e[t] + (eta_charge charge[t] - discharge[t] /
    eta_discharge) dt - demand[t]``, and never charges and discharges at once.

    Parameters
    ----------
    charge_kw, discharge_kw
        Largest powers per unit ``(T,)``; zero where it is not plugged in.
    e_min_kwh, e_max_kwh
        Bounds of the energy per unit ``(T + 1,)``; the last entry of ``e_min_kwh`` says how full
        it must be in the end.
    e_start_kwh
        Energy per unit at the start.
    demand_kwh
        Used elsewhere, by trips, per unit ``(T,)``.
    eta_charge, eta_discharge
        Efficiencies.
    wear_eur_per_kwh
        Per kWh charged and per kWh discharged.
    """

    charge_kw: Floats
    discharge_kw: Floats
    e_min_kwh: Floats
    e_max_kwh: Floats
    e_start_kwh: float
    demand_kwh: Floats
    eta_charge: float = 0.95
    eta_discharge: float = 0.95
    wear_eur_per_kwh: float = 0.0

    def reach(self, dt_h: float) -> tuple[Floats, Floats]:
        """Least and most energy from which the rest can be kept, ``(T + 1,)`` each [kWh].

        Backward reachable sets of a linear system in one dimension, as in
        :mod:`peergrid.devices.storage`, to both sides.
        """
        low, high = self.e_min_kwh.copy(), self.e_max_kwh.copy()
        for t in range(len(self.charge_kw) - 1, -1, -1):
            gain = self.eta_charge * self.charge_kw[t] * dt_h
            give = self.discharge_kw[t] / self.eta_discharge * dt_h
            low[t] = max(low[t], low[t + 1] - gain + self.demand_kwh[t])
            high[t] = min(high[t], high[t + 1] + give + self.demand_kwh[t])
        return low, high


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A planning problem over T steps on a feeder of n buses.

    Parameters
    ----------
    name
        Of the case.
    feeder
        The feeder, with the voltage of its root.
    dt_h
        Length of a step [h].
    p_inj_kw, q_inj_kvar
        What is there without the plan, as injections ``(n, T)``.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        Of energy drawn from and fed into the external grid ``(T,)``.
    technologies
        What can be built.
    v_min_pu, v_max_pu
        Voltage band.
    max_loading
        Largest current over rating [1].
    budget_eur
        Largest investment.
    objective
        ``cost`` of the community, or energy ``traded`` inside it (maximised).
    exclusive
        Whether a connection point either sells or buys in a step; ``traded`` insists on it.
    net
        The net that pandapower checks answers on; made from the feeder if absent.

    Raises
    ------
    DataError
        If the problem contradicts itself.
    """

    name: str
    feeder: Feeder
    dt_h: float
    p_inj_kw: Floats
    q_inj_kvar: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    technologies: tuple[Technology, ...]
    v_min_pu: float = 0.9
    v_max_pu: float = 1.1
    max_loading: float = 1.0
    budget_eur: float = np.inf
    objective: Objective = "cost"
    exclusive: bool = True
    net: "pandapowerNet | None" = None

    def __post_init__(self) -> None:
        check(self)

    @property
    def steps(self) -> int:
        """Number of steps T."""
        return int(self.p_inj_kw.shape[1])

    @property
    def plants(self) -> list[Plant]:
        """Technologies that feed in what they can."""
        return [t for t in self.technologies if isinstance(t, Plant)]

    @property
    def storages(self) -> list[Storage]:
        """Technologies that store."""
        return [t for t in self.technologies if isinstance(t, Storage)]

    @cached_property
    def worst_cost_eur(self) -> float:
        """More than any plan that keeps the limits can cost [EUR]."""
        price = np.abs(self.price_import_eur_per_kwh)
        price = np.maximum(price, np.abs(self.price_feed_in_eur_per_kwh))
        flow = np.abs(self.p_inj_kw).sum(axis=0)
        built = 0.0
        for technology in self.technologies:
            size, power = technology.largest_total, np.maximum(*reach_kw(technology))
            flow = flow + size * power
            built += size * abs(technology.cost_eur)
            if isinstance(technology, Storage):
                built += size * technology.wear_eur_per_kwh * self.dt_h * float(power.sum())
        flow = flow + self._largest_loss_kw(float(flow.max(initial=0.0)))
        return float(price @ flow) * self.dt_h + built + 1.0

    def _largest_loss_kw(self, flow_kw: float) -> float:
        """Losses at the highest loading, or, without ratings, if all power took every branch."""
        f = self.feeder
        rated = self.max_loading * f.i_max_pu[1:]
        reactive_kvar = float(np.abs(self.q_inj_kvar).sum(axis=0).max(initial=0.0))
        most = 2.0 * pu_from_kw(flow_kw + reactive_kvar, f.base_mva) / self.v_min_pu
        series = f.r_pu[1:] * np.where(np.isfinite(rated), rated, most) ** 2
        shunt = np.abs(f.g_sh_pu) * self.v_max_pu**2
        return float(kw_from_pu(float(np.abs(series).sum() + shunt.sum()), f.base_mva))


def reach_kw(technology: Technology) -> tuple[Floats, Floats]:
    """Largest injection and largest draw of a unit ``(T,)`` each."""
    if isinstance(technology, Plant):
        return technology.available_kw, np.zeros_like(technology.available_kw)
    if isinstance(technology, Storage):
        return technology.discharge_kw, technology.charge_kw
    raise TypeError(type(technology).__name__)
