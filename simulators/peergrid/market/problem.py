"""What is to be cleared: participants with their resources, tariffs, limits, and the grid."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.market.participant import Participants
from peergrid.market.trading import Agreement, LossCharge, PqLimits, ReactiveTrade
from peergrid.network.feeder import Feeder
from peergrid.network.linear import LinearModel, lindistflow

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """The feeder between the participants, what else hangs on it, and its limits.

    Parameters
    ----------
    feeder
        The operator's model of the feeder, n buses.
    at
        ``(N,)`` feeder row of each participant.
    firm_kvar
        ``(N, T)`` reactive injection that nobody can change.
    background_kw, background_kvar
        ``(n, T)`` injection of buses without participants.
    v_min_pu, v_max_pu
        Voltage band: one number, or anything that broadcasts to ``(n, T)``.
    loading
        Share of the branches' ratings that may be used, one number or ``(n,)``; None: currents are
        not limited.
    """

    feeder: Feeder
    at: Indices
    firm_kvar: Floats
    background_kw: Floats
    background_kvar: Floats
    v_min_pu: float | Floats = 0.9
    v_max_pu: float | Floats = 1.1
    loading: float | Floats | None = None

    @classmethod
    def of(
        cls, feeder: Feeder, at: Indices, firm_kvar: Floats, **limits: float | Floats | None
    ) -> "Grid":
        """A grid on which nothing but the participants draws or injects; row 0 is the slack."""
        nothing = np.zeros((feeder.n_bus, firm_kvar.shape[1]))
        return cls(
            feeder=feeder,
            at=at,
            firm_kvar=firm_kvar,
            background_kw=nothing,
            background_kvar=nothing,
            **limits,  # type: ignore[arg-type]
        )

    @cached_property
    def model(self) -> LinearModel:
        """Linear model of the feeder."""
        return lindistflow(self.feeder)

    @cached_property
    def band_sq(self) -> tuple[Floats, Floats]:
        """Squared voltage limits, each ``(n, T)``; the slack bus has none."""
        shape = self.background_kw.shape
        low, high = np.empty(shape), np.empty(shape)
        low[:], high[:] = np.square(self.v_min_pu), np.square(self.v_max_pu)
        low[0], high[0] = 0.0, np.inf
        return low, high

    @cached_property
    def i_max_sq(self) -> Floats:
        """Squared current limit of each branch ``(n,)`` [pu of the child]; infinite without."""
        limit = np.full(self.feeder.n_bus, np.inf)
        if self.loading is not None:
            limit[1:] = np.square(self.loading * self.feeder.i_max_pu)[1:]
        return limit

    def firm_injections(self, firm_kw: Floats) -> tuple[Floats, Floats]:
        """Injections of all buses ``(n, T)`` that nobody can change [kW, kvar]."""
        p_kw, q_kvar = self.background_kw.copy(), self.background_kvar.copy()
        np.add.at(p_kw, self.at, firm_kw)
        np.add.at(q_kvar, self.at, self.firm_kvar)
        return p_kw, q_kvar

    def violation_pu(self, vm_pu: Floats) -> Floats:
        """By how much voltages ``(n, T)`` leave the band at most, ``(T,)`` [pu]."""
        low, high = self.band_sq
        outside = np.maximum(vm_pu - np.sqrt(high), np.sqrt(low) - vm_pu)
        return np.asarray(np.maximum(outside.max(axis=0), 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What is to be cleared: N participants with R flexible resources over T steps.

    Parameters
    ----------
    agents
        The resources' private problems.
    owner
        ``(R,)`` participant of each resource.
    pool
        ``(N,)`` retail account of each participant; neighbours trade inside a pool.
    firm_kw
        ``(N, T)`` injection that nobody can change.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(T,)``, feed-in at most import.
    box_min_kw, box_max_kw
        ``(N, T)`` envelopes; infinite where there is none.
    grid
        The feeder, where the clearing is to respect it.
    fee_eur_per_kwh
        ``(N, N)`` fee on a kWh traded from row to column; None: trades are free, and nobody asks
        who trades with whom.
    reactive
        Reactive power as a second good; None: it is not traded.
    agreement
        Envelopes that are agreed while the market clears; None: those of the boxes hold.
    losses
        What the operator charges for losses; None: nothing.
    polygons
        Envelopes over active and reactive power together, besides the boxes; needs ``reactive``.
        None: there are none.
    """

    agents: Participants
    owner: Indices
    pool: Indices
    firm_kw: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    box_min_kw: Floats
    box_max_kw: Floats
    grid: Grid | None = None
    fee_eur_per_kwh: Floats | None = None
    reactive: ReactiveTrade | None = None
    agreement: Agreement | None = None
    losses: LossCharge | None = None
    polygons: PqLimits | None = None

    def __post_init__(self) -> None:
        for name in ("owner", "pool"):
            rows = np.asarray(getattr(self, name))
            if rows.size == 0:
                object.__setattr__(self, name, rows.astype(np.int64))

    @property
    def dt_h(self) -> float:
        """Step length [h]."""
        return self.agents.dt_h

    @property
    def pools(self) -> int:
        """Number of retail accounts."""
        return int(self.pool.max(initial=0)) + 1

    def positions_kw(self, schedule_kw: Floats) -> Floats:
        """Injection of each participant ``(N, T)`` under a schedule ``(R, T)``."""
        total = self.firm_kw.copy()
        np.add.at(total, self.owner, schedule_kw)
        return total

    def without_boxes(self) -> "Problem":
        """The same problem with no envelopes."""
        shape = self.firm_kw.shape
        free = np.full(shape, np.inf)
        reactive = self.reactive
        if reactive is not None:
            reactive = replace(reactive, box_min_kvar=-free, box_max_kvar=free)
        return replace(self, box_min_kw=-free, box_max_kw=free, reactive=reactive, polygons=None)

    def reactive_positions(self, schedule_kvar: Floats, schedule_kw: Floats) -> Floats:
        """Reactive injection of each participant ``(N, T)``: firm, offered, and what follows p."""
        if self.reactive is not None:
            total = self.reactive.firm_kvar.copy()
            follow = self.agents.follow_kvar_per_kw[:, None] * schedule_kw
            np.add.at(total, self.owner, follow)
        elif self.grid is not None:
            total = self.grid.firm_kvar.copy()
        else:
            total = np.zeros_like(self.firm_kw)
        np.add.at(total, self.owner, schedule_kvar)
        return total

    @cached_property
    def positions(self) -> tuple[Floats, Floats]:
        """How the agents' rows make positions: ``(X, A)`` and firm injections ``(X, T)``."""
        resources, rows = len(self.owner), len(self.agents.row_resource)
        active = np.zeros((len(self.pool), rows))
        active[self.owner, np.arange(resources)] = 1.0
        if self.reactive is None:
            return active, self.firm_kw
        reactive = np.zeros_like(active)
        reactive[self.owner, np.arange(resources)] = self.agents.follow_kvar_per_kw
        offered = np.arange(resources, rows)
        reactive[self.owner[self.agents.row_resource[offered]], offered] = 1.0
        return (
            np.vstack([active, reactive]),
            np.vstack([self.firm_kw, self.reactive.firm_kvar]),
        )


def fold_boxes(problem: Problem) -> Problem:
    """Turn the box of a participant with one flexible resource into limits of that resource.

    It is the same problem with fewer couplings; the participant keeps its own box, privately.
    """
    alone = np.bincount(problem.owner, minlength=len(problem.pool)) == 1
    alone[problem.owner[~problem.agents.is_foldable]] = False
    single = alone[problem.owner][:, None]
    low = np.where(single, (problem.box_min_kw - problem.firm_kw)[problem.owner], -np.inf)
    high = np.where(single, (problem.box_max_kw - problem.firm_kw)[problem.owner], np.inf)
    return replace(
        problem,
        agents=problem.agents.within(low, high),
        box_min_kw=np.where(alone[:, None], -np.inf, problem.box_min_kw),
        box_max_kw=np.where(alone[:, None], np.inf, problem.box_max_kw),
    )
