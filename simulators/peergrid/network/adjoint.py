"""Exact gradients of a solved AC state: the adjoint of the branch flow equations on a tree.

What a kilowatt at any bus does to the import at the feeder head, to squared voltages and squared
currents, losses included, for all buses in two sweeps. The state obeys the branch flow equations
of M. Farivar and S. Low, "Branch flow model: relaxations and convexification", IEEE Trans. Power
Systems 28(3), 2013, doi 10.1109/TPWRS.2013.2255317, written for the branch that feeds bus i, with
sending-end flows ``P, Q``, squared current ``l``, squared voltage ``v`` and shunt ``g + jb``::

    sum of P over the children of i = p_i + P_i - r_i l_i - g_i v_i
    sum of Q over the children of i = q_i + Q_i - x_i l_i + b_i v_i
    v_i = v_parent - 2 (r_i P_i + x_i Q_i) + (r_i^2 + x_i^2) l_i
    l_i v_parent = P_i^2 + Q_i^2

Their multipliers ``alpha, beta, gamma, epsilon`` for a function ``Phi`` of import, voltages and
currents with slopes ``theta, mu, kappa`` satisfy (root: ``alpha = theta``, ``beta = 0``)::

    alpha_i   = alpha_parent - 2 r gamma_i + 2 epsilon_i P_i / v_parent
    beta_i    = beta_parent  - 2 x gamma_i + 2 epsilon_i Q_i / v_parent
    epsilon_i = kappa_i + r alpha_i + x beta_i + (r^2 + x^2) gamma_i
    gamma_i   = mu_i + g_i alpha_i - b_i beta_i + sum over children (gamma_j - epsilon_j l_j / v_i)

and ``dPhi/dp_i = -alpha_i``, ``dPhi/dq_i = -beta_i``. Going up, each subtree's last sum is linear
in its own ``alpha, beta``, so one sweep to the root and one back solve the system exactly. Ideal
transformers are removed as in :mod:`peergrid.network.power_flow`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from peergrid.compiled import compiled
from peergrid.network.feeder import Feeder, Floats, Ints
from peergrid.network.power_flow import PowerFlow
from peergrid.units import kw_from_pu


@dataclass(frozen=True, kw_only=True, eq=False)
class BranchState:
    """Branch flow quantities of a solved state, referred to the root, all ``(n, T)`` [pu].

    Row i belongs to the branch that feeds bus i; flows and current of row 0 are zero. Squared
    voltage ``v`` and current ``l`` of a bus become its own by the factors ``1 / n_sq`` and
    ``n_sq``, the squared ratio from the root ``(n,)``.
    """

    feeder: Feeder
    p: Floats
    q: Floats
    l: Floats  # noqa: E741 - the symbol of the equations
    v: Floats
    n_sq: Floats

    def columns(self, hours: Ints) -> "BranchState":
        """The states of some hours, in any order and number."""
        parts = {name: np.ascontiguousarray(getattr(self, name)[:, hours]) for name in "pqlv"}
        return BranchState(feeder=self.feeder, n_sq=self.n_sq, **parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Adjoint:
    """Gradient of ``Phi`` and the multipliers of the branch flow equations, all ``(n, T)``.

    ``p`` and ``q`` are ``dPhi/dp_inj`` per kW and ``dPhi/dq_inj`` per kvar of each bus;
    ``voltage`` is gamma, ``current`` epsilon, in referred per-unit quantities.
    """

    p: Floats
    q: Floats
    voltage: Floats
    current: Floats


def branch_state(flow: PowerFlow) -> BranchState:
    """Branch flow quantities of a power flow solution."""
    feeder = flow.feeder
    total = feeder.transformation[:, None]
    v_referred = flow.v_pu * total
    j_referred = flow.j_pu / total.conj()
    j_referred[0] = 0.0
    s = v_referred[np.maximum(feeder.parent, 0)] * j_referred.conj()
    return BranchState(
        feeder=feeder,
        p=np.ascontiguousarray(s.real),
        q=np.ascontiguousarray(s.imag),
        l=j_referred.real**2 + j_referred.imag**2,
        v=v_referred.real**2 + v_referred.imag**2,
        n_sq=np.abs(feeder.transformation) ** 2,
    )


def adjoint(
    state: BranchState, theta_per_kw: Floats, mu: Floats | None = None, kappa: Floats | None = None
) -> Adjoint:
    """Gradient of ``Phi = theta g + sum mu v + sum kappa i`` at a solved state.

    Parameters
    ----------
    state
        Where to differentiate.
    theta_per_kw
        ``(T,)`` value of a kW imported at the feeder head.
    mu, kappa
        ``(n, T)`` value of a squared bus voltage [pu^2] and of a squared series current [pu^2 of
        the child's base]; nothing by default.
    """
    feeder = state.feeder
    base_kw = float(kw_from_pu(1.0, feeder.base_mva))
    nothing = np.zeros_like(state.v)
    n_sq = state.n_sq[:, None]
    columns = (
        feeder.parent,
        feeder.r_pu * state.n_sq,
        feeder.x_pu * state.n_sq,
        feeder.g_sh_pu / state.n_sq,
        feeder.b_sh_pu / state.n_sq,
    )
    alpha, beta, gamma, epsilon = _solve(
        columns,
        (state.p, state.q, state.l, state.v),
        np.ascontiguousarray(theta_per_kw * base_kw, dtype=np.float64),
        nothing if mu is None else np.ascontiguousarray(mu / n_sq),
        nothing if kappa is None else np.ascontiguousarray(kappa * n_sq),
    )
    return Adjoint(p=alpha / -base_kw, q=beta / -base_kw, voltage=gamma, current=epsilon)


@compiled
def _solve(columns: Any, state: Any, theta: Floats, mu: Any, kappa: Any) -> Any:
    """Multipliers of all branches: elimination to the root, substitution back."""
    parent, r, x, g, b = columns
    p, q, current, v = state
    n, hours = v.shape
    # gamma_i = m + s alpha_i + t beta_i, gathered from the children
    m, s, t = mu.copy(), np.empty((n, hours)), np.empty((n, hours))
    for i in range(n):
        for h in range(hours):
            s[i, h] = g[i]
            t[i, h] = -b[i]
    # alpha_i = a0 + a1 alpha_parent + a2 beta_parent, beta_i likewise
    back = np.empty((6, n, hours))
    for i in range(n - 1, 0, -1):
        up = parent[i]
        z_sq = r[i] * r[i] + x[i] * x[i]
        for h in range(hours):
            vp = v[up, h]
            f, e = 2.0 * p[i, h] / vp, 2.0 * q[i, h] / vp
            m_i, s_i, t_i = m[i, h], s[i, h], t[i, h]
            k0 = kappa[i, h] + z_sq * m_i
            k1, k2 = r[i] + z_sq * s_i, x[i] + z_sq * t_i
            a11 = 1.0 + 2.0 * r[i] * s_i - f * k1
            a12 = 2.0 * r[i] * t_i - f * k2
            a21 = 2.0 * x[i] * s_i - e * k1
            a22 = 1.0 + 2.0 * x[i] * t_i - e * k2
            c1 = f * k0 - 2.0 * r[i] * m_i
            c2 = e * k0 - 2.0 * x[i] * m_i
            det = a11 * a22 - a12 * a21
            i11, i12, i21, i22 = a22 / det, -a12 / det, -a21 / det, a11 / det
            a0, b0 = i11 * c1 + i12 * c2, i21 * c1 + i22 * c2
            back[0, i, h], back[1, i, h], back[2, i, h] = a0, i11, i12
            back[3, i, h], back[4, i, h], back[5, i, h] = b0, i21, i22
            share = current[i, h] / vp
            w1, w2 = s_i - share * k1, t_i - share * k2
            m[up, h] += m_i - share * k0 + w1 * a0 + w2 * b0
            s[up, h] += w1 * i11 + w2 * i21
            t[up, h] += w1 * i12 + w2 * i22
    alpha, beta = np.empty((n, hours)), np.empty((n, hours))
    gamma, epsilon = np.empty((n, hours)), np.empty((n, hours))
    for h in range(hours):
        alpha[0, h], beta[0, h], epsilon[0, h] = theta[h], 0.0, 0.0
        gamma[0, h] = m[0, h] + s[0, h] * theta[h]
    for i in range(1, n):
        up = parent[i]
        z_sq = r[i] * r[i] + x[i] * x[i]
        for h in range(hours):
            a = back[0, i, h] + back[1, i, h] * alpha[up, h] + back[2, i, h] * beta[up, h]
            c = back[3, i, h] + back[4, i, h] * alpha[up, h] + back[5, i, h] * beta[up, h]
            d = m[i, h] + s[i, h] * a + t[i, h] * c
            alpha[i, h], beta[i, h], gamma[i, h] = a, c, d
            epsilon[i, h] = kappa[i, h] + r[i] * a + x[i] * c + z_sq * d
    return alpha, beta, gamma, epsilon
