import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.inputs.span import Span, local_year, parse_start
from peergrid.inputs.tours import TourSettings, checked_tours, read_tours, sample_tours, statistics
from peergrid.inputs.trip_hours import tours_to_hours

DAYS = pd.date_range("2016-01-01", "2016-12-31")
DAY = Span(start=parse_start("2016-06-30"), hours=48)


def tour(ev, date, depart_h, return_h, energy_kwh=5.0):
    return {
        "ev": ev,
        "date": date,
        "depart_h": depart_h,
        "return_h": return_h,
        "km": 25.0,
        "energy_kwh": energy_kwh,
    }


def test_statistics_are_probabilities():
    stats = statistics()
    np.testing.assert_allclose(stats.stay_home, [0.3541, 0.5068], atol=1e-3)
    for cdf in (stats.trips_cdf, stats.trip_cdf[None], stats.out_cdf, stats.home_cdf):
        assert (np.diff(cdf, axis=-1) >= 0.0).all()
        np.testing.assert_allclose(cdf[..., -1], 1.0)


def test_sample_follows_the_statistics():
    tours = sample_tours(60, DAYS, seed=3)
    checked_tours(tours, n_ev=60)
    weekday = pd.DatetimeIndex(DAYS).dayofweek < 5
    dates = pd.to_datetime(tours["date"])
    on_weekday = (dates.dt.dayofweek < 5).sum() / (60 * weekday.sum())
    at_weekend = (dates.dt.dayofweek >= 5).sum() / (60 * (~weekday).sum())
    assert on_weekday == pytest.approx(1.0 - 0.3541, abs=0.02)
    assert at_weekend == pytest.approx(1.0 - 0.5068, abs=0.02)
    np.testing.assert_allclose(tours["energy_kwh"], tours["km"] * 0.18, atol=1e-3)
    assert tours["km"].max() <= 150.0
    assert 20.0 < tours["km"].sum() / (60 * 366) < 35.0
    assert tours["return_h"].max() <= 24.0
    assert tours["depart_h"].median() < 12.5 < tours["return_h"].median()
    assert not tours.duplicated(["ev", "date"]).any()


def test_workers_leave_earlier_and_stay_longer():
    free = sample_tours(30, DAYS, seed=3, settings=TourSettings(worker_share=0.0))
    work = sample_tours(30, DAYS, seed=3, settings=TourSettings(worker_share=1.0))
    weekdays = [t[pd.to_datetime(t["date"]).dt.dayofweek < 5] for t in (free, work)]
    away = [(t["return_h"] - t["depart_h"]).median() for t in weekdays]
    assert weekdays[1]["depart_h"].median() < weekdays[0]["depart_h"].median()
    assert away[1] > away[0] + 1.0


def test_prefix_stable_in_vehicles_and_days():
    many = sample_tours(6, DAYS, seed=5)
    few = sample_tours(2, DAYS, seed=5)
    pd.testing.assert_frame_equal(many[many["ev"] < 2].reset_index(drop=True), few)
    june = sample_tours(2, pd.date_range("2016-06-01", "2016-06-30"), seed=5)
    inside = few[few["date"].astype(str).str.startswith("2016-06")].reset_index(drop=True)
    pd.testing.assert_frame_equal(inside, june)
    assert not few.equals(sample_tours(2, DAYS, seed=6))
    assert sample_tours(0, DAYS, seed=1).empty


def test_hours_of_one_tour():
    tours = checked_tours(pd.DataFrame([tour(1, "2016-06-30", 7.5, 17.25)]))
    hours = tours_to_hours(tours, DAY, 2)
    assert hours.plugged[0].all()
    away = np.flatnonzero(~hours.plugged[1])
    assert away.tolist() == list(range(7, 18))
    assert np.flatnonzero(hours.departs[1]).tolist() == [7]
    assert np.flatnonzero(hours.departure_kwh[1]).tolist() == [7]
    assert np.flatnonzero(hours.demand_kwh[1]).tolist() == [17]
    assert hours.demand_kwh.sum() == 5.0


@pytest.mark.parametrize(
    ("depart", "back", "away"),
    [
        (7.0, 9.0, [7, 8]),
        (7.2, 7.8, [7]),
        (6.9, 9.0, [6, 7, 8]),
        (22.0, 26.5, [22, 23, 24, 25, 26]),
    ],
)
def test_edges_of_steps(depart, back, away):
    tours = checked_tours(pd.DataFrame([tour(0, "2016-06-30", depart, back)]))
    hours = tours_to_hours(tours, DAY, 1)
    assert np.flatnonzero(~hours.plugged[0]).tolist() == away
    assert np.flatnonzero(hours.demand_kwh[0]).tolist() == [away[-1]]


def test_tours_across_the_edges_of_the_span():
    rows = [tour(0, "2016-06-29", 22.0, 25.5, 3.0), tour(0, "2016-07-01", 22.0, 26.0, 4.0)]
    hours = tours_to_hours(checked_tours(pd.DataFrame(rows)), DAY, 1)
    assert np.flatnonzero(~hours.plugged[0]).tolist() == [0, 1, 46, 47]
    assert hours.demand_kwh[0, 1] == 3.0
    assert hours.demand_kwh.sum() == 3.0
    assert np.flatnonzero(hours.departs[0]).tolist() == [46]


def test_energy_is_kept_over_a_year_and_at_any_step():
    first, length = local_year(2016, "Europe/Berlin")
    tours = sample_tours(21, DAYS, seed=3)
    for step_s in (900, 3600, 7200):
        span = Span(start=first, hours=length, step_s=step_s)
        hours = tours_to_hours(tours, span, 21)
        assert hours.demand_kwh.sum() == pytest.approx(tours["energy_kwh"].sum())
        assert hours.departure_kwh.sum() == pytest.approx(tours["energy_kwh"].sum())
        assert not (hours.plugged & hours.departs).any()
        assert not (hours.plugged & (hours.demand_kwh > 0.0)).any()


def test_clock_change_keeps_wall_time():
    span = Span(start=parse_start("2016-03-27"), hours=23)
    hours = tours_to_hours(checked_tours(pd.DataFrame([tour(0, "2016-03-27", 8.0, 9.0)])), span, 1)
    assert np.flatnonzero(~hours.plugged[0]).tolist() == [7]


def test_reading_back(tmp_path):
    tours = sample_tours(3, DAYS[:40], seed=1)
    tours.to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(read_tours(tmp_path / "t.csv", n_ev=3), tours)


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("return_h", 7.0, "after depart_h"),
        ("return_h", 80.0, "72"),
        ("depart_h", 24.5, "below 24"),
        ("energy_kwh", -1.0, "0 kWh"),
        ("km", -1.0, "0 km"),
        ("km", np.nan, "finite"),
        ("ev", 9, "0 to 4"),
        ("ev", 0.5, "whole number"),
        ("date", "someday", "local date"),
    ],
)
def test_bad_rows(tmp_path, field, value, match):
    rows = [tour(0, "2016-06-30", 8.0, 17.0), {**tour(1, "2016-06-30", 8.0, 17.0), field: value}]
    pd.DataFrame(rows).to_csv(tmp_path / "bad.csv", index=False)
    with pytest.raises(DataError, match=match) as caught:
        read_tours(tmp_path / "bad.csv", n_ev=5)
    assert "line 3" in str(caught.value)


def test_overlaps_and_missing_columns(tmp_path):
    rows = [tour(0, "2016-06-30", 8.0, 30.0), tour(0, "2016-07-01", 5.0, 9.0)]
    with pytest.raises(DataError, match="last return"):
        checked_tours(pd.DataFrame(rows))
    checked_tours(pd.DataFrame([rows[0], {**rows[1], "ev": 1}]))
    with pytest.raises(DataError, match="columns"):
        checked_tours(pd.DataFrame([{"ev": 0}]))
    with pytest.raises(DataError, match="exists"):
        read_tours(tmp_path / "none.csv")
    with pytest.raises(DataError, match="worker_share"):
        TourSettings(worker_share=1.5)
