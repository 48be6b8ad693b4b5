import time

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.inputs.forecast import LOAD, PERFECT, ForecastModel, KindSettings, growth

HOUR = 3600
T0 = 403_000 * HOUR
LEADS = np.arange(1.0, 25.0)


def year_of_errors(model, kind, n=1, **kwargs):
    """Errors made in each of 8760 hours, shape (8760, n, 24)."""
    return np.stack([model.errors(kind, n, T0 + k * HOUR, 24, **kwargs) for k in range(8760)])


@pytest.mark.parametrize("kind", ["pv", "wind", "load"])
def test_standard_deviation_by_lead_and_persistence(kind):
    start = time.perf_counter()
    errors = year_of_errors(ForecastModel(seed=5), kind, n_homes=16)[:, 0]
    assert time.perf_counter() - start < 5.0  # measured 0.4 s on an idle core
    model = ForecastModel(seed=5)
    expected = model.sigma(kind, LEADS, n_homes=16)
    np.testing.assert_allclose(errors.std(axis=0), expected, rtol=0.08)
    assert np.abs(errors.mean(axis=0)).max() < 0.15 * expected.max()
    rho = model.settings.of(kind).rho
    for lead in (0, 11, 23):
        column = errors[:, lead]
        assert np.corrcoef(column[:-1], column[1:])[0, 1] == pytest.approx(rho, abs=0.05)


def test_forecasting_again_only_removes_error():
    """E[t, h] - E[t, h - 1] is the term h: independent of all that stays."""
    errors = year_of_errors(ForecastModel(seed=8), "pv")[:, 0]
    for lead in (5, 12, 23):
        older = errors[:-1, lead]  # made at t, for t + 1 + lead
        newer = errors[1:, lead - 1]  # made an hour later, for the same hour
        removed = older - newer
        assert abs(np.corrcoef(removed, newer)[0, 1]) < 0.08
        assert newer.std() < older.std()


def test_sigma_of_the_notes():
    model = ForecastModel(seed=0)
    h = LEADS
    shape = (1.0 - np.exp(-(h - 1.0) / 6.0)) / (1.0 - np.exp(-23.0 / 6.0))
    np.testing.assert_allclose(growth(h), shape)
    for kind, one, day in (("pv", 0.06, 0.12), ("wind", 0.06, 0.15)):
        expected = np.sqrt(one**2 + (day**2 - one**2) * shape)
        np.testing.assert_allclose(model.sigma(kind, h), expected)
    for n in (1, 4, 160):
        one, day = 0.65**2 / n + 0.05**2, 0.75**2 / n + 0.08**2
        np.testing.assert_allclose(model.sigma("load", h, n), np.sqrt(one + (day - one) * shape))


def test_pure_function_of_seed_entity_and_hour():
    model = ForecastModel(seed=1)
    forward = [model.errors("wind", 3, T0 + k * HOUR, 24) for k in range(400)]
    again = ForecastModel(seed=1)
    for k in (399, 12, 250):
        np.testing.assert_array_equal(again.errors("wind", 3, T0 + k * HOUR, 24), forward[k])
    np.testing.assert_array_equal(model.errors("wind", 30, T0, 24)[:3], forward[0])
    np.testing.assert_array_equal(model.errors("wind", [2, 0], T0, 24), forward[0][[2, 0]])
    assert np.abs(ForecastModel(seed=2).errors("wind", 3, T0, 24) - forward[0]).max() > 1e-3


def test_plants_of_a_feeder_err_alike():
    errors = year_of_errors(ForecastModel(seed=6), "pv", n=8)[:, :, 10]
    between = np.corrcoef(errors.T)[~np.eye(8, dtype=bool)]
    assert between.mean() == pytest.approx(0.7, abs=0.05)


def test_forecast_stays_physical():
    model = ForecastModel(seed=3)
    truth = np.array([[0.0, 0.0, 1.0, 4.9, 5.0, 0.1] * 4] * 50)
    pv = model.forecast("pv", truth, 5.0, T0)
    assert (pv[truth == 0.0] == 0.0).all()
    assert pv.min() >= 0.0
    assert pv.max() <= 5.0
    wind = model.forecast("wind", truth, np.full(50, 5.0), T0)
    assert (wind[truth == 0.0] > 0.0).any()
    assert wind.max() <= 5.0
    load = model.forecast("load", truth, 3.0, T0, n_homes=np.full(50, 2))
    assert load.min() >= 0.0
    inner = (pv > 0.0) & (pv < 5.0)
    error = model.errors("pv", 50, T0, 24)
    np.testing.assert_allclose(pv[inner], (truth + 5.0 * error)[inner])
    np.testing.assert_array_equal(
        ForecastModel(seed=3, settings=PERFECT).forecast("load", truth, 3.0, T0), truth
    )


def test_quarter_hours_share_the_error_of_their_hour():
    model = ForecastModel(seed=3)
    hourly = model.errors("pv", 2, T0, 24)
    quarter = model.errors("pv", 2, T0, 96, step_s=900)
    np.testing.assert_array_equal(quarter[:, 3:95:4], hourly[:, :23])
    np.testing.assert_array_equal(quarter[:, 3], quarter[:, 6])
    double = model.errors("pv", 2, T0, 12, step_s=7200)
    np.testing.assert_array_equal(double, hourly[:, 1::2])


def test_refusals():
    model = ForecastModel(seed=3)
    with pytest.raises(DataError, match="horizon"):
        model.errors("pv", 1, T0, 49)
    with pytest.raises(DataError, match="t_s"):
        model.errors("pv", 1, -3600, 24)
    with pytest.raises(DataError, match="pv, wind, load"):
        model.errors("sun", 1, T0, 24)
    with pytest.raises(DataError, match="rho"):
        KindSettings(own_1=0, own_24=0, common_1=0, common_24=0, rho=0.99, source="")
    with pytest.raises(DataError, match="own_1"):
        KindSettings(own_1=0.2, own_24=0.1, common_1=0, common_24=0, rho=0.5, source="")
    assert "SimBench" in LOAD.source
