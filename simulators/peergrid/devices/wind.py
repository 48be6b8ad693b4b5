"""Wind turbines: a power curve at the wind speed of the hub."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROUGHNESS_M = 0.1
"""Roughness length of open farmland with scattered buildings [m] (European Wind Atlas)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Turbines:
    """n wind plants, each ``count`` equal turbines.

    Parameters
    ----------
    curves
        Per plant: rising wind speeds [m/s] and powers of one turbine [kW].
    rated_kw
        Rated power of the whole plant, ``(n,)``.
    hub_height_m, count
        ``(n,)``.
    """

    curves: tuple[tuple[Floats, Floats], ...]
    rated_kw: Floats
    hub_height_m: Floats
    count: Floats


def hub_speed(
    speed_m_s: Floats, measured_at_m: float, hub_height_m: Floats, roughness_m: float = ROUGHNESS_M
) -> Floats:
    """Wind speed at the hub by the logarithmic profile of a neutral boundary layer.

    ``v(z) = v(z_m) ln(z / z_0) / ln(z_m / z_0)`` (Troen and Petersen, European Wind Atlas, 1989).

    >>> hub_speed(np.array([4.0]), 10.0, np.array([37.0])).round(3).tolist()
    [5.136]
    """
    factor = np.log(hub_height_m / roughness_m) / np.log(measured_at_m / roughness_m)
    return np.asarray(speed_m_s * factor)


def available_kw(turbines: Turbines, speed_m_s: Floats, measured_at_m: float) -> Floats:
    """Power of each plant, ``(n, T)`` [kW], from wind speeds ``(n, T)`` at the mast's height.

    The curve is interpolated linearly and zero outside its table; NaN speeds give NaN.
    """
    at_hub = hub_speed(speed_m_s, measured_at_m, turbines.hub_height_m[:, None])
    power = np.empty_like(at_hub)
    for row, (speeds, powers) in enumerate(turbines.curves):
        power[row] = np.interp(at_hub[row], speeds, powers, left=0.0, right=0.0)
    return np.asarray(power * turbines.count[:, None])
