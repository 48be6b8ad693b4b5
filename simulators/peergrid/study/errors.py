"""What forecasts may be off by, and draws of it: PV, wind and load, alike between communities.

An error of a kind is one common part and one of each community's own::

    z_e = sqrt(c) common + sqrt(1 - c) own_e,     error_e = sigma_e * shape(z_e)

with a shape of mean 0 and variance 1: normal, skewed (a shifted lognormal) or heavy-tailed
(Student's t with 3 degrees of freedom). The reactive error of a load follows its active one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Shape = Literal["gaussian", "lognormal", "t3"]
SHAPES: tuple[Shape, ...] = get_args(Shape)
LOG_SIGMA = 0.6  # of the lognormal: skewness 2.3
INJECTED = {"pv": 1.0, "wind": 1.0, "load": -1.0}  # sign of each kind in an injection


@dataclass(frozen=True, kw_only=True, eq=False)
class Errors:
    """Uncertainty of N communities over T hours.

    Parameters
    ----------
    sigma_kw
        Standard deviations ``(N, T)`` of "pv", "wind" and "load" [kW].
    correlation
        Of each kind, between any two communities.
    tan_phi
        Reactive error of a load per kW of its active error.
    feeder_each, feeder_common
        Relative standard deviations of the feeder's own loads: of each bus, and of all together.
    """

    sigma_kw: Mapping[str, Floats]
    correlation: Mapping[str, float]
    tan_phi: float
    feeder_each: float = 0.0
    feeder_common: float = 0.0

    @cached_property
    def sigma(self) -> tuple[Floats, Floats]:
        """Standard deviations of active and reactive injections ``(N, T)`` [kW, kvar]."""
        total = np.sqrt(np.sum([part**2 for part in self.sigma_kw.values()], axis=0))
        return total, self.tan_phi * self.sigma_kw["load"]

    def draw(
        self, count: int, rng: np.random.Generator, shape: Shape = "gaussian"
    ) -> tuple[Floats, Floats]:
        """Errors of active and reactive injections, each ``(count, N, T)`` [kW, kvar]."""
        size = next(iter(self.sigma_kw.values())).shape
        p_kw, q_kvar = np.zeros((count, *size)), np.zeros((count, *size))
        for kind, sigma in self.sigma_kw.items():
            shared = self.correlation[kind]
            common = rng.standard_normal((count, 1, size[1]))
            own = rng.standard_normal((count, *size))
            normal = np.sqrt(shared) * common + np.sqrt(1.0 - shared) * own
            found = INJECTED[kind] * sigma * shaped(normal, shape)
            p_kw += found
            if kind == "load":
                q_kvar += self.tan_phi * found
        return p_kw, q_kvar

    def draw_feeder(self, count: int, buses: int, hours: int, rng: np.random.Generator) -> Floats:
        """Factors ``(count, n, T)`` on the feeder's own loads."""
        each = self.feeder_each * rng.standard_normal((count, buses, hours))
        common = self.feeder_common * rng.standard_normal((count, 1, hours))
        return np.asarray(1.0 + each + common)


def shaped(normal: Floats, shape: Shape) -> Floats:
    """Standard normal numbers as numbers of another shape with mean 0 and variance 1.

    Examples
    --------
    >>> [float(shaped(np.array([2.0]), shape)[0].round(2)) for shape in SHAPES]
    [2.0, 2.69, 1.91]
    """
    if shape == "gaussian":
        return normal
    if shape == "t3":
        return np.asarray(stats.t.ppf(stats.norm.cdf(normal), 3) / np.sqrt(3.0))
    mean, spread = np.exp(LOG_SIGMA**2 / 2.0), np.sqrt(np.exp(LOG_SIGMA**2) - 1.0)
    return np.asarray((np.exp(LOG_SIGMA * normal) / mean - 1.0) / spread)
