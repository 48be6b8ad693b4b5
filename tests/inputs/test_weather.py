import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.inputs.span import Span, local_year, parse_start
from peergrid.inputs.weather import Site, load_weather, sun_position

FIRST, HOURS = local_year(2016, "Europe/Berlin")
YEAR = Span(start=FIRST, hours=HOURS)


@pytest.mark.parametrize(
    ("spec", "low", "high", "wind"),
    [
        ("try2010:4", 1030, 1120, (3.5, 4.5)),
        ("try2010:1", 900, 1020, (4.3, 5.3)),
        ("tmy3:greensboro", 1500, 1650, (2.5, 3.6)),
    ],
)
def test_annual_sums_and_alignment(spec, low, high, wind):
    weather = load_weather(spec, YEAR)
    assert low < weather.ghi.sum() / 1000.0 < high
    assert wind[0] < weather.wind_speed_m_s.mean() < wind[1]
    sun = sun_position(YEAR.index + pd.Timedelta(minutes=30), weather.site)
    beam = weather.dni * np.maximum(np.cos(np.radians(sun["zenith"].to_numpy())), 0.0)
    high_sun = sun["zenith"].to_numpy() < 80.0
    # closure holds where the sun is up, so stamps and sun belong together
    error = np.abs(weather.ghi - weather.dhi - beam)[high_sun]
    assert error.mean() < 12.0
    night = sun["zenith"].to_numpy() > 100.0
    assert weather.ghi[night].max() < 10.0
    top = np.argsort(weather.ghi)[-300:]
    # an hour of error would move the highest irradiance by about 25 degrees
    assert abs(np.median(sun["azimuth"].to_numpy()[top]) - 180.0) < 20.0


def test_one_hour_off_would_be_seen():
    """Irradiance sums to the same before and after solar noon; an hour shifts 10 % of it."""
    weather = load_weather("try2010:4", YEAR)
    azimuth = sun_position(YEAR.index + pd.Timedelta(minutes=30), weather.site)["azimuth"]
    morning = weather.ghi[azimuth.to_numpy() < 180.0].sum()
    assert abs(morning / weather.ghi.sum() - 0.5) < 0.03


def test_leap_day_repeats_the_28th_and_the_year_wraps():
    day = Span(start=parse_start("2016-02-27T23:00Z"), hours=48)
    weather = load_weather("try2010:4", day)
    np.testing.assert_array_equal(weather.t_air_c[:24], weather.t_air_c[24:])
    np.testing.assert_array_equal(weather.ghi[:24], weather.ghi[24:])
    end = load_weather("try2010:4", Span(start=parse_start("2016-12-31"), hours=24, horizon_h=24))
    start = load_weather("try2010:4", Span(start=parse_start("2016-01-01"), hours=24))
    np.testing.assert_array_equal(end.t_air_c[24:], start.t_air_c)


def test_quarter_hours_keep_energy_and_follow_the_sun():
    hour = Span(start=parse_start("2016-06-30"), hours=24)
    quarter = Span(start=hour.start, hours=24, step_s=900)
    coarse, fine = load_weather("try2010:4", hour), load_weather("try2010:4", quarter)
    np.testing.assert_allclose(fine.ghi.reshape(24, 4).mean(axis=1), coarse.ghi, atol=1e-9)
    np.testing.assert_allclose(fine.dhi.reshape(24, 4).mean(axis=1), coarse.dhi, atol=1e-9)
    morning = int(np.argmax(coarse.ghi > 50.0))
    assert (np.diff(fine.ghi[4 * morning : 4 * morning + 4]) > 0.0).all()
    double = load_weather("try2010:4", Span(start=hour.start, hours=24, step_s=7200))
    np.testing.assert_allclose(double.ghi, coarse.ghi.reshape(12, 2).mean(axis=1))


def truth():
    """A synthetic sunny year in standard time UTC+1 at 50 N, hour starts."""
    starts = pd.date_range("2015-01-01", periods=8760, freq="h")
    site = Site(latitude=50.0, longitude=15.0, altitude_m=200.0, utc_offset_h=1.0)
    middle = (starts - pd.Timedelta(minutes=30)).tz_localize("UTC")
    cos = np.maximum(np.cos(np.radians(sun_position(middle, site)["zenith"].to_numpy())), 0.0)
    dni = np.where(cos > 0.05, 600.0, 0.0)
    dhi = 100.0 * cos
    return pd.DataFrame(
        {"start": starts, "ghi": dni * cos + dhi, "dni": dni, "dhi": dhi, "t": 10 + 5 * cos}
    )


def write_epw(path, year):
    head = "LOCATION,Test,-,DEU,synthetic,1,50.0,15.0,1.0,200.0"
    lines = [head, *(["-"] * 7)]
    for start, ghi, dni, dhi, t in year.itertuples(index=False):
        date = f"1999,{start.month},{start.day},{start.hour + 1},0,?"
        irradiance = f"{ghi:.2f},{dni:.2f},{dhi:.2f}"
        lines.append(f"{date},{t:.2f},0,50,101325,0,0,0,{irradiance},0,0,0,0,180,3.5" + ",0" * 13)
    path.write_text("\n".join(lines) + "\n")


def write_pvgis(path, year):
    head = ["Latitude (decimal degrees): 50.000", "Longitude (decimal degrees): 15.000"]
    head += ["Elevation (m): 200.0", "month,year"]
    head += [f"{month},2010" for month in range(1, 13)]
    lines = [*head, "time(UTC),T2m,RH,G(h),Gb(n),Gd(h),IR(h),WS10m,WD10m,SP"]
    utc = year["start"] - pd.Timedelta(hours=1)
    for start, row in zip(utc, year.itertuples(index=False), strict=True):
        stamp = f"{start.replace(year=2010):%Y%m%d:%H%M}"
        values = f"{row.t:.2f},50.0,{row.ghi:.2f},{row.dni:.2f},{row.dhi:.2f}"
        lines.append(f"{stamp},{values},300.0,3.5,180,101325")
    path.write_text("\r\n".join([*sorted_body(lines), "", "T2m: air temperature"]) + "\r\n")


def sorted_body(lines):
    return lines[:17] + sorted(lines[17:])


def test_files_of_users(tmp_path):
    year = truth()
    write_epw(tmp_path / "a.epw", year)
    write_pvgis(tmp_path / "b.csv", year)
    span = Span(start=parse_start("2016-06-30T00:00+01:00"), hours=24)
    rows = year[year["start"].dt.strftime("%m-%d") == "06-30"]
    for spec in ("epw:a.epw", "pvgis:b.csv"):
        weather = load_weather(spec, span, base_dir=tmp_path)
        np.testing.assert_allclose(weather.ghi, rows["ghi"], atol=0.01)
        np.testing.assert_allclose(weather.dni, rows["dni"], atol=0.01)
        np.testing.assert_allclose(weather.t_air_c, rows["t"], atol=0.01)
        assert (weather.latitude, weather.longitude, weather.altitude_m) == (50.0, 15.0, 200.0)
        assert weather.wind_speed_m_s[0] == 3.5


def test_own_csv(tmp_path):
    header = "time,ghi [W/m2],dni [W/m2],dhi [W/m2],t_air [C],wind_speed [m/s]"
    times = pd.date_range("2016-06-29T22:00", periods=24, freq="h")
    lines = [f"{t:%Y-%m-%dT%H:%M}Z,{10 * k},1,2,20,3" for k, t in enumerate(times)]
    (tmp_path / "w.csv").write_text("\n".join([header, *lines]))
    span = Span(start=parse_start("2016-06-30"), hours=24)
    site = Site(latitude=52.0, longitude=13.0)
    weather = load_weather("w.csv", span, base_dir=tmp_path, site=site)
    assert weather.ghi.tolist() == [10.0 * k for k in range(24)]
    with pytest.raises(DataError, match="site"):
        load_weather("w.csv", span, base_dir=tmp_path)
    lines[3] = lines[3].replace(",30,", ",-30,")
    (tmp_path / "w.csv").write_text("\n".join([header, *lines]))
    with pytest.raises(DataError, match="ghi in step 3"):
        load_weather("w.csv", span, base_dir=tmp_path, site=site)


@pytest.mark.parametrize(
    "spec", ["try2010:16", "try2010:x", "tmy3:none.csv", "epw:none.epw", "sunny", "epw:", "a:b.csv"]
)
def test_bad_specs(spec, tmp_path):
    with pytest.raises(DataError):
        load_weather(spec, YEAR, base_dir=tmp_path)


@pytest.mark.parametrize("kind", ["tmy3", "epw", "pvgis"])
def test_foreign_content_is_one_line(kind, tmp_path):
    (tmp_path / "x.csv").write_text("hello,world\n1,2\n3,4\n")
    with pytest.raises(DataError, match="content"):
        load_weather(f"{kind}:x.csv", YEAR, base_dir=tmp_path)
