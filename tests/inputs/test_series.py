import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.inputs.series import read_series
from peergrid.inputs.span import Span, parse_start

SPAN = Span(start=parse_start("2016-06-30"), hours=24)
UNITS = {"price": "EUR/MWh"}


def write(path, *, start="2016-06-29T22:00Z", n=24, freq="h", header="price [EUR/MWh]", tz="Z"):
    times = pd.date_range(start, periods=n, freq=freq)
    rows = [f"{t:%Y-%m-%dT%H:%M}{tz},{k}" for k, t in enumerate(times)]
    path.write_text("\n".join([f"time,{header}", *rows]) + "\n")
    return path


def test_hourly_finer_and_coarser(tmp_path):
    hourly = read_series(write(tmp_path / "h.csv"), units=UNITS, span=SPAN)["price"]
    np.testing.assert_array_equal(hourly, np.arange(24.0))
    fine = write(tmp_path / "q.csv", n=96, freq="15min")
    np.testing.assert_allclose(
        read_series(fine, units=UNITS, span=SPAN)["price"], 1.5 + 4 * np.arange(24)
    )
    coarse = write(tmp_path / "c.csv", n=8, freq="3h")
    held = read_series(coarse, units=UNITS, span=SPAN)["price"]
    np.testing.assert_array_equal(held, np.repeat(np.arange(8.0), 3))
    quarter = Span(start=SPAN.start, hours=24, step_s=900)
    held = read_series(tmp_path / "h.csv", units=UNITS, span=quarter)["price"]
    np.testing.assert_array_equal(held, np.repeat(np.arange(24.0), 4))


def test_local_stamps_need_a_zone(tmp_path):
    path = write(tmp_path / "naive.csv", start="2016-06-30", tz="")
    with pytest.raises(DataError, match="offset"):
        read_series(path, units=UNITS, span=SPAN)
    values = read_series(path, units=UNITS, span=SPAN, tz="Europe/Berlin")["price"]
    np.testing.assert_array_equal(values, np.arange(24.0))
    with pytest.raises(DataError, match="Europe/Nowhere"):
        read_series(path, units=UNITS, span=SPAN, tz="Europe/Nowhere")


def test_local_stamps_over_a_clock_change(tmp_path):
    """A file of local wall-clock stamps with the repeated hour reads as 25 regular hours."""
    local = pd.date_range("2016-10-30", periods=25, freq="h", tz="Europe/Berlin")
    rows = [f"{t:%Y-%m-%dT%H:%M},{k}" for k, t in enumerate(local)]
    path = tmp_path / "autumn.csv"
    path.write_text("\n".join(["time,price [EUR/MWh]", *rows]))
    span = Span(start=parse_start("2016-10-30"), hours=25)
    values = read_series(path, units=UNITS, span=span, tz="Europe/Berlin")["price"]
    np.testing.assert_array_equal(values, np.arange(25.0))
    spring = write(tmp_path / "spring.csv", start="2016-03-27", tz="")
    with pytest.raises(DataError, match="clocks go forward"):
        read_series(spring, units=UNITS, span=SPAN, tz="Europe/Berlin")


def test_whole_year_wraps_for_the_horizon_only(tmp_path):
    path = write(tmp_path / "year.csv", start="2015-12-31T23:00", n=8784)
    last = Span(start=parse_start("2016-12-31"), hours=24, horizon_h=24)
    values = read_series(path, units=UNITS, span=last)["price"]
    np.testing.assert_array_equal(values[24:], np.arange(24.0))
    short = write(tmp_path / "day.csv")
    with pytest.raises(DataError, match="24 h of horizon"):
        read_series(short, units=UNITS, span=Span(start=SPAN.start, hours=24, horizon_h=24))


GOOD = [
    "time,price [EUR/MWh]",
    *(f"2016-06-{29 + (22 + k) // 24}T{(22 + k) % 24:02}:00Z,{k}" for k in range(24)),
]


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (0, "time,price [ct/kWh]", r"the unit \[EUR/MWh\]"),
        (0, "time,price", "name \\[unit\\]"),
        (0, "time,cost [EUR/MWh]", r"a column 'price \[EUR/MWh\]'"),
        (3, "2016-06-30T00:00Z,", "price at 2016-06-30T00:00Z .line 4."),
        (3, "2016-06-30T00:00Z,nan", "finite"),
        (3, "2016-06-30T00:00Z,abc", "abc"),
        (3, "2016-06-30T00:00Z,inf", "finite"),
        (3, "2016-06-30T00:00,2", "an offset in every row"),
        (3, "2016-06-30T00:30Z,2", "line 4"),
        (3, "2016-06-29T23:00Z,2", "line 4"),
        (3, "noon Z,2", "ISO 8601"),
        (2, "2016-06-29T22:00Z,2", "must rise"),
    ],
)
def test_bad_files(tmp_path, line, text, message):
    lines = list(GOOD)
    lines[line] = text
    path = tmp_path / "bad.csv"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=message) as caught:
        read_series(path, units=UNITS, span=SPAN)
    assert "bad.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_a_csv(tmp_path):
    binary = tmp_path / "x.csv"
    binary.write_bytes(bytes(range(256)) * 20)
    empty = tmp_path / "e.csv"
    empty.write_text("")
    ragged = tmp_path / "r.csv"
    ragged.write_text("time,a [kW]\n1,2,3,4\n5,6\n7,8,9,10,11,12\n")
    for path in (binary, empty, ragged, tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(DataError):
            read_series(path, units=UNITS, span=SPAN)


def test_too_short_names_what_is_covered(tmp_path):
    path = write(tmp_path / "h.csv", n=20)
    with pytest.raises(DataError, match="2016-06-29T22:00Z to 2016-06-30T18:00Z"):
        read_series(path, units=UNITS, span=SPAN)
    late = Span(start=parse_start("2016-07-30"), hours=1)
    with pytest.raises(DataError, match="2016-07-29T22:00Z"):
        read_series(path, units=UNITS, span=late)
    odd = write(tmp_path / "odd.csv", start="2016-06-29T21:40Z", n=40, freq="25min")
    with pytest.raises(DataError, match="step"):
        read_series(odd, units=UNITS, span=SPAN)
