"""Weather: a site's five quantities, and the lists of what comes next.

The forecast lists hold what will be. Errors of forecasts belong to what is forecast: PV, wind and
load simulators add theirs to their own power, where sources for the figures exist.
"""

from typing import Any

import mosaik_api_v3

from peergrid.cosim.attributes import FORECAST_SUFFIX, WEATHER_NAMES
from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import Blocks, DeviceSimulator
from peergrid.errors import DataError
from peergrid.inputs.span import Span
from peergrid.inputs.weather import Site, Weather, load_weather

_FIELDS = ("ghi", "dni", "dhi", "t_air_c", "wind_speed_m_s")


class WeatherSimulator(DeviceSimulator):
    """Entities ``Weather-<i>``, each with its own ``source``."""

    models = ("Weather",)

    def set_up_own(
        self,
        *,
        latitude: float | None = None,
        longitude: float | None = None,
        altitude_m: float = 0.0,
        wind_height_m: float = 10.0,
    ) -> None:
        """Say where the weather in a user's CSV file was measured.

        Parameters
        ----------
        latitude, longitude
            Degrees, north and east positive; needed for CSV files only.
        altitude_m, wind_height_m
            Height of the site above the sea and of the wind above ground [m].
        """
        self._sources: list[str] = []
        self._site: Site | None = None
        if latitude is not None and longitude is not None:
            self._site = Site(
                latitude=latitude,
                longitude=longitude,
                altitude_m=altitude_m,
                wind_height_m=wind_height_m,
            )
        self._blocks = Blocks(self.calendar, self._load)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one entity of a ``source``; ``extra_info`` says where its weather is from."""
        source = str(params.pop("source", "try2010:4"))
        if params:
            raise DataError(f"{self.sid}.{model}-{index}", "parameters", sorted(params), "source")
        found = self._read(source, self.calendar.span(0))
        self._sources.append(source)
        site = found.site
        info = {
            "source": found.source,
            "latitude": float(site.latitude),
            "longitude": float(site.longitude),
            "altitude_m": float(site.altitude_m),
            "wind_height_m": float(site.wind_height_m),
        }
        return {"eid": self.add(model, index, None), "extra_info": info}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Publish the step and the horizon behind it."""
        weathers, now = self._blocks.at(index)
        ahead = slice(now + 1, now + 1 + self.calendar.horizon)
        outputs: Outputs = {}
        for eid, weather in zip(self.rows, weathers, strict=True):
            outputs[eid] = {}
            for name, field in zip(WEATHER_NAMES, _FIELDS, strict=True):
                values = getattr(weather, field)
                outputs[eid][name] = float(values[now])
                outputs[eid][name.replace("[", f"{FORECAST_SUFFIX}[")] = values[ahead].tolist()
        return outputs

    def _load(self, span: Span, _block: int) -> list[Weather]:
        return [self._read(source, span) for source in self._sources]

    def _read(self, source: str, span: Span) -> Weather:
        return load_weather(
            source, span, base_dir=self.base_dir, site=self._site, tz=self.calendar.tz
        )


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(WeatherSimulator())


if __name__ == "__main__":
    main()
