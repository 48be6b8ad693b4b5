"""Margins for what nobody controls: from standard deviations and a confidence to kW.

A schedule touches its box only up to its margins, ``p_min + p_down <= p <= p_max - p_up``. The
realised injection then leaves that side of the box with the probability that the error exceeds the
margin, ``1 - confidence``.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Margins:
    """By how much injections may miss their schedule, ``(N, T)``, finite and not negative.

    Parameters
    ----------
    p_up_kw, p_down_kw
        How far the active injection may exceed its schedule, and fall short of it [kW].
    q_up_kvar, q_down_kvar
        The same for the reactive injection [kvar].
    """

    p_up_kw: Floats
    p_down_kw: Floats
    q_up_kvar: Floats
    q_down_kvar: Floats

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value.shape != self.p_up_kw.shape:
                raise DataError("margins", f"{name}.shape", value.shape, f"{self.p_up_kw.shape}")
            if not np.all((value >= 0.0) & np.isfinite(value)):
                worst = float(value[~((value >= 0.0) & np.isfinite(value))][0])
                raise DataError("margins", name, worst, "finite and not negative")


def gaussian(sigma_kw: Floats, confidence: float) -> Floats:
    """Margin of a normal error, the same to both sides: ``Phi^-1(confidence) * sigma``.

    The deterministic equivalent of a chance constraint on one side: A. Charnes and W. W. Cooper,
    "Deterministic equivalents for optimizing and satisficing under chance constraints", Operations
    Research 11(1), 1963.

    Parameters
    ----------
    sigma_kw
        Standard deviations of any shape [kW or kvar].
    confidence
        Probability of staying inside one side, 0.5 to below 1.

    Returns
    -------
    ndarray
        Margins, in the shape and unit of ``sigma_kw``.

    Examples
    --------
    >>> gaussian(np.array([[0.0, 10.0]]), 0.95).round(2)
    array([[ 0.  , 16.45]])
    """
    _checked(confidence)
    return NormalDist().inv_cdf(confidence) * np.asarray(sigma_kw, dtype=np.float64)


def side_confidence(confidence: float, sides: int) -> float:
    """Confidence each side needs so that all of them hold together.

    Boole's (Bonferroni's) inequality, whatever the errors have to do with each other: the sides
    share the allowance ``1 - confidence`` equally, ``1 - (1 - confidence) / sides``.

    Parameters
    ----------
    confidence
        Promised for the whole network and one hour, 0.5 to below 1.
    sides
        Those of the participants that enter a row (:func:`sides_entering`), plus those of the
        operator's own margin. That is one if a single row can be broken. Two opposite rows are two
        sides; rows that look at the same side of the same load err almost together, but strictly
        each of them counts.

    Examples
    --------
    >>> round(side_confidence(0.95, 11), 6)  # five participants, and the operator
    0.995455
    """
    _checked(confidence)
    if sides < 1:
        raise DataError("margins", "sides", sides, "at least 1")
    return 1.0 - (1.0 - confidence) / sides


def sides_entering(a: Floats, b: Floats, *, q_follows_p: bool = True) -> int:
    """How many sides of participants the rows ``a @ p + b @ q <= limit`` look at.

    An upper side enters where ``a > 0`` (active) or ``b > 0`` (reactive) in some row and hour, a
    lower side where one of them is negative: only there does the worst case over a box contain it.

    Active and reactive power count as one side per direction, at most 2 N. A load with a lagging
    power factor errs in both at once, ``dq = tan_phi * dp``, and with margins in the same
    proportion ``dp > p_up`` and ``dq > q_up`` are the same event: it needs its allowance once.
    That does not hold for a participant whose generation errs in ``p`` alone, or whose
    ``tan_phi`` is negative. ``dp > p_up`` and ``dq > q_up`` are then two events, and the promise
    holds only if both are counted: ``q_follows_p=False``, at most 4 N.

    Parameters
    ----------
    a, b
        Coefficients per kW and kvar, ``(J, N)`` or ``(J, N, T)``; zero in hours in which a row does
        not count.
    q_follows_p
        Whether the reactive error of each participant is a fixed, not negative multiple of the
        active one.

    Examples
    --------
    >>> a, b = np.array([[1.0, 2.0], [-1.0, 0.0]]), np.array([[0.5, 0.5], [-0.5, 0.0]])
    >>> sides_entering(a, b)  # both upper sides, one lower
    3
    >>> sides_entering(a, b, q_follows_p=False)
    6
    """
    entering = [
        np.any(sign * coefficient > 0.0, axis=(0, *range(2, coefficient.ndim)))
        for coefficient in (a, b)
        for sign in (1.0, -1.0)
    ]
    if not q_follows_p:
        return int(sum(side.sum() for side in entering))
    p_up, p_down, q_up, q_down = entering
    return int((p_up | q_up).sum() + (p_down | q_down).sum())


def row_sigma(
    load: tuple[Floats, Floats],
    sensitivity: tuple[Floats, Floats],
    *,
    each: float,
    common: float,
) -> Floats:
    """Standard deviation of each row from errors of the operator's own loads.

    Bus b draws ``(1 + each * e_b + common * c)`` times its forecast, with independent standard
    normal ``e_b`` and ``c``. A row reacts by ``w_jb = sens_p[j, b] load_kw[b] + sens_q[j, b]
    load_kvar[b]`` per unit, so its variance is a sum over independent parts::

        sigma_j^2 = each^2 sum_b w_jb^2 + (common sum_b w_jb)^2

    Parameters
    ----------
    load
        Forecast ``(load_kw, load_kvar)``, each ``(n, T)``.
    sensitivity
        The rows' slopes ``(sens_p, sens_q)`` per kW and kvar of load, each ``(J, n)``.
    each, common
        Relative standard deviations of the independent and of the shared error.

    Returns
    -------
    ndarray
        ``(J, T)`` in the unit of the rows.

    Examples
    --------
    >>> load = np.array([[3.0], [4.0]]), np.zeros((2, 1))
    >>> slope = np.ones((1, 2)), np.zeros((1, 2))
    >>> row_sigma(load, slope, each=0.1, common=0.0)  # 0.1 * hypot(3, 4)
    array([[0.5]])
    >>> row_sigma(load, slope, each=0.0, common=0.1).round(3)  # 0.1 * (3 + 4)
    array([[0.7]])
    """
    load_kw, load_kvar = load
    sens_p, sens_q = sensitivity
    shared = sens_p @ load_kw + sens_q @ load_kvar
    squares = (
        sens_p**2 @ load_kw**2
        + 2.0 * ((sens_p * sens_q) @ (load_kw * load_kvar))
        + sens_q**2 @ load_kvar**2
    )
    # Where the active and reactive part cancel, rounding may leave a sum below zero.
    return np.sqrt(each**2 * np.maximum(squares, 0.0) + (common * shared) ** 2)


def _checked(confidence: float) -> None:
    if not 0.5 <= confidence < 1.0:
        raise DataError("margins", "confidence", confidence, "0.5 to below 1")
