"""A community's day under uncertainty: who has what, and what may come.

Arrays are ``(..., S, T)``: scenario, then time. What is decided before one knows which scenario
comes (the first stage) has no scenario axis: the starts of appliances, and whether a storage that
can do both charges or discharges. All the rest follows the scenario.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from peergrid.errors import DataError
from peergrid.market.cycle_prox import Cycles
from peergrid.network.feeder import Feeder

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plants:
    """V devices that may be anywhere between two powers, hour by hour: PV, generators.

    Parameters
    ----------
    names, owner
        Name of each, and its household ``(V,)``.
    low_kw, high_kw
        ``(V, S, T)`` least and largest injection.
    linear_eur_per_kwh
        ``(V, T)`` cost of injecting.
    tan_phi
        ``(V,)`` reactive over active injection.
    """

    names: tuple[str, ...]
    owner: Indices
    low_kw: Floats
    high_kw: Floats
    linear_eur_per_kwh: Floats
    tan_phi: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Stores:
    """B devices with an energy state: batteries, vehicles, buildings, flexible loads.

    ``e[t+1] = keep e[t] + (eta_charge charge - discharge / eta_discharge) dt - demand[t]``.

    Parameters
    ----------
    names, owner
        Name of each, and its household ``(B,)``.
    charge_kw, discharge_kw
        ``(2, B, S, T)`` least and most of either.
    eta_charge, eta_discharge
        ``(B, T)``.
    keep
        ``(B,)`` share of the energy that is still there a step later.
    demand_kwh
        ``(B, S, T)`` drawn off: trips, heat.
    e_now_kwh
        ``(B,)``.
    e_min_kwh, e_max_kwh
        ``(B, S, T)`` at the end of each step. Falling short of the least is possible at a price.
    wear_eur_per_kwh
        ``(B,)`` per kWh charged and per kWh discharged.
    linear_eur_per_kwh
        ``(B, T)`` cost of injecting.
    tan_phi
        ``(B,)`` reactive over active injection.
    """

    names: tuple[str, ...]
    owner: Indices
    charge_kw: Floats
    discharge_kw: Floats
    eta_charge: Floats
    eta_discharge: Floats
    keep: Floats
    demand_kwh: Floats
    e_now_kwh: Floats
    e_min_kwh: Floats
    e_max_kwh: Floats
    wear_eur_per_kwh: Floats
    linear_eur_per_kwh: Floats
    tan_phi: Floats

    @cached_property
    def two_way(self) -> Indices:
        """Those that can charge and discharge: they have a mode."""
        both = self.charge_kw[1].any(axis=(1, 2)) & self.discharge_kw[1].any(axis=(1, 2))
        return np.flatnonzero(both)


@dataclass(frozen=True, kw_only=True, eq=False)
class Appliances:
    """Devices that run in cycles; ``owner`` is the household of each, ``(A,)``.

    ``linear_eur_per_kwh`` ``(A, T)`` is the cost of injecting: what drawing is worth to its owner;
    None: nothing. Limits of their messages are those of the profiles.
    """

    names: tuple[str, ...]
    owner: Indices
    cycles: Cycles
    tan_phi: Floats
    linear_eur_per_kwh: Floats | None = None

    @cached_property
    def starts(self) -> tuple[Indices, Indices]:
        """Profile and first step of every start that its window allows, ``(J,)`` each."""
        cycles = self.cycles
        last = cycles.latest - cycles.length
        pairs = [(k, t) for k in range(len(last)) for t in range(cycles.earliest[k], last[k] + 1)]
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    @cached_property
    def power_of_starts(self) -> sparse.csr_array:
        """``(A T, J)`` what each start draws, step by step [kW]."""
        profile, first = self.starts
        cycles, steps = self.cycles, self.cycles.steps
        cells = [
            (self.device_of_profile[k] * steps + t + step, j, cycles.p_kw[k, step])
            for j, (k, t) in enumerate(zip(profile, first, strict=True))
            for step in range(cycles.length[k])
        ]
        row, column, power = np.array(cells, dtype=np.float64).reshape(-1, 3).T
        places = row.astype(np.int64), column.astype(np.int64)
        return sparse.csr_array((power, places), shape=(len(self.names) * steps, len(profile)))

    def drawn_kw(self, start: Floats) -> Floats:
        """Consumption of each appliance ``(A, T)`` under chosen starts ``(J, 1)``."""
        drawn = self.power_of_starts @ start.ravel()
        return np.asarray(drawn.reshape(len(self.names), self.cycles.steps))

    @cached_property
    def device_of_profile(self) -> Indices:
        """Appliance of each profile, ``(K,)``."""
        return np.repeat(np.arange(len(self.names)), np.diff(self.cycles.first))


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Costs that grow with the power: C of the plants and stores, each under P tangents.

    Parameters
    ----------
    plants, stores
        Rows of the plants, then of the stores, that have such a cost.
    slope_eur_per_kwh, offset_eur_per_h
        ``(C, P, T)``: an hour at an injection of p costs at least ``slope p + offset``.
    """

    plants: Indices
    stores: Indices
    slope_eur_per_kwh: Floats
    offset_eur_per_h: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Wires:
    """The feeder between the households, n buses; its limits are soft.

    Parameters
    ----------
    feeder
        The operator's model.
    at
        ``(N,)`` feeder row of each household.
    background_kw, background_kvar
        ``(n, T)`` injection of everybody else.
    expected_kw, expected_kvar
        ``(N, S, T)`` injections around which the linear rows are corrected.
    v_min_pu, v_max_pu
        Voltage band.
    loading
        Share of the branches' ratings that may be used; None: currents are not limited.
    over_eur_per_kwh
        Price of exceeding a rating.
    outside_eur_per_pu_h
        Price of leaving the band.
    """

    feeder: Feeder
    at: Indices
    background_kw: Floats
    background_kvar: Floats
    expected_kw: Floats
    expected_kvar: Floats
    v_min_pu: float = 0.9
    v_max_pu: float = 1.1
    loading: float | None = 1.0
    over_eur_per_kwh: float = 2.0
    outside_eur_per_pu_h: float = 5000.0


_FINITE = (
    *("firm_kw", "firm_kvar", "price_import_eur_per_kwh", "price_feed_in_eur_per_kwh"),
    "fee_eur_per_kwh",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Households:
    """What is to be planned for N households over S scenarios and T steps.

    Parameters
    ----------
    names
        Of the households.
    dt_h
        Step length [h].
    probability
        ``(S,)``.
    firm_kw, firm_kvar
        ``(N, S, T)`` injection that nobody can change.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(S, T)`` of the retailer; feed-in at most import.
    fee_eur_per_kwh
        Network fee on every kWh traded between households.
    may_sell, may_buy
        ``(N,)`` rights.
    trades
        Whether households trade with each other at all.
    export_limit_kw, import_limit_kw
        Contracts and envelopes, ``(N, T)`` or what broadcasts to it; infinite without.
    plants, stores, appliances
        The devices.
    curves
        Costs of theirs that are not linear; None: there are none.
    wires
        The feeder; None: it is not looked at.
    shortfall_eur_per_kwh
        Price of each kWh and step by which a storage falls short of its least energy.
    here_and_now
        Whether what stores do in the first step is also decided before the scenario is known.
    """

    names: tuple[str, ...]
    dt_h: float
    probability: Floats
    firm_kw: Floats
    firm_kvar: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    fee_eur_per_kwh: float
    may_sell: Bools
    may_buy: Bools
    plants: Plants
    stores: Stores
    appliances: Appliances
    trades: bool = True
    export_limit_kw: Floats | float = np.inf
    import_limit_kw: Floats | float = np.inf
    curves: Curves | None = None
    wires: Wires | None = None
    shortfall_eur_per_kwh: float = 10.0
    here_and_now: bool = False

    def __post_init__(self) -> None:
        count, scenarios, _ = self.firm_kw.shape
        probability = np.asarray(self.probability)
        whole = abs(probability.sum() - 1.0) <= 1e-9 and (probability > 0.0).all()
        if len(probability) != scenarios or not whole:
            allowed = f"{scenarios} numbers above 0 that add up to 1"
            raise DataError("households", "probability", probability.tolist(), allowed)
        for name in _FINITE:
            if not np.isfinite(getattr(self, name)).all():
                raise DataError("households", name, "NaN or infinite", "finite numbers")
        if self.fee_eur_per_kwh < 0.0:
            raise DataError("households", "fee_eur_per_kwh", self.fee_eur_per_kwh, "0 or more")
        if (self.price_feed_in_eur_per_kwh > self.price_import_eur_per_kwh + 1e-12).any():
            allowed = "at most price_import_eur_per_kwh"
            raise DataError("households", "price_feed_in_eur_per_kwh", "above it", allowed)
        for name in ("plants", "stores", "appliances"):
            owner = np.asarray(getattr(self, name).owner)
            if ((owner < 0) | (owner >= count)).any():
                allowed = f"0 to {count - 1}, a household each"
                raise DataError("households", f"{name}.owner", owner.tolist(), allowed)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Households N, scenarios S, steps T."""
        count, scenarios, steps = self.firm_kw.shape
        return count, scenarios, steps

    @cached_property
    def step(self) -> Indices:
        """Step of each column, ``(K,)``."""
        _, scenarios, steps = self.shape
        return np.tile(np.arange(steps), scenarios)

    @cached_property
    def weight_h(self) -> Floats:
        """Probability times step length of each column, ``(K,)`` [h]."""
        return np.repeat(self.probability, self.shape[2]) * self.dt_h

    def flat(self, values: Floats) -> Floats:
        """``(n, S, T)`` as ``(n, K)``."""
        _, scenarios, steps = self.shape
        return np.asarray(values).reshape(len(values), scenarios * steps)

    @property
    def without_storage_kw(self) -> Floats:
        """Injections with all plants at their most and nothing stored, ``(N, S, T)``."""
        found = self.firm_kw.copy()
        np.add.at(found, self.plants.owner, self.plants.high_kw)
        return found

    def expected(self, values: Floats) -> Floats:
        """Mean over the scenarios, ``(n, S, T)`` to ``(n, T)``."""
        return np.asarray(np.einsum("nst,s->nt", values, self.probability))
