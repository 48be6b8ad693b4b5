"""Exact AC power flow of a radial feeder: backward/forward sweep, all hours at once.

Method: the current form of D. Shirmohammadi et al., "A compensation-based power flow method for
weakly meshed distribution and transmission networks", IEEE Trans. Power Systems 3(2), 1988,
doi 10.1109/59.192932, on a feeder whose ideal transformers have been removed: with ``N`` the
complex ratio from the root to a bus, the referred quantities ``V' = N V``, ``J' = J / conj(N)``,
``z' = |N|^2 z``, ``y' = y / |N|^2`` obey the equations of a feeder without transformers, exactly::

    backward   J'[i] = -conj(S[i] / V'[i]) + y'[i] V'[i] + sum of J' over the children
    forward    V'[i] = V'[parent] - z'[i] J'[i]

It converges linearly for every load that a distribution feeder can carry; an hour that does not
is reported as not converged, with NaN voltages. Each hour is iterated on its own, so its result
does not depend on which other hours are in the call.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from peergrid.compiled import compiled
from peergrid.errors import DataError
from peergrid.network.feeder import Bools, Complexes, Feeder, Floats, Ints
from peergrid.units import kw_from_pu, pu_from_kw

_HOURS_PER_BLOCK = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerFlow:
    """Solved state of a feeder over T hours; derived quantities are computed when first asked for.

    Parameters
    ----------
    feeder
        The feeder that was solved.
    v_pu
        Complex bus voltages [pu], shape (n, T); NaN in hours that did not converge.
    j_pu
        Complex series current of each branch at its child end [pu of the child], towards the
        child, shape (n, T); row 0 is the current drawn from the external grid.
    converged
        Whether each hour converged, shape (T,).
    iterations
        Sweeps each hour took, shape (T,).
    """

    feeder: Feeder
    v_pu: Complexes
    j_pu: Complexes
    converged: Bools
    iterations: Ints

    @cached_property
    def vm_pu(self) -> Floats:
        """Voltage magnitudes [pu], shape (n, T)."""
        return np.abs(self.v_pu)

    @cached_property
    def va_deg(self) -> Floats:
        """Voltage angles [degree], shape (n, T)."""
        return np.asarray(np.angle(self.v_pu, deg=True))

    @cached_property
    def i_series_ka(self) -> Floats:
        """Current through the series impedance, at the child's voltage level [kA], shape (n, T).

        Row 0 is the current drawn from the external grid.
        """
        return np.asarray(np.abs(self.j_pu) * self.feeder.i_base_ka[:, None])

    @cached_property
    def i_parent_ka(self) -> Floats:
        """Current at the parent end of each branch, its shunt included [kA], shape (n, T)."""
        rows = np.maximum(self.feeder.parent, 0)
        current = np.abs(self._parent_terminal_pu) * self.feeder.i_base_ka[rows, None]
        return _without_root(current)

    @cached_property
    def i_child_ka(self) -> Floats:
        """Current at the child end of each branch, its shunt included [kA], shape (n, T)."""
        terminal = self.j_pu - self.feeder.y_child_pu[:, None] * self.v_pu
        return _without_root(np.abs(terminal) * self.feeder.i_base_ka[:, None])

    @cached_property
    def i_ka(self) -> Floats:
        """Larger of the two end currents [kA], shape (n, T): ``res_line.i_ka`` of pandapower."""
        return np.maximum(self.i_parent_ka, self.i_child_ka)

    @cached_property
    def loading(self) -> Floats:
        """Loading of each branch [1], shape (n, T): the worse end against its rating there."""
        parent_end = self.i_parent_ka[1:] / self.feeder.i_max_parent_ka[1:, None]
        child_end = self.i_child_ka[1:] / self.feeder.i_max_ka[1:, None]
        loading = np.zeros(self.v_pu.shape)
        loading[1:] = np.maximum(parent_end, child_end)
        return loading

    @cached_property
    def p_branch_kw(self) -> Floats:
        """Active power into each branch at its parent end [kW], shape (n, T)."""
        return np.asarray(self._s_branch_kva.real)

    @cached_property
    def q_branch_kvar(self) -> Floats:
        """Reactive power into each branch at its parent end [kvar], shape (n, T)."""
        return np.asarray(self._s_branch_kva.imag)

    @cached_property
    def loss_kw(self) -> Floats:
        """Active power consumed in series impedances and shunts [kW], shape (T,)."""
        return np.asarray(self._s_loss_kva.real)

    @cached_property
    def loss_kvar(self) -> Floats:
        """Reactive power consumed in series impedances and shunts [kvar], shape (T,)."""
        return np.asarray(self._s_loss_kva.imag)

    @cached_property
    def head_p_kw(self) -> Floats:
        """Active power drawn from the external grid [kW], import positive, shape (T,)."""
        return np.asarray(self._s_head_kva.real)

    @cached_property
    def head_q_kvar(self) -> Floats:
        """Reactive power drawn from the external grid [kvar], import positive, shape (T,)."""
        return np.asarray(self._s_head_kva.imag)

    @property
    def _s_head_kva(self) -> Complexes:
        return np.asarray(self.v_pu[0] * self.j_pu[0].conj() * _kw_per_pu(self.feeder))

    @property
    def _s_loss_kva(self) -> Complexes:
        f = self.feeder
        z = f.r_pu + 1j * f.x_pu
        z[0] = 0.0  # row 0 is no branch
        y = f.g_sh_pu + 1j * f.b_sh_pu
        series = z[:, None] * np.abs(self.j_pu) ** 2
        shunt = y.conj()[:, None] * np.abs(self.v_pu) ** 2
        return np.asarray(np.sum(series + shunt, axis=0) * _kw_per_pu(f))

    @property
    def _s_branch_kva(self) -> Complexes:
        rows = np.maximum(self.feeder.parent, 0)
        power = self.v_pu[rows] * self._parent_terminal_pu.conj() * _kw_per_pu(self.feeder)
        power[0] = 0.0
        return power

    @property
    def _parent_terminal_pu(self) -> Complexes:
        f = self.feeder
        rows = np.maximum(f.parent, 0)
        step = f.ratio * np.exp(1j * np.deg2rad(f.shift_deg))
        return np.asarray(
            self.j_pu / step.conj()[:, None] + f.y_parent_pu[:, None] * self.v_pu[rows]
        )


def base_injections(feeder: Feeder, n_hours: int = 1) -> tuple[Floats, Floats]:
    """Nominal loads as injections: ``p_inj_kw, q_inj_kvar``, each of shape (n, n_hours)."""
    p_inj = np.repeat(-feeder.p_load_kw[:, None], n_hours, axis=1)
    q_inj = np.repeat(-feeder.q_load_kvar[:, None], n_hours, axis=1)
    return p_inj, q_inj


def solve(
    feeder: Feeder,
    p_inj_kw: Floats,
    q_inj_kvar: Floats,
    *,
    slack_vm_pu: ArrayLike | None = None,
    v_start: Complexes | None = None,
    tol_pu: float = 1e-10,
    max_iterations: int = 200,
) -> PowerFlow:
    """Solve the AC power flow of every hour.

    Parameters
    ----------
    feeder
        The feeder.
    p_inj_kw, q_inj_kvar
        Net injection of each bus, export positive [kW, kvar], shape (n, T). They replace the
        feeder's nominal loads (``base_injections`` gives those).
    slack_vm_pu
        Voltage magnitude at the root [pu], one value or shape (T,); the feeder's by default.
    v_start
        Complex voltages to start from [pu], shape (n, T); where NaN, and by default, no load.
    tol_pu
        Largest voltage change between two sweeps at which an hour counts as converged [pu].
    max_iterations
        Sweeps after which an hour counts as diverged.

    Returns
    -------
    PowerFlow
        Hours that diverge (or whose injections are not finite) have ``converged`` False and NaN
        voltages; this is no error.
    """
    p_pu = _matrix(feeder, "p_inj_kw", p_inj_kw)
    q_pu = _matrix(feeder, "q_inj_kvar", q_inj_kvar)
    if p_pu.shape != q_pu.shape:
        raise DataError(feeder.name, "q_inj_kvar", f"shape {q_pu.shape}", f"shape {p_pu.shape}")
    root = _root_voltage(feeder, slack_vm_pu, p_pu.shape[1])
    total = feeder.transformation
    magnitude = np.abs(total) ** 2
    start = np.repeat(root[None, :], feeder.n_bus, axis=0)
    if v_start is not None:
        given = _matrix_like(feeder, v_start, start) * total[:, None]
        start[1:] = np.where(np.isfinite(given), given, start)[1:]
    impedance = (feeder.r_pu + 1j * feeder.x_pu) * magnitude
    admittance = (feeder.g_sh_pu + 1j * feeder.b_sh_pu) / magnitude
    tables = (feeder.parent, impedance, admittance)
    result = _solve_blocks(tables, p_pu, q_pu, start, tol_pu, max_iterations)
    v_re, v_im, j_re, j_im, iterations, converged = result
    v_pu = (v_re + 1j * v_im) / total[:, None]
    j_pu = (j_re + 1j * j_im) * total.conj()[:, None]
    return PowerFlow(
        feeder=feeder, v_pu=v_pu, j_pu=j_pu, converged=converged, iterations=iterations
    )


def _kw_per_pu(feeder: Feeder) -> float:
    return float(kw_from_pu(1.0, feeder.base_mva))


def _matrix(feeder: Feeder, name: str, values_kw: Floats) -> Floats:
    values = np.asarray(values_kw, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != feeder.n_bus:
        wanted = f"shape ({feeder.n_bus}, T), one row per bus"
        raise DataError(feeder.name, name, f"shape {values.shape}", wanted)
    return pu_from_kw(values, feeder.base_mva)


def _matrix_like(feeder: Feeder, v_start: Complexes, like: Complexes) -> Complexes:
    values = np.asarray(v_start, dtype=np.complex128)
    if values.shape != like.shape:
        raise DataError(feeder.name, "v_start", f"shape {values.shape}", f"shape {like.shape}")
    return values


def _root_voltage(feeder: Feeder, slack_vm_pu: ArrayLike | None, n_hours: int) -> Complexes:
    vm = np.asarray(feeder.slack_vm_pu if slack_vm_pu is None else slack_vm_pu, dtype=np.float64)
    if vm.shape not in ((), (n_hours,)):
        wanted = f"one value or shape ({n_hours},)"
        raise DataError(feeder.name, "slack_vm_pu", f"shape {vm.shape}", wanted)
    turn = np.exp(1j * np.deg2rad(feeder.slack_va_deg))
    return np.asarray(np.broadcast_to(vm * turn, (n_hours,)))


def _without_root(values: Floats) -> Floats:
    values[0] = 0.0
    return values


Columns = tuple[Ints, Floats, Floats, Floats, Floats]  # parent, r, x, g, b of each bus
Block = tuple[Floats, Floats, Floats, Floats]  # p, q, real and imaginary start voltage, (n, T)
Tables = tuple[Ints, Complexes, Complexes]
Solution = tuple[Floats, Floats, Floats, Floats, Ints, Bools]


def _solve_blocks(
    tables: Tables,
    p_pu: Floats,
    q_pu: Floats,
    start: Complexes,
    tol_pu: float,
    max_iterations: int,
) -> Solution:
    """Call the compiled sweep on blocks of hours that fit the cache."""
    parent, z, y = tables
    columns = (parent, z.real.copy(), z.imag.copy(), y.real.copy(), y.imag.copy())
    n_hours = p_pu.shape[1]
    parts = []
    for first in range(0, max(n_hours, 1), _HOURS_PER_BLOCK):
        hours = slice(first, min(first + _HOURS_PER_BLOCK, n_hours))
        block = (
            np.ascontiguousarray(p_pu[:, hours]),
            np.ascontiguousarray(q_pu[:, hours]),
            np.ascontiguousarray(start[:, hours].real),
            np.ascontiguousarray(start[:, hours].imag),
        )
        parts.append(_sweep(columns, block, tol_pu, max_iterations))
    if len(parts) == 1:
        return parts[0]
    v_re, v_im, j_re, j_im, iterations, converged = (
        np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)
    )
    return v_re, v_im, j_re, j_im, iterations, converged


@compiled
def _backward(
    columns: Columns, block: Block, v_re: Floats, v_im: Floats, j_re: Floats, j_im: Floats
) -> None:
    """Branch currents from voltages, leaves to root, written into ``j``; shape (n, T) each."""
    parent, _, _, g, b = columns
    p, q = block[0], block[1]
    n, n_hours = p.shape
    for i in range(n):
        for t in range(n_hours):
            scale = 1.0 / (v_re[i, t] * v_re[i, t] + v_im[i, t] * v_im[i, t])
            # -conj(S / V) = -(p - jq) V / |V|^2
            j_re[i, t] = -(p[i, t] * v_re[i, t] + q[i, t] * v_im[i, t]) * scale
            j_im[i, t] = -(p[i, t] * v_im[i, t] - q[i, t] * v_re[i, t]) * scale
        if g[i] != 0.0 or b[i] != 0.0:
            for t in range(n_hours):
                j_re[i, t] += g[i] * v_re[i, t] - b[i] * v_im[i, t]
                j_im[i, t] += g[i] * v_im[i, t] + b[i] * v_re[i, t]
    for i in range(n - 1, 0, -1):
        up = parent[i]
        for t in range(n_hours):
            j_re[up, t] += j_re[i, t]
            j_im[up, t] += j_im[i, t]


@compiled
def _forward(
    columns: Columns, v_re: Floats, v_im: Floats, j_re: Floats, j_im: Floats, change: Floats
) -> None:
    """Voltages from branch currents, root to leaves; squared largest change per hour, (T,)."""
    parent, r, x = columns[0], columns[1], columns[2]
    n, n_hours = v_re.shape
    change[:] = 0.0
    for i in range(1, n):
        up = parent[i]
        for t in range(n_hours):
            new_re = v_re[up, t] - r[i] * j_re[i, t] + x[i] * j_im[i, t]
            new_im = v_im[up, t] - r[i] * j_im[i, t] - x[i] * j_re[i, t]
            d_re = new_re - v_re[i, t]
            d_im = new_im - v_im[i, t]
            v_re[i, t] = new_re
            v_im[i, t] = new_im
            step = d_re * d_re + d_im * d_im
            # NaN stays, once it is there or comes: comparisons with it are false
            if not step <= change[t] and change[t] == change[t]:
                change[t] = step


@compiled
def _sweep(columns: Columns, block: Block, tol_pu: float, max_iterations: int) -> Solution:
    """Sweep one block of hours to convergence; hours that do not converge end as NaN."""
    v_re, v_im = block[2].copy(), block[3].copy()
    n, n_hours = v_re.shape
    j_re, j_im = np.empty((n, n_hours)), np.empty((n, n_hours))
    done_re, done_im = np.full((n, n_hours), np.nan), np.full((n, n_hours), np.nan)
    change = np.zeros(n_hours)
    iterations = np.zeros(n_hours, dtype=np.int64)
    converged = np.zeros(n_hours, dtype=np.bool_)
    ended = np.zeros(n_hours, dtype=np.bool_)
    left = n_hours
    for k in range(max_iterations):
        _backward(columns, block, v_re, v_im, j_re, j_im)
        _forward(columns, v_re, v_im, j_re, j_im, change)
        for t in range(n_hours):
            if ended[t]:
                continue
            iterations[t] = k + 1
            finite = np.isfinite(change[t] + j_re[0, t] + j_im[0, t])
            if finite and change[t] <= tol_pu * tol_pu:
                converged[t] = True
                for i in range(n):
                    done_re[i, t] = v_re[i, t]
                    done_im[i, t] = v_im[i, t]
            if converged[t] or not finite:
                ended[t] = True
                left -= 1
        if left == 0:
            break
    _backward(columns, block, done_re, done_im, j_re, j_im)
    return done_re, done_im, j_re, j_im, iterations, converged
