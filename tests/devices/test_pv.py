"""PV plants: published yields, night, limits, persistence of clearness."""

import numpy as np
import pandas as pd
import pytest

from peergrid.devices import pv
from peergrid.inputs import Span, load_weather, parse_start
from peergrid.inputs.span import HOUR_S
from peergrid.inputs.weather import Weather


def year(source: str, start: str) -> tuple[Weather, pv.Sky]:
    weather = load_weather(source, Span(start=parse_start(start), hours=8760))
    sky = pv.Sky(
        ghi=weather.ghi[None],
        dni=weather.dni[None],
        dhi=weather.dhi[None],
        t_air_c=weather.t_air_c[None],
        wind_speed_m_s=weather.wind_speed_m_s[None],
    )
    return weather, sky


def view(plants: pv.Plants, weather: Weather) -> pv.View:
    return pv.view(
        plants,
        weather.span.index + pd.Timedelta(seconds=HOUR_S / 2),
        latitude=weather.latitude,
        longitude=weather.longitude,
        altitude_m=weather.altitude_m,
    )


@pytest.mark.parametrize(
    ("source", "start", "expected_kwh"),
    [
        ("try2010:4", "2015-12-31T23:00Z", 967.0),
        ("tmy3:greensboro", "2015-01-01T05:00Z", 1358.0),
    ],
)
def test_specific_yield(source: str, start: str, expected_kwh: float) -> None:
    plants = pv.Plants(
        kwp=np.array([1.0, 100.0]), tilt_deg=np.full(2, 30.0), azimuth_deg=np.full(2, 180.0)
    )
    weather, sky = year(source, start)
    power = pv.available_kw(plants, view(plants, weather), sky)
    assert power.shape == (2, 8760)
    assert power.sum(axis=1) / plants.kwp == pytest.approx(expected_kwh, rel=0.01)
    assert power.min() == 0.0
    assert (power.max(axis=1) <= plants.kwp).all()
    assert power[0][weather.ghi == 0.0].max() < 0.01


def test_east_is_earlier_than_west() -> None:
    plants = pv.Plants(
        kwp=np.ones(2), tilt_deg=np.full(2, 40.0), azimuth_deg=np.array([90.0, 270.0])
    )
    weather, sky = year("try2010:4", "2015-12-31T23:00Z")
    power = pv.available_kw(plants, view(plants, weather), sky)
    by_hour = power.reshape(2, 365, 24).sum(axis=1)
    centre = (by_hour * np.arange(24)).sum(axis=1) / by_hour.sum(axis=1)
    assert centre[0] < centre[1] - 1.5


def test_window_equals_the_whole_and_unknown_weather_is_unknown_power() -> None:
    plants = pv.Plants(kwp=np.ones(1), tilt_deg=np.full(1, 30.0), azimuth_deg=np.full(1, 180.0))
    weather, sky = year("try2010:4", "2015-12-31T23:00Z")
    seen = view(plants, weather)
    whole = pv.available_kw(plants, seen, sky)[:, 4000:4024]
    part = pv.Sky(**{name: value[:, 4000:4024] for name, value in vars(sky).items()})
    assert (pv.available_kw(plants, seen.window(4000, 24), part) == whole).all()
    gone = pv.Sky(**{**vars(part), "dni": np.full((1, 24), np.nan)})
    assert np.isnan(pv.available_kw(plants, seen.window(4000, 24), gone)).all()


def test_clearness_persists_under_the_moving_sun() -> None:
    plants = pv.Plants(kwp=np.ones(1), tilt_deg=np.full(1, 30.0), azimuth_deg=np.full(1, 180.0))
    weather, sky = year("try2010:4", "2015-12-31T23:00Z")
    seen = view(plants, weather)
    noon = 180 * 24 + 12
    now = pv.Sky(**{name: value[:, noon : noon + 1] for name, value in vars(sky).items()})
    kept = pv.Clearness.usual(1).updated(seen.window(noon, 1), now)
    guess = kept.sky(seen.window(noon, 24))
    assert guess.ghi[0, 0] == pytest.approx(now.ghi[0, 0])
    assert guess.dhi[0, 0] == pytest.approx(now.dhi[0, 0])
    assert guess.ghi[0, 12] == 0.0
    night = pv.Sky(**{name: np.zeros((1, 1)) for name in vars(sky)})
    later = kept.updated(seen.window(noon + 12, 1), night)
    assert later.clearness == kept.clearness
