import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.inputs.turbines import load_turbine, read_turbine, turbine_names


@pytest.mark.parametrize("name", turbine_names())
def test_shipped_curves(name):
    curve = load_turbine(name)
    assert (np.diff(curve.wind_speed_m_s) > 0.0).all()
    assert curve.power_kw.min() >= 0.0
    assert 0.9 < curve.power_kw.max() / curve.rated_kw < 1.55
    assert curve.peak_kw == curve.power_kw.max()
    assert 5.0 < curve.hub_height_m <= 40.0
    swept = np.pi * curve.rotor_m**2 / 4.0
    wind_kw = 0.5 * 1.225 * swept * curve.wind_speed_m_s**3 / 1000.0
    fast = curve.wind_speed_m_s > 4.0
    assert (curve.power_kw[fast] < 0.593 * wind_kw[fast]).all()  # the limit of Betz
    assert load_turbine(name) is curve
    with pytest.raises(ValueError, match="read-only"):
        curve.power_kw[0] = 1.0


def test_own_curve(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("wind_speed [m/s],power [kW]\n2,-0.5\n5,3\n12,20\n25,20\n")
    curve = read_turbine(path, hub_height_m=25.0)
    assert curve.name == "mine"
    assert curve.rated_kw == 20.0
    assert curve.power_kw.tolist() == [0.0, 3.0, 20.0, 20.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "speed,power\n1,2\n",
        "wind_speed [m/s],power [kW]\n5,1\n4,2\n",
        "wind_speed [m/s],power [kW]\n5,1\n6,x\n",
        "wind_speed [m/s],power [kW]\n5,1\n",
    ],
)
def test_bad_curves(tmp_path, text):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.csv"):
        read_turbine(path, hub_height_m=25.0)


def test_unknown_name():
    with pytest.raises(DataError, match="NPS100C-24"):
        load_turbine("Growian")
