"""One factor per branch on its impedance, learned from voltages: a joint Kalman filter.

The state is the factor of every branch. A metered bus b tells of those on its path::

    V_0 - V_b = sum over the path of f_l d_l / N_b + noise,   d_l = |V'_parent| - |V'_l|

with ``d_l`` the voltage drop that the model shows over branch l with factor one at the measured
injections, voltages referred to the root, and ``N_b`` the ratio from the root. With all buses
metered this is a filter for every line on its own; with few meters the branches between two of
them share what is seen, and stay uncertain by themselves (their errors correlate, so the sum over
the path is known better than its parts). Equations: R. E. Kalman, "A new approach to linear
filtering and prediction problems", J. Basic Engineering 82(1), 1960, doi 10.1115/1.3662552; the
update is iterated because currents depend a little on the factors (A. H. Jazwinski, "Stochastic
processes and filtering theory", 1970, section 8.3).

A meter that contradicts all others is refused: with innovations ``nu`` and their covariance ``S``,
``(S^-1 nu)_b / sqrt((S^-1)_bb)`` is what meter b shows beyond what the others predict, in standard
deviations of that prediction. The largest is taken out, again and again, up to half of them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.feedback_injections import Injections, voltage_noise_sq
from peergrid.network.feeder import Feeder
from peergrid.network.linear import downstream
from peergrid.network.power_flow import PowerFlow

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Before anything is measured: what all lines have in common (conductor temperature, the model's
# tables) and what each has of its own (its length). Together 0.12, the spread found between
# utilities' line data and measurements; the split lets metered lines tell of unmetered ones.
COMMON_SD = 0.06
OWN_SD = 0.104
VOLTAGE_SD_PU = (
    2e-4  # of a meter's voltage: class 0.02 of a good meter, and all the model leaves out
)
HEAD_VOLTAGE_SD_PU = 0.01  # of the head's voltage against its set value, where it is metered
FORGETTING = 0.01  # an hour: conductors warm up and cool down, records get old
DOUBT = 0.5  # of the way back to the prior goes the branch whose meter was refused
INNOVATION_SIGMAS = 4.0  # 1 in 16 000 honest readings
REFUSED_SHARE = 0.5  # beyond, nobody can say who is wrong
FACTOR_RANGE = (0.5, 2.0)  # keeps impedances positive; four standard deviations of the prior
ITERATIONS = 2  # the second changes factors by less than 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """Gaussian belief about the factor of every branch; row 0, the root, has none (1, surely).

    Parameters
    ----------
    mean
        ``(n,)``; row i is the branch that feeds bus i.
    covariance
        ``(n, n)``.
    """

    mean: Floats
    covariance: Floats

    @classmethod
    def prior(cls, buses: int) -> "Factors":
        """Before anything is measured."""
        covariance = np.full((buses, buses), COMMON_SD**2) + OWN_SD**2 * np.eye(buses)
        covariance[0, :] = covariance[:, 0] = 0.0
        return cls(mean=np.ones(buses), covariance=covariance)

    @property
    def sd(self) -> Floats:
        """Standard deviation, ``(n,)``."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def older(self) -> "Factors":
        """An hour later: a little less is known."""
        prior = Factors.prior(len(self.mean)).covariance
        covariance = (1.0 - FORGETTING) * self.covariance + FORGETTING * prior
        return Factors(mean=self.mean, covariance=covariance)

    def doubted(self, rows: Bools) -> "Factors":
        """Less sure of the branches of some rows ``(n,)``, never less than the prior is."""
        most = np.full(len(self.mean), COMMON_SD**2 + OWN_SD**2)
        most[0] = 0.0
        missing = np.maximum(most - np.diag(self.covariance), 0.0)
        added = np.where(rows, DOUBT * missing, 0.0)
        return Factors(mean=self.mean, covariance=self.covariance + np.diag(added))


def unit_drops_pu(flow: PowerFlow, factors: Floats) -> Floats:
    """Voltage drop over each branch per unit of its factor, referred to the root, ``(n, T)``.

    ``flow`` is that of the feeder scaled by ``factors`` ``(n,)``.
    """
    referred = flow.vm_pu * np.abs(flow.feeder.transformation)[:, None]
    drops = referred[np.maximum(flow.feeder.parent, 0)] - referred
    return np.asarray(drops / factors[:, None])


def path_sd_pu(factors: Factors, flow: PowerFlow) -> Floats:
    """Standard deviation ``(n, T)`` [pu] of each voltage from what is open about the factors.

    ``var(V_b) = sum over l, k on the path of d_l cov_lk d_k / N_b^2``, summed up along the path:
    a branch adds its own variance and twice its covariance with the path above it.
    """
    paths = downstream(flow.feeder)
    drops = unit_drops_pu(flow, factors.mean)
    above = factors.covariance * paths.T
    np.fill_diagonal(above, 0.0)
    own = np.diag(factors.covariance)[:, None] * drops**2
    variance = paths.T @ (own + 2.0 * drops * (above @ drops))
    ratio = np.abs(flow.feeder.transformation)[:, None]
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)) / ratio)


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """Result of :func:`learn`.

    Parameters
    ----------
    factors
        The new belief.
    used
        ``(n,)`` buses whose voltage was used.
    inconsistent
        ``(n,)`` buses whose voltage contradicts the others.
    noise_sd_pu
        ``(n,)`` how far a voltage may be from a perfect model's: meters, and open injections.
    """

    factors: Factors
    used: Bools
    inconsistent: Bools
    noise_sd_pu: Floats


def learn(feeder: Feeder, vm_pu: Floats, injections: Injections, factors: Factors) -> Learnt:
    """Condition the factors on the voltages of one hour.

    Parameters
    ----------
    feeder
        The operator's model, factors one.
    vm_pu
        ``(n,)`` measured voltages, NaN where there is none.
    injections
        What the buses injected.
    factors
        What is believed before.
    """
    metered = np.isfinite(vm_pu)
    flow = injections.flow(feeder.scaled_branches(factors.mean))
    nothing = Learnt(
        factors=factors,
        used=np.zeros(feeder.n_bus, dtype=bool),
        inconsistent=np.zeros(feeder.n_bus, dtype=bool),
        noise_sd_pu=np.full(feeder.n_bus, VOLTAGE_SD_PU),
    )
    if flow is None or not metered[1:].any():
        return nothing
    paths = downstream(feeder)
    noise_sq = VOLTAGE_SD_PU**2 * np.eye(feeder.n_bus) + voltage_noise_sq(injections, flow, paths)
    linear = _Linear.at(flow, factors, vm_pu, paths, noise_sq)
    used = _consistent(linear, metered)
    found = replace(
        nothing, used=used, inconsistent=metered & ~used, noise_sd_pu=np.sqrt(np.diag(noise_sq))
    )
    if not used.any():
        return found
    mean, gain = linear.update(factors, factors.mean, used)
    for _ in range(1, ITERATIONS):
        flow = injections.flow(feeder.scaled_branches(mean))
        if flow is None:
            break
        there = replace(factors, mean=mean)
        linear = _Linear.at(flow, there, vm_pu, paths, noise_sq)
        mean, gain = linear.update(factors, mean, used)
    covariance = factors.covariance - gain @ linear.slope[used] @ factors.covariance
    learnt = Factors(mean=mean, covariance=(covariance + covariance.T) / 2.0)
    return replace(found, factors=learnt)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Linear:
    """Measurement equations at some factors: all buses, metered or not.

    ``surprise`` ``(n,)`` is measured less modelled voltage, ``slope`` ``(n, n)`` that of the
    voltages in the factors, ``noise_sq`` ``(n, n)`` the covariance of the measurements.
    """

    surprise: Floats
    slope: Floats
    noise_sq: Floats
    covariance: Floats

    @classmethod
    def at(
        cls, flow: PowerFlow, factors: Factors, vm_pu: Floats, paths: Floats, noise_sq: Floats
    ) -> "_Linear":
        drops = unit_drops_pu(flow, factors.mean)[:, 0]
        ratio = np.abs(flow.feeder.transformation)[:, None]
        return cls(
            surprise=vm_pu - flow.vm_pu[:, 0],
            slope=-paths.T * drops[None, :] / ratio,
            noise_sq=noise_sq,
            covariance=factors.covariance,
        )

    def innovation_sq(self, rows: NDArray[np.int64]) -> Floats:
        """Covariance of what these rows may show; the root metered, its voltage is open too."""
        slope = self.slope[rows]
        head_sq = HEAD_VOLTAGE_SD_PU**2 if rows[0] == 0 else 0.0
        return np.asarray(
            slope @ self.covariance @ slope.T + self.noise_sq[np.ix_(rows, rows)] + head_sq
        )

    def update(self, prior: Factors, mean: Floats, used: Bools) -> tuple[Floats, Floats]:
        """New mean ``(n,)`` and gain ``(n, m)``, linearised at ``mean``."""
        rows = np.flatnonzero(used)
        slope = self.slope[rows]
        gain: Floats = np.asarray(
            np.linalg.solve(self.innovation_sq(rows), slope @ prior.covariance).T, dtype=np.float64
        )
        innovation = self.surprise[rows] - slope @ (prior.mean - mean)
        return np.clip(prior.mean + gain @ innovation, *FACTOR_RANGE), gain


def _consistent(linear: _Linear, metered: Bools) -> Bools:
    """Meters that agree with one another within their errors; none if half of them do not."""
    used = metered.copy()
    most = int(REFUSED_SHARE * metered.sum())
    for _ in range(most + 1):
        rows = np.flatnonzero(used)
        precision = np.linalg.inv(linear.innovation_sq(rows))
        alone = np.abs(precision @ linear.surprise[rows]) / np.sqrt(np.diag(precision))
        worst = int(np.argmax(alone))
        if alone[worst] <= INNOVATION_SIGMAS:
            return used
        used[rows[worst]] = False
    return np.zeros_like(used)
