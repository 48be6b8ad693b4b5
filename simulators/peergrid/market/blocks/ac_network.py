"""The exact AC network as a coupling block: import with losses, and limits that are near.

Its rows over the agents' powers are the import at the feeder head and, hour by hour, the squared
voltages and currents that are being *watched* because they lie near a limit. Values come from the
exact power flow at the agents' proposals, gradients from its adjoint, so a fixed point of the
iteration satisfies the optimality conditions of the AC optimal power flow, with no relaxation.
Watched rows are scaled to kW at the resource that moves them most.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.problem import Grid
from peergrid.network.adjoint import Adjoint, BranchState, adjoint, branch_state
from peergrid.network.power_flow import PowerFlow, solve

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
NEAR_PU = 0.004  # a voltage so close to a limit is watched
NEAR_LOADING = 0.95  # and so is a current above this share of its limit
MOST_WATCHED = 16  # of voltages and of currents each, per hour: neighbours move together
STALE = 1.5  # change of a slope at which it is renewed
HALVINGS = 6  # of proposals that have no power flow solution, before they are left out
MAJORANT = 1.1  # of the losses' curvature, for flows above the linear ones


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """Limits that are watched in each hour, in up to m slots; unused slots have ``row`` -1.

    Parameters
    ----------
    row
        ``(m, T)`` feeder row.
    is_current
        ``(m, T)`` whether the slot watches the branch's current, not the bus's voltage.
    low, high
        ``(m, T)`` limits of the squared quantity [pu^2].
    """

    row: Indices
    is_current: NDArray[np.bool_]
    low: Floats
    high: Floats

    def keys(self) -> set[tuple[bool, int, int]]:
        """What is watched: (is a current, row, hour)."""
        slots, hours = np.nonzero(self.row >= 0)
        kinds, rows = self.is_current[slots, hours], self.row[slots, hours]
        return set(zip(kinds.tolist(), rows.tolist(), hours.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Seen:
    """Exact state of the grid at the agents' proposals; ``violation_pu`` is infinite without."""

    flow: PowerFlow
    state: BranchState
    values_kw: Floats
    violation_pu: float


@dataclass(frozen=True, kw_only=True, eq=False)
class AcNetwork:
    """Curved coupling block of one community on a radial feeder.

    Parameters
    ----------
    grid
        Feeder and limits, n buses.
    balance
        The community's tariffs.
    spots
        ``(A,)`` feeder row at which each of the agents' rows acts.
    is_reactive
        ``(A,)`` whether the row is a reactive power; rows that are no power have spot -1.
    firm_kw, firm_kvar
        ``(n, T)`` what the agents' powers come on top of.
    flexible_kw
        ``(A,)`` what each of the agents' rows may reach.
    watch
        Limits to watch.
    scale, slopes
        ``(m, T)`` squared pu per kW of each slot, and ``(T, m, A)`` its slopes after scaling.
    """

    grid: Grid
    balance: RetailBalance
    spots: Indices
    is_reactive: NDArray[np.bool_]
    firm_kw: Floats
    firm_kvar: Floats
    flexible_kw: Floats
    watch: Watch
    scale: Floats
    slopes: Floats

    @cached_property
    def lead(self) -> Floats:
        """Slope of the import: a kW injected is a kW not imported; losses are in the gradient."""
        return np.where(self.is_reactive | (self.spots < 0), 0.0, -1.0)[None, :]

    @cached_property
    def size_kw(self) -> Floats:
        """Scale of the import and of each slot, whose reach is that of all agents behind it."""
        behind = np.abs(self.slopes) @ self.flexible_kw
        return np.concatenate(
            [self.balance.size_kw, np.maximum(behind.max(axis=0, initial=0.0), 1.0)]
        )

    @cached_property
    def curvature(self) -> Floats:
        """Majorant of the second derivative of the cost of losses, ``(A, A)`` [EUR/kW2]."""
        dearest = float(np.abs(self.balance.price_import_eur_per_kwh).max())
        loss = MAJORANT * dearest * self.balance.dt_h * self.grid.model.R
        same = (self.is_reactive[:, None] == self.is_reactive) & (self.spots >= 0)
        return np.where(same & (self.spots[:, None] >= 0), loss[np.ix_(self.spots, self.spots)], 0)

    @cached_property
    def _places(self) -> tuple[Any, Any]:
        """Incidence of the agents' active and reactive rows on buses, ``(n, A)``."""
        n, rows = self.grid.feeder.n_bus, np.arange(len(self.spots))
        chosen = [(self.spots >= 0) & (self.is_reactive == kind) for kind in (False, True)]
        return tuple(
            scipy.sparse.csr_array(
                (np.ones(int(take.sum())), (self.spots[take], rows[take])), shape=(n, len(rows))
            )
            for take in chosen
        )

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Import by the tariffs, watched quantities inside their limits."""
        imports = self.balance.propose(target_kw[:1], weight_eur_per_kw2[:1])
        low, high = self.watch.low / self.scale, self.watch.high / self.scale
        return np.vstack([imports, np.clip(target_kw[1:], low, high)])

    def observe(self, proposal_kw: Floats, before: Seen | None) -> Seen:
        """Exact state at the agents' proposals ``(A, T)``.

        Proposals that the grid cannot carry at all (they happen early in an iteration) are seen
        from the nearest halving of them that it can, and by the constant slopes from there.

        Raises
        ------
        SolverError
            If an hour has no power flow solution even without the agents.
        """
        carried = proposal_kw
        flow = self._flow(carried, before)
        for halving in range(HALVINGS + 1):
            if flow.converged.all():
                break
            share = 0.0 if halving == HALVINGS else 0.5
            carried = np.where(flow.converged, carried, share * carried)
            flow = self._flow(carried, None)
        if not flow.converged.all():
            hours = np.flatnonzero(~flow.converged).tolist()
            raise SolverError(f"firm load has no power flow solution in the steps {hours}")
        state = branch_state(flow)
        values = np.vstack([flow.head_p_kw, self.watched_kw(state)])
        if carried is proposal_kw:
            return Seen(flow, state, values, violation_pu(self.grid, state))
        beyond = proposal_kw - carried
        values[:1] += self.lead @ beyond
        values[1:] += np.matmul(self.slopes, beyond.T[:, :, None])[:, :, 0].T
        return Seen(flow, state, values, np.inf)

    def _flow(self, powers_kw: Floats, before: Seen | None) -> PowerFlow:
        active, reactive = self._places
        return solve(
            self.grid.feeder,
            self.firm_kw + active @ powers_kw,
            self.firm_kvar + reactive @ powers_kw,
            v_start=None if before is None else before.flow.v_pu,
        )

    def watched_kw(self, state: BranchState) -> Floats:
        """Scaled squared quantity in each slot, ``(m, T)``; zero in unused ones."""
        hours = np.arange(state.v.shape[1])
        squares = (state.v / state.n_sq[:, None], state.l * state.n_sq[:, None])
        rows = np.maximum(self.watch.row, 0)
        picked = np.where(self.watch.is_current, squares[1][rows, hours], squares[0][rows, hours])
        return np.where(self.watch.row >= 0, picked, 0.0) / self.scale

    def multipliers(self, per_kw: Floats) -> tuple[Floats, Floats]:
        """Multipliers of the slots ``(m, T)`` as those of squared voltages and currents."""
        mu, kappa = np.zeros_like(self.firm_kw), np.zeros_like(self.firm_kw)
        slots, hours = np.nonzero(self.watch.row >= 0)
        rows, kinds = self.watch.row[slots, hours], self.watch.is_current[slots, hours]
        values = per_kw[slots, hours] / self.scale[slots, hours]
        np.add.at(mu, (rows[~kinds], hours[~kinds]), values[~kinds])
        np.add.at(kappa, (rows[kinds], hours[kinds]), values[kinds])
        return mu, kappa

    def slot_prices(self, mu: Floats, kappa: Floats) -> Floats:
        """The inverse of :meth:`multipliers` for what is watched, ``(m, T)``."""
        hours, rows = np.arange(mu.shape[1]), np.maximum(self.watch.row, 0)
        per_pu2 = np.where(self.watch.is_current, kappa[rows, hours], mu[rows, hours])
        return np.where(self.watch.row >= 0, per_pu2 * self.scale, 0.0)

    def pull(self, observation: Seen, multiplier: Floats) -> Floats:
        """Exact gradient ``(A, T)`` of ``sum multiplier * row``."""
        mu, kappa = self.multipliers(multiplier[1:])
        return self.at_agents(adjoint(observation.state, multiplier[0], mu, kappa))

    def at_agents(self, gradient: Adjoint) -> Floats:
        """Gradient of the buses' powers as that of the agents' rows, ``(A, C)``."""
        at = np.where(self.is_reactive[:, None], gradient.q[self.spots], gradient.p[self.spots])
        return np.where(self.spots[:, None] >= 0, at, 0.0)

    def is_stale(self, state: BranchState) -> bool:
        """Whether slopes of currents are off by more than a factor: those of voltages hardly are.

        A squared current is quadratic in the powers, so its slope follows the flow.
        """
        if not self.watch.is_current.any():
            return False
        scale, _ = slopes_of(self, self.watch, state)
        ratio = (scale / self.scale)[self.watch.row >= 0]
        return bool(np.any((ratio > STALE) | (ratio < 1.0 / STALE)))

    def watching(self, watch: Watch, state: BranchState) -> "AcNetwork":
        """The same network with other limits watched, slopes taken at this state."""
        scale, slopes = slopes_of(self, watch, state)
        parts = {name: getattr(self, name) for name in _FIELDS}
        return AcNetwork(watch=watch, scale=scale, slopes=slopes, **parts)


_FIELDS = ("grid", "balance", "spots", "is_reactive", "firm_kw", "firm_kvar", "flexible_kw")


def violation_pu(grid: Grid, state: BranchState) -> float:
    """By how much voltages [pu] or currents [pu of their limits] leave their limits at most."""
    vm = np.sqrt(state.v / state.n_sq[:, None])
    worst = float(grid.violation_pu(vm).max(initial=0.0))
    if grid.loading is not None:
        i_sq = state.l * state.n_sq[:, None] / grid.i_max_sq[:, None]
        worst = max(worst, float(np.sqrt(i_sq.max(initial=0.0))) - 1.0)
    return worst


def no_watch(steps: int) -> Watch:
    """Nothing watched."""
    none = np.empty((0, steps))
    return Watch(
        row=np.empty((0, steps), dtype=np.int64),
        is_current=np.empty((0, steps), dtype=bool),
        low=none,
        high=none,
    )


def near_limits(grid: Grid, state: BranchState) -> set[tuple[bool, int, int]]:
    """Limits that this state comes near, the nearest of each hour: (is a current, row, hour)."""
    vm = np.sqrt(state.v / state.n_sq[:, None])
    low, high = (np.sqrt(limit) for limit in grid.band_sq)
    found = _nearest(np.maximum(vm - high, low - vm), -NEAR_PU, is_current=False)
    if grid.loading is not None:
        share = np.sqrt(state.l * state.n_sq[:, None] / grid.i_max_sq[:, None])
        found |= _nearest(share, NEAR_LOADING, is_current=True)
    return found


def _nearest(nearness: Floats, least: float, *, is_current: bool) -> set[tuple[bool, int, int]]:
    """The largest entries of each column that exceed ``least``."""
    count = min(MOST_WATCHED, len(nearness))
    top = np.argpartition(-nearness, count - 1, axis=0)[:count]
    hours = np.broadcast_to(np.arange(nearness.shape[1]), top.shape)
    close = nearness[top, hours] > least
    return {
        (is_current, row, hour)
        for row, hour in zip(top[close].tolist(), hours[close].tolist(), strict=True)
    }


def watch_of(grid: Grid, keys: set[tuple[bool, int, int]], steps: int) -> Watch:
    """Slots for a set of (is a current, row, hour)."""
    by_hour: list[list[tuple[bool, int]]] = [[] for _ in range(steps)]
    for kind, row, hour in sorted(keys):
        by_hour[hour].append((kind, row))
    slots = max(map(len, by_hour), default=0)
    rows = np.full((slots, steps), -1, dtype=np.int64)
    is_current = np.zeros((slots, steps), dtype=bool)
    low, high = np.full((slots, steps), -np.inf), np.full((slots, steps), np.inf)
    for hour, entries in enumerate(by_hour):
        for slot, (kind, at) in enumerate(entries):
            rows[slot, hour], is_current[slot, hour] = at, kind
            if kind:
                high[slot, hour] = grid.i_max_sq[at]
            else:
                low[slot, hour], high[slot, hour] = (limit[at, hour] for limit in grid.band_sq)
    return Watch(row=rows, is_current=is_current, low=low, high=high)


def slopes_of(network: AcNetwork, watch: Watch, state: BranchState) -> tuple[Floats, Floats]:
    """Scale ``(m, T)`` and scaled slopes ``(T, m, A)`` of watched quantities, by the adjoint."""
    steps, rows = watch.row.shape[1], len(network.spots)
    scale, slopes = np.ones(watch.row.shape), np.zeros((steps, len(watch.row), rows))
    slots, hours = np.nonzero(watch.row >= 0)
    if len(slots) == 0:
        return scale, slopes
    picked = state.columns(hours)
    mu, kappa = np.zeros(picked.v.shape), np.zeros(picked.v.shape)
    kinds, columns = watch.is_current[slots, hours], np.arange(len(slots))
    mu[watch.row[slots, hours], columns] = ~kinds
    kappa[watch.row[slots, hours], columns] = kinds
    at = network.at_agents(adjoint(picked, np.zeros(len(slots)), mu, kappa))
    steepest = np.maximum(np.abs(at).max(axis=0, initial=0.0), 1e-12)
    scale[slots, hours] = steepest
    slopes[hours, slots] = (at / steepest).T
    return scale, slopes
