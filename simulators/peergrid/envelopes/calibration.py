"""Margins learnt from the errors of past forecasts, whatever their distribution.

Split conformal prediction with standardised errors, one side at a time. If the n recorded errors
and the next one are exchangeable, the next one exceeds the ceil((n+1) confidence)-th smallest with
probability at most ``1 - confidence``: no assumption on skew or tails.

- V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", Springer, 2005,
  doi 10.1007/b106715: the method and its validity.
- J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani and L. Wasserman, "Distribution-free predictive
  inference for regression", J. Am. Stat. Assoc. 113(523), 2018, doi 10.1080/01621459.2017.1307116:
  split conformal (Algorithm 2, Theorem 2.2), and errors divided by a scale.

The guarantee averages over calibrations; :mod:`peergrid.envelopes.promise` says how far a single
one may be off. Errors of one hour that move together (weather) count as fewer than n.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.margins import gaussian
from peergrid.errors import DataError

Floats = NDArray[np.float64]
KEEP = 2000
ROUNDING = 1e-9  # (n + 1) * confidence may miss its integer by a few units in the last place


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A pool of past errors, oldest first; one per kind of forecast, or one for all.

    Parameters
    ----------
    errors
        Standardised errors ``(realised - forecast) / sigma`` of injections, export positive.
    keep
        How many of the newest are kept, at least 1.
    """

    errors: tuple[float, ...] = ()
    keep: int = KEEP

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise DataError("calibration", "keep", self.keep, "at least 1")


def record(calibration: Calibration, errors_kw: Floats, sigma_kw: Floats) -> Calibration:
    """The calibration with further errors in it.

    Parameters
    ----------
    errors_kw
        Realised minus forecast injection [kW], ``(N, T)`` with the newest hour last.
    sigma_kw
        The standard deviations stated with the forecasts [kW], same shape.

    Returns
    -------
    Calibration
        Without entries that are not a finite number, and without those whose sigma is not positive
        (nothing was uncertain, so there is nothing to scale).

    Examples
    --------
    >>> record(Calibration(keep=2), np.array([[1.0, np.nan, 2.0, 6.0]]), np.full((1, 4), 2.0))
    Calibration(errors=(1.0, 3.0), keep=2)
    """
    errors, sigma = (np.asarray(part, dtype=np.float64).T for part in (errors_kw, sigma_kw))
    usable = np.isfinite(errors) & np.isfinite(sigma) & (sigma > 0.0)
    with np.errstate(over="ignore"):
        new = errors[usable] / sigma[usable]  # transposed: hour by hour, so the newest come last
    kept = (*calibration.errors, *new[np.isfinite(new)].tolist())
    return replace(calibration, errors=kept[-calibration.keep :])


def rank(errors: int, confidence: float) -> int:
    """Which of the sorted errors is the margin, from 1: ``ceil((n + 1) * confidence)``.

    Examples
    --------
    >>> rank(200, 0.95), rank(18, 0.95)  # the second does not exist
    (191, 19)
    """
    return math.ceil((errors + 1) * confidence - ROUNDING)


def is_enough(errors: int, confidence: float) -> bool:
    """Whether so many errors support a margin: ``n >= confidence / (1 - confidence)``.

    Examples
    --------
    >>> is_enough(19, 0.95), is_enough(18, 0.95)
    (True, False)
    """
    return rank(errors, confidence) <= errors


def conformal(
    calibration: Calibration, sigma_kw: Floats, confidence: float
) -> tuple[Floats, Floats]:
    """Margins up and down: the ceil((n+1) confidence)-th smallest standardised error times sigma.

    Of the negated errors for the side down. A margin below zero (forecasts were biased) becomes
    zero: the promise is then more than kept. With too few errors (:func:`is_enough` is False) both
    are :func:`~peergrid.envelopes.margins.gaussian`.

    Parameters
    ----------
    sigma_kw
        Standard deviations of any shape [kW].
    confidence
        Probability of staying inside one side, 0.5 to below 1.

    Returns
    -------
    tuple of ndarray
        ``(up_kw, down_kw)`` in the shape of ``sigma_kw``, not negative [kW].

    Examples
    --------
    >>> few = Calibration(errors=(-1.0, 0.0, 3.0))
    >>> conformal(few, np.array([[2.0]]), 0.75)
    (array([[6.]]), array([[2.]]))
    """
    known = gaussian(sigma_kw, confidence)
    count = len(calibration.errors)
    if not is_enough(count, confidence):
        return known, known.copy()
    place = rank(count, confidence) - 1
    ordered = np.sort(np.asarray(calibration.errors))
    up, down = ordered[place], -ordered[count - 1 - place]
    sigma = np.asarray(sigma_kw, dtype=np.float64)
    return max(up, 0.0) * sigma, max(down, 0.0) * sigma
