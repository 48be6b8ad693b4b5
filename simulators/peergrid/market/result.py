"""What a clearing says, in market words."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from peergrid.market.admm import Status
from peergrid.market.blocks.exchange import Trades

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Warm:
    """Where the next clearing starts, whatever envelopes it has.

    Parameters
    ----------
    schedule_kw, price_eur_per_kwh
        ``(A, T)`` proposals of the agents' rows, and their prices.
    balance_eur_per_kwh, reactive_eur_per_kwh
        Prices of the rows of the balance, and of reactive trade.
    limits_eur_per_kwh
        ``(X, T)`` prices of envelopes, given or negotiated, by position.
    inverters_eur_per_kwh, losses_eur_per_kwh
        Prices of second proposals and of charged losses.
    mu_eur_per_pu2, kappa_eur_per_pu2
        ``(n, T)`` multipliers of squared voltages and currents; empty without a grid.
    rho
        Penalty that the last iteration ended with; 0: the default.
    """

    schedule_kw: Floats
    price_eur_per_kwh: Floats
    balance_eur_per_kwh: Floats = field(default_factory=lambda: np.empty((0, 0)))
    reactive_eur_per_kwh: Floats = field(default_factory=lambda: np.empty((0, 0)))
    limits_eur_per_kwh: Floats = field(default_factory=lambda: np.empty((0, 0)))
    inverters_eur_per_kwh: Floats = field(default_factory=lambda: np.empty((0, 0)))
    losses_eur_per_kwh: Floats = field(default_factory=lambda: np.empty((0, 0)))
    mu_eur_per_pu2: Floats = field(default_factory=lambda: np.empty((0, 0)))
    kappa_eur_per_pu2: Floats = field(default_factory=lambda: np.empty((0, 0)))
    rho: float = 0.0

    def shifted(self) -> "Warm":
        """One step later; the last step is repeated."""
        arrays = {name: values for name, values in vars(self).items() if name != "rho"}
        return Warm(**{name: _shift(values) for name, values in arrays.items()}, rho=self.rho)


@dataclass(frozen=True, kw_only=True, eq=False)
class GridState:
    """The grid under the schedule, by the exact power flow.

    Parameters
    ----------
    vm_pu
        ``(n, T)`` voltages.
    loss_kw
        ``(T,)`` losses.
    violation_pu
        ``(T,)`` by how much a voltage leaves the band at most.
    overload
        ``(T,)`` by how much the highest loading exceeds what is allowed, relative.
    """

    vm_pu: Floats
    loss_kw: Floats
    violation_pu: Floats
    overload: Floats

    @property
    def worst(self) -> float:
        """The worst of both in any hour."""
        return max(float(self.violation_pu.max(initial=0.0)), float(self.overload.max(initial=0.0)))


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """Whether the relaxed branch flow model (SOCP) is exact here.

    Parameters
    ----------
    is_exact
        The verdict.
    gap
        Distance of the AC objective from the relaxation's bound, relative; infinite where no
        bound is known.
    verdict
        The same in words.
    voltage_error_pu
        Largest distance of the relaxed voltages from the exact power flow of the same schedule;
        NaN where no relaxed problem was solved.
    """

    is_exact: bool
    gap: float
    verdict: str
    voltage_error_pu: float = float("nan")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clearing:
    """Result of a clearing of N participants, R resources, G pools, T steps.

    Parameters
    ----------
    schedule_kw, schedule_kvar
        ``(R, T)`` injection of each resource.
    position_kw, position_kvar
        ``(N, T)`` injection of each participant, fixed part included.
    import_kw
        ``(G, T)`` import of each pool, losses included where the network is.
    theta_eur_per_kwh
        ``(G, T)`` marginal price of each pool, between feed-in tariff and import price.
    price_eur_per_kwh
        ``(N, T)`` marginal price at each participant: energy, loss and congestion part.
    loss_price_eur_per_kwh, congestion_eur_per_kwh
        ``(N, T)`` its loss part (zero without the AC network) and its congestion part (zero where
        neither the envelope nor a limit of the network binds, and for the envelope of a storage
        that is alone behind it: what its energy is worth stays private).
    price_eur_per_kvarh
        ``(N, T)`` marginal price of reactive injection.
    status, iterations, primal_kw, dual_eur_per_kwh, history, dual_history
        How the iteration ended, and its residuals on the way.
    box_violation_kw
        By how much the schedule leaves an envelope, given or negotiated, at most; everything else
        holds exactly, for agents propose what they can do and the retailer covers the rest.
    objective_eur, lower_bound_eur
        Cost of the schedule and a bound no schedule can undercut (NaN if not asked for).
    grid, relaxation
        The grid under this schedule, and the verdict on the relaxation; None without a grid.
    trades, reactive_trades
        Who trades with whom, where trades have a fee; None where nobody asks.
    worth_of_rows
        ``(J, T)`` what the operator's rows are worth where envelopes are negotiated.
    integer_gap
        What fixing cycles at whole starts costs against the relaxed clearing, relative.
    probability, linear_gap_pu
        Of a plan under scenarios: how likely each was taken to be, and how far linear and exact
        voltages are apart at most (NaN: not planned).
    """

    schedule_kw: Floats
    schedule_kvar: Floats
    position_kw: Floats
    position_kvar: Floats
    import_kw: Floats
    theta_eur_per_kwh: Floats
    price_eur_per_kwh: Floats
    loss_price_eur_per_kwh: Floats
    congestion_eur_per_kwh: Floats
    price_eur_per_kvarh: Floats
    status: Status
    iterations: int
    primal_kw: float
    dual_eur_per_kwh: float
    history: tuple[float, ...]
    dual_history: tuple[float, ...]
    objective_eur: float
    lower_bound_eur: float
    box_violation_kw: float
    warm: Warm
    grid: GridState | None = None
    relaxation: Relaxation | None = None
    trades: Trades | None = None
    reactive_trades: Trades | None = None
    worth_of_rows: Floats | None = None
    integer_gap: float = 0.0
    probability: tuple[float, ...] = ()
    linear_gap_pu: float = float("nan")

    @property
    def gap(self) -> float:
        """Distance of cost and bound, relative to the cost."""
        return (self.objective_eur - self.lower_bound_eur) / max(abs(self.objective_eur), 1.0)


def _shift(values: Floats) -> Floats:
    return np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
