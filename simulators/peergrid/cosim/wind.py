"""Wind turbines: power of the wind they receive, held back like PV plants.

If a weather source sends no forecast list, the wind is taken to persist. Without any wind speed a
turbine says nothing. A plant with a measured ``series`` takes its power from there instead of a
power curve.
"""

import math
from pathlib import Path
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import Blocks, Floats, Quantity, number, outlook, take, whole_number
from peergrid.cosim.plants import SHARED, PlantSimulator
from peergrid.devices import wind
from peergrid.errors import DataError
from peergrid.inputs.turbines import PowerCurve, load_turbine, read_turbine

_LEAST_M = 10 * wind.ROUGHNESS_M
_USUAL_HUB_M = 30.0
PARAMS = {"hub_height_m": Quantity(low=_LEAST_M, high=500.0, optional=True)}
"""Creation parameters of turbines, besides ``turbine``, ``count``, ``name`` and those of
:data:`peergrid.cosim.plants.SHARED`; absent: the maker's height."""
MEASURED = {"rated_kw": Quantity()}
"""Those of a plant with ``series`` and ``bus``, instead: its rated power."""
_NO_CURVE = (np.array([0.0, 1.0]), np.zeros(2))


class WindSimulator(PlantSimulator):
    """Entities ``WindTurbine-<i>``."""

    models = ("WindTurbine",)
    kind = "wind"
    nameplate = "rated_kw"

    def set_up_own(self, *, wind_height_m: float = 10.0) -> None:
        """Take the height at which the weather source gives its wind speed [m]."""
        self._height_m = number(self.sid, "wind_height_m", wind_height_m, _LEAST_M, 500.0)
        self._curves: list[tuple[Floats, Floats]] = []
        self._size: list[tuple[float, float, float]] = []
        self._blocks = Blocks(self.calendar, lambda span, _: self.measured(span))

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create ``count`` equal turbines, of a name peergrid knows or of a CSV file with a curve.

        Or a plant with a measured ``series``.
        """
        name = params.pop("name", None)
        where = f"{self.sid}.WindTurbine-{index}"
        info = (self._measured_plant if "series" in params else self._turbine)(where, params)
        rated_kw, hubs, counts = np.array(self._size).T
        self._turbines = wind.Turbines(
            curves=tuple(self._curves), rated_kw=rated_kw, hub_height_m=hubs, count=counts
        )
        eid = self.add(model, index, name)
        return {"eid": eid, "extra_info": {"name": name or eid, **info}}

    def setup_done(self) -> None:
        """Read the series now, so that bad data stops the scenario before it runs."""
        if self.is_measured:
            self._blocks.at(0)

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        steps = self.calendar.horizon
        speed = outlook(inputs, self.rows, "wind_speed[m/s]", steps)
        speed = np.where(np.isnan(speed), speed[:, :1], speed)
        offered = wind.available_kw(self._turbines, speed, self._height_m)
        if self.is_measured:
            measured, first = self._blocks.at(index)
            known_kw = measured[:, first : first + 1 + steps]
            offered = np.where(np.isnan(known_kw), offered, known_kw)
        return self.realise(index, inputs, offered)

    def _turbine(self, where: str, params: dict[str, Any]) -> dict[str, Any]:
        turbine = params.pop("turbine", "NPS100C-21")
        count = whole_number(where, "count", params.pop("count", 1), 1)
        taken = take(where, params, {**PARAMS, **SHARED})
        asked = taken["hub_height_m"]
        curve = self._curve(str(turbine), asked)
        hub = curve.hub_height_m if math.isnan(asked) else asked
        rated = curve.rated_kw * count
        self.place(taken, rated)
        self._curves.append((curve.wind_speed_m_s, curve.power_kw))
        self._size.append((rated, hub, float(count)))
        return {"turbine": curve.name, "rated_kw": rated, "hub_height_m": hub}

    def _measured_plant(self, where: str, params: dict[str, Any]) -> dict[str, Any]:
        """Nothing is known of a measured plant but its rated power: it has no curve."""
        series = self.series_of(where, params)
        if series is None:
            raise DataError(where, "series", None, "a .csv file, or no such parameter")
        taken = take(where, params, {**MEASURED, **SHARED})
        self.place(taken, taken["rated_kw"])
        self._curves.append(_NO_CURVE)
        self._size.append((taken["rated_kw"], _USUAL_HUB_M, 1.0))
        return {"series": series, "rated_kw": taken["rated_kw"]}

    def _curve(self, turbine: str, hub_height_m: float) -> PowerCurve:
        if not turbine.endswith(".csv"):
            return load_turbine(turbine)
        height = _USUAL_HUB_M if math.isnan(hub_height_m) else hub_height_m
        return read_turbine(Path(self.base_dir) / turbine, hub_height_m=height)


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(WindSimulator())


if __name__ == "__main__":
    main()
