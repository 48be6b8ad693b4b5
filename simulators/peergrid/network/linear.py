"""LinDistFlow: squared voltages that are linear in the injections.

Branch equations: M. E. Baran and F. F. Wu, "Network reconfiguration in distribution systems for
loss reduction and load balancing", IEEE Trans. Power Delivery 4(2), 1989, doi 10.1109/61.25627,
eq. 4 (the simplified DistFlow without the quadratic terms)::

    v[i] = v[parent] - 2 (r[i] P[i] + x[i] Q[i]),    v = |V|^2

with ``P, Q`` the flow into branch i, here the sum of what is drawn downstream. Neglected: the
losses ``|z|^2 l`` and ``r l, x l`` (so voltages are too high under load), and the effect of the
shunts on the *slope*. Ratios enter exactly: impedances are referred to the root, and each row is
scaled back by the squared ratio of its bus. The offset is the no-load voltage of the exact power
flow, so shunts (capacitors, charging, magnetisation) and taps are in it.
"""

from dataclasses import dataclass

import numpy as np

from peergrid.errors import SolverError
from peergrid.network.feeder import Feeder, Floats, Ints
from peergrid.network.power_flow import solve
from peergrid.units import kw_from_pu


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel:
    """``|V|^2 = v0_sq + R @ p_inj_kw + X @ q_inj_kvar``.

    Parameters
    ----------
    v0_sq
        Squared voltages without injections [pu^2], shape (n,).
    R, X
        Slopes [pu^2/kW, pu^2/kvar], shape (n, n); row and column 0 (the root) are zero.
    D
        Downstream incidence, shape (branch n, bus n): 1 where the bus is fed through the branch;
        branch i is the one that feeds bus i, row 0 is the feeder head.
    """

    v0_sq: Floats
    R: Floats
    X: Floats
    D: Floats

    def voltage_sq(self, p_inj_kw: Floats, q_inj_kvar: Floats) -> Floats:
        """Squared voltages [pu^2], shape (n,) or (n, T) as the injections."""
        offset = self.v0_sq if np.ndim(p_inj_kw) == 1 else self.v0_sq[:, None]
        return np.asarray(offset + self.R @ p_inj_kw + self.X @ q_inj_kvar)

    def voltage(self, p_inj_kw: Floats, q_inj_kvar: Floats) -> Floats:
        """Voltage magnitudes [pu], shape (n,) or (n, T); NaN where the square is negative."""
        squared = self.voltage_sq(p_inj_kw, q_inj_kvar)
        return np.sqrt(np.where(squared >= 0.0, squared, np.nan))

    def branch_flow_kw(self, p_inj_kw: Floats) -> Floats:
        """Lossless flow towards the child [kW; kvar from kvar], shape (n,) or (n, T).

        Row 0 is the import at the feeder head.
        """
        return np.asarray(-(self.D @ p_inj_kw))


def downstream(feeder: Feeder) -> Floats:
    """Downstream incidence: 1 where bus (column) is fed through branch (row), shape (n, n)."""
    paths = np.eye(feeder.n_bus)
    for i in range(1, feeder.n_bus):
        paths[:, i] += paths[:, feeder.parent[i]]
    return paths


def lindistflow(feeder: Feeder, *, slack_vm_pu: float | None = None) -> LinearModel:
    """LinDistFlow model of a feeder around no load.

    Parameters
    ----------
    feeder
        The feeder.
    slack_vm_pu
        Voltage at the root [pu]; the feeder's by default.

    Raises
    ------
    SolverError
        If even the unloaded feeder has no power flow solution (absurd shunts).

    Examples
    --------
    >>> from peergrid.network.library import load_feeder
    >>> feeder = load_feeder("ieee33")
    >>> model = lindistflow(feeder)
    >>> float(model.voltage(-feeder.p_load_kw, -feeder.q_load_kvar).min().round(4))
    0.9159
    """
    nothing = np.zeros((feeder.n_bus, 1))
    no_load = solve(feeder, nothing, nothing, slack_vm_pu=slack_vm_pu)
    if not no_load.converged[0]:
        raise SolverError(f"{feeder.name}: the power flow without injections does not converge")
    paths = downstream(feeder)
    squared_ratio = np.abs(feeder.transformation) ** 2
    slopes = []
    for impedance in (feeder.r_pu, feeder.x_pu):
        weight = 2.0 * impedance * squared_ratio / kw_from_pu(1.0, feeder.base_mva)
        weight[0] = 0.0
        common_path = paths.T @ (weight[:, None] * paths)
        slope = np.asarray(common_path / squared_ratio[:, None])
        slope.setflags(write=False)
        slopes.append(slope)
    v0_sq = no_load.vm_pu[:, 0] ** 2
    v0_sq.setflags(write=False)
    paths.setflags(write=False)
    return LinearModel(v0_sq=v0_sq, R=slopes[0], X=slopes[1], D=paths)


def path_ohm(feeder: Feeder, at: Ints) -> Floats:
    """Resistance of the path between any two of these buses, ``(N, N)`` [ohm]."""
    ohm = feeder.r_pu * feeder.z_base_ohm
    ohm[0] = 0.0
    paths = downstream(feeder)[:, at]
    apart = paths[:, :, None] != paths[:, None, :]
    return np.asarray(np.einsum("l,lef->ef", ohm, apart))
