"""Conversions between the units on the wire, the units inside, and per unit: only here.

Inside, powers are in kW and kvar, energies in kWh, durations in hours; on the wire (mosaik) powers
are in MW and MVar; in ``network`` and the solvers everything is per unit.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", float, NDArray[np.float64])

SECONDS_PER_HOUR = 3600.0
KW_PER_MW = 1000.0


def hours(seconds: float) -> float:
    """Duration in hours.

    >>> hours(900)
    0.25
    """
    return seconds / SECONDS_PER_HOUR


def kw_from_mw(p_mw: Number) -> Number:
    """kW from MW (kvar from MVar, kWh from MWh, EUR/MWh from EUR/kWh)."""
    return p_mw * KW_PER_MW


def mw_from_kw(p_kw: Number) -> Number:
    """MW from kW (MVar from kvar, MWh from kWh, EUR/kWh from EUR/MWh)."""
    return p_kw / KW_PER_MW


def pu_from_kw(p_kw: Number, base_mva: float) -> Number:
    """Per unit of ``base_mva`` from kW (or kvar).

    >>> pu_from_kw(500.0, 1.0)
    0.5
    """
    return p_kw / (KW_PER_MW * base_mva)


def kw_from_pu(p_pu: Number, base_mva: float) -> Number:
    """kW (or kvar) from per unit of ``base_mva``."""
    return p_pu * (KW_PER_MW * base_mva)
