"""What storages burn: the least simultaneous charge and discharge behind a net schedule."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from peergrid.errors import SolverError

Floats = NDArray[np.float64]
TOLERANCE_KWH = 1e-6  # relative to the largest energy, at least that of 1 kWh
INFEASIBLE = 2  # status of scipy.optimize.linprog


def burning_kw(storage: tuple[Floats, ...], dt_h: float, net_kw: Floats) -> Floats:
    """Least simultaneous charge and discharge with which storages can follow a net schedule.

    Burning only takes energy out, so it is needed only where a schedule would fill a storage
    beyond its limit. Where it is, the total of the storage over the horizon is the least possible
    (a linear programme).

    Parameters
    ----------
    storage
        Columns of S storages, see :mod:`peergrid.market.storage_prox`.
    dt_h
        Step length [h].
    net_kw
        ``(S, T)`` net injections.

    Returns
    -------
    ndarray
        ``(S, T)`` [kW], zero where none is needed; NaN for a storage that cannot follow its
        schedule at all.

    Raises
    ------
    SolverError
        If HiGHS ends without an answer.
    """
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = storage
    charge, discharge = np.maximum(-net_kw, 0.0), np.maximum(net_kw, 0.0)
    room = np.maximum(np.minimum(box[1] - charge, box[3] - discharge), 0.0)
    lost = dt_h * (1.0 / eta_d - eta_c)
    path = _energy(dt_h * (eta_c * charge - discharge / eta_d) - demand, keep, e_now)
    tolerance = TOLERANCE_KWH * np.maximum(np.abs(e_hi).max(axis=1, initial=0.0), 1.0)[:, None]
    above, below = path - e_hi - tolerance, e_lo - tolerance - path
    burnt = np.zeros(net_kw.shape)
    for s in np.flatnonzero((np.maximum(above, below) > 0.0).any(axis=1)):
        burnt[s] = _least_burning(above[s], below[s], keep[s], lost[s], room[s])
    return burnt


def _energy(change_kwh: Floats, keep: Floats, e_now: Floats) -> Floats:
    """Energy at the end of each step ``(S, T)`` [kWh]."""
    path, energy = np.empty(change_kwh.shape), e_now
    for t in range(change_kwh.shape[1]):
        energy = path[:, t] = keep * energy + change_kwh[:, t]
    return path


def _least_burning(above: Floats, below: Floats, keep: float, lost: Floats, room: Floats) -> Floats:
    """Least total burning ``(T,)`` that brings one storage's energies between their limits.

    ``above``, ``below`` [kWh]: by how much they leave them without burning (negative inside);
    ``lost`` [kWh/kW]: what a step of burning takes; ``room`` [kW]: how much of it is possible.
    """
    steps = np.arange(len(above))
    since = steps[:, None] - steps[None, :]
    taken = np.where(since >= 0, keep ** np.maximum(since, 0) * lost[None, :], 0.0)
    found = linprog(
        np.ones(len(above)),
        A_ub=np.vstack([-taken, taken]),
        b_ub=np.concatenate([-above, -below]),
        bounds=np.column_stack([np.zeros(len(room)), room]),
        method="highs",
    )
    if found.status == INFEASIBLE:
        return np.full(len(above), np.nan)
    if not found.success:
        raise SolverError(f"HiGHS: {found.message}")
    return np.asarray(found.x)
