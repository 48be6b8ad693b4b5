"""Photovoltaic plants.

A plant turns the weather it receives into power, publishes what it expects of its next steps (the
power at the forecast weather, plus its own forecast error) and can be held back by a set-point,
which is an upper limit, or by the envelope of its connection point.

If a weather source sends no forecast lists, the last clearness seen in daylight is taken to
persist under the moving sun. Without any weather a plant says nothing.

A plant with a measured ``series`` takes its power from there instead; ``kwp`` still rates its
inverter and scales its forecast error.
"""

from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import Blocks, Floats, Quantity, outlook, stacked, take
from peergrid.cosim.plants import SHARED, PlantSimulator
from peergrid.devices import pv
from peergrid.inputs.span import Span
from peergrid.inputs.weather import Site

_NAMES = ("GHI[W/m2]", "DNI[W/m2]", "DHI[W/m2]", "T_air[C]", "wind_speed[m/s]")
_FIELDS = ("ghi", "dni", "dhi", "t_air_c", "wind_speed_m_s")
PARAMS = {
    "kwp": Quantity(),
    "tilt_deg": Quantity(high=90.0, default=30.0),
    "azimuth_deg": Quantity(high=360.0, default=180.0),
}
"""Creation parameters: peak power [kW], tilt from horizontal, azimuth (180: south); besides them
those of :data:`peergrid.cosim.plants.SHARED`, ``name``, and ``series`` with ``bus``: a CSV file of
measured power and its column."""


class PVSimulator(PlantSimulator):
    """Entities ``PV-<i>``."""

    models = ("PV",)
    kind = "pv"
    nameplate = "kwp"

    def set_up_own(
        self, *, latitude: float = 52.38, longitude: float = 13.07, altitude_m: float = 81.0
    ) -> None:
        """Say where the plants stand: degrees, north and east positive, and metres (Potsdam)."""
        site = Site(latitude=latitude, longitude=longitude, altitude_m=altitude_m)
        self._place = {
            "latitude": site.latitude,
            "longitude": site.longitude,
            "altitude_m": site.altitude_m,
        }
        self._params: list[dict[str, float]] = []
        self._blocks = Blocks(self.calendar, self._look)
        self._clearness = pv.Clearness.usual(0)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one plant from the parameters of :data:`PARAMS` and what is named there."""
        where = f"{self.sid}.PV-{index}"
        name = params.pop("name", None)
        self.series_of(where, params)
        given = take(where, params, {**PARAMS, **SHARED})
        taken = {field: given[field] for field in PARAMS}
        self.place(given, taken["kwp"])
        self._params.append(taken)
        self._plants = pv.Plants(**{field: stacked(self._params, field) for field in PARAMS})
        self._clearness = pv.Clearness.usual(len(self._params))
        eid = self.add(model, index, name)
        return {"eid": eid, "extra_info": {"name": name or eid, **taken}}

    def setup_done(self) -> None:
        """Read the series now, so that bad data stops the scenario before it runs."""
        if self.is_measured:
            self._blocks.at(0)

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        steps = self.calendar.horizon
        (seen, measured), first = self._blocks.at(index)
        window = seen.window(first, 1 + steps)
        offered = pv.available_kw(self._plants, window, self._sky(inputs, window))
        known_kw = measured[:, first : first + 1 + steps]
        return self.realise(index, inputs, np.where(np.isnan(known_kw), offered, known_kw))

    def internal_state(self) -> dict[str, Any]:
        """The clearness that persists when no forecast comes."""
        return {name: getattr(self._clearness, name).tolist() for name in _CLEARNESS}

    def set_internal_state(self, state: Any) -> None:
        """Inverse of :meth:`internal_state`."""
        self._clearness = pv.Clearness(
            **{name: np.array(state[name], dtype=np.float64) for name in _CLEARNESS}
        )

    def _sky(self, inputs: Inputs, window: pv.View) -> pv.Sky:
        """Weather of this step and the horizon, ``(n, 1+H)``, persistence where no list came."""
        steps = self.calendar.horizon
        sky = {
            field: outlook(inputs, self.rows, name, steps)
            for field, name in zip(_FIELDS, _NAMES, strict=True)
        }
        now = pv.Sky(**{field: values[:, :1] for field, values in sky.items()})
        self._clearness = self._clearness.updated(window, now)
        known_now = np.isfinite(np.stack([values[:, 0] for values in sky.values()])).all(axis=0)
        silent = np.isnan(np.stack([values[:, 1:] for values in sky.values()])).any(axis=(0, 2))
        lacking = silent & known_now
        if lacking.any():
            persisted = self._clearness.sky(window)
            for field, values in sky.items():
                values[lacking, 1:] = getattr(persisted, field)[lacking, 1:]
        return pv.Sky(**sky)

    def _look(self, span: Span, _block: int) -> tuple[pv.View, Floats]:
        """How the plants see the sun, and their measured power ``(n, T)`` [kW]; NaN: none."""
        return pv.view(self._plants, span.middles, **self._place), self.measured(span)


_CLEARNESS = ("clearness", "diffuse", "t_air_c", "wind_speed_m_s")


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(PVSimulator())


if __name__ == "__main__":
    main()
