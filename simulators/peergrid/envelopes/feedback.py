"""What the meters saw corrects the model that the next envelopes are computed from.

Two corrections: the expected load is scaled by what the feeder head shows, and the voltage band is
narrowed by the difference between measured and modelled voltages. The second only ever narrows: it
is measured at the operating point, the promise is made at the corner.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.network.feeder import Feeder
from peergrid.network.power_flow import PowerFlow, solve

Floats = NDArray[np.float64]

LOAD_SCALE_RANGE = (0.5, 2.0)
LOAD_SCALE_GAIN = 0.5
LOAD_SCALE_DECAY = 0.9
ABSURD_ERROR_PU = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurements:
    """What the meters saw in one hour; NaN where there is no meter or it said nothing.

    Parameters
    ----------
    vm_pu, p_inj_kw, q_inj_kvar
        ``(n,)`` by feeder row, injection positive.
    head_p_kw, head_q_kvar
        Power at the feeder head, import positive.
    loss_kw
        Losses of the grid.
    """

    vm_pu: Floats
    p_inj_kw: Floats
    q_inj_kvar: Floats
    head_p_kw: float
    head_q_kvar: float
    loss_kw: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """How the band is narrowed ``(n,)`` [pu, not negative] and the load scaled."""

    narrow_upper_pu: Floats
    narrow_lower_pu: Floats
    load_scale: float

    @classmethod
    def none(cls, buses: int) -> "Correction":
        """Trust the model."""
        return cls(narrow_upper_pu=np.zeros(buses), narrow_lower_pu=np.zeros(buses), load_scale=1.0)

    def scale_of(self, hours: int) -> Floats:
        """Load scale of the next hours, fading towards 1, ``(T,)``."""
        fading = LOAD_SCALE_DECAY ** np.arange(hours, dtype=np.float64)
        return np.asarray(1.0 + (self.load_scale - 1.0) * fading)


def modelled(feeder: Feeder, seen: Measurements) -> PowerFlow | None:
    """Exact power flow of the operator's model at the measured injections.

    Buses without a power meter count as zero; None where nothing was measured or nothing solves.
    """
    if not np.isfinite(seen.p_inj_kw[1:]).any():
        return None
    p_kw = np.nan_to_num(seen.p_inj_kw, nan=0.0)[:, None]
    q_kvar = np.nan_to_num(seen.q_inj_kvar, nan=0.0)[:, None]
    flow = solve(feeder, p_kw, q_kvar, tol_pu=1e-8)
    return flow if flow.converged[0] else None


def voltage_errors(flow: PowerFlow | None, seen: Measurements) -> Floats:
    """Measured less modelled voltage ``(n,)`` [pu]; NaN where nothing sensible was measured."""
    if flow is None:
        return np.full(len(seen.vm_pu), np.nan)
    error = seen.vm_pu - flow.vm_pu[:, 0]
    return np.where(np.abs(error) <= ABSURD_ERROR_PU, error, np.nan)


def narrowing(errors: Floats) -> tuple[Floats, Floats]:
    """Narrowing of the upper and lower limit by bus; an unmetered bus takes the largest seen.

    >>> narrowing(np.array([0.0, 0.002, np.nan]))
    (array([0.   , 0.002, 0.002]), array([0., 0., 0.]))
    """
    upper, lower = np.maximum(errors, 0.0), np.maximum(-errors, 0.0)
    return _filled(upper), _filled(lower)


def _filled(values: Floats) -> Floats:
    known = np.isfinite(values)
    worst = values[known].max() if known.any() else 0.0
    return np.where(known, values, worst)


def load_scale(before: float, measured_load_kw: float, expected_load_kw: float) -> float:
    """Next load scale from the load that the feeder head shows and the one expected.

    ``expected_load_kw`` is the forecast before any scaling.

    >>> load_scale(1.0, 110.0, 100.0)
    1.05
    """
    if not (np.isfinite(measured_load_kw) and expected_load_kw > 0.0):
        return before
    seen = float(np.clip(measured_load_kw / expected_load_kw, *LOAD_SCALE_RANGE))
    return before + LOAD_SCALE_GAIN * (seen - before)


def correct(
    feeder: Feeder,
    seen: Measurements,
    before: Correction,
    expected_load_kw: float,
    controlled_kw: float,
) -> tuple[Correction, Floats]:
    """Correction for the next envelopes, and the voltage errors ``(n,)`` it follows from.

    Parameters
    ----------
    feeder
        The operator's model.
    seen
        The last hour's measurements.
    before
        The correction used for the last hour.
    expected_load_kw
        Forecast of the firm load for the last hour.
    controlled_kw
        Measured injection of everything that is not firm load.
    """
    flow = modelled(feeder, seen)
    errors = voltage_errors(flow, seen)
    upper, lower = narrowing(errors)
    loss_kw = seen.loss_kw
    if not np.isfinite(loss_kw):
        loss_kw = 0.0 if flow is None else float(flow.loss_kw[0])
    measured_load = seen.head_p_kw + controlled_kw - loss_kw
    scale = load_scale(before.load_scale, measured_load, expected_load_kw)
    return Correction(narrow_upper_pu=upper, narrow_lower_pu=lower, load_scale=scale), errors
