"""Wind turbines: power of the wind they receive, held back like PV plants.

If a weather source sends no forecast list, the wind is taken to persist. Without any wind speed a
turbine says nothing.
"""

import math
from pathlib import Path
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import (
    DeviceSimulator,
    Floats,
    Quantity,
    known,
    number,
    outlook,
    take,
    whole_number,
)
from peergrid.devices import plant, wind
from peergrid.inputs.turbines import PowerCurve, load_turbine, read_turbine
from peergrid.units import mw_from_kw

_LEAST_M = 10 * wind.ROUGHNESS_M
_USUAL_HUB_M = 30.0
PARAMS = {"hub_height_m": Quantity(low=_LEAST_M, high=500.0, optional=True)}
"""Creation parameters, besides ``turbine``, ``count`` and ``name``; absent: the maker's height."""


class WindSimulator(DeviceSimulator):
    """Entities ``WindTurbine-<i>``."""

    models = ("WindTurbine",)

    def set_up_own(self, *, wind_height_m: float = 10.0) -> None:
        """Take the height at which the weather source gives its wind speed [m]."""
        self._height_m = number(self.sid, "wind_height_m", wind_height_m, _LEAST_M, 500.0)
        self._curves: list[tuple[Floats, Floats]] = []
        self._size: list[tuple[float, float, float]] = []

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create ``count`` equal turbines: a name peergrid knows, or a CSV file with a curve."""
        name, turbine = params.pop("name", None), params.pop("turbine", "NPS100C-21")
        where = f"{self.sid}.WindTurbine-{index}"
        count = whole_number(where, "count", params.pop("count", 1), 1)
        asked = take(where, params, PARAMS)["hub_height_m"]
        curve = self._curve(str(turbine), asked)
        hub = curve.hub_height_m if math.isnan(asked) else asked
        rated = curve.rated_kw * count
        self._curves.append((curve.wind_speed_m_s, curve.power_kw))
        self._size.append((rated, hub, float(count)))
        rated_kw, hubs, counts = np.array(self._size).T
        self._turbines = wind.Turbines(
            curves=tuple(self._curves), rated_kw=rated_kw, hub_height_m=hubs, count=counts
        )
        eid = self.add(model, index, name)
        info = {"name": name or eid, "turbine": curve.name, "rated_kw": rated, "hub_height_m": hub}
        return {"eid": eid, "extra_info": info}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        speed = outlook(inputs, self.rows, "wind_speed[m/s]", self.calendar.horizon)
        speed = np.where(np.isnan(speed), speed[:, :1], speed)
        offered = wind.available_kw(self._turbines, speed, self._height_m)
        ahead, sigma = self._forecast(offered[:, 1:], index)
        kva = plant.KVA_PER_KW * self._turbines.rated_kw
        p_kw = plant.curtailed(offered[:, 0], self.kw(inputs, "P_set[MW]"), self.room(inputs))
        q_kvar = plant.reactive(self.kw(inputs, "Q_set[MVar]"), p_kw, kva)
        sent = plant.messages(ahead, sigma, kva, t0_s=self.t0_s(index), dt_s=self.step_s)
        rows = zip(self.rows, known(mw_from_kw(p_kw)), known(mw_from_kw(q_kvar)), sent, strict=True)
        return {
            eid: {"P[MW]": p, "Q[MVar]": q, "flexibility": message} for eid, p, q, message in rows
        }

    def _forecast(self, truth_kw: Floats, index: int) -> tuple[Floats, Floats]:
        """Expected power and its standard deviation, ``(n, H)`` [kW]."""
        rated, calendar = self._turbines.rated_kw, self.calendar
        ahead = self.forecast.forecast(
            "wind",
            truth_kw,
            rated,
            calendar.epoch_s(index),
            entities=self.names,
            step_s=calendar.step_s,
        )
        sigma = self.forecast.sigma("wind", calendar.lead_h(index)) * rated[:, None]
        return ahead, sigma

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
