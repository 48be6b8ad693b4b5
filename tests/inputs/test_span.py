from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.inputs.span import Span, local_year, parse_start, positions, resample


def test_local_midnight_and_clock_changes():
    assert parse_start("2016-01-14") == datetime(2016, 1, 13, 23, tzinfo=UTC)
    assert parse_start("2016-06-30T12:00+02:00") == datetime(2016, 6, 30, 10, tzinfo=UTC)
    assert parse_start("2016-06-30", tz="America/New_York").hour == 4
    first, hours = local_year(2016, "Europe/Berlin")
    assert (first.isoformat(), hours) == ("2015-12-31T23:00:00+00:00", 8784)
    with pytest.raises(DataError, match="exists in Europe/Berlin"):
        parse_start("2016-03-27T02:30")
    for bad in ("tomorrow", "2016-13-01", ""):
        with pytest.raises(DataError, match="start"):
            parse_start(bad)
    with pytest.raises(DataError, match="tz"):
        parse_start("2016-01-01", tz="Europe/Nowhere")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("hours", {"hours": 0}),
        ("horizon_h", {"horizon_h": -1}),
        ("step_s", {"step_s": 1000}),
        ("step_s", {"step_s": 0}),
        ("hours", {"hours": 25, "step_s": 7200}),
        ("start", {"start": datetime(2016, 1, 1)}),
        ("start", {"start": datetime(2016, 1, 1, 0, 30, tzinfo=UTC)}),
        ("tz", {"tz": "Mars"}),
    ],
)
def test_span_refuses(field, change):
    good = {"start": datetime(2016, 1, 1, tzinfo=UTC), "hours": 24}
    with pytest.raises(DataError, match=field):
        Span(**{**good, **change})


def test_steps_and_index():
    span = Span(start=parse_start("2016-06-30"), hours=24, step_s=900, horizon_h=2)
    assert (span.n_steps, span.n_total, span.hours_total) == (96, 104, 26)
    assert len(span.index) == 104
    assert span.epoch_s == span.index[0].timestamp()


def test_run_must_be_covered_and_the_horizon_wraps():
    first, hours = local_year(2016, "Europe/Berlin")
    last_day = Span(start=parse_start("2016-12-31"), hours=24, horizon_h=24)
    rows = positions(last_day, first, hours, "loads")
    assert rows[:24].tolist() == list(range(8760, 8784))
    assert rows[24:].tolist() == list(range(24))
    for day in ("2015-12-31", "2017-01-01"):
        with pytest.raises(DataError, match="2015-12-31T23:00Z to 2016-12-31T23:00Z"):
            positions(Span(start=parse_start(day), hours=24), first, hours, "loads")
    with pytest.raises(DataError, match="27 h"):
        positions(Span(start=parse_start("2016-12-31"), hours=27), first, hours, "loads")


def test_warm_up_and_settling_may_reach_past_the_year():
    first, hours = local_year(2016, "Europe/Berlin")
    whole = Span(start=first - timedelta(hours=1), hours=hours + 2)
    rows = positions(whole, first, hours, "loads")
    assert (rows[0], rows[1], rows[-2], rows[-1]) == (hours - 1, 0, hours - 1, 0)


def test_resample_keeps_means():
    rng = np.random.default_rng(1)
    hourly = rng.random((3, 24))
    start = parse_start("2016-06-30")
    quarter = resample(hourly, Span(start=start, hours=24, step_s=900))
    assert quarter.shape == (3, 96)
    np.testing.assert_allclose(quarter.reshape(3, 24, 4).mean(axis=2), hourly)
    double = resample(hourly, Span(start=start, hours=24, step_s=7200))
    np.testing.assert_allclose(double, hourly.reshape(3, 12, 2).mean(axis=2))
    ramp = resample(np.arange(24.0), Span(start=start, hours=24, step_s=900), method="linear")
    np.testing.assert_allclose(np.diff(ramp[2:-2]), 0.25)
    with pytest.raises(DataError, match="24 hourly"):
        resample(hourly[:, :5], Span(start=start, hours=24))
