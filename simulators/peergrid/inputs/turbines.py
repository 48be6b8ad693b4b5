"""Power curves of small wind turbines: ten that ship with the package, or a user's CSV."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.tables import packaged

SPEED = "wind_speed [m/s]"
POWER = "power [kW]"


@dataclass(frozen=True, kw_only=True, eq=False)
class PowerCurve:
    """Power of a turbine over the wind speed at its hub.

    ``wind_speed_m_s`` and ``power_kw`` have shape (points,), speeds rising; power is zero outside
    the table. ``rated_kw`` is the maker's figure at its rated wind speed (mostly 11 m/s): measured
    curves of the smallest turbines go on to 1.5 times that, see :attr:`peak_kw`.
    """

    name: str
    wind_speed_m_s: NDArray[np.float64]
    power_kw: NDArray[np.float64]
    rated_kw: float
    rotor_m: float
    hub_height_m: float
    source: str

    @property
    def peak_kw(self) -> float:
        """Largest power in the table [kW]: what an inverter and a forecast must allow for."""
        return float(self.power_kw.max())


def turbine_names() -> list[str]:
    """Names of the curves that ship with the package, smallest turbine first.

    >>> turbine_names()[:2]
    ['Skystream3.7', 'BergeyExcel10']
    """
    return [str(name) for name in _sizes()["name"]]


@functools.cache
def load_turbine(name: str) -> PowerCurve:
    """Curve of that name, from turbine-models (Alliance for Sustainable Energy, BSD-3).

    >>> load_turbine("NPS100C-24").rated_kw
    95.0
    """
    sizes = _sizes()
    rows = sizes[sizes["name"] == name]
    if rows.empty:
        raise DataError("turbine", "name", name, ", ".join(turbine_names()))
    row = rows.iloc[0]
    speed, power = _checked_curve(packaged("turbines", f"{name}.csv"), name)
    return PowerCurve(
        name=name,
        wind_speed_m_s=speed,
        power_kw=power,
        rated_kw=float(row["rated [kW]"]),
        rotor_m=float(row["rotor [m]"]),
        hub_height_m=float(row["hub_height [m]"]),
        source=f"turbine-models 0.2.2, {row['original']} (BSD-3-Clause)",
    )


def read_turbine(
    path: str | Path,
    *,
    hub_height_m: float,
    rotor_m: float = float("nan"),
    rated_kw: float | None = None,
) -> PowerCurve:
    """Curve from a CSV file with the columns ``wind_speed [m/s]`` and ``power [kW]``.

    The rated power is the largest in the table unless given. Negative (standby) power is set to 0.
    """
    file = Path(path)
    try:
        table = pd.read_csv(file, skipinitialspace=True)
    except FileNotFoundError as error:
        raise DataError("turbine", "file", str(file), "a file that exists") from error
    except (OSError, ValueError) as error:
        raise DataError(file, "content", str(error), "a CSV file in UTF-8") from error
    speed, power = _checked_curve(table, file)
    if not hub_height_m > 0.0:
        raise DataError(file, "hub_height_m", hub_height_m, "a height above 0 m")
    return PowerCurve(
        name=file.stem,
        wind_speed_m_s=speed,
        power_kw=power,
        rated_kw=float(power.max()) if rated_kw is None else rated_kw,
        rotor_m=rotor_m,
        hub_height_m=hub_height_m,
        source=file.name,
    )


@functools.cache
def _sizes() -> pd.DataFrame:
    return packaged("turbines", "turbines.csv")


def _checked_curve(
    table: pd.DataFrame, where: object
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read-only speeds [m/s] and powers [kW], standby power clipped at zero."""
    for column in (SPEED, POWER):
        if column not in table.columns:
            raise DataError(where, "header", list(table.columns), f"a column '{column}'")
    numbers = table[[SPEED, POWER]].apply(pd.to_numeric, errors="coerce")
    bad = np.flatnonzero(~np.isfinite(numbers.to_numpy()).all(axis=1))
    if bad.size:
        row = int(bad[0])
        given = table[[SPEED, POWER]].iloc[row].tolist()
        raise DataError(where, f"line {row + 2}", given, "two finite numbers")
    speed = numbers[SPEED].to_numpy(dtype=np.float64, copy=True)
    power = np.maximum(numbers[POWER].to_numpy(dtype=np.float64), 0.0)
    if len(speed) < 2 or speed[0] < 0.0 or not (np.diff(speed) > 0.0).all():
        raise DataError(where, SPEED, speed.tolist(), "two or more rising speeds from 0 m/s up")
    speed.flags.writeable = False
    power.flags.writeable = False
    return speed, power
