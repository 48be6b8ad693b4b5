"""What ``peergrid init`` writes: a scenario to edit, and CSV files with units in their headers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from peergrid.errors import DataError

_FIRST = datetime(2016, 6, 29, 21, tzinfo=UTC)  # one hour before 30 June in Berlin
_HOURS = 4 * 24
_README = """A scenario of your own
======================

    peergrid check scenario.toml
    peergrid run scenario.toml

Edit scenario.toml; the CSV files show the columns and units that it can take instead of the
built-in data (see the lines with .csv in it). Times are the start of each row, with an offset or
in UTC (Z). Series begin one hour before the run and reach one horizon and two hours beyond it.

feeder of your own:   peergrid feeder ieee33 --out mine.json   then   case = "mine.json"
all keys:             peergrid schema scenario
devices of your own:  peergrid schema flexibility
"""


def write_templates(folder: Path) -> list[Path]:
    """Write the files into a folder; none of them may exist.

    Raises
    ------
    DataError
        If the folder holds one of the files, or cannot be written.
    """
    contents = dict(_templates())
    for name in contents:
        if (folder / name).exists():
            raise DataError("init", "file", str(folder / name), "a folder without these files")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError("init", "DIR", str(folder), f"a folder to write to ({error})") from error
    return [folder / name for name in contents]


def _templates() -> Iterator[tuple[str, str]]:
    scenario = files("peergrid.cli") / "scenario.toml"
    yield "scenario.toml", scenario.read_text(encoding="utf-8")
    yield "load.csv", _csv("time,bus_2 [kW],bus_2 [kvar],bus_3 [kW]", _load)
    yield (
        "weather.csv",
        _csv("time,ghi [W/m2],dni [W/m2],dhi [W/m2],t_air [C],wind_speed [m/s]", _weather),
    )
    yield "prices.csv", _csv("time,price [EUR/MWh]", _price)
    yield "tours.csv", _TOURS
    yield "README.txt", _README


_TOURS = """ev,date,depart_h,return_h,km,energy_kwh
0,2016-06-30,7.5,17.25,42,7.6
0,2016-07-01,7.5,17.0,42,7.6
1,2016-06-30,9.0,11.5,18,3.2
"""


def _csv(header: str, row: Any) -> str:
    lines = [header]
    for k in range(_HOURS):
        at = _FIRST + timedelta(hours=k)
        values = ",".join(f"{value:g}" for value in row((at.hour + 2) % 24))
        lines.append(f"{at:%Y-%m-%dT%H:%MZ},{values}")
    return "\n".join(lines) + "\n"


def _sun(hour: int) -> float:
    return float(max(0.0, np.sin(np.pi * (hour - 5) / 16.0)))


def _load(hour: int) -> tuple[float, ...]:
    p_kw = round(40.0 + 30.0 * float(np.sin(np.pi * (hour - 6) / 14.0) ** 2), 1)
    return p_kw, round(0.3 * p_kw, 1), round(0.8 * p_kw, 1)


def _weather(hour: int) -> tuple[float, ...]:
    sun = _sun(hour)
    direct = round(600.0 * sun)
    diffuse = round(200.0 * sun)
    return round(diffuse + direct * sun), direct, diffuse, round(15.0 + 8.0 * sun, 1), 4.0


def _price(hour: int) -> tuple[float, ...]:
    return (round(30.0 + 15.0 * float(np.sin(np.pi * (hour - 6) / 7.0)), 2),)


def json_schema(what: str) -> dict[str, Any]:
    """The JSON schema of ``scenario`` files or of the ``flexibility`` message."""
    from peergrid.devices.message_schema import MESSAGE_SCHEMA
    from peergrid.scenario.schema import Scenario

    if what == "scenario":
        return Scenario.model_json_schema()
    if what == "flexibility":
        return MESSAGE_SCHEMA
    raise DataError("schema", "WHAT", what, "scenario, flexibility")
