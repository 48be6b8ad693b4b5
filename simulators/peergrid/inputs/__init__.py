"""Where real-world time series come from: weather, loads, prices, tours, turbines, errors.

All share one clock: UTC, each value labelled with the start of its step. :class:`Span` says which
steps a run needs; every loader takes a span and returns arrays with time as the last axis.
"""

from peergrid.inputs.forecast import ForecastModel, ForecastSettings
from peergrid.inputs.loads import BusLoads, bus_loads
from peergrid.inputs.prices import Prices, Tariff, load_prices
from peergrid.inputs.series import read_series
from peergrid.inputs.span import Span, parse_start, resample
from peergrid.inputs.tours import TourSettings, read_tours, sample_tours
from peergrid.inputs.trip_hours import TourHours, tours_to_hours
from peergrid.inputs.turbines import PowerCurve, load_turbine, turbine_names
from peergrid.inputs.weather import Site, Weather, load_weather

__all__ = [
    "BusLoads",
    "ForecastModel",
    "ForecastSettings",
    "PowerCurve",
    "Prices",
    "Site",
    "Span",
    "Tariff",
    "TourHours",
    "TourSettings",
    "Weather",
    "bus_loads",
    "load_prices",
    "load_turbine",
    "load_weather",
    "parse_start",
    "read_series",
    "read_tours",
    "resample",
    "sample_tours",
    "tours_to_hours",
    "turbine_names",
]
