"""What may come: a few scenarios with probabilities, from the forecast-error model.

Many paths are drawn and reduced to a few: by fast forward selection those are kept to which the
others are nearest, and each takes over the probability of those it stands for (H. Heitsch and
W. Roemisch, "Scenario reduction algorithms in stochastic programming", Computational Optimization
and Applications 24, 2003, doi 10.1023/A:1021805924152, algorithm 2.4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.forecast import ForecastSettings, Kind, KindSettings, growth

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
HOMES = 100.0  # behind a load, where nobody says how many


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """How unsure prices and arrivals are; powers have their own error model.

    Parameters
    ----------
    price_sigma
        Standard deviation of the import price, relative, at all leads (assumed).
    price_rho
        Correlation of the errors of neighbouring hours.
    late, early
        Probability that a vehicle comes home an hour later, or earlier, than planned (assumed).
    drawn
        Paths that the scenarios are chosen from.
    """

    price_sigma: float = 0.08
    price_rho: float = 0.8
    late: float = 0.25
    early: float = 0.25
    drawn: int = 200

    def __post_init__(self) -> None:
        for name, most in (
            ("price_sigma", 1.0),
            ("price_rho", 0.999),
            ("late", 1.0),
            ("early", 1.0),
        ):
            if not 0.0 <= getattr(self, name) <= most:
                raise DataError("scenarios", name, getattr(self, name), f"0 to {most:g}")
        if self.late + self.early > 1.0:
            raise DataError(
                "scenarios", "late", self.late, f"at most 1 - early = {1 - self.early:g}"
            )
        if self.drawn < 1:
            raise DataError("scenarios", "drawn", self.drawn, "1 or more")


@dataclass(frozen=True, kw_only=True, eq=False)
class Unsure:
    """What is not known of R resources over T steps.

    Parameters
    ----------
    forecast_kw, sigma_kw
        ``(R, T)`` expected injection, and the standard deviation of its error.
    kinds
        Whose errors are alike: ``load`` or ``pv`` (plants); None: the resource has none.
    travels
        ``(R,)`` whether it is a vehicle that comes home in these steps.
    step_h
        Step length [h].
    """

    forecast_kw: Floats
    sigma_kw: Floats
    kinds: tuple[Kind | None, ...]
    travels: NDArray[np.bool_]
    step_h: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """S scenarios with probabilities ``(S,)``: errors [kW] ``(R, S, T)``, factors on the import
    price ``(S, T)``, and hours by which vehicles come home late ``(R, S)``.
    """

    probability: Floats
    error_kw: Floats
    price_factor: Floats
    late_h: Indices


def draw(
    unsure: Unsure,
    count: int,
    rng: np.random.Generator,
    *,
    doubt: Doubt | None = None,
    settings: ForecastSettings | None = None,
) -> Drawn:
    """Scenarios of one forecast, the step after now first.

    Errors of power are normal paths with the model's correlation in time; a part of them all
    resources of a kind have in common, as large as the model has it a day ahead (of load: for a
    hundred homes). A load does not turn into generation, a plant not into load. The paths to keep
    are chosen by the totals of load and of generation, the price, and the arrivals; then powers and
    prices are moved so that their mean is the forecast, as far as signs allow.
    """
    doubt, settings = doubt or Doubt(), settings or ForecastSettings()
    resources, steps = unsure.forecast_kw.shape
    paths = max(doubt.drawn, count)
    lead_h = np.arange(1, steps + 1) * unsure.step_h
    error = np.zeros((resources, paths, steps))
    at_rest = np.array([1.0 if kind == "pv" else -1.0 for kind in unsure.kinds])
    features = []
    for kind in ("load", "pv"):
        rows = [r for r, found in enumerate(unsure.kinds) if found == kind]
        chosen = settings.of(kind)
        alike = correlation(chosen, lead_h)
        unit = _shared(chosen, kind) ** 0.5 * unit_paths(alike, paths, 1, rng)
        unit = unit + (1.0 - _shared(chosen, kind)) ** 0.5 * unit_paths(
            alike, paths, len(rows), rng
        )
        for k, r in enumerate(rows):
            moved = unit[:, k] * unsure.sigma_kw[r]
            error[r] = _signed(unsure.forecast_kw[r], moved, at_rest[r])
        features.append(error[rows].sum(axis=0))
    apart = np.abs(lead_h[:, None] - lead_h)
    price = unit_paths(doubt.price_rho**apart, paths, 1, rng)[:, 0] * doubt.price_sigma
    late = arrival_shifts(doubt, paths, int(unsure.travels.sum()), rng)
    features += [price, late.astype(np.float64)]
    scaled = [values / max(float(values.std()), 1e-12) for values in features if values.size]
    kept, probability = reduced(np.hstack(scaled), count)
    late_h = np.zeros((resources, count), dtype=np.int64)
    late_h[unsure.travels] = late[kept].T
    return Drawn(
        probability=probability,
        error_kw=_signed(
            unsure.forecast_kw[:, None],
            _centred(error[:, kept], probability),
            at_rest[:, None, None],
        ),
        price_factor=np.maximum(1.0 + _centred(price[kept], probability), 0.0),
        late_h=late_h,
    )


def _centred(values: Floats, probability: Floats) -> Floats:
    """Deviations ``(..., S, T)`` whose mean over the scenarios is nothing."""
    mean = np.einsum("...st,s->...t", values, probability)
    return np.asarray(values - mean[..., None, :])


def _shared(settings: KindSettings, kind: str) -> float:
    """Share of the variance a day ahead that all resources of a kind have in common."""
    own = settings.own_24**2 / (HOMES if kind == "load" else 1.0)
    total = own + settings.common_24**2
    return settings.common_24**2 / total if total > 0.0 else 0.0


def _signed(forecast_kw: Floats, error_kw: Floats, at_rest: Floats) -> Floats:
    """The error, cut so that what is injected stays so, and what is drawn too.

    Where the forecast is zero ``at_rest`` says which of them it is.
    """
    may_be = forecast_kw + error_kw
    sign = np.where(forecast_kw == 0.0, at_rest, forecast_kw)
    held = np.where(sign > 0.0, np.maximum(may_be, 0.0), np.minimum(may_be, 0.0))
    return np.asarray(held - forecast_kw)


def correlation(settings: KindSettings, lead_h: Floats) -> Floats:
    """Correlation ``(T, T)`` of the errors of one forecast at leads ``(T,)`` [h].

    Of the model in :mod:`peergrid.inputs.forecast`: two hours share the terms up to the smaller of
    their leads, ``rho^|i - j| sigma_min / sigma_max``, here of the part that each entity has alone.
    """
    spread = settings.own_24**2 - settings.own_1**2
    sigma = np.sqrt(settings.own_1**2 + spread * growth(np.maximum(lead_h, 1.0)))
    sigma = np.where(sigma > 0.0, sigma, 1.0)
    apart = np.abs(lead_h[:, None] - lead_h)
    ratio = np.minimum(sigma[:, None], sigma) / np.maximum(sigma[:, None], sigma)
    return np.asarray(settings.rho**apart * ratio)


def unit_paths(correlation: Floats, paths: int, entities: int, rng: np.random.Generator) -> Floats:
    """Normal paths of unit variance with a correlation in time, ``(paths, entities, T)``."""
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(rng.standard_normal((paths, entities, len(correlation))) @ root.T)


def arrival_shifts(doubt: Doubt, paths: int, vehicles: int, rng: np.random.Generator) -> Indices:
    """Hours by which each vehicle comes home later than planned, ``(paths, vehicles)``."""
    drawn = rng.random((paths, vehicles))
    return (drawn < doubt.late).astype(np.int64) - (drawn > 1.0 - doubt.early)


def reduced(paths: Floats, count: int) -> tuple[Indices, Floats]:
    """The paths to keep and their probabilities, ``(count,)`` each.

    Parameters
    ----------
    paths
        ``(n, features)``, equally likely; features on one scale.
    count
        How many to keep, at most n.

    Examples
    --------
    >>> kept, probability = reduced(np.array([[0.0], [0.1], [5.0], [0.2]]), 2)
    >>> kept.tolist(), probability.tolist()
    ([1, 2], [0.75, 0.25])
    """
    if not 1 <= count <= len(paths):
        raise DataError("scenarios", "count", count, f"1 to {len(paths)}, the paths drawn")
    squares = (paths**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * paths @ paths.T, 0.0))
    nearest = np.full(len(paths), np.inf)
    kept: list[int] = []
    for _ in range(count):
        cost = np.minimum(nearest[:, None], apart).sum(axis=0)
        cost[kept] = np.inf
        kept.append(int(np.argmin(cost)))
        nearest = np.minimum(nearest, apart[:, kept[-1]])
    kept.sort()
    stands_for = np.argmin(apart[:, kept], axis=1)
    stands_for[kept] = np.arange(count)  # of equal paths each stands for itself: none has no weight
    probability = np.bincount(stands_for, minlength=count) / len(paths)
    return np.array(kept, dtype=np.int64), probability
