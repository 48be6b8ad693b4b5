"""What the envelopes must keep: voltage band, rise caused by the participants, ratings, by hour.

The operator's own load is uncertain too, and so is its model of the lines: both narrow the band.
Where the feeder is outside its limits before anyone trades, the limit there is what firm load
causes, and a little more: nobody may make it worse, and nobody without influence is blocked.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.errors import ModelError
from peergrid.network.feeder import Feeder
from peergrid.network.linear import LinearModel, lindistflow
from peergrid.network.power_flow import PowerFlow, solve

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
BESIDE_PU = 2e-4  # room beside what firm load alone causes
BESIDE_LOADING = 1e-3  # the same for currents, relative


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """The operator's model of the feeder and the limits it plans with.

    Parameters
    ----------
    feeder, model
        The feeder and its linear model.
    v_min_pu, v_max_pu
        The voltage band.
    loading
        Share of the ratings to use.
    rise_pu
        Largest voltage rise that the participants may cause together; None: no such rule.
    load_sigma, common_sigma
        Uncertainty of the operator's own load, relative to it: of each bus, and of all together.
    confidence
        Probability at which that uncertainty tightens the rows.
    """

    feeder: Feeder
    model: LinearModel
    v_min_pu: float
    v_max_pu: float
    loading: float = 1.0
    rise_pu: float | None = None
    load_sigma: float = 0.0
    common_sigma: float = 0.0
    confidence: float = 0.95

    def on(self, feeder: Feeder) -> "Network":
        """The same limits on another model of the feeder."""
        return (
            self
            if feeder is self.feeder
            else replace(self, feeder=feeder, model=lindistflow(feeder))
        )


def nothing(flow: PowerFlow) -> Floats:
    """No uncertainty of the model."""
    return np.zeros_like(flow.vm_pu)


@dataclass(frozen=True, kw_only=True, eq=False)
class Limits:
    """Effective limits of n buses over T hours, for N participants.

    Parameters
    ----------
    feeder, model
        Model of the feeder, corrected by what the meters taught.
    at
        ``(N,)`` feeder row of each participant.
    background
        Injections ``(n, T)`` of everything that is no participant [kW, kvar].
    v_min_pu, v_max_pu
        ``(n, T)``.
    by_rise
        ``(n, T)`` whether the upper limit is the one on the rise.
    loading_max
        ``(n, T)`` largest loading of each branch, relative to its rating.
    lowest_pu, highest_pu
        ``(n, T)`` band that is granted in any case: what the least boxes cause, and a little more.
    planned_pu
        ``(n, T)`` lower and upper limit before anything was granted.
    base
        Exact power flow without participants.
    least
        Boxes ``(N, T)`` that are granted in any case: firm load and generation with margins.
    uncertainty_pu
        What the voltages ``(n, T)`` of a power flow of this model may be off by.
    """

    feeder: Feeder
    model: LinearModel
    at: Indices
    background: tuple[Floats, Floats]
    v_min_pu: Floats
    v_max_pu: Floats
    by_rise: NDArray[np.bool_]
    loading_max: Floats
    lowest_pu: Floats
    highest_pu: Floats
    planned_pu: tuple[Floats, Floats]
    base: PowerFlow
    least: Boxes
    uncertainty_pu: Callable[[PowerFlow], Floats] = nothing

    @property
    def hours(self) -> int:
        """Number of hours T."""
        return int(self.v_min_pu.shape[1])

    @cached_property
    def rated(self) -> bool:
        """Whether any branch has a rating."""
        return bool(np.isfinite(self.feeder.i_max_pu[1:]).any())

    def injections(self, p_kw: Floats, q_kvar: Floats) -> tuple[Floats, Floats]:
        """Injections of all buses ``(n, T)`` from those of the participants ``(N, T)``."""
        total_p, total_q = self.background[0].copy(), self.background[1].copy()
        np.add.at(total_p, self.at, p_kw)
        np.add.at(total_q, self.at, q_kvar)
        return total_p, total_q

    def flow(self, p_kw: Floats, q_kvar: Floats) -> PowerFlow:
        """Exact power flow under injections of the participants."""
        return solve(self.feeder, *self.injections(p_kw, q_kvar), tol_pu=1e-9)

    def only(self, hours: Indices) -> "Limits":
        """The limits of some hours."""
        cut = {name: getattr(self, name)[:, hours] for name in _BY_HOUR}
        flow = self.base
        base = replace(
            flow,
            v_pu=flow.v_pu[:, hours],
            j_pu=flow.j_pu[:, hours],
            converged=flow.converged[hours],
            iterations=flow.iterations[hours],
        )
        background = (self.background[0][:, hours], self.background[1][:, hours])
        planned = (self.planned_pu[0][:, hours], self.planned_pu[1][:, hours])
        least = self.least.hours(hours)
        return replace(
            self, background=background, base=base, least=least, planned_pu=planned, **cut
        )


_BY_HOUR = ("v_min_pu", "v_max_pu", "by_rise", "loading_max", "lowest_pu", "highest_pu")


def limits_of(
    network: Network,
    at: Indices,
    least: Boxes,
    background: tuple[Floats, Floats],
    *,
    narrow_pu: tuple[Floats, Floats] | None = None,
    uncertainty_pu: Callable[[PowerFlow], Floats] = nothing,
) -> Limits:
    """Effective limits of all hours.

    Parameters
    ----------
    network
        Model and limits as planned with.
    at
        ``(N,)`` feeder row of each participant.
    least
        ``(N, T)`` boxes that are granted in any case.
    background
        ``(n, T)`` injections of everything else [kW, kvar].
    narrow_pu
        Lower and upper narrowing of the band by bus ``(n,)``, from the meters.
    uncertainty_pu
        See :class:`Limits`.

    Raises
    ------
    ModelError
        If the feeder without participants has no power flow solution in some hour.
    """
    feeder = network.feeder
    base = solve(feeder, *background, tol_pu=1e-9)
    if not base.converged.all():
        hour = int(np.argmin(base.converged))
        raise ModelError(f"no power flow solution without participants in hour {hour}")
    low, high = (np.zeros(feeder.n_bus),) * 2 if narrow_pu is None else narrow_pu
    own = own_margin_pu(network, base, background)
    band = network.v_max_pu - own
    rise = np.full_like(band, np.inf) if network.rise_pu is None else base.vm_pu + network.rise_pu
    upper = _least(band - high[:, None], network, lower=False)
    limits = Limits(
        feeder=feeder,
        model=network.model,
        at=at,
        background=background,
        v_min_pu=_least(network.v_min_pu + own + low[:, None], network, lower=True),
        v_max_pu=np.minimum(upper, rise - high[:, None]),
        by_rise=rise - high[:, None] < upper,
        loading_max=np.full_like(band, network.loading),
        lowest_pu=base.vm_pu,
        highest_pu=base.vm_pu,
        planned_pu=(band, band),
        base=base,
        least=least,
        uncertainty_pu=uncertainty_pu,
    )
    return _granting(replace(limits, planned_pu=(limits.v_min_pu, limits.v_max_pu)))


def own_margin_pu(network: Network, base: PowerFlow, background: tuple[Floats, Floats]) -> Floats:
    """By how much the operator's uncertain load may move each voltage, ``(n, T)`` [pu]."""
    if network.load_sigma == 0.0 and network.common_sigma == 0.0:
        return np.zeros_like(base.vm_pu)
    weight_sq, total = np.zeros_like(base.vm_pu), np.zeros_like(base.vm_pu)
    for slope, load in zip((network.model.R, network.model.X), background, strict=True):
        total += slope @ load
    p_kw, q_kvar = background
    weight_sq = network.model.R**2 @ p_kw**2 + network.model.X**2 @ q_kvar**2
    weight_sq += 2.0 * (network.model.R * network.model.X) @ (p_kw * q_kvar)
    variance = network.load_sigma**2 * weight_sq + (network.common_sigma * total) ** 2
    quantile = NormalDist().inv_cdf(network.confidence)
    return np.asarray(quantile * np.sqrt(np.maximum(variance, 0.0)) / (2.0 * base.vm_pu))


def _least(limit: Floats, network: Network, *, lower: bool) -> Floats:
    """Narrowing ends in the middle of the band."""
    middle = (network.v_min_pu + network.v_max_pu) / 2.0
    return np.minimum(limit, middle) if lower else np.maximum(limit, middle)


def _granting(limits: Limits) -> Limits:
    """Limits widened to what the least boxes cause, as far as the power flow has a solution."""
    from peergrid.envelopes.corners import worst_loading  # which looks at limits itself

    least = limits.least
    high = limits.flow(least.p_max_kw, least.q_max_kvar)
    low = limits.flow(least.p_min_kw, least.q_min_kvar)
    highest = np.fmax(np.fmax(high.vm_pu, low.vm_pu), limits.base.vm_pu) + BESIDE_PU
    lowest = np.fmin(np.fmin(high.vm_pu, low.vm_pu), limits.base.vm_pu) - BESIDE_PU
    loading = np.fmax(worst_loading(limits, least), limits.base.loading)
    return replace(
        limits,
        v_max_pu=np.maximum(limits.v_max_pu, highest),
        by_rise=limits.by_rise & (highest <= limits.v_max_pu),
        v_min_pu=np.minimum(limits.v_min_pu, lowest),
        lowest_pu=lowest,
        highest_pu=highest,
        loading_max=np.maximum(limits.loading_max, loading * (1.0 + BESIDE_LOADING)),
    )
