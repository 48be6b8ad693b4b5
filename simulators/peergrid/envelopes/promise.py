"""Whether a promised confidence is kept: breaches counted where a box binds, and how many may be.

Only a side that binds tests its promise: schedule plus margin touch the box there, and the realised
injection leaves it with probability ``1 - confidence``. Elsewhere it happens less often.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.calibration import is_enough, rank
from peergrid.envelopes.margins import Margins
from peergrid.errors import DataError

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
UPPER, LOWER = 0, 1  # last axis of everything per side


@dataclass(frozen=True, kw_only=True)
class Promise:
    """What was promised, and what happened; rates are shares of draws.

    Parameters
    ----------
    promised
        Breach rate each side was allowed, ``1 - confidence``.
    low, high
        Sampling interval of an observed rate, simultaneous over all sides.
    binding
        How many sides bind.
    least, mean, worst
        Breach rates of the binding sides; NaN if there are none.
    worst_other
        Highest breach rate of the other sides; NaN if there are none.
    """

    promised: float
    low: float
    high: float
    binding: int
    least: float
    mean: float
    worst: float
    worst_other: float

    @property
    def is_kept(self) -> bool:
        """No side is breached more often than chance explains."""
        return not (self.worst > self.high or self.worst_other > self.high)

    @property
    def is_inside(self) -> bool:
        """Kept, and no binding side is breached less often than chance explains (too wide)."""
        return self.is_kept and not self.least < self.low


def breach_rate(injections: Floats, lower: Floats, upper: Floats, tolerance: float = 0.0) -> Floats:
    """Share of draws in which an injection leaves its box, per side.

    Parameters
    ----------
    injections
        Realised ``(draws, N, T)`` [kW or kvar], every one a number.
    lower, upper
        Sides of the boxes ``(N, T)``, same unit.
    tolerance
        How far outside does not count yet, same unit.

    Returns
    -------
    ndarray
        ``(N, T, 2)``: upper side, lower side.

    Examples
    --------
    >>> draws = np.array([-1.0, 0.0, 2.0, 3.0]).reshape(4, 1, 1)
    >>> breach_rate(draws, np.array([[-0.5]]), np.array([[1.0]]))
    array([[[0.5 , 0.25]]])
    """
    missing = int(np.isnan(injections).sum())
    if missing or not len(injections):
        found = f"{missing} NaN in {len(injections)} draws"
        raise DataError("breach_rate", "injections", found, "one draw at least, numbers only")
    above = (injections > upper + tolerance).mean(axis=0)
    below = (injections < lower - tolerance).mean(axis=0)
    return np.stack([above, below], axis=-1)


def binding_sides(
    position: Floats, margins: Margins, boxes: Boxes, tolerance: float, *, reactive: bool = False
) -> Flags:
    """Where the schedule plus its margin touches the box.

    A side without a margin is left out: nothing is promised about an error that is not there.

    Parameters
    ----------
    position
        Scheduled injections ``(N, T)`` [kW, or kvar if ``reactive``].
    tolerance
        Room that still counts as touching, same unit.
    reactive
        Look at the reactive sides instead of the active ones.

    Returns
    -------
    ndarray
        ``(N, T, 2)``: upper side, lower side.
    """
    if reactive:
        up, down = margins.q_up_kvar, margins.q_down_kvar
        upper, lower = boxes.q_max_kvar, boxes.q_min_kvar
    else:
        up, down = margins.p_up_kw, margins.p_down_kw
        upper, lower = boxes.p_max_kw, boxes.p_min_kw
    touching = (position + up >= upper - tolerance, position - down <= lower + tolerance)
    return np.stack([touching[UPPER] & (up > 0.0), touching[LOWER] & (down > 0.0)], axis=-1)


def interval(
    confidence: float,
    draws: int,
    calibration_n: int | None = None,
    *,
    sides: int = 1,
    error: float = 0.01,
) -> tuple[float, float]:
    """Breach rates that chance explains, if the promise is exactly kept.

    With a known distribution breaches are binomial, and a rate is in the interval exactly if the
    Clopper-Pearson interval around it contains ``1 - confidence`` (C. J. Clopper and E. S. Pearson,
    "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
    26(4), 1934). A margin from few errors adds the noise of its calibration.

    Parameters
    ----------
    confidence
        Promised per side.
    draws
        Independent draws behind the observed rate.
    calibration_n
        Errors behind a conformal margin, at least ``confidence / (1 - confidence)``; None if the
        distribution was known.
    sides
        How many sides are tested at once; they share ``error`` equally (Bonferroni).
    error
        Probability that any of them is outside although the promise is exactly kept.

    Examples
    --------
    >>> interval(0.95, 2000)
    (0.038, 0.063)
    >>> interval(0.95, 2000, calibration_n=200)
    (0.0175, 0.0995)
    """
    _check(confidence, draws, calibration_n)
    density = _breaches(confidence, draws, calibration_n)
    tail = error / (2.0 * sides)
    low = int(np.argmax(np.cumsum(density) > tail))
    high = draws - int(np.argmax(np.cumsum(density[::-1]) > tail))
    return low / draws, high / draws


def summarise(
    rates: Floats,
    binding: Flags,
    confidence: float,
    draws: int,
    calibration_n: int | None = None,
    *,
    error: float = 0.01,
) -> Promise:
    """Compare the breach rates of all sides with the confidence promised to each.

    Parameters
    ----------
    rates, binding
        ``(N, T, 2)`` from :func:`breach_rate` and :func:`binding_sides`.
    confidence, draws, calibration_n, error
        As in :func:`interval`; every side of ``rates`` counts as tested.

    Examples
    --------
    >>> rates = np.array([[[0.052, 0.0]]])
    >>> found = summarise(rates, rates > 0.0, 0.95, 2000)
    >>> found.worst, found.worst_other, found.is_inside
    (0.052, 0.0, True)
    """
    low, high = interval(confidence, draws, calibration_n, sides=max(rates.size, 1), error=error)
    tested, others = rates[binding], rates[~binding]
    least, mean, worst = (
        (float(tested.min()), float(tested.mean()), float(tested.max()))
        if tested.size
        else (float("nan"),) * 3
    )
    return Promise(
        promised=1.0 - confidence,
        low=low,
        high=high,
        binding=int(tested.size),
        least=least,
        mean=mean,
        worst=worst,
        worst_other=float(others.max()) if others.size else float("nan"),
    )


def _breaches(confidence: float, draws: int, calibration_n: int | None) -> Floats:
    """Probability of 0 to ``draws`` breaches of a side that binds, ``(draws + 1,)``.

    A conformal margin from n errors is itself a random number: its coverage follows
    ``Beta(k, n + 1 - k)`` with ``k = ceil((n+1) confidence)``, so breaches are beta-binomial (V.
    Vovk, "Conditional validity of inductive conformal predictors", PMLR 25, 2012; P. C. Marques F.,
    "Universal distribution of the empirical coverage in split conformal prediction",
    arXiv:2303.02770). That holds for continuous errors that are independent of each other; for
    dependent ones give the number of independent ones that they amount to.
    """
    count = np.arange(draws + 1)
    if calibration_n is None:
        density = stats.binom.pmf(count, draws, 1.0 - confidence)
    else:
        place = rank(calibration_n, confidence)
        density = stats.betabinom.pmf(count, draws, calibration_n + 1 - place, place)
    return np.asarray(density, dtype=np.float64)


def _check(confidence: float, draws: int, calibration_n: int | None) -> None:
    if not 0.0 < confidence < 1.0:
        raise DataError("interval", "confidence", confidence, "between 0 and 1")
    if draws < 1:
        raise DataError("interval", "draws", draws, "at least 1")
    if calibration_n is not None and not is_enough(calibration_n, confidence):
        least = f"at least {confidence / (1.0 - confidence):.0f} at confidence {confidence}"
        raise DataError("interval", "calibration_n", calibration_n, least)
