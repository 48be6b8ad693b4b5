import warnings
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.inputs.load_shapes import bdew_h25, german_holidays, simbench, simbench_columns
from peergrid.inputs.loads import LoadProfiles, LoadRule, bus_loads
from peergrid.inputs.span import Span, local_year, parse_start

FIRST, HOURS = local_year(2016, "Europe/Berlin")
YEAR = Span(start=FIRST, hours=HOURS)
DAY = Span(start=parse_start("2016-06-30"), hours=24, horizon_h=24)
P = np.array([0.0, 60.0, 100.0, 420.0, 2.0])
Q = np.array([0.0, 35.0, 60.0, 200.0, 0.0])


def test_rule_of_composition():
    loads = LoadProfiles.simbench().for_buses(P, Q, seed=1)
    assert loads.p_kw.shape == (5, 8784)
    assert not loads.p_kw[0].any()
    assert not loads.q_kvar[0].any()
    np.testing.assert_allclose(np.quantile(loads.p_kw, 0.999, axis=1), P)
    np.testing.assert_allclose(loads.q_kvar[1:], loads.p_kw[1:] * (Q / np.maximum(P, 1))[1:, None])
    assert loads.n_homes.tolist() == [0, 24, 40, 168, 1]
    assert (loads.p_kw >= 0.0).all()
    factor = loads.mean_kw[1:4] / P[1:4]
    assert ((factor > 0.25) & (factor < 0.65)).all()


def test_buses_differ_and_prefixes_do_not():
    loads = LoadProfiles.simbench()
    four = loads.for_buses(P[:4], Q[:4], seed=1)
    five = loads.for_buses(P, Q, seed=1)
    np.testing.assert_array_equal(four.p_kw, five.p_kw[:4])
    alone = loads.for_buses(P[3:4], Q[3:4], seed=1, bus_ids=[3])
    np.testing.assert_array_equal(alone.p_kw[0], five.p_kw[3])
    other = loads.for_buses(P, Q, seed=2)
    assert np.abs(other.p_kw[2] - five.p_kw[2]).max() > 1.0
    same = loads.for_buses(np.full(32, 100.0), np.full(32, 50.0), seed=1)
    correlation = np.corrcoef(same.p_kw)
    assert correlation[~np.eye(32, dtype=bool)].max() < 0.99


def test_business_share_averages_to_the_setting():
    profiles = LoadProfiles.simbench()
    shares = [profiles._business(np.random.default_rng(k))[0] for k in range(2000)]
    assert np.mean(shares) == pytest.approx(0.2, abs=0.01)
    none = LoadProfiles.simbench(LoadRule(business_share=0.0)).for_buses(P, Q, seed=1)
    np.testing.assert_allclose(np.quantile(none.p_kw, 0.999, axis=1), P)


def test_evening_peak_is_on_the_local_clock():
    """Households peak in the evening of the wall clock on both sides of both clock changes."""
    shapes = simbench()
    assert shapes.homes_p.shape == (35, 8784)
    hours = YEAR.index.tz_convert("Europe/Berlin")
    mean = pd.Series(shapes.homes_p.mean(axis=0))
    for month in (1, 7):
        profile = mean[hours.month == month].groupby(hours.hour[hours.month == month]).mean()
        assert profile.idxmin() in {3, 4, 5}
        assert profile.loc[17:22].mean() > 1.5 * profile.loc[1:6].mean()
    # a row shifted by one week is the unshifted row of a week before, at the same local hour
    plain, shifted = shapes.homes_p[15], shapes.homes_p[20]
    before = (hours.tz_localize(None) - pd.Timedelta(days=7)).tz_localize(
        "Europe/Berlin", ambiguous=np.ones(HOURS, dtype=bool), nonexistent="shift_forward"
    )
    rows = (before.tz_convert("UTC") - pd.Timestamp(FIRST)) // pd.Timedelta(hours=1)
    inside = np.asarray(rows >= 0)
    agree = plain[np.asarray(rows)[inside]] == shifted[inside]
    assert agree.mean() > 0.999


def test_week_shift_keeps_energy():
    shapes = simbench()
    energy = shapes.homes_p.reshape(7, 5, -1).sum(axis=2)
    np.testing.assert_allclose(energy / energy[3], 1.0, atol=2e-3)


def test_simbench_reactive_rule():
    rule = LoadRule(q_rule="simbench")
    loads = bus_loads("simbench", P[1:4], Q[1:4], DAY, seed=1, rule=rule)
    ratio = loads.q_kvar.mean(axis=1) / loads.p_kw.mean(axis=1) / (Q / np.maximum(P, 1))[1:4]
    assert ((ratio > 0.05) & (ratio < 1.2)).all()


def test_spans_cut_the_year():
    year = bus_loads("simbench", P, Q, YEAR, seed=4)
    day = bus_loads("simbench", P, Q, DAY, seed=4)
    start = int(np.flatnonzero(YEAR.index == DAY.index[0])[0])
    np.testing.assert_array_equal(day.p_kw, year.p_kw[:, start : start + 48])
    np.testing.assert_array_equal(day.mean_kw, year.mean_kw)
    quarter = Span(start=DAY.start, hours=24, step_s=900)
    fine = bus_loads("simbench", P, Q, quarter, seed=4)
    np.testing.assert_allclose(fine.p_kw.reshape(5, 24, 4).mean(axis=2), day.p_kw[:, :24])
    with pytest.raises(DataError, match="2015-12-31T23:00Z"):
        bus_loads("simbench", P, Q, Span(start=parse_start("2017-01-01"), hours=3))


def test_columns_of_the_extract():
    columns = simbench_columns()
    assert len(columns) == 62
    for name, values in columns.items():
        assert values.shape == (8784,)
        if name.endswith("_pload"):
            assert values.min() >= 0.0
            assert values.max() <= 1.0


def test_bdew_any_year_and_no_side_effects():
    for day in ("2016-06-30", "2022-01-14"):
        span = Span(start=parse_start(day), hours=24)
        loads = bus_loads("bdew", P, Q, span)
        assert loads.p_kw.shape == (5, 24)
        np.testing.assert_allclose(loads.q_kvar[1], loads.p_kw[1] * 35.0 / 60.0)
    _, shape = bdew_h25(2016, "Europe/Berlin")
    assert shape.shape == (8784,)
    # the last hour is as whole as the one a day before (an hourly index would spoil it)
    assert shape[-1] == pytest.approx(shape[-25], rel=0.2)
    assert german_holidays(2016)["Whit Monday"].isoformat() == "2016-05-16"
    with pytest.warns(UserWarning, match="still only a warning"):
        warnings.warn("still only a warning", UserWarning, stacklevel=1)


def test_csv_per_bus(tmp_path):
    local = datetime(2016, 6, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    times = pd.date_range(local, periods=48, freq="h").tz_convert("UTC")
    rows = [f"{t:%Y-%m-%dT%H:%M}Z,{k},{2 * k},1" for k, t in enumerate(times)]
    header = "time,bus_1 [kW],bus_2 [kW],bus_2 [kvar]"
    (tmp_path / "l.csv").write_text("\n".join([header, *rows]))
    loads = bus_loads("l.csv", P, Q, DAY, base_dir=tmp_path)
    np.testing.assert_array_equal(loads.p_kw[2], 2.0 * np.arange(48))
    np.testing.assert_allclose(loads.q_kvar[1], np.arange(48) * 35.0 / 60.0)
    np.testing.assert_array_equal(loads.q_kvar[2], np.ones(48))
    assert not loads.p_kw[3].any()
    for wrong, message in (("bus_9 [kW]", "bus_0 to bus_4"), ("bus_1 [MW]", r"\[kW\]")):
        (tmp_path / "l.csv").write_text("\n".join([header.replace("bus_1 [kW]", wrong), *rows]))
        with pytest.raises(DataError, match=message):
            bus_loads("l.csv", P, Q, DAY, base_dir=tmp_path)


@pytest.mark.parametrize(
    ("p", "q", "ids", "match"),
    [
        ([1.0, -2.0], [0.0, 0.0], None, "p_nom_kw of bus 1"),
        ([1.0, np.nan], [0.0, 0.0], [4, 7], "p_nom_kw of bus 7"),
        ([1.0, 2.0], [0.0, np.inf], None, "q_nom_kvar of bus 1"),
        ([1.0, 2.0], [0.0], None, "buses"),
        ([1.0, 2.0], [0.0, 0.0], [1], "buses"),
        ([], [], None, "buses"),
    ],
)
def test_bad_buses(p, q, ids, match):
    with pytest.raises(DataError, match=match):
        bus_loads("simbench", np.array(p), np.array(q), DAY, bus_ids=ids)


def test_bad_source_and_rule():
    with pytest.raises(DataError, match="simbench, bdew"):
        bus_loads("magic", P, Q, DAY)
    for change in ({"home_kw": 0.0}, {"business_share": 1.0}, {"q_rule": "x"}):
        with pytest.raises(DataError):
            LoadRule(**change)
