"""Two-block ADMM with safeguarded Anderson acceleration; knows no mosaik and no grid.

Agents propose injections ``z_s``, coupling blocks propose ``z_c`` for what the injections cause
together (imports, totals). The coordinator projects the proposals onto the coupling
``Y = (s, K s + k0)`` and keeps ``T = Y + u``, the sum of the projection and the scaled
multipliers, as the only state of the iteration (Boyd et al. 2011, section 3.1.1, over-relaxation
1; Anderson type II after Walker and Ni 2011, restarted when the residual grows). The multiplier
``rho w u`` of an agent is the price it is paid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Propose = Callable[[Floats, Floats], Floats]


class Status(IntEnum):
    """How an iteration stands; the numbers are what the wire carries."""

    CONVERGED = 0
    ITERATION_LIMIT = 1
    FALLBACK = 2
    RUNNING = 3


class Block(Protocol):
    """A coupling block: rows over the agents and the proximal step of what they cause."""

    @property
    def rows(self) -> Floats: ...
    @property
    def offset_kw(self) -> Floats: ...
    @property
    def size_kw(self) -> Floats: ...
    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats: ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of the iteration.

    Parameters
    ----------
    rho
        Penalty, dimensionless: at 1 an agent moved by its whole size is charged the price unit.
    tolerance_kw
        Largest primal residual.
    tolerance_eur_per_kwh
        Largest change of a price.
    tolerance_gap
        Relative duality gap at which the iteration may stop early, if the caller certifies it.
    check_every
        Iterations between two looks at the certificate.
    max_iterations
        Where the iteration gives up with ``ITERATION_LIMIT``.
    memory
        Depth of the Anderson acceleration; 0 switches it off.
    price_unit_eur_per_kwh
        Scale of prices.
    coupling_share
        Weight of a coupling row relative to an agent of its size.
    """

    rho: float = 4.0
    tolerance_kw: float = 0.1
    tolerance_eur_per_kwh: float = 2e-5
    tolerance_gap: float = 1e-4
    check_every: int = 5
    max_iterations: int = 500
    memory: int = 10
    price_unit_eur_per_kwh: float = 0.1
    coupling_share: float = 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Coupling:
    """All coupling rows stacked, with the weights and the once-factorised projection.

    ``weight`` covers agents then rows, ``(R + C,)`` [EUR/kW2]; ``inverse`` is ``(R, R)``.
    """

    blocks: tuple[Block, ...]
    rows: Floats
    offset_kw: Floats
    weight: Floats
    inverse: Floats

    def project(self, wanted_kw: Floats) -> Floats:
        """Nearest ``Y = (s, K s + k0)`` in the metric of the weights, ``(R + C, T)``."""
        agents = len(self.inverse)
        w_s, w_c = self.weight[:agents, None], self.weight[agents:, None]
        right = w_s * wanted_kw[:agents] + self.rows.T @ (
            w_c * (wanted_kw[agents:] - self.offset_kw)
        )
        s = self.inverse @ right
        return np.vstack([s, self.rows @ s + self.offset_kw])

    def propose(self, target_kw: Floats, weight: Floats) -> Floats:
        """Proposals of all blocks, stacked."""
        parts, start = [], 0
        for block in self.blocks:
            stop = start + len(block.rows)
            parts.append(block.propose(target_kw[start:stop], weight[start:stop]))
            start = stop
        return np.vstack(parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """One iterate. ``target`` is T, ``proposal`` z, ``projection`` Y, all ``(R + C, T)``."""

    target: Floats
    proposal: Floats
    projection: Floats
    iteration: int = 0
    primal_kw: float = np.inf
    dual_eur_per_kwh: float = np.inf
    best_norm: float = np.inf
    history: tuple[float, ...] = ()
    past: tuple[tuple[Floats, Floats], ...] = ()


def build_coupling(
    size_kw: Floats, blocks: Sequence[Block], settings: Settings, dt_h: float
) -> Coupling:
    """Stack the blocks' rows, scale the weights by size and factorise the projection."""
    rows = np.vstack([block.rows for block in blocks])
    offset = np.vstack([block.offset_kw for block in blocks])
    sizes = np.concatenate([block.size_kw for block in blocks])
    unit = settings.rho * settings.price_unit_eur_per_kwh * dt_h
    weight = np.concatenate([unit / size_kw, settings.coupling_share * unit / sizes])
    w_s, w_c = weight[: len(size_kw)], weight[len(size_kw) :]
    metric = np.diag(w_s) + rows.T @ (w_c[:, None] * rows)
    return Coupling(
        blocks=tuple(blocks),
        rows=rows,
        offset_kw=offset,
        weight=weight,
        inverse=np.asarray(np.linalg.inv(metric), dtype=np.float64),
    )


def start(coupling: Coupling, schedule_kw: Floats, price: Floats, dt_h: float) -> State:
    """First iterate from a schedule ``(R, T)`` and prices ``(R + C, T)`` [EUR/kWh]."""
    projection = np.vstack([schedule_kw, coupling.rows @ schedule_kw + coupling.offset_kw])
    target = projection + dt_h * price / coupling.weight[:, None]
    return State(target=target, proposal=projection, projection=projection)


def prices(state: State, coupling: Coupling, dt_h: float) -> Floats:
    """Multipliers ``rho w (T - z)`` of agents and rows [EUR/kWh], ``(R + C, T)``."""
    return coupling.weight[:, None] * (state.target - state.proposal) / dt_h


def step(
    state: State, propose: Propose, coupling: Coupling, settings: Settings, dt_h: float
) -> State:
    """One iteration: proposals at T, projection, residuals, next T."""
    agents = len(coupling.inverse)
    weight = coupling.weight
    proposal = np.vstack(
        [
            propose(state.target[:agents], weight[:agents]),
            coupling.propose(state.target[agents:], weight[agents:]),
        ]
    )
    projection = coupling.project(2.0 * proposal - state.target)
    residual = projection - proposal
    primal = float(np.abs(residual).max())
    moved = np.abs(weight[:, None] * (projection - state.projection)).max() / dt_h
    norm = float(np.sqrt((weight[:, None] * residual**2).sum()))
    past = (*state.past, (state.target, residual))[-(settings.memory + 1) :]
    if norm > 2.0 * state.best_norm:
        past = past[-1:]
    return State(
        target=_accelerate(past, weight),
        proposal=proposal,
        projection=projection,
        iteration=state.iteration + 1,
        primal_kw=primal,
        dual_eur_per_kwh=float(moved),
        best_norm=min(norm, state.best_norm) if len(past) > 1 else norm,
        history=(*state.history, primal),
        past=past,
    )


def _accelerate(past: Sequence[tuple[Floats, Floats]], weight: Floats) -> Floats:
    """Anderson type II step from pairs (T, residual), least squares in the weighted norm."""
    target, residual = past[-1]
    if len(past) == 1:
        return target + residual
    scale = np.sqrt(weight)[:, None]
    d_target = np.stack([(target - t).ravel() for t, _ in past[:-1]])
    d_residual = np.stack([(scale * (residual - r)).ravel() for _, r in past[:-1]])
    gram = d_residual @ d_residual.T
    gram += np.eye(len(gram)) * (1e-10 * np.trace(gram) + 1e-300)
    gamma = np.linalg.solve(gram, d_residual @ (scale * residual).ravel())
    d_plain = np.stack([(residual - r).ravel() for _, r in past[:-1]])
    change = gamma @ (d_target + d_plain)
    following: Floats = target + residual - change.reshape(target.shape)
    return following


def terminate(state: State, settings: Settings) -> Status:
    """Whether to stop, and as what."""
    if (
        state.primal_kw <= settings.tolerance_kw
        and state.dual_eur_per_kwh <= settings.tolerance_eur_per_kwh
    ):
        return Status.CONVERGED
    if state.iteration >= settings.max_iterations:
        return Status.ITERATION_LIMIT
    return Status.RUNNING


def solve(
    state: State,
    propose: Propose,
    coupling: Coupling,
    settings: Settings,
    dt_h: float,
    *,
    certified: Callable[[State], bool] | None = None,
) -> tuple[State, Status]:
    """Iterate until :func:`terminate` says stop; not converging is a status, not an error.

    ``certified`` is asked now and then whether the proposals at hand are good enough (a duality
    gap); a yes also ends the iteration as converged. The ``target`` of the returned state, and of
    the one that ``certified`` sees, belongs to its ``proposal``, so :func:`prices` can be read.
    """
    status = Status.RUNNING
    while status is Status.RUNNING:
        before = state
        state = step(state, propose, coupling, settings, dt_h)
        status = terminate(state, settings)
        if certified and status is Status.RUNNING and state.iteration % settings.check_every == 0:
            good = certified(replace(state, target=before.target))
            status = Status.CONVERGED if good else Status.RUNNING
    return replace(state, target=before.target), status
