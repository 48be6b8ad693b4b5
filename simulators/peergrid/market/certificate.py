"""A lower bound on the cost of any schedule, from prices and dual values alone.

For prices of the balances, envelopes and network limits, minimising the Lagrangian splits into the
agents' own problems at the prices they are paid, the retail tariffs, the envelopes and the
network; the sum of the minima bounds the cost from below (weak duality), however far the iteration
got. No private data is needed: agents report one number each.

The network's own share is the dual function of the relaxed branch flow model (second-order cone
``P^2 + Q^2 <= l v``), evaluated at the multipliers of the exact AC state, see
:mod:`peergrid.network.adjoint`. With ``a`` the coefficients of P and Q and ``epsilon`` that of l,
a branch contributes ``-|a|^2 / (4 epsilon)`` per unit of its parent's squared voltage, and every
squared voltage is then at one of its limits. A relaxation bounds from below always; the bound
meets the cost where the relaxation is exact. Where ``epsilon`` is not positive (losses would be
welcome: a voltage at its upper limit under back-feed, or a negative price) the multipliers of that
hour's limits are scaled down until it is, which keeps the bound valid and makes it loose. A branch
with a current limit needs no scaling: a multiplier of that limit makes its ``epsilon`` positive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.blocks.ac_network import AcNetwork, Seen
from peergrid.market.problem import Grid
from peergrid.network.adjoint import Adjoint, BranchState, adjoint
from peergrid.units import kw_from_pu

Floats = NDArray[np.float64]
HALVINGS = 12
ADDED = 1e-6  # relative change of a multiplier that counts


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkDual:
    """The network's side of the bound.

    Parameters
    ----------
    paid_eur_per_kwh
        ``(A, T)`` what the network pays the agents' rows.
    value_eur
        Its dual value, fixed injections included.
    is_tight
        ``(T,)`` hours whose multipliers are those of the exact state, unchanged.
    """

    paid_eur_per_kwh: Floats
    value_eur: float
    is_tight: NDArray[np.bool_]


def network_dual(network: AcNetwork, seen: Seen, theta: Floats, slots: Floats) -> NetworkDual:
    """Dual value of the network at prices of the import ``(T,)`` and the slots ``(m, T)``."""
    mu, kappa = network.multipliers(slots)
    share = _dual_feasible_share(network.grid, seen.state, theta, mu, kappa)
    found = adjoint(seen.state, theta, share * mu, share * kappa)
    value, added = _relaxed_value(network.grid, seen.state, found, share * kappa)
    fixed = (found.p * network.firm_kw + found.q * network.firm_kvar).sum()
    return NetworkDual(
        paid_eur_per_kwh=-network.at_agents(found),
        value_eur=network.balance.dt_h * (float(value.sum()) + float(fixed)),
        is_tight=(share == 1.0) & ~added,
    )


def _dual_feasible_share(
    grid: Grid, state: BranchState, theta: Floats, mu: Floats, kappa: Floats
) -> Floats:
    """Largest share of each hour's multipliers, by bisection, that leaves losses a cost."""
    share, low, high = (np.full(len(theta), start) for start in (1.0, 0.0, 1.0))
    if _losses_cost(grid, state, theta, mu, kappa).all():
        return share
    for _ in range(HALVINGS):
        good = _losses_cost(grid, state, theta, share * mu, share * kappa)
        low, high = np.where(good, share, low), np.where(good, high, share)
        share = np.where(good & (share == 1.0), 1.0, (low + high) / 2.0)
    return np.where(low == 1.0, 1.0, low)


def _losses_cost(
    grid: Grid, state: BranchState, theta: Floats, mu: Floats, kappa: Floats
) -> NDArray[np.bool_]:
    """Hours in which a larger current costs something in every branch that can lose."""
    feeder = state.feeder
    lossy = ((feeder.r_pu != 0.0) | (feeder.x_pu != 0.0)) & np.isinf(grid.i_max_sq)
    lossy[0] = False
    epsilon = adjoint(state, theta, mu, kappa).current[lossy]
    return np.asarray((epsilon > 0.0).all(axis=0))


def _relaxed_value(
    grid: Grid, state: BranchState, found: Adjoint, kappa: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Least of the network's Lagrangian over the relaxed branch flow set, ``(T,)`` [EUR/h].

    And in which hours multipliers of currents were added to have one.
    """
    feeder, n_sq = grid.feeder, state.n_sq[:, None]
    base_kw = float(kw_from_pu(1.0, feeder.base_mva))
    alpha, beta, gamma = -base_kw * found.p, -base_kw * found.q, found.voltage
    r, x = (feeder.r_pu * state.n_sq)[:, None], (feeder.x_pu * state.n_sq)[:, None]
    up = np.maximum(feeder.parent, 0)
    a_p = alpha[up] - alpha - 2.0 * r * gamma
    a_q = beta[up] - beta - 2.0 * x * gamma
    squared = a_p**2 + a_q**2
    lossless = (r == 0.0) & (x == 0.0)
    most = grid.i_max_sq[:, None] / n_sq
    # kappa l_max + |a|^2 v / (4 epsilon) is least for this epsilon; any positive one is valid
    with np.errstate(invalid="ignore"):
        best = np.sqrt(squared * state.v[up] / most) / 2.0
    wanted = np.where(np.isfinite(most), best, found.current)
    epsilon = np.maximum(found.current, wanted)
    with np.errstate(divide="ignore", invalid="ignore"):
        drop = np.where(epsilon > 0.0, squared / (4.0 * epsilon), np.inf)
    drop = np.where(lossless | (squared <= 1e-24), 0.0, drop)
    extra = np.where(lossless, 0.0, epsilon - found.current) / n_sq
    kappa = kappa + extra
    share = gamma - drop
    share[0] = 0.0
    coefficient = (feeder.g_sh_pu / state.n_sq)[:, None] * alpha
    coefficient -= (feeder.b_sh_pu / state.n_sq)[:, None] * beta
    coefficient[1:] -= gamma[1:]
    np.add.at(coefficient, up[1:], share[1:])
    low, high = (limit * n_sq for limit in grid.band_sq)
    low[0] = high[0] = state.v[0]
    at = np.where(coefficient > 0.0, low, high)
    value = np.where(coefficient == 0.0, 0.0, coefficient * at).sum(axis=0)
    limited = np.isfinite(grid.i_max_sq)
    current = (kappa[limited] * grid.i_max_sq[limited, None]).sum(axis=0)
    added = (extra > ADDED * np.abs(found.current / n_sq)).any(axis=0)
    return np.asarray(value - current), np.asarray(added)
