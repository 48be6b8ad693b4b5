"""What the meters saw corrects the model that the next envelopes are computed from.

Three corrections. The expected load is scaled by what the feeder head shows. Line impedances are
scaled by how measured voltage drops compare with modelled ones (recursive least squares with
forgetting, one factor for the feeder); that carries over from the operating point, where it is
measured, to the corner, where the promise is made. What the factor does not explain narrows the
voltage band by bus. The last two only ever shrink an envelope: an impedance factor below one and an
error to the good side change nothing.
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
IMPEDANCE_RANGE = (0.7, 1.5)
IMPEDANCE_PRIOR_SD = 0.12
VOLTAGE_NOISE_SQ_PU = 4e-4
FORGETTING = 0.8
VOLTAGE_DECIMALS = 6
POWER_DECIMALS = 3


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

    def at_meter_resolution(self) -> "Measurements":
        """Rounded to what a meter resolves: 1e-6 pu, 1 W and 1 var.

        Two solvers of the same grid, or two machines, then teach the operator the same.
        """
        return Measurements(
            vm_pu=np.round(self.vm_pu, VOLTAGE_DECIMALS),
            p_inj_kw=np.round(self.p_inj_kw, POWER_DECIMALS),
            q_inj_kvar=np.round(self.q_inj_kvar, POWER_DECIMALS),
            head_p_kw=round(self.head_p_kw, POWER_DECIMALS),
            head_q_kvar=round(self.head_q_kvar, POWER_DECIMALS),
            loss_kw=round(self.loss_kw, POWER_DECIMALS),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """How the band is narrowed ``(n,)`` [pu, not negative], impedances and load scaled.

    ``drop_evidence`` holds the sums of the recursive least squares: measured times modelled drop,
    and modelled drop squared, both forgetting.
    """

    narrow_upper_pu: Floats
    narrow_lower_pu: Floats
    load_scale: float
    impedance_scale: float = 1.0
    drop_evidence: tuple[float, float] = (0.0, 0.0)

    @property
    def safe_impedance_scale(self) -> float:
        """Factor for the envelopes' model: never below one, so that it can only shrink them."""
        return max(self.impedance_scale, 1.0)

    @classmethod
    def none(cls, buses: int) -> "Correction":
        """Trust the model."""
        return cls(narrow_upper_pu=np.zeros(buses), narrow_lower_pu=np.zeros(buses), load_scale=1.0)

    def scale_of(self, hours: int) -> Floats:
        """Load scale of the next hours, fading towards 1, ``(T,)``."""
        fading = LOAD_SCALE_DECAY ** np.arange(hours, dtype=np.float64)
        return np.asarray(1.0 + (self.load_scale - 1.0) * fading)


def known_or_zero(values: Floats) -> Floats:
    """What was measured; zero where nothing, or nothing finite, was."""
    return np.where(np.isfinite(values), values, 0.0)


def modelled(feeder: Feeder, seen: Measurements) -> PowerFlow | None:
    """Exact power flow of the operator's model at the measured injections.

    Buses without a power meter count as zero; None where nothing was measured or nothing solves.
    """
    if not np.isfinite(seen.p_inj_kw[1:]).any():
        return None
    p_kw, q_kvar = known_or_zero(seen.p_inj_kw)[:, None], known_or_zero(seen.q_inj_kvar)[:, None]
    flow = solve(feeder, p_kw, q_kvar, tol_pu=1e-8)
    return flow if flow.converged[0] else None


def voltage_errors(flow: PowerFlow | None, seen: Measurements) -> Floats:
    """Measured less modelled voltage ``(n,)`` [pu]; NaN where nothing sensible was measured."""
    if flow is None:
        return np.full(len(seen.vm_pu), np.nan)
    error = seen.vm_pu - flow.vm_pu[:, 0]
    return np.where(np.abs(error) <= ABSURD_ERROR_PU, error, np.nan)


def impedance_evidence(
    flow: PowerFlow, errors: Floats, before: tuple[float, float]
) -> tuple[float, float]:
    """Sums of the least squares ``measured drop = factor * modelled drop``, in squared voltage."""
    modelled_sq = flow.vm_pu[:, 0] ** 2
    drop = modelled_sq[0] - modelled_sq
    measured = modelled_sq[0] - (flow.vm_pu[:, 0] + errors) ** 2
    known = np.isfinite(measured)
    known[0] = False
    return (
        FORGETTING * before[0] + float(measured[known] @ drop[known]),
        FORGETTING * before[1] + float(drop[known] @ drop[known]),
    )


def impedance_scale(evidence: tuple[float, float]) -> float:
    """Posterior mean of the factor around a prior of one.

    >>> impedance_scale((0.0, 0.0)), round(impedance_scale((0.11, 0.1)), 3)
    (1.0, 1.1)
    """
    trust = (VOLTAGE_NOISE_SQ_PU / IMPEDANCE_PRIOR_SD) ** 2
    factor = (evidence[0] + trust) / (evidence[1] + trust)
    return float(np.clip(factor, *IMPEDANCE_RANGE))


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
    seen = seen.at_meter_resolution()
    flow = modelled(feeder, seen)
    errors = voltage_errors(flow, seen)
    evidence, left = before.drop_evidence, errors
    loss_kw = 0.0
    if flow is not None:
        evidence = impedance_evidence(flow, errors, evidence)
        scaled = modelled(feeder.scaled_impedance(impedance_scale(evidence)), seen)
        left = voltage_errors(scaled, seen)
        loss_kw = float(flow.loss_kw[0])
    upper, lower = before.narrow_upper_pu, before.narrow_lower_pu
    if np.isfinite(left).any():
        upper, lower = narrowing(left)
    measured_load = seen.head_p_kw + controlled_kw - loss_kw
    return Correction(
        narrow_upper_pu=upper,
        narrow_lower_pu=lower,
        load_scale=load_scale(before.load_scale, measured_load, expected_load_kw),
        impedance_scale=impedance_scale(evidence),
        drop_evidence=evidence,
    ), errors
