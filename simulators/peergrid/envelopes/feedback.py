"""What the meters saw corrects the model that the next envelopes are computed from.

Three corrections.

- *Load* is scaled by what the feeder head shows.
- *Impedances*: every branch has a factor of its own, learned from measured voltages
  (:mod:`peergrid.envelopes.feedback_lines`). A factor carries over from the operating point, where
  it is measured, to the corner of the envelopes, where the promise is made; it may be below one.
  What is still open about the factors is a margin, evaluated at the corner itself.
- *Bias*: what the corrected model still does not explain narrows the voltage band by bus. It is
  measured at the operating point and says little about the corner, so it only ever shrinks.

Meters fail and lie. One that is missing, frozen, absurd or contradicts all others is not used; its
branch becomes less certain, so margins grow, and its bus keeps at least the narrowing it had and as
much as an honest meter could have asked for. What no such check can find: meters that all lie
consistently (the model they describe is then the one that is learned), and a lie within the
accuracy of what the others predict.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.feedback_injections import Expected, Injections, estimate, surprising
from peergrid.envelopes.feedback_lines import (
    INNOVATION_SIGMAS,
    VOLTAGE_SD_PU,
    Factors,
    learn,
    path_sd_pu,
)
from peergrid.envelopes.metering import HEAD_METER as HEAD_METER
from peergrid.envelopes.metering import VOLTAGE_DECIMALS as VOLTAGE_DECIMALS
from peergrid.envelopes.metering import History, Refused, screen
from peergrid.envelopes.metering import Measurements as Measurements
from peergrid.envelopes.metering import known_or_zero as known_or_zero
from peergrid.network.feeder import Feeder
from peergrid.network.power_flow import PowerFlow

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOAD_SCALE_RANGE = (0.5, 2.0)
LOAD_SCALE_GAIN = 0.5
LOAD_SCALE_DECAY = 0.9
LOAD_JUMP_RANGE = (0.2, 5.0)  # a forecast that is off by more is none, or the head's meter is wrong
MARGIN_SIGMAS = 2.0  # 97.7 % to each side
# What the reading of a refused meter could honestly have been beyond the model, and what it could
# have changed of the others'.
REFUSED_NARROWING_PU = INNOVATION_SIGMAS * VOLTAGE_SD_PU
BESIDE_REFUSED_PU = MARGIN_SIGMAS * VOLTAGE_SD_PU
RELEASE = 0.9  # of the narrowing of a refused meter's bus stays from one hour to the next


@dataclass(frozen=True, kw_only=True, eq=False)
class Correction:
    """What the meters taught.

    Parameters
    ----------
    narrow_upper_pu, narrow_lower_pu
        ``(n,)`` by how much the voltage band is narrowed, not negative [pu].
    load_scale
        On the expected load.
    factors
        Belief about the branches' impedances; None trusts the model, without any margin.
    history
        What the meters said before; None is nothing.
    """

    narrow_upper_pu: Floats
    narrow_lower_pu: Floats
    load_scale: float
    factors: Factors | None = None
    history: History | None = None

    @classmethod
    def none(cls, buses: int) -> "Correction":
        """Trust the model: no correction and no margin."""
        return cls(narrow_upper_pu=np.zeros(buses), narrow_lower_pu=np.zeros(buses), load_scale=1.0)

    @classmethod
    def first(cls, buses: int) -> "Correction":
        """Before anything is measured: the model, with a margin for all that may be wrong."""
        return replace(cls.none(buses), factors=Factors.prior(buses), history=History.empty(buses))

    @property
    def impedance_scale(self) -> Floats:
        """Factor on the impedance of the branch that feeds each bus, ``(n,)``; 1 for the root."""
        return np.ones(len(self.narrow_upper_pu)) if self.factors is None else self.factors.mean

    @property
    def impedance_sd(self) -> Floats:
        """Its standard deviation, ``(n,)``."""
        return np.zeros(len(self.narrow_upper_pu)) if self.factors is None else self.factors.sd

    def scale_of(self, hours: int) -> Floats:
        """Load scale of the next hours, fading towards 1, ``(T,)``."""
        fading = LOAD_SCALE_DECAY ** np.arange(hours, dtype=np.float64)
        return np.asarray(1.0 + (self.load_scale - 1.0) * fading)


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """What one hour of measurements teaches.

    Parameters
    ----------
    correction
        For the next envelopes.
    errors_pu
        ``(n,)`` measured voltages less those of the uncorrected model; NaN where nothing sensible
        was measured.
    refused
        Meters that were not believed, and why.
    """

    correction: Correction
    errors_pu: Floats
    refused: tuple[Refused, ...]


def corrected(feeder: Feeder, correction: Correction) -> Feeder:
    """The feeder with every branch's impedance as the meters suggest."""
    if correction.factors is None:
        return feeder
    return feeder.scaled_branches(correction.factors.mean)


def posterior_margin_pu(correction: Correction, flow: PowerFlow) -> Floats:
    """Margin on each voltage for what is open about the impedances, ``(n, T)`` [pu].

    Parameters
    ----------
    correction
        What the meters taught.
    flow
        Power flow of the corrected feeder at the corner the promise is made for.

    Returns
    -------
    Floats
        Not negative; NaN in hours without a power flow solution.
    """
    if correction.factors is None:
        return np.zeros_like(flow.vm_pu)
    return MARGIN_SIGMAS * path_sd_pu(correction.factors, flow)


def lesson(
    feeder: Feeder,
    seen: Measurements,
    before: Correction,
    expected_load_kw: float,
    controlled_kw: float,
    expected: Expected | None = None,
) -> Lesson:
    """Learn from the last hour's measurements.

    Parameters
    ----------
    feeder
        The operator's model.
    seen
        The measurements.
    before
        The correction used for the last hour; if it trusts the model, learning begins now.
    expected_load_kw
        Forecast of the firm load for the last hour.
    controlled_kw
        Measured injection of everything that is not firm load.
    expected
        What to expect of buses without a power meter; the nominal loads by default.
    """
    n = feeder.n_bus
    factors = (before.factors or Factors.prior(n)).older()
    heard = _hear(feeder, seen, before, factors, expected)
    refused, doubted = heard.refused, _rows(heard.refused, n)
    errors = left = np.full(n, np.nan)
    used, loss_kw, balanced = np.zeros(n, dtype=bool), 0.0, True
    could_be = np.full(n, REFUSED_NARROWING_PU)
    if heard.known is not None:
        learnt = learn(feeder, heard.usable.vm_pu, heard.known, factors)
        factors, used, balanced = learnt.factors, learnt.used, heard.known.balanced
        doubted = doubted | learnt.inconsistent
        could_be = np.maximum(could_be, MARGIN_SIGMAS * learnt.noise_sd_pu)
        refused += _inconsistent(learnt.inconsistent)
        errors, _ = _errors_pu(feeder, heard.usable, heard.known)
        left, loss_kw = _errors_pu(feeder.scaled_branches(factors.mean), heard.usable, heard.known)
    refused += () if balanced else (Refused(HEAD_METER, "inconsistent"),)
    floor = np.where(doubted, could_be, BESIDE_REFUSED_PU if refused else 0.0)
    shown_kw = heard.usable.head_p_kw + controlled_kw - loss_kw if balanced else float("nan")
    correction = Correction(
        narrow_upper_pu=_narrowed(left, before.narrow_upper_pu, used, floor, doubted),
        narrow_lower_pu=_narrowed(-left, before.narrow_lower_pu, used, floor, doubted),
        load_scale=_next_load_scale(before.load_scale, shown_kw, expected_load_kw),
        factors=factors.doubted(doubted),
        history=heard.history,
    )
    return Lesson(correction=correction, errors_pu=errors, refused=refused)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Heard:
    """Measurements that are left after the first checks, and the injections they tell of."""

    usable: Measurements
    refused: tuple[Refused, ...]
    history: History
    known: Injections | None


def _hear(
    feeder: Feeder,
    seen: Measurements,
    before: Correction,
    factors: Factors,
    expected: Expected | None,
) -> _Heard:
    """Refuse what can be refused without voltages; estimate what the buses injected."""
    history = before.history or History.empty(feeder.n_bus)
    usable, refused, history = screen(feeder, seen.at_meter_resolution(), history)
    if expected is not None:
        wrong = surprising(usable, expected, before.load_scale)
        usable, refused = usable.without(wrong), refused + _inconsistent(wrong)
    scaled = feeder.scaled_branches(factors.mean)
    known = estimate(scaled, usable, expected, before.load_scale, factors.covariance)
    return _Heard(usable=usable, refused=refused, history=history, known=known)


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


def _next_load_scale(before: float, measured_load_kw: float, expected_load_kw: float) -> float:
    """The same, but an absurd jump teaches nothing."""
    low, high = LOAD_JUMP_RANGE
    if not low * expected_load_kw <= measured_load_kw <= high * expected_load_kw:
        return before
    return load_scale(before, measured_load_kw, expected_load_kw)


def _inconsistent(rows: Bools) -> tuple[Refused, ...]:
    return tuple(Refused(int(row), "inconsistent") for row in np.flatnonzero(rows))


def _rows(refused: tuple[Refused, ...], buses: int) -> Bools:
    rows = np.zeros(buses, dtype=bool)
    rows[[meter.row for meter in refused if meter.row != HEAD_METER]] = True
    return rows


def _errors_pu(feeder: Feeder, seen: Measurements, known: Injections) -> tuple[Floats, float]:
    """Measured less modelled voltages ``(n,)``, and the modelled losses [kW]."""
    flow = known.flow(feeder)
    if flow is None:
        return np.full(feeder.n_bus, np.nan), 0.0
    return seen.vm_pu - flow.vm_pu[:, 0], float(flow.loss_kw[0])


def _narrowed(left: Floats, before: Floats, used: Bools, floor: Floats, doubted: Bools) -> Floats:
    """Narrowing of one limit ``(n,)`` by what the corrected model leaves unexplained.

    An unmetered bus takes the largest of the metered ones. Where meters contradict each other so
    that none is believed, all of them narrow. Without any meter it stays as it was. A refused
    meter's bus keeps most of what it had, and no bus has less than ``floor`` ``(n,)``.
    """
    telling = used if used.any() else np.isfinite(left)
    if not telling.any():
        return np.maximum(before, floor)
    narrow = np.maximum(np.where(telling, left, 0.0), floor)
    narrow = np.where(doubted, np.maximum(narrow, RELEASE * before), narrow)
    return np.where(telling & ~doubted, narrow, narrow.max())
