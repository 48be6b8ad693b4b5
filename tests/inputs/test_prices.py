import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.inputs.prices import Tariff, lay_year, load_prices
from peergrid.inputs.span import Span, local_year, parse_start

FIRST, HOURS = local_year(2016, "Europe/Berlin")
YEAR = Span(start=FIRST, hours=HOURS)


def test_mean_of_2016_and_extremes():
    prices = load_prices("nl-day-ahead", YEAR)
    assert prices.wholesale_eur_per_mwh.mean() == pytest.approx(32.3, abs=0.1)
    first, hours = local_year(2020, "Europe/Berlin")
    assert (
        load_prices("nl-day-ahead", Span(start=first, hours=hours)).wholesale_eur_per_mwh.min() < 0
    )
    assert "inferred" in prices.source


def test_tariff_and_the_events_it_counts():
    tariff = Tariff(
        retail_adder_eur_per_mwh=100.0, feed_in_fee_eur_per_mwh=5.0, feed_in_floor_eur_per_mwh=40.0
    )
    prices = tariff.apply(np.array([50.0, 10.0, -70.0]))
    assert prices.import_eur_per_mwh.tolist() == [150.0, 110.0, 30.0]
    assert prices.feed_in_offered_eur_per_mwh.tolist() == [45.0, 40.0, 40.0]
    assert prices.feed_in_eur_per_mwh.tolist() == [45.0, 40.0, 30.0]
    assert prices.feed_in_capped.tolist() == [False, False, True]
    with pytest.raises(DataError, match="retail_adder"):
        Tariff(retail_adder_eur_per_mwh=float("nan"))


@pytest.mark.parametrize("year", range(2015, 2023))
def test_other_years_on_the_calendar_of_2016(year):
    """Same weekday and local hour, within four days, and hours stay in order."""
    rows = lay_year(YEAR, year)
    whole = pd.date_range("2015-01-01", periods=70128, freq="h", tz="UTC")
    source = whole[rows].tz_convert("Europe/Berlin")
    wanted = YEAR.index.tz_convert("Europe/Berlin")
    assert (source.dayofweek == wanted.dayofweek).mean() > 0.999
    assert (source.hour == wanted.hour).mean() > 0.999
    inside = source.year == year
    assert inside.mean() > 0.98
    own = load_prices(f"nl-day-ahead:{year}", YEAR).wholesale_eur_per_mwh
    assert own.shape == (8784,)


def test_own_year_is_the_identity():
    plain = load_prices("nl-day-ahead", YEAR).wholesale_eur_per_mwh
    np.testing.assert_array_equal(
        plain, load_prices("nl-day-ahead:2016", YEAR).wholesale_eur_per_mwh
    )


def test_stress_year_caps_the_feed_in_price():
    prices = load_prices("nl-day-ahead:2022", YEAR)
    assert prices.feed_in_capped.sum() > 0
    assert (prices.feed_in_eur_per_mwh <= prices.import_eur_per_mwh).all()


def test_csv_and_steps(tmp_path):
    times = pd.date_range("2016-06-29T22:00", periods=24, freq="h")
    rows = [f"{t:%Y-%m-%dT%H:%M}Z,{k}" for k, t in enumerate(times)]
    (tmp_path / "p.csv").write_text("\n".join(["time,price [EUR/MWh]", *rows]))
    span = Span(start=parse_start("2016-06-30"), hours=24, step_s=7200)
    prices = load_prices("p.csv", span, base_dir=tmp_path)
    np.testing.assert_allclose(prices.wholesale_eur_per_mwh, 0.5 + 2.0 * np.arange(12))


def test_refusals():
    with pytest.raises(DataError, match="2015-01-01T00:00Z to 2023-01-01T00:00Z"):
        load_prices("nl-day-ahead", Span(start=parse_start("2023-06-01"), hours=24))
    for spec in ("nl-day-ahead:2014", "nl-day-ahead:x", "free"):
        with pytest.raises(DataError, match="prices"):
            load_prices(spec, YEAR)
