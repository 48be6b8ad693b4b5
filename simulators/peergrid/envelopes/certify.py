"""Corners of the envelopes under the exact power flow.

On a radial feeder the voltage rises with every injection: with everyone at the upper corner it is
highest, at the lower corner lowest. LinDistFlow neglects losses and so never shows a voltage below
the exact one; lower limits are corrected by the gap found at the corner itself.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.network.feeder import Feeder
from peergrid.network.linear import LinearModel
from peergrid.network.power_flow import solve

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Corners:
    """Exact voltages ``(n, T)`` [pu] at the corners; NaN where no power flow solution exists."""

    high_vm_pu: Floats
    low_vm_pu: Floats
    gap_low_sq: Floats

    def worst_violation_pu(self, v_min_pu: Floats, v_max_pu: Floats) -> Floats:
        """By how much a corner leaves the band at most, ``(T,)``; infinite without solution."""
        # Where reactance dominates, heavy export can also pull a voltage down: both against both.
        both = np.stack([self.high_vm_pu, self.low_vm_pu])[:, 1:]
        outside = np.maximum(both - v_max_pu[1:], v_min_pu[1:] - both).max(axis=0)
        worst = np.maximum(np.where(np.isnan(outside), np.inf, outside).max(axis=0), 0.0)
        return np.asarray(worst)


def corners(
    feeder: Feeder,
    model: LinearModel,
    at: Indices,
    boxes: Boxes,
    background: tuple[Floats, Floats],
) -> Corners:
    """Exact power flow with every participant at its upper, and at its lower corner.

    Parameters
    ----------
    feeder, model
        The feeder and its linear model.
    at
        ``(N,)`` feeder row of each participant.
    boxes
        Envelopes ``(N, T)``.
    background
        Injections ``(n, T)`` of everything else [kW, kvar].
    """
    high = injections(at, boxes.p_max_kw, boxes.q_max_kvar, background)
    low = injections(at, boxes.p_min_kw, boxes.q_min_kvar, background)
    p_kw, q_kvar = (np.hstack(pair) for pair in zip(high, low, strict=True))
    vm_pu = solve(feeder, p_kw, q_kvar, tol_pu=1e-8).vm_pu
    hours = boxes.p_max_kw.shape[1]
    low_vm = vm_pu[:, hours:]
    gap = low_vm**2 - model.voltage_sq(*low)
    return Corners(
        high_vm_pu=vm_pu[:, :hours],
        low_vm_pu=low_vm,
        gap_low_sq=np.minimum(np.nan_to_num(gap, nan=0.0), 0.0),
    )


def injections(
    at: Indices, p_kw: Floats, q_kvar: Floats, background: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Injections of all buses ``(n, T)`` from those of the participants and the background."""
    total_p, total_q = background[0].copy(), background[1].copy()
    np.add.at(total_p, at, p_kw)
    np.add.at(total_q, at, q_kvar)
    return total_p, total_q
