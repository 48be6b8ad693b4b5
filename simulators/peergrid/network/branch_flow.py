"""Relaxed branch flow model of a radial feeder as cvxpy constraints: the central reference.

The second-order cone relaxation of M. Farivar and S. Low, "Branch flow model: relaxations and
convexification", IEEE Trans. Power Systems 28(3), 2013, doi 10.1109/TPWRS.2013.2255317, with
sending-end flows: the equations in :mod:`peergrid.network.adjoint` with ``l v >= P^2 + Q^2``
written as ``||(2 P, 2 Q, v - l)|| <= v + l``. Ideal transformers are removed as in
:mod:`peergrid.network.power_flow`, shunts are kept.
"""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse

from peergrid.network.feeder import Feeder, Floats
from peergrid.units import kw_from_pu


@dataclass(frozen=True, kw_only=True, eq=False)
class RelaxedFlow:
    """Variables and constraints of the relaxed model over n buses and T hours.

    Parameters
    ----------
    import_kw
        ``(T,)`` expression: active power drawn at the feeder head, losses included.
    v, l
        ``(n - 1, T)`` squared voltages and currents of the buses below the root and the branches
        that feed them, referred to the root [pu].
    constraints
        All of them; ``upper`` and ``lower`` are those of the voltage band, whose multipliers are
        of interest, ``rated`` those of the currents (None without limits).
    """

    import_kw: Any
    v: Any
    l: Any  # noqa: E741 - the symbol of the equations
    constraints: list[Any]
    balance: Any
    upper: Any
    lower: Any
    rated: Any


def relaxed_branch_flow(
    feeder: Feeder,
    injection_kw: Any,
    injection_kvar: Any,
    band_sq: tuple[Floats, Floats],
    i_max_sq: Floats,
) -> RelaxedFlow:
    """Constraints that tie injections to import, voltages and currents.

    Parameters
    ----------
    feeder
        The feeder, n buses.
    injection_kw, injection_kvar
        ``(n, T)`` expressions, row 0 the root.
    band_sq
        Lower and upper squared voltage ``(n, T)`` [pu^2].
    i_max_sq
        ``(n,)`` squared current limits [pu^2 of the child]; infinite where there is none.
    """
    steps, branches = band_sq[0].shape[1], feeder.n_bus - 1
    base_kw = float(kw_from_pu(1.0, feeder.base_mva))
    n_sq = np.abs(feeder.transformation[1:, None]) ** 2
    r, x = feeder.r_pu[1:, None] * n_sq, feeder.x_pu[1:, None] * n_sq
    g, b = feeder.g_sh_pu[1:, None] / n_sq, feeder.b_sh_pu[1:, None] / n_sq
    shape = (branches, steps)
    p, q, current, v = (cp.Variable(shape) for _ in range(4))
    root_sq = np.full((1, steps), feeder.slack_vm_pu**2)
    above, below = _tree(feeder)
    v_up = above @ cp.vstack([root_sq, v])
    fed_p, fed_q = below @ p, below @ q
    balance = fed_p[1:] == (
        injection_kw[1:] / base_kw + p - cp.multiply(r, current) - cp.multiply(g, v)
    )
    reactive = fed_q[1:] == (
        injection_kvar[1:] / base_kw + q - cp.multiply(x, current) + cp.multiply(b, v)
    )
    drop = v == v_up - 2 * (cp.multiply(r, p) + cp.multiply(x, q)) + cp.multiply(
        r**2 + x**2, current
    )
    cone = cp.SOC(
        cp.vec(v_up + current, order="F"),
        cp.vstack([cp.vec(part, order="F") for part in (2 * p, 2 * q, v_up - current)]),
        axis=0,
    )
    upper, lower = v <= band_sq[1][1:] * n_sq, v >= band_sq[0][1:] * n_sq
    limited = np.flatnonzero(np.isfinite(i_max_sq[1:]))
    rated = None
    if len(limited):
        most = (i_max_sq[1:, None] / n_sq)[limited]
        rated = current[limited] <= np.broadcast_to(most, (len(limited), steps))
    own = float(feeder.g_sh_pu[0]) * feeder.slack_vm_pu**2
    constraints = [balance, reactive, drop, cone, upper, lower, *([] if rated is None else [rated])]
    return RelaxedFlow(
        import_kw=base_kw * (fed_p[0] + own) - injection_kw[0],
        v=v,
        l=current,
        constraints=constraints,
        balance=balance,
        upper=upper,
        lower=lower,
        rated=rated,
    )


def _tree(feeder: Feeder) -> tuple[Any, Any]:
    """Branch to parent bus ``(n - 1, n)``, and bus to the branches it feeds ``(n, n - 1)``."""
    branches = np.arange(feeder.n_bus - 1)
    above = scipy.sparse.csr_array(
        (np.ones(len(branches)), (branches, feeder.parent[1:])),
        shape=(len(branches), feeder.n_bus),
    )
    return above, above.T.tocsr()
