"""Margins for what participants cannot control: from standard deviations to kW."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def shared_margins(sigma_kw: Floats, confidence: float) -> Floats:
    """Share a margin for the feeder's total load among the participants.

    The sum of independent errors exceeds ``z * sqrt(sum sigma_i^2)`` with probability
    ``1 - confidence``. Each participant carries its part in proportion to its variance (Euler
    allocation), so the parts add up to exactly that margin. A margin per participant would add up
    to far more: not all of them err to the same side in the same hour.

    Parameters
    ----------
    sigma_kw
        ``(N, T)`` standard deviations.
    confidence
        Probability that the total stays inside, 0.5 to below 1.

    Returns
    -------
    ndarray
        ``(N, T)`` margins [kW].

    Examples
    --------
    >>> shared_margins(np.array([[3.0], [4.0]]), 0.95).sum().round(3)  # 1.645 * 5
    np.float64(8.224)
    """
    quantile = NormalDist().inv_cdf(confidence)
    total = np.sqrt((sigma_kw**2).sum(axis=0))
    share = sigma_kw**2 / np.where(total > 0.0, total, 1.0)
    return np.asarray(quantile * share)
