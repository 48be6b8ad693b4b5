"""What every bus injected, as far as the meters tell, and what that leaves open for voltages.

Metered buses inject what their meters say. The others inject what was expected of them, corrected
by the power balance at the feeder head: what the head shows and nobody else explains is theirs, in
proportion to the variance of what was expected (Gaussian conditioning on a sum). What remains open
is noise of the modelled voltages, with LinDistFlow slopes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.metering import Measurements, known_or_zero
from peergrid.network.feeder import Feeder
from peergrid.network.power_flow import PowerFlow, solve
from peergrid.units import kw_from_pu

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Standard deviation of the load at a bus without a power meter: of its own, and in common.
FORECAST_SHARES = (0.25, 0.15)  # a forecast for the hour
NOMINAL_SHARES = (0.5, 0.7)  # nominal loads: a shape, and nobody knows the hour's level
EXPECTED_SD_FLOOR = 0.05  # of the mean expected load, where none is expected at a bus
BALANCE_SHARE = 0.002  # of all power may be missing in the balance: accuracy class of good meters
BALANCE_SIGMAS = 4.0
BALANCE_FLOOR_KW = 0.1  # far above what rounding adds up to
# A bus may take by so many times its forecast load, plus the mean one, more or less than forecast.
SURPRISE_MULTIPLE = 2.0
FLOW_TOLERANCE_PU = 1e-8  # far below what a meter resolves


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """What buses without a power meter are expected to inject: ``controlled - load``, ``(n,)``.

    Parameters
    ----------
    controlled_kw, controlled_kvar
        Injection of what reports by itself (batteries, plants, vehicles).
    load_kw, load_kvar
        Forecast consumption of everything else, before any scaling.
    """

    controlled_kw: Floats
    controlled_kvar: Floats
    load_kw: Floats
    load_kvar: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Injections:
    """Estimated injections of one hour.

    Parameters
    ----------
    p_kw, q_kvar
        ``(n,)`` mean.
    covariance
        ``(2 n, 2 n)`` of active [kW], then reactive injections [kvar]; zero where metered.
    balanced
        Whether head and meters tell of the same power.
    """

    p_kw: Floats
    q_kvar: Floats
    covariance: Floats
    balanced: bool

    def flow(self, feeder: Feeder) -> PowerFlow | None:
        """Exact power flow of a feeder at the mean; None without a solution."""
        flow = solve(feeder, self.p_kw[:, None], self.q_kvar[:, None], tol_pu=FLOW_TOLERANCE_PU)
        return flow if flow.converged[0] else None

    @property
    def certain(self) -> bool:
        """Whether every injection is metered and the balance holds."""
        return not self.covariance.any()


def surprising(seen: Measurements, expected: Expected, load_scale: float) -> Bools:
    """Buses whose power meter contradicts what their devices report and any forecast, ``(n,)``."""
    wrong = np.zeros(len(seen.p_inj_kw), dtype=bool)
    sides = (
        (seen.p_inj_kw, expected.controlled_kw, expected.load_kw),
        (seen.q_inj_kvar, expected.controlled_kvar, expected.load_kvar),
    )
    for measured, controlled, forecast in sides:
        load = load_scale * np.abs(known_or_zero(forecast))
        allowed = SURPRISE_MULTIPLE * load + float(load.mean()) + BALANCE_FLOOR_KW
        wrong |= np.abs(measured - controlled + load_scale * known_or_zero(forecast)) > allowed
    wrong[0] = False
    return wrong


def estimate(
    feeder: Feeder,
    seen: Measurements,
    expected: Expected | None,
    load_scale: float,
    factor_covariance: Floats,
) -> Injections | None:
    """Injections that the hour's measurements were taken at; None if nothing is known of them.

    Parameters
    ----------
    feeder
        The corrected model.
    seen
        Measurements without refused meters.
    expected
        What to expect where there is no power meter; the nominal loads by default.
    load_scale
        On expected consumption.
    factor_covariance
        ``(n, n)`` of the branches' impedance factors: how wrong modelled losses may be.
    """
    metered = np.isfinite(seen.p_inj_kw[1:]).any()
    if not (metered or expected is not None):
        return None
    given, shares = expected, FORECAST_SHARES
    if given is None:
        given, shares = _nominal(feeder), NOMINAL_SHARES
    mean, covariance = _prior(seen, given, load_scale, shares)
    n = feeder.n_bus
    head = np.array([seen.head_p_kw, seen.head_q_kvar])
    gain, balanced = np.zeros((2 * n, 2)), True
    for first in (True, False):  # the second time for the losses of what the first has changed
        flow = solve(feeder, mean[:n, None], mean[n:, None], tol_pu=FLOW_TOLERANCE_PU)
        if not flow.converged[0]:
            return None
        surplus = np.array([flow.head_p_kw[0], flow.head_q_kvar[0]]) - head
        if first:
            loss_sd = _loss_sd(flow, factor_covariance)
            covariance, gain, balanced = _balanced(mean, covariance, surplus, loss_sd)
        if not gain.any():
            break
        mean = mean + gain @ np.where(np.isfinite(surplus), surplus, 0.0)
    return Injections(p_kw=mean[:n], q_kvar=mean[n:], covariance=covariance, balanced=balanced)


def _nominal(feeder: Feeder) -> Expected:
    """What is expected of buses that nobody says anything about."""
    nothing = np.zeros(feeder.n_bus)
    return Expected(
        controlled_kw=nothing,
        controlled_kvar=nothing,
        load_kw=feeder.p_load_kw,
        load_kvar=feeder.q_load_kvar,
    )


def voltage_noise_sq(injections: Injections, flow: PowerFlow, paths: Floats) -> Floats:
    """Covariance ``(n, n)`` [pu^2] of modelled voltages from what is open about injections.

    With ``dV_b / dp_i = sum over the branches common to both paths of r / (V_b base)``, all
    referred to the root.

    Parameters
    ----------
    injections
        Estimated injections.
    flow
        Power flow at their mean.
    paths
        Downstream incidence ``(branch, bus)``.
    """
    feeder = flow.feeder
    if injections.certain:
        return np.zeros((feeder.n_bus, feeder.n_bus))
    ratio_sq = np.abs(feeder.transformation) ** 2
    scale = 1.0 / (ratio_sq * flow.vm_pu[:, 0] * float(kw_from_pu(1.0, feeder.base_mva)))
    slopes = []
    for impedance in (feeder.r_pu, feeder.x_pu):
        weight = impedance * ratio_sq
        weight[0] = 0.0
        slopes.append(scale[:, None] * (paths.T @ (weight[:, None] * paths)))
    slope = np.hstack(slopes)
    return np.asarray(slope @ injections.covariance @ slope.T)


def _prior(
    seen: Measurements, expected: Expected, load_scale: float, shares: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Mean ``(2 n,)`` and covariance of active and reactive injections before the balance.

    A load that is larger than forecast is so in both: its two errors are one.
    """
    n = len(seen.p_inj_kw)
    measured = np.concatenate([seen.p_inj_kw, seen.q_inj_kvar])
    controlled = np.concatenate([expected.controlled_kw, expected.controlled_kvar])
    load = load_scale * known_or_zero(np.concatenate([expected.load_kw, expected.load_kvar]))
    own, common = shares
    twin = np.tile(np.eye(n), (2, 2))  # whose load it is
    covariance = (own**2 * twin + common**2) * np.outer(load, load)
    floor = EXPECTED_SD_FLOOR * float(np.abs(load).mean())
    covariance += floor**2 * np.eye(2 * n)
    mean = np.where(np.isfinite(measured), measured, known_or_zero(controlled) - load)
    known = np.isfinite(measured)
    known[[0, n]] = True  # the root's own injection moves no voltage
    mean[[0, n]] = 0.0
    return mean, np.where(known[:, None] | known[None, :], 0.0, covariance)


def _loss_sd(flow: PowerFlow, factor_covariance: Floats) -> Floats:
    """Standard deviation of modelled losses from open impedances, ``(2,)`` [kW, kvar]."""
    feeder = flow.feeder
    current_sq = np.abs(flow.j_pu[:, 0]) ** 2 * float(kw_from_pu(1.0, feeder.base_mva))
    losses = np.stack([feeder.r_pu * current_sq, feeder.x_pu * current_sq])
    losses[:, 0] = 0.0
    return np.asarray(np.sqrt(np.maximum(np.diag(losses @ factor_covariance @ losses.T), 0.0)))


def _balanced(
    mean: Floats, covariance: Floats, surplus: Floats, loss_sd: Floats
) -> tuple[Floats, Floats, bool]:
    """Covariance and gain ``(2 n, 2)`` given that the sums of injections are ``surplus`` larger.

    A balance that the open injections cannot explain says that the head or some meter is wrong,
    and not which: then nothing is shifted, and any bus may be wrong by all of it. A sum that the
    head does not show is left open.
    """
    n = len(mean) // 2
    sums = np.kron(np.eye(2), np.ones(n))
    shared = covariance @ sums.T
    open_sq = sums @ shared
    gain = np.zeros((2 * n, 2))
    shown = np.isfinite(surplus)
    gap = np.where(shown, surplus, 0.0)
    slack = BALANCE_FLOOR_KW + BALANCE_SHARE * float(np.abs(mean).sum())
    variance = np.maximum(np.diag(open_sq), 0.0) + loss_sd**2
    if (np.abs(gap) > slack + BALANCE_SIGMAS * np.sqrt(variance)).any():
        doubt = np.repeat(gap**2, n)
        doubt[[0, n]] = 0.0
        return covariance + np.diag(doubt), gain, False
    told = np.flatnonzero(shown & (np.diag(open_sq) > 0.0))
    if len(told) == 0:
        return covariance, gain, True
    # what the head shows is known but for its meter and for losses
    own_sq = np.diag(BALANCE_FLOOR_KW**2 + loss_sd**2)
    seen_sq = (open_sq + own_sq)[np.ix_(told, told)]
    gain[:, told] = np.linalg.solve(seen_sq, shared[:, told].T).T
    left = covariance - gain @ shared.T
    return (left + left.T) / 2.0, gain, True
