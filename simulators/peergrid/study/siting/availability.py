"""What sun and wind offer to plants in the reported steps, as the simulators of a run find it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices import pv, wind
from peergrid.errors import DataError
from peergrid.inputs.plants import plant_power
from peergrid.inputs.series import read_series
from peergrid.inputs.span import Span, parse_start
from peergrid.inputs.turbines import PowerCurve, load_turbine, read_turbine
from peergrid.inputs.weather import Weather, load_weather
from peergrid.scenario.checks import data_span, naming, weather_site
from peergrid.scenario.setup import Setup

Floats = NDArray[np.float64]


def reported_span(setup: Setup) -> Span:
    """The reported steps of a run."""
    clock = setup.clock
    return Span(
        start=parse_start(clock.start),
        hours=clock.hours,
        step_s=clock.step_s,
        tz=setup.scenario.timezone,
    )


def reported(setup: Setup) -> slice:
    """Where the reported steps are in data of :func:`peergrid.scenario.checks.data_span`."""
    return slice(setup.clock.warmup, setup.clock.warmup + setup.clock.reported)


@dataclass(frozen=True, kw_only=True, eq=False)
class Availability:
    """Power that plants could feed in, over the T reported steps of a scenario.

    Data are read over the whole span of the run, warm-up and horizon included, because means and
    straight lines at its edges depend on it.

    Parameters
    ----------
    setup
        The prepared scenario.
    """

    setup: Setup

    @cached_property
    def span(self) -> Span:
        """Steps of a run with its warm-up and horizon."""
        return data_span(self.setup)

    @cached_property
    def weather(self) -> Weather:
        """Weather of the span."""
        given, where = self.setup.scenario.weather, self.setup.file.name
        site = weather_site(self.setup, where)
        with naming(where, "weather.source", given.source):
            return load_weather(
                given.source, self.span, base_dir=self.setup.base_dir, site=site, tz=self.span.tz
            )

    def pv_kw(self, plants: Sequence[Mapping[str, Any]]) -> Floats:
        """Power ``(n, T)`` of PV plants, given as their creation parameters."""
        if not plants:
            return np.zeros((0, self.setup.clock.reported))
        return np.stack([self._one_pv(plant) for plant in plants])

    def wind_kw(self, plants: Sequence[Mapping[str, Any]]) -> Floats:
        """Power ``(n, T)`` of wind plants, given as their creation parameters."""
        if not plants:
            return np.zeros((0, self.setup.clock.reported))
        return np.stack([self._one_wind(plant) for plant in plants])

    def curve(self, turbine: str, hub_height_m: float) -> PowerCurve:
        """Power curve of a turbine that the package knows, or of a CSV file."""
        if turbine.endswith(".csv"):
            return read_turbine(self.setup.base_dir / turbine, hub_height_m=hub_height_m)
        return load_turbine(turbine)

    def share(self, spec: str, name: str, unit: str) -> Floats:
        """Column of a user's CSV file: power over nameplate ``(T,)``, 0 to 1."""
        span = reported_span(self.setup)
        path = self.setup.base_dir / spec
        values = read_series(path, units={name: unit}, span=span, tz=span.tz)[name]
        wrong = np.flatnonzero((values < 0.0) | (values > 1.0))
        if wrong.size:
            step = int(wrong[0])
            field = f"{name} at {span.index[step]:%Y-%m-%dT%H:%MZ}"
            raise DataError(path, field, float(values[step]), f"0 to 1 {unit}")
        return values

    def _one_pv(self, plant: Mapping[str, Any]) -> Floats:
        if "series" in plant:
            return self._measured(plant, "kwp")
        one = pv.Plants(
            **{name: np.array([float(plant[name])]) for name in ("kwp", "tilt_deg", "azimuth_deg")}
        )
        weather = self.weather
        site = weather.site
        seen = pv.view(
            one,
            self.span.middles,
            latitude=site.latitude,
            longitude=site.longitude,
            altitude_m=site.altitude_m,
        )
        fields = ("ghi", "dni", "dhi", "t_air_c", "wind_speed_m_s")
        sky = pv.Sky(**{name: getattr(weather, name)[None, :] for name in fields})
        return np.asarray(pv.available_kw(one, seen, sky)[0, reported(self.setup)])

    def _one_wind(self, plant: Mapping[str, Any]) -> Floats:
        if "series" in plant:
            return self._measured(plant, "rated_kw")
        curve = self.curve(plant["turbine"], plant["hub_height_m"])
        turbines = wind.Turbines(
            curves=((curve.wind_speed_m_s, curve.power_kw),),
            rated_kw=np.array([curve.rated_kw * plant["count"]]),
            hub_height_m=np.array([float(plant["hub_height_m"])]),
            count=np.array([float(plant["count"])]),
        )
        speed = self.weather.wind_speed_m_s[None, :]
        offered = wind.available_kw(turbines, speed, self.weather.wind_height_m)
        return np.asarray(offered[0, reported(self.setup)])

    def _measured(self, plant: Mapping[str, Any], nameplate: str) -> Floats:
        power = plant_power(
            plant["series"],
            self.span,
            buses=[plant["bus"]],
            kwp=np.array([float(plant[nameplate])]),
            base_dir=Path(self.setup.base_dir),
            nameplate=nameplate,
        )
        return np.asarray(power[0, reported(self.setup)])
