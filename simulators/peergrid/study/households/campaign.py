"""Many days of households: cases of a seed, many seeds, many fees."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from peergrid.errors import PeergridError
from peergrid.market.stochastic import Settings, plan
from peergrid.market.stochastic_value import Value, value
from peergrid.milp.model import Limits
from peergrid.study.households.bands import Verdict, judged
from peergrid.study.households.clients import CASES
from peergrid.study.households.day import Asked, study_day
from peergrid.study.households.figures import Figures, figures, plain
from peergrid.study.households.flows import flows_of
from peergrid.study.households.indeterminate import traded_range_kwh
from peergrid.study.households.profiles import day_of

FEES_EUR_PER_KWH = (0.0, 0.002, 0.006, 0.012, 0.02, 0.04)
SETTINGS = Settings(limits=Limits(time_limit_s=120.0))
PROCESSES = 2
Advance = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class SeedRun:
    """A seed's day.

    Parameters
    ----------
    seed, date
        Which day.
    days
        Figures by case; empty where there is no plan.
    verdicts
        Bands of case 1 against case 0.
    refused
        Why there is no plan; empty if there is one.
    """

    seed: int
    date: str
    days: Mapping[int, Figures]
    verdicts: tuple[Verdict, ...] = ()
    refused: str = ""

    @property
    def holds(self) -> bool:
        """Whether all bands hold."""
        return bool(self.verdicts) and all(verdict.holds for verdict in self.verdicts)

    def to_dict(self, *, with_figures: bool = True) -> dict[str, Any]:
        """In the words of JSON."""
        found: dict[str, Any] = {
            "seed": self.seed,
            "date": self.date,
            "holds": self.holds,
            "refused": self.refused or None,
            "bands": [verdict.to_dict() for verdict in self.verdicts],
        }
        if with_figures:
            found["cases"] = {str(case): one.to_dict() for case, one in self.days.items()}
        return found


@dataclass(frozen=True, kw_only=True)
class FeePoint:
    """What neighbours trade in case 1 at a fee.

    Parameters
    ----------
    fee_eur_per_kwh
        The fee.
    cost_eur
        Of the community, fees included.
    p2p_share
        Bought from neighbours, of the consumption.
    least_share, most_share
        Without a fee the share is not determined: what was found to cost the same, first stage
        kept. With a fee both are the share.
    """

    fee_eur_per_kwh: float
    cost_eur: float
    p2p_share: float
    least_share: float
    most_share: float


def run_case(asked: Asked, settings: Settings = SETTINGS) -> Figures:
    """Plan one case of a day."""
    day = study_day(asked)
    found = plan(day.households, settings)
    network = found.network
    return replace(
        figures(flows_of(found, day)),
        gap=found.gap,
        bound_eur=found.bound_eur,
        linear_gap_pu=float("nan") if network is None else network.gap_pu,
    )


def run_cases(
    seed: int = 0,
    scenarios: int = 3,
    settings: Settings = SETTINGS,
    advance: Advance | None = None,
) -> SeedRun:
    """Plan all cases of a seed's day.

    Parameters
    ----------
    seed, scenarios
        Which day, and how many scenarios.
    settings
        Of the solver.
    advance
        Is told how many cases are done.

    Raises
    ------
    PeergridError
        If a case cannot be planned.
    """
    days = {}
    for done, case in enumerate(CASES):
        days[case] = run_case(Asked(case=case, seed=seed, scenarios=scenarios), settings)
        _tell(advance, done + 1)
    return SeedRun(
        seed=seed,
        date=day_of(seed).isoformat(),
        days=days,
        verdicts=judged(days[0], days[1]),
    )


def run_or_refuse(seed: int, scenarios: int, settings: Settings = SETTINGS) -> SeedRun:
    """The same; a day that cannot be planned says why."""
    try:
        return run_cases(seed, scenarios, settings)
    except PeergridError as error:
        return SeedRun(seed=seed, date=day_of(seed).isoformat(), days={}, refused=str(error))


def run_seeds(
    seeds: Sequence[int],
    scenarios: int = 3,
    settings: Settings = SETTINGS,
    *,
    processes: int = PROCESSES,
    advance: Advance | None = None,
) -> tuple[SeedRun, ...]:
    """Plan many seeds, in the order given. A script that calls this needs a ``__main__`` guard.

    Parameters
    ----------
    seeds, scenarios
        Which days, and how many scenarios each.
    settings
        Of the solver.
    processes
        How many days at a time; 1: in this process.
    advance
        Is told how many days are done.
    """
    if processes == 1 or len(seeds) < 2:
        alone = []
        for seed in seeds:
            alone.append(run_or_refuse(seed, scenarios, settings))
            _tell(advance, len(alone))
        return tuple(alone)
    # a fork would share the threads of the libraries below
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        asked = {pool.submit(run_or_refuse, seed, scenarios, settings): seed for seed in seeds}
        found = {}
        for future in as_completed(asked):
            found[asked[future]] = future.result()
            _tell(advance, len(found))
    return tuple(found[seed] for seed in seeds)


def counted(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """On how many days all bands hold, on how many each does, and how many have no plan."""
    planned = [run for run in runs if not run.refused]
    each: dict[str, int] = {}
    for run in planned:
        for verdict in run.verdicts:
            each[verdict.name] = each.get(verdict.name, 0) + verdict.holds
    return {
        "seeds": len(runs),
        "planned": len(planned),
        "refused": len(runs) - len(planned),
        "hold": sum(run.holds for run in planned),
        "each": each,
    }


def sweep_fees(
    seed: int = 0,
    scenarios: int = 3,
    settings: Settings = SETTINGS,
    *,
    fees: Sequence[float] = FEES_EUR_PER_KWH,
    advance: Advance | None = None,
) -> tuple[FeePoint, ...]:
    """What neighbours trade in case 1 at several fees [EUR/kWh]."""
    found = []
    for fee in fees:
        found.append(_at_fee(Asked(seed=seed, scenarios=scenarios, fee_eur_per_kwh=fee), settings))
        _tell(advance, len(found))
    return tuple(found)


def value_of(seed: int = 0, scenarios: int = 3, settings: Settings = SETTINGS) -> dict[str, Any]:
    """What planning with scenarios is worth in case 1, and what a perfect forecast would be."""
    day = study_day(Asked(seed=seed, scenarios=scenarios))
    # each of the three costs is known to the gap only, and what is wanted is their differences
    fine = replace(settings, limits=replace(settings.limits, gap=settings.limits.gap / 5.0))
    found: Value = value(day.households, fine)
    names = (
        *("cost_eur", "wait_and_see_eur", "mean_value_eur"),
        *("vss_eur", "evpi_eur", "vss_share", "evpi_share"),
    )
    return {"gap": fine.limits.gap, **{name: plain(getattr(found, name)) for name in names}}


def _at_fee(asked: Asked, settings: Settings) -> FeePoint:
    day = study_day(asked)
    found = plan(day.households, settings)
    seen = figures(flows_of(found, day))
    least = most = seen.p2p_share
    if asked.fee_eur_per_kwh == 0.0:
        traded = traded_range_kwh(found)
        least, most = (kwh / seen.consumption_kwh for kwh in traded)
    return FeePoint(
        fee_eur_per_kwh=asked.fee_eur_per_kwh,
        cost_eur=seen.cost_eur,
        p2p_share=seen.p2p_share,
        least_share=min(least, seen.p2p_share),
        most_share=max(most, seen.p2p_share),
    )


def _tell(advance: Advance | None, done: int) -> None:
    if advance is not None:
        advance(done)
