"""How wrong forecasts are: errors that shrink as the hour comes near.

The error of a forecast for hour t made h hours before is

    E[t, h] = sum over k = 1..h of s_k z[t, k],    s_k^2 = sigma_k^2 - sigma_(k-1)^2,  sigma_0 = 0,
    sigma_h^2 = sigma_1^2 + (sigma_24^2 - sigma_1^2) (1 - e^(-(h-1)/6)) / (1 - e^(-23/6)),

with z[., k] independent unit AR(1) series over t with coefficient rho. Forecasting the same hour
again an hour later takes the last term away and changes nothing else; neighbouring hours of one
forecast err alike. The form is this package's; the figures' sources are in the settings.

Errors are a pure function of seed, kind, entity and hour: no state to save, the same in whatever
order they are asked for, and independent of how many other entities there are.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.span import HOUR_S
from peergrid.inputs.tables import stream

Array = NDArray[np.float64]
Kind = Literal["pv", "wind", "load"]

MAX_LEAD_H = 48
"""Longest lead [h]."""

_BLOCK_H = 168  # hours generated at once; an AR(1) with rho <= 0.95 forgets a block to 2e-4
_MAX_RHO = 0.95


@dataclass(frozen=True, kw_only=True)
class KindSettings:
    """Standard deviations of one kind of forecast, relative to the scale of an entity.

    The error is a part of each entity's own, plus a part that all entities of the kind on the
    feeder have in common; variances add. Of households, ``own`` is for one home and falls with
    1/sqrt(homes).

    Parameters
    ----------
    own_1, own_24
        Standard deviation of the own part at leads of 1 h and 24 h.
    common_1, common_24
        The same of the common part.
    rho
        Correlation of the errors of neighbouring hours.
    source
        Where the figures come from.
    """

    own_1: float
    own_24: float
    common_1: float
    common_24: float
    rho: float
    source: str

    def __post_init__(self) -> None:
        for name in ("own", "common"):
            first, day = getattr(self, f"{name}_1"), getattr(self, f"{name}_24")
            if not 0.0 <= first <= day:
                allowed = f"a number from 0 to {name}_24 = {day:g}"
                raise DataError("forecast", f"{name}_1", first, allowed)
        if not 0.0 <= self.rho <= _MAX_RHO:
            raise DataError("forecast", "rho", self.rho, f"0 to {_MAX_RHO:g}")

    @classmethod
    def plant(
        cls, *, sigma_1: float, sigma_24: float, shared: float, rho: float, source: str
    ) -> "KindSettings":
        """Settings of a plant whose errors correlate by ``shared`` with those of the others."""
        if not 0.0 <= shared <= 1.0:
            raise DataError("forecast", "shared", shared, "0 to 1")
        own, common = math.sqrt(1.0 - shared), math.sqrt(shared)
        return cls(
            own_1=own * sigma_1,
            own_24=own * sigma_24,
            common_1=common * sigma_1,
            common_24=common * sigma_24,
            rho=rho,
            source=source,
        )


PV = KindSettings.plant(
    sigma_1=0.06,
    sigma_24=0.12,
    shared=0.7,
    rho=0.8,
    source="of kWp in daylight; day-ahead after Larson, Nonnenmacher, Coimbra 2016; rest assumed",
)
WIND = KindSettings.plant(
    sigma_1=0.06,
    sigma_24=0.15,
    shared=0.7,
    rho=0.9,
    source="of rated power, one turbine; assumed",
)
LOAD = KindSettings(
    own_1=0.65,
    own_24=0.75,
    common_1=0.05,
    common_24=0.08,
    rho=0.6,
    source="of mean load; own part per home measured on SimBench profiles; common part assumed",
)


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """Settings of the three kinds; ``kinds`` maps ``pv``, ``wind`` and ``load`` to theirs."""

    kinds: Mapping[str, KindSettings] = field(
        default_factory=lambda: MappingProxyType({"pv": PV, "wind": WIND, "load": LOAD})
    )

    def of(self, kind: str) -> KindSettings:
        """Settings of a kind."""
        if kind not in self.kinds:
            raise DataError("forecast", "kind", kind, ", ".join(self.kinds))
        return self.kinds[kind]


PERFECT = ForecastSettings(
    kinds=MappingProxyType(
        {
            kind: KindSettings(
                own_1=0.0, own_24=0.0, common_1=0.0, common_24=0.0, rho=0.0, source="no error"
            )
            for kind in ("pv", "wind", "load")
        }
    )
)
"""Forecasts that are always right."""


def growth(lead_h: int | Array) -> Array:
    """Share of the way from the error variance at 1 h to that at 24 h, for leads from 1 h.

    >>> growth(np.array([1.0, 24.0])).tolist()
    [0.0, 1.0]
    """
    lead = np.asarray(lead_h, dtype=np.float64)
    return np.asarray((1.0 - np.exp(-(lead - 1.0) / 6.0)) / (1.0 - math.exp(-23.0 / 6.0)))


@dataclass(frozen=True, kw_only=True)
class ForecastModel:
    """Errors and forecasts of one run; holds a seed and settings, no state.

    Times are seconds since 1970-01-01T00:00Z, so that they belong to the calendar and not to the
    run (``span.epoch_s`` plus the simulation time).
    """

    seed: int
    settings: ForecastSettings = field(default_factory=ForecastSettings)

    def sigma(self, kind: Kind, lead_h: int | Array, n_homes: int | Array = 1) -> Array:
        """Standard deviation of a forecast, relative to the scale of the entity.

        ``lead_h`` [h] from 1 and ``n_homes`` broadcast; homes count for ``load`` only.

        >>> model = ForecastModel(seed=1)
        >>> model.sigma("pv", np.array([1.0, 24.0])).round(3).tolist()
        [0.06, 0.12]
        >>> model.sigma("load", 24, n_homes=100).round(4).tolist()
        0.1097
        """
        chosen, up = self.settings.of(kind), growth(lead_h)
        own = (chosen.own_1**2 + (chosen.own_24**2 - chosen.own_1**2) * up) / _homes(kind, n_homes)
        common = chosen.common_1**2 + (chosen.common_24**2 - chosen.common_1**2) * up
        return np.asarray(np.sqrt(own + common))

    def errors(
        self,
        kind: Kind,
        entities: int | Sequence[int],
        t_s: int,
        horizon: int,
        *,
        n_homes: int | Array = 1,
        step_s: int = HOUR_S,
    ) -> Array:
        """Relative errors of the forecast made at ``t_s`` for the ``horizon`` steps after.

        Parameters
        ----------
        kind
            ``pv``, ``wind`` or ``load``.
        entities
            Numbers of the entities, or how many there are (0 to n - 1).
        t_s
            Start of the current step [s since 1970]: entry 0 is the step after it.
        horizon
            Number of steps H.
        n_homes
            Households behind each entity, one number or shape (n,).
        step_s
            Length of a step [s]. Steps inside one hour share its error; a longer step has the
            error of its first hour. The lead is the number of full hours between the hours of
            the two steps, at least 1.

        Returns
        -------
        Shape (n, H).
        """
        ids = tuple(range(entities)) if isinstance(entities, int) else tuple(entities)
        target_s = t_s + step_s * np.arange(1, horizon + 1, dtype=np.int64)
        hour, lead = target_s // HOUR_S, np.maximum(target_s // HOUR_S - t_s // HOUR_S, 1)
        self._check(ids, t_s, horizon, int(lead.max(initial=1)))
        chosen = self.settings.of(kind)
        own = _lookup(self.seed, kind, ids, chosen.rho, hour, lead)
        common = _lookup(self.seed, f"{kind} common", (0,), chosen.rho, hour, lead)
        # own and common grow at one rate, but from other sizes: two weights on two sums
        homes = np.sqrt(_homes(kind, n_homes))[..., None]
        return np.asarray(
            _weigh(own, chosen.own_1, chosen.own_24) / homes
            + _weigh(common, chosen.common_1, chosen.common_24)
        )

    def forecast(
        self,
        kind: Kind,
        truth_window: Array,
        scale: float | Array,
        t_s: int,
        *,
        entities: Sequence[int] | None = None,
        n_homes: int | Array = 1,
        step_s: int = HOUR_S,
    ) -> Array:
        """Forecast made at ``t_s``: what will be, plus the error, inside physical limits.

        PV lies between 0 and its kWp and is 0 where the truth is (night); wind between 0 and the
        rated power; load is not negative.

        Parameters
        ----------
        kind
            ``pv``, ``wind`` or ``load``.
        truth_window
            What will be in the H steps after the current one, shape (n, H), generation or load
            positive [kW].
        scale
            kWp, rated power or mean load of each entity [kW], one number or shape (n,).
        t_s, entities, n_homes, step_s
            See :meth:`errors`; entities are 0 to n - 1 if absent.

        Returns
        -------
        Shape (n, H) [kW].
        """
        truth = np.asarray(truth_window, dtype=np.float64)
        ids = range(truth.shape[0]) if entities is None else entities
        size = np.broadcast_to(np.asarray(scale, dtype=np.float64), truth.shape[:1])[:, None]
        error = self.errors(kind, tuple(ids), t_s, truth.shape[1], n_homes=n_homes, step_s=step_s)
        guess = np.maximum(truth + size * error, 0.0)
        if kind == "load":
            return np.asarray(guess)
        guess = np.minimum(guess, np.maximum(size, truth))
        return np.asarray(np.where(truth > 0.0, guess, 0.0) if kind == "pv" else guess)

    @staticmethod
    def _check(ids: tuple[int, ...], t_s: int, horizon: int, longest: int) -> None:
        if t_s < 0:
            raise DataError("forecast", "t_s", t_s, "seconds since 1970, 0 or more")
        if horizon < 1 or longest > MAX_LEAD_H:
            raise DataError("forecast", "horizon", f"{longest} h", f"1 to {MAX_LEAD_H} h")
        if any(entity < 0 for entity in ids):
            raise DataError("forecast", "entities", min(ids), "numbers from 0 up")


def _homes(kind: str, n_homes: int | Array) -> Array:
    """Divisor of the own variance: the homes (at least 1) of a load, 1 of a plant."""
    homes = np.asarray(n_homes, dtype=np.float64)
    return np.maximum(homes, 1.0) if kind == "load" else np.ones_like(homes)


def _weigh(sums: tuple[Array, Array], sigma_1: float, sigma_24: float) -> Array:
    """Error from its first term and the sum of the later ones, (n, H) each -> (n, H)."""
    return np.asarray(sigma_1 * sums[0] + math.sqrt(sigma_24**2 - sigma_1**2) * sums[1])


def _lookup(
    seed: int,
    what: str,
    ids: tuple[int, ...],
    rho: float,
    hour: NDArray[np.int64],
    lead: NDArray[np.int64],
) -> tuple[Array, Array]:
    """First terms and later sums of each entity at pairs of hour and lead, (n, H) each."""
    first, later = np.empty((len(ids), len(hour))), np.empty((len(ids), len(hour)))
    block = hour // _BLOCK_H
    for number in np.unique(block):
        here = block == number
        sums = _sums(seed, what, ids, rho, int(number))
        row = hour[here] % _BLOCK_H
        first[:, here] = sums[:, row, 0]
        later[:, here] = np.where(lead[here] > 1, sums[:, row, lead[here] - 1], 0.0)
    return first, later


@functools.lru_cache(maxsize=12)
def _sums(
    seed: int, what: str, ids: tuple[int, ...], rho: float, block: int
) -> NDArray[np.float32]:
    """Unit sums of one block of hours, shape (n, 168, leads); single precision saves memory.

    Column 0 is z[t, 1]; column h - 1 from h = 2 on is the sum over k = 2..h of r_k z[t, k] with
    r_k^2 = growth(k) - growth(k - 1), so that sigma_1 and sigma_24 can be put on later.
    """
    steps = np.sqrt(np.diff(growth(np.arange(1.0, MAX_LEAD_H + 1.0))))
    z = _unit_noise(seed, what, ids, rho, block)
    z[:, :, 1:] *= steps
    np.cumsum(z[:, :, 1:], axis=2, out=z[:, :, 1:])
    return z.astype(np.float32)


def _unit_noise(seed: int, what: str, ids: tuple[int, ...], rho: float, block: int) -> Array:
    """Unit AR(1) series of one block of hours, shape (n, 168, leads).

    The recursion starts one block earlier, from a value of unit variance: the variance is exact,
    and what is forgotten across the start is rho^168 (below 2e-4, for rho = 0.9 below 3e-8).
    """
    both = np.empty((len(ids), 2 * _BLOCK_H, MAX_LEAD_H))
    for row, entity in enumerate(ids):
        both[row, :_BLOCK_H] = _white(seed, what, entity, block - 1)
        both[row, _BLOCK_H:] = _white(seed, what, entity, block)
    both[:, 1:] *= math.sqrt(1.0 - rho**2)
    for t in range(1, both.shape[1]):
        both[:, t] += rho * both[:, t - 1]
    return both[:, _BLOCK_H:]


def _white(seed: int, what: str, entity: int, block: int) -> Array:
    """Independent standard normal numbers of one block of hours, shape (168, leads)."""
    rng = stream(seed, f"forecast {what}", entity, block + 1)
    return rng.standard_normal((_BLOCK_H, MAX_LEAD_H))
