"""Plans of a case under one objective, in the words of the tables and pictures of ``siting.py``."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.results import open_plans
from peergrid.study.siting.published import PERIODS, PRIMARY, Tables
from peergrid.units import hours

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Way = str

BASE = "base"
UNITS = {"cost": "EUR", "traded": "kWh"}
TITLES = {"cost": "least cost", "traded": "most trade"}
WAYS = ("milp", "cheetah-text", "cheetah-code", "ga", "de", "cmaes")
PUBLISHED_WAYS = {"ga": ("ga",), "cheetah": ("cheetah-text", "cheetah-code")}
KIND_OF_UNIT = {"kWp": "pv", "kW": "wind", "turbines": "wind", "kWh": "battery", "vehicles": "ev"}
SAME = 1e-6
"""Relative difference of scores that is none."""
FAR = 3.0
"""Costs that much further from the best than the day without a plan are penalties."""

NEEDED = (
    *("score", "cost_eur", "traded_kwh", "loss_kwh", "vm_min_pu", "traded_kw", "loss_kw"),
    *("vm_low_pu", "vm_pu", "contribution_kw", "generation_kw", "size"),
)
"""What must be known of every plan."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """Plans of one case under one objective, of W ways, from a file.

    Parameters
    ----------
    path
        The file.
    plans
        What it holds; the first plan is the day without any.
    """

    path: Path
    plans: xr.Dataset

    @property
    def objective(self) -> str:
        """``cost`` or ``traded``."""
        return str(self.plans.attrs["objective"])

    @property
    def unit(self) -> str:
        """Of the objective."""
        return UNITS[self.objective]

    @property
    def name(self) -> str:
        """Of the case."""
        return str(self.plans.attrs.get("name"))

    @property
    def dt_h(self) -> float:
        """Length of a step [h]."""
        return hours(float(self.plans.attrs["step_s"]))

    @cached_property
    def ways(self) -> dict[Way, Rows]:
        """Rows of the plans of each method, with its variant; the known ones first."""
        pairs = zip(self.plans["method"].values, self.plans["variant"].values, strict=True)
        named = [f"{method}-{variant}" if variant else str(method) for method, variant in pairs]
        there = [way for way in dict.fromkeys(named[1:]) if way != BASE]
        order = [way for way in WAYS if way in there]
        order += [way for way in there if way not in WAYS]
        return {way: np.flatnonzero([one == way for one in named]) for way in order}

    @cached_property
    def is_clean(self) -> NDArray[np.bool_]:
        """Whether pandapower finds every limit kept, by plan."""
        return np.asarray(self.plans["ac_clean"].values == 1.0)

    @cached_property
    def score(self) -> Floats:
        """What is minimised, by plan."""
        return np.asarray(self.plans["score"].values, dtype=np.float64)

    @cached_property
    def own_score(self) -> Floats:
        """What searches found by themselves, by plan: before a linear programme polished it.

        Where that breaks limits, it is the penalty that the search saw; of others, the score.
        """
        own = self.plans["searched_score"].values
        last = np.array([self.trace(row)[1][-1:].sum() for row in range(len(own))])
        broken = last - own > SAME * np.maximum(np.abs(own), 1.0)
        return np.where(np.isfinite(own), np.where(broken, last, own), self.score)

    def value(self, score: Any) -> Any:
        """A score as people read it: cost [EUR], or what is traded [kWh]."""
        return -score if self.objective == "traded" else score

    def clean(self, way: Way) -> Rows:
        """Plans of a way that keep all limits, the best first."""
        rows = self.ways[way][self.is_clean[self.ways[way]]]
        return np.asarray(rows[np.argsort(self.score[rows], kind="stable")])

    def typical(self, way: Way) -> int | None:
        """The plan of a way with the median score (the better of two); None without any."""
        rows = self.clean(way)
        return int(rows[(len(rows) - 1) // 2]) if len(rows) else None

    @cached_property
    def best(self) -> int | None:
        """The best plan that keeps all limits."""
        rows = np.flatnonzero(self.is_clean)
        rows = rows[rows > 0]
        return int(rows[np.argmin(self.score[rows])]) if len(rows) else None

    @property
    def lead(self) -> Way | None:
        """The way that stands for exact planning: the programme, or that of the best plan."""
        if "milp" in self.ways and len(self.clean("milp")):
            return "milp"
        return next((way for way, rows in self.ways.items() if self.best in rows), None)

    def trace(self, row: int) -> tuple[Floats, Floats]:
        """Effort so far and best score of a plan."""
        effort, score = (self.plans[f"trace_{name}"].values[row] for name in ("effort", "score"))
        known = np.isfinite(effort) & np.isfinite(score)
        return effort[known], score[known]

    @cached_property
    def penalty(self) -> float:
        """Scores from here on are penalties of broken limits."""
        if self.objective == "traded" or self.best is None:
            return 0.0 if self.objective == "traded" else np.inf
        base, best = float(self.score[0]), float(self.score[self.best])
        return max(base, best) + FAR * max(abs(base - best), abs(base), 1.0)

    # -- hours of the day --------------------------------------------------------------------

    @cached_property
    def hour_of_day(self) -> Floats:
        """Local hour at which each step begins ``(T,)``."""
        index = pd.DatetimeIndex(self.plans["time"].values).tz_localize("UTC")
        local = index.tz_convert(self._zone())
        return np.asarray(local.hour + local.minute / 60.0, dtype=np.float64)

    @property
    def hour(self) -> Floats:
        """Hours since local midnight before the first step, at which each step begins ``(T,)``."""
        return np.asarray(self.hour_of_day[0] + self.dt_h * np.arange(len(self.hour_of_day)))

    @cached_property
    def periods(self) -> dict[str, NDArray[np.bool_]]:
        """Steps of each third of the day; thirds without any are left out."""
        steps = {
            name: (self.hour_of_day >= first) & (self.hour_of_day < last)
            for name, (first, last) in PERIODS.items()
        }
        return {name: mask for name, mask in steps.items() if mask.any()}

    def means(self, series: Floats) -> Floats:
        """Means of series ``(..., T)`` in the periods, ``(..., P)``."""
        found = [series[..., mask].mean(axis=-1) for mask in self.periods.values()]
        return np.asarray(np.stack(found, axis=-1))

    def row_means(self, variable: str, way: Way) -> tuple[float, ...] | None:
        """Medians over the seeds of a way of a series' means in the periods."""
        rows = np.zeros(1, dtype=int) if way == BASE else self.clean(way)
        if not len(rows):
            return None
        found = self.means(self.plans[variable].values[rows])
        return tuple(np.median(found, axis=0).tolist())

    # -- technologies ------------------------------------------------------------------------

    @cached_property
    def kinds(self) -> list[str]:
        """Kind of each technology; its name where the unit tells none."""
        pairs = zip(self.plans["unit"].values, self.plans["technology"].values, strict=True)
        return [KIND_OF_UNIT.get(str(unit), str(name)) for unit, name in pairs]

    def by_kind(self, variable: str, rows: Rows) -> dict[str, Floats]:
        """Series of plans ``(R, T)``, technologies of a kind together."""
        values = self.plans[variable].values[rows]
        kinds = np.array(self.kinds)
        return {k: np.asarray(values[:, kinds == k].sum(axis=1)) for k in dict.fromkeys(self.kinds)}

    def contributed(self, way: Way) -> dict[str, tuple[float, ...]]:
        """Medians over the seeds of what each kind contributes to trade, means in the periods."""
        rows = self.clean(way)
        if not len(rows):
            return {}
        found = self.by_kind("contribution_kw", rows)
        return {k: tuple(np.median(self.means(p), axis=0).tolist()) for k, p in found.items()}

    def tables(self) -> Tables:
        """Our rows of the paper's tables, where its methods are there."""
        ways = {BASE: BASE}
        for name, wanted in PUBLISHED_WAYS.items():
            there = next((w for w in wanted if w in self.ways and len(self.clean(w))), None)
            ways.update({} if there is None else {name: there})
        rows = {
            variable: {name: self.row_means(variable, way) or () for name, way in ways.items()}
            for variable in ("traded_kw", "loss_kw", "vm_low_pu")
        }
        return Tables(
            traded_kwh=rows["traded_kw"],
            contributed_kwh=self.contributed(ways["cheetah"]) if "cheetah" in ways else {},
            loss_kw=rows["loss_kw"],
            vm_min_pu=rows["vm_low_pu"],
        )

    def trading(self, row: int) -> dict[str, float | None]:
        """How often a kWh is sold: traded, generated by plants, and contributed by them [kWh]."""
        one = np.array([row])
        energies = {
            name: {k: float(p.sum()) * self.dt_h for k, p in self.by_kind(name, one).items()}
            for name in ("generation_kw", "contribution_kw")
        }
        generated, primary = (
            sum(one for kind, one in energies[name].items() if kind in PRIMARY)
            for name in ("generation_kw", "contribution_kw")
        )
        traded = float(self.plans["traded_kwh"].values[row])
        return {
            "traded_kwh": traded,
            "generated_kwh": generated,
            "primary_kwh": primary,
            "traded_over_generated": traded / generated if generated > 0.0 else None,
            "traded_over_primary": traded / primary if primary > 0.0 else None,
        }

    def built(self, row: int) -> list[dict[str, Any]]:
        """What a plan builds, in the order of the file."""
        sizes, labels = self.plans["size"].values[row], self.plans["bus"].values
        names, units = self.plans["technology"].values, self.plans["unit"].values
        found = []
        for k, at in np.argwhere(np.nan_to_num(sizes) > 0.0):
            size = round(float(sizes[k, at]), 6)
            one = {"technology": str(names[k]), "unit": str(units[k]), "kind": self.kinds[k]}
            found.append({**one, "bus": int(labels[at]), "row": int(at), "size": size})
        return found

    def _zone(self) -> str:
        """The case's timezone; UTC where the file does not tell."""
        try:
            zone = json.loads(str(self.plans.attrs["scenario_json"]))["timezone"]
            ZoneInfo(str(zone))
        except (KeyError, TypeError, ValueError, OSError):
            return "UTC"
        return str(zone)


def read_studies(paths: Sequence[Path]) -> list[Study]:
    """Files of plans of one case, each under an objective of its own.

    Raises
    ------
    DataError
        If a file is none, holds no plan, or is of another case or the same objective.
    """
    studies = [_study(path) for path in paths]
    first = studies[0]
    for k, study in enumerate(studies):
        if study.name != first.name or study.plans.sizes["step"] != first.plans.sizes["step"]:
            allowed = f"{first.name}, of {first.plans.sizes['step']} steps as in {first.path.name}"
            raise DataError(study.path, "name", study.name, allowed)
        if study.objective in [other.objective for other in studies[:k]]:
            allowed = "a file of each objective at most: one of cost, one of traded"
            raise DataError(study.path, "objective", study.objective, allowed)
    return sorted(studies, key=lambda study: study.objective != "traded")


def _study(path: Path) -> Study:
    study = Study(path=path, plans=open_plans(path))
    objective = study.plans.attrs.get("objective")
    if objective not in UNITS:
        raise DataError(path, "objective", objective, " or ".join(UNITS))
    for dim in ("step", "bus"):
        if not study.plans.sizes[dim]:
            raise DataError(path, dim, 0, "one at least")
    for name in NEEDED:
        values = study.plans[name].values
        if not np.isfinite(values).all():
            unknown = values[~np.isfinite(values)][0]
            raise DataError(path, name, float(unknown), "finite numbers, of all plans")
    _check_tree(path, study.plans["parent"].values)
    if not study.ways:
        allowed = "a plan besides the day without one, as `peergrid plan` writes"
        raise DataError(path, "plan", list(study.plans["plan"].values), allowed)
    return study


def _check_tree(path: Path, parent: Floats) -> None:
    """Refuse rows of parents that are no tree from the first bus on."""
    known = np.arange(len(parent)) == 0
    fits = parent[0] == -1 and ((parent[1:] >= 0) & (parent[1:] < len(parent))).all()
    for _ in range(len(parent) if fits else 0):
        known[1:] |= known[parent[1:].astype(int)]
        if known.all():
            return
    if not fits or not known.all():
        raise DataError(
            path, "parent", parent.tolist(), "rows of a tree; -1 for the first bus only"
        )


def plain(value: Any) -> Any:
    """The same for JSON: lists for arrays and tuples, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value
