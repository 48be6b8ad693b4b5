"""A plan as a scenario that ``peergrid run`` replays with what the plan builds.

The co-simulation then decides hour by hour, by its market, how the devices run: a replay tests
sites and sizes, not the dispatch that the plan had in mind.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from peergrid.errors import DataError
from peergrid.inputs.span import parse_start, zone
from peergrid.planning.plan import Plan, Unit
from peergrid.planning.problem import Plant
from peergrid.scenario.checks import data_span
from peergrid.scenario.plan_tables import PlanBattery, PlanEv, PlanPv, PlanWind
from peergrid.study.siting.case import Case
from peergrid.study.siting.technologies import Choice
from peergrid.study.siting.toml_text import files_of, moved, toml_text
from peergrid.study.siting.vehicles import replayed_tours

Document = dict[str, Any]
_BEFORE = timedelta(days=1)
_BEHIND = timedelta(days=2)
_DIGITS = 6
_NO_FILES = ("name", "start", "timezone")


def write_scenario(case: Case, plan: Plan, path: str | Path, *, about: str = "") -> Path:
    """Write the scenario of a case with what a plan builds, without ``[plan]``.

    Series and tours go into a folder beside the file, which has its name without the ending.

    Parameters
    ----------
    case
        What was planned.
    plan
        What is to be built.
    path
        The TOML file to write.
    about
        How the plan was found, for the comment at the top.

    Raises
    ------
    DataError
        If the file cannot be written, or is the one that the case was read from.
    """
    target = Path(path)
    if target.suffix != ".toml" or target.resolve() == case.setup.file.resolve():
        allowed = f"a .toml file other than {case.setup.file.name}"
        raise DataError("plan", "scenario to write", str(path), allowed)
    folder = target.resolve().parent
    document = _document(case, folder, target.stem)
    read = files_of(case.setup.scenario.model_dump(), case.setup.base_dir)
    writer = _Writer(case=case, document=document, folder=folder, stem=target.stem, read=read)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for choice in case.choices:
            name = choice.technology.name
            writer.add(choice, [unit for unit in plan.units() if unit.technology.name == name])
        _admit(document, case, plan)
        text = _head(case, target, about) + toml_text(document)
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        allowed = f"a file that can be written ({error.strerror})"
        raise DataError("plan", "scenario to write", str(path), allowed) from error
    return target


@dataclass(frozen=True, kw_only=True)
class _Writer:
    """Adds tables of devices to a document, and writes the files that they name."""

    case: Case
    document: Document
    folder: Path
    stem: str
    read: frozenset[Path]

    def add(self, choice: Choice, units: Sequence[Unit]) -> None:
        """What a plan builds of one technology."""
        if not units:
            return
        table = choice.table
        match table:
            case PlanPv():
                self._put("pv", self._pv(table, units))
            case PlanWind():
                self._put("wind", self._wind(table, units))
            case PlanBattery():
                self._put("battery", self._battery(table, units))
            case PlanEv():
                for unit in units:
                    self._put("ev", self._station(table, unit))

    def _put(self, part: str, table: Document) -> None:
        self.document.setdefault(part, []).append(table)

    def _pv(self, table: PlanPv, units: Sequence[Unit]) -> Document:
        entry: Document = {"buses": self._buses(units), "kwp": _sizes(units)}
        if table.series is not None:
            return {**entry, "series": self._series(units)}
        return {**entry, "tilt_deg": table.tilt_deg, "azimuth_deg": table.azimuth_deg}

    def _wind(self, table: PlanWind, units: Sequence[Unit]) -> Document:
        entry: Document = {"buses": self._buses(units)}
        if table.series is not None:
            return {**entry, "rated_kw": _sizes(units), "series": self._series(units)}
        entry["turbine"] = moved(table.turbine, self.case.setup.base_dir, self.folder)
        entry["count"] = [round(unit.size) for unit in units]
        return {**entry, "hub_height_m": table.hub_height_m}

    def _battery(self, table: PlanBattery, units: Sequence[Unit]) -> Document:
        """As full at the end of each horizon as at the start, since the planned day repeats."""
        sizes = _sizes(units)
        return {
            "buses": self._buses(units),
            "e_max_kwh": sizes,
            "p_max_kw": [round(size / table.hours, _DIGITS) for size in sizes],
            **_storage(table),
            "soc_end": table.soc_start,
        }

    def _station(self, table: PlanEv, unit: Unit) -> Document:
        """Vehicles of a station in step, as one with the battery and charger of all."""
        count, bus = round(unit.size), self._buses([unit])
        begin, start, end = (self._local(instant) for instant in self._times())
        tours = replayed_tours(table, count, begin=begin, start=start, end=end)
        return {
            "buses": bus,
            "e_max_kwh": count * table.e_max_kwh,
            "p_max_kw": count * table.p_max_kw,
            **_storage(table),
            "soc_departure": table.soc_departure,
            "v2g": table.v2g,
            "tours": self._write(tours, f"tours-{unit.technology.name}-{bus[0]}.csv"),
        }

    def _series(self, units: Sequence[Unit]) -> str:
        """A file with the power of plants, the planned days repeated before and behind."""
        setup, steps = self.case.setup, self.case.problem.steps
        begin, start, end = self._times()
        step = timedelta(seconds=setup.clock.step_s)
        first, last = (begin - _BEFORE - start) // step, (end - start) // step
        at = np.arange(first, last)
        times = pd.DatetimeIndex([start + int(k) * step for k in at])
        columns: dict[str, Any] = {"time": times.strftime("%Y-%m-%dT%H:%M:%SZ")}
        for bus, size, unit in zip(self._buses(units), _sizes(units), units, strict=True):
            available = _plant(unit).available_kw * size
            columns[f"bus_{bus} [kW]"] = available[at % steps]
        return self._write(pd.DataFrame(columns), f"power-{units[0].technology.name}.csv")

    def _write(self, table: pd.DataFrame, name: str) -> str:
        """Write a file of the scenario's folder; returns its name as the scenario says it."""
        (self.folder / self.stem).mkdir(exist_ok=True)
        path = self.folder / self.stem / name
        if path.resolve() in self.read:
            allowed = "another name: the scenario that is planned reads that file"
            raise DataError("plan", "scenario to write", str(path), allowed)
        table.to_csv(path, index=False, float_format="%.12g")
        return f"{self.stem}/{name}"

    def _times(self) -> tuple[datetime, datetime, datetime]:
        """Start of the warm-up and of the reported steps, and how far data must reach."""
        clock, span = self.case.setup.clock, data_span(self.case.setup)
        needed = timedelta(hours=span.hours_total)
        begin, start = parse_start(clock.begin), parse_start(clock.start)
        end = max(begin + needed, start + timedelta(hours=clock.hours) + _BEHIND)
        return begin, start, end

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(zone(self.case.setup.scenario.timezone))

    def _buses(self, units: Sequence[Unit]) -> list[int]:
        return [int(self.case.problem.feeder.bus_id[unit.row]) for unit in units]


def _document(case: Case, folder: Path, stem: str) -> Document:
    """The scenario without ``[plan]`` and defaults, its files as seen from another folder."""
    scenario = case.setup.scenario
    given = scenario.model_dump(
        exclude={"plan", "name", "start", "hours"}, exclude_defaults=True, exclude_none=True
    )
    kept = {
        key: value if key in _NO_FILES else moved(value, case.setup.base_dir, folder)
        for key, value in given.items()
    }
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)
    return {"name": name, "start": scenario.start, "hours": scenario.hours, **kept}


def _admit(document: Document, case: Case, plan: Plan) -> None:
    """Where only listed buses take part, list those that the plan builds at."""
    if case.setup.scenario.market.participants != "listed":
        return
    listed = document.setdefault("participant", [])
    built = {int(case.problem.feeder.bus_id[unit.row]) for unit in plan.units()}
    listed += [{"bus": bus} for bus in sorted(built - {table["bus"] for table in listed})]


def _head(case: Case, target: Path, about: str) -> str:
    found = " ".join(about.split())
    lines = [
        f"What a plan for {case.setup.file.name} builds, to be replayed:",
        "",
        f"  peergrid run {target.name}",
        "",
        f"Objective: {case.problem.objective}.",
        *([f"Found by: {found}."] if found else []),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"


def _storage(table: PlanBattery | PlanEv) -> Document:
    names = ("eta_charge", "eta_discharge", "soc_start", "soc_min", "wear_eur_per_mwh")
    return {name: getattr(table, name) for name in names}


def _sizes(units: Sequence[Unit]) -> list[float]:
    return [round(unit.size, _DIGITS) for unit in units]


def _plant(unit: Unit) -> Plant:
    if not isinstance(unit.technology, Plant):
        raise TypeError(unit.technology.name)
    return unit.technology
