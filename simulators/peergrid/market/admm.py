"""Two-block ADMM with safeguarded Anderson acceleration; knows no mosaik and no grid.

Agents propose powers ``z_y``, coupling blocks propose ``z_c`` for what the powers cause together
(imports, totals, voltages). The coordinator steps from the proposals onto the coupling ``Y``
(:mod:`peergrid.market.coupling`) and keeps ``T = Y + u``, the sum of the projection and the scaled
multipliers, as the only state of the iteration (Boyd et al. 2011, section 3.1.1, over-relaxation
1), accelerated by :mod:`peergrid.market.anderson`. The multiplier ``rho w u`` of an agent is the
price it is paid.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.market.anderson import Memory, advance
from peergrid.market.coupling import Coupling

Floats = NDArray[np.float64]
Propose = Callable[[Floats, Floats], Floats]


STILL = 8
LATE = 50
BALANCE_AT = 10.0
BALANCE_STEP = 5.0
BALANCE_NUDGE = 3.0


class Status(IntEnum):
    """How an iteration stands; the numbers are what the wire carries."""

    CONVERGED = 0
    ITERATION_LIMIT = 1
    FALLBACK = 2
    RUNNING = 3


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of the iteration.

    Parameters
    ----------
    rho
        Penalty, dimensionless: at 1 an agent moved by its whole size is charged the price unit.
        By default 0.017 on the AC network, whose losses curve the problem, and 0.45 without it.
    tolerance_kw
        Largest primal residual; 0: ``tolerance_share`` of the community's size.
    tolerance_share
        See there; the size is what all members and resources may reach together.
    tolerance_eur_per_kwh
        Largest change of a price; 0: ``tolerance_price_share`` of the price unit.
    tolerance_price_share
        See there.
    tolerance_pu
        Largest violation of a voltage (or relative violation of a current) of the AC network.
    tolerance_gap
        Relative duality gap at which the iteration may stop early, if the caller certifies it.
    check_every
        Iterations between two looks at the certificate.
    max_iterations
        Where the iteration gives up with ``ITERATION_LIMIT``.
    memory
        Depth of the Anderson acceleration; 0 switches it off.
    price_unit_eur_per_kwh
        Scale of prices; 0: the dearest import price.
    coupling_share
        Weight of a coupling row relative to an agent of its size.
    balance_until
        Iteration until which residual balancing may often change the penalty; then rarely.
    """

    rho: float | None = None
    tolerance_kw: float = 0.0
    tolerance_share: float = 2.5e-5
    tolerance_eur_per_kwh: float = 0.0
    tolerance_price_share: float = 1e-4
    tolerance_pu: float = 5e-5
    tolerance_gap: float = 1e-4
    check_every: int = 5
    max_iterations: int = 600
    memory: int = 10
    price_unit_eur_per_kwh: float = 0.0
    coupling_share: float = 2.0
    balance_until: int = 100

    def __post_init__(self) -> None:
        least = {"check_every": 1, "max_iterations": 1, "memory": 0, "balance_until": 0}
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            if not (math.isfinite(value) and value >= least.get(item.name, 0.0)):
                allowed = f"a number of at least {least.get(item.name, 0)}"
                raise DataError("Settings", item.name, value, allowed)
        if self.rho == 0.0 or self.coupling_share == 0.0:
            raise DataError("Settings", "rho, coupling_share", 0.0, "above 0")

    def tightened(self, gap: float) -> "Settings":
        """The same settings for a duality gap; residuals may not end the iteration before it."""
        share = min(gap / self.tolerance_gap, 1.0)
        return replace(
            self,
            tolerance_gap=gap,
            tolerance_kw=share * self.tolerance_kw,
            tolerance_share=share * self.tolerance_share,
            tolerance_eur_per_kwh=share * self.tolerance_eur_per_kwh,
            tolerance_price_share=share * self.tolerance_price_share,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """One iterate; arrays are ``(A + C, T)`` [kW].

    Parameters
    ----------
    target
        T, what is asked next.
    asked, proposal
        What was asked last, and the answer z.
    projection
        Y, the step from the proposals onto the coupling.
    seen
        What the curved block observed at the proposals.
    iteration, primal_kw, dual_eur_per_kwh, violation_pu, history
        Where the iteration stands, and the primal residuals so far.
    memory
        Of the acceleration.
    """

    target: Floats
    asked: Floats
    proposal: Floats
    projection: Floats
    seen: Any = None
    iteration: int = 0
    primal_kw: float = np.inf
    dual_eur_per_kwh: float = np.inf
    violation_pu: float = 0.0
    history: tuple[tuple[float, float], ...] = ()
    memory: Memory = field(default_factory=Memory)


def start(coupling: Coupling, projection_kw: Floats, price: Floats, dt_h: float) -> State:
    """First iterate from values ``(A + C, T)`` of all rows and their prices [EUR/kWh]."""
    target = projection_kw + dt_h * price / coupling.weight[:, None]
    return State(target=target, asked=target, proposal=projection_kw, projection=projection_kw)


def prices(state: State, coupling: Coupling, dt_h: float) -> Floats:
    """Multipliers ``rho w u`` of all rows at the last proposals [EUR/kWh], ``(A + C, T)``."""
    return coupling.weight[:, None] * (state.asked - state.proposal) / dt_h


def balance_factor(state: State, settings: Settings) -> float:
    """By how much to change the penalty so that both residuals near their tolerances alike.

    Residual balancing (He, Yang and Wang 2000, J. Optimization Theory and Applications 106(2)) on
    residuals relative to their tolerances, in steps of at most ``BALANCE_STEP`` and ever more
    rarely: convergence needs a penalty that is constant in the end. It also rises where all
    proposals stand still although they do not agree: a price has far to go, and goes in proportion
    to the penalty.
    """
    primal = state.primal_kw / settings.tolerance_kw
    dual = state.dual_eur_per_kwh / settings.tolerance_eur_per_kwh
    if primal > max(1.0, 0.1 * dual) and _stands_still(state):
        return BALANCE_NUDGE
    if settings.balance_until < state.iteration and state.iteration % LATE:
        return 1.0
    ratio = max(primal, 1e-12) / max(dual, 1e-12)
    if 1.0 / BALANCE_AT < ratio < BALANCE_AT:
        return 1.0
    return float(np.clip(np.sqrt(ratio), 1.0 / BALANCE_STEP, BALANCE_STEP))


def _stands_still(state: State) -> bool:
    """Whether the primal residual is what it was ``STILL`` iterations ago."""
    if len(state.history) <= STILL:
        return False
    return abs(state.primal_kw - state.history[-1 - STILL][0]) <= 0.01 * state.primal_kw


def rebalanced(state: State, factor: float) -> State:
    """The state under penalties ``factor`` times as large: same prices, no memory."""
    target = state.projection + (state.asked - state.proposal) / factor
    return replace(state, target=target, memory=Memory())


def step(
    state: State, propose: Propose, coupling: Coupling, settings: Settings, dt_h: float
) -> State:
    """One iteration: proposals at T, step onto the coupling, residuals, next T."""
    agents, weight, asked = coupling.agents, coupling.weight, state.target
    proposal = np.vstack(
        [propose(asked[:agents], weight[:agents]), coupling.propose(asked[agents:])]
    )
    projection, seen = coupling.project(proposal, asked, state.seen)
    residual = projection - proposal
    primal = float(np.abs(residual).max())
    primal = max(primal, coupling.mismatch_kw(proposal, seen))
    dual = float(np.abs(weight[:, None] * (projection - state.projection)).max()) / dt_h
    following, memory = advance(state.memory, asked, residual, weight, settings.memory)
    return State(
        target=following,
        asked=asked,
        proposal=proposal,
        projection=projection,
        seen=seen,
        iteration=state.iteration + 1,
        primal_kw=primal,
        dual_eur_per_kwh=dual,
        violation_pu=0.0 if seen is None else seen.violation_pu,
        history=(*state.history, (primal, dual)),
        memory=memory,
    )


def terminate(state: State, settings: Settings) -> Status:
    """Whether to stop, and as what."""
    if (
        state.primal_kw <= settings.tolerance_kw
        and state.dual_eur_per_kwh <= settings.tolerance_eur_per_kwh
        and state.violation_pu <= settings.tolerance_pu
    ):
        return Status.CONVERGED
    if state.iteration >= settings.max_iterations:
        return Status.ITERATION_LIMIT
    return Status.RUNNING


Look = Callable[[State, Coupling], tuple[State, Coupling, bool]]


def solve(
    state: State,
    propose: Propose,
    coupling: Coupling,
    settings: Settings,
    dt_h: float,
    look: Look,
) -> tuple[State, Coupling, Status]:
    """Iterate until :func:`terminate` says stop; not converging is a status, not an error.

    ``look`` is called now and then: it may replace the coupling (and translate the state to it),
    and says whether the proposals at hand are good enough (a duality gap), which also ends the
    iteration as converged.
    """
    status = Status.RUNNING
    while status is Status.RUNNING:
        state = step(state, propose, coupling, settings, dt_h)
        status = terminate(state, settings)
        if status is Status.RUNNING and state.iteration % settings.check_every == 0:
            state, coupling, good = look(state, coupling)
            status = Status.CONVERGED if good else Status.RUNNING
    return state, coupling, status
