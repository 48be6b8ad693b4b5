"""The plant is pandapower: the same bits as ``runpp``, whatever was solved before."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from pandapower.toolbox import nets_equal

from peergrid.errors import DataError, ModelError
from peergrid.network.ac import GridResult, PandapowerGrid
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import resolve_network
from peergrid.network.plant_net import OWNED_TABLES, BusPower

INPUTS = ("p_load_mw", "q_load_mvar", "p_gen_mw", "q_gen_mvar")
HOURS = 50


def everything() -> Any:
    """A small net with one of each thing that a plant may hold."""
    net = pn.create_cigre_network_mv(with_der="pv_wind")
    pp.create_shunt(net, 5, q_mvar=-0.3, p_mw=0.02, step=2, vn_kv=20.0)
    pp.create_ward(net, 7, ps_mw=0.1, qs_mvar=0.05, pz_mw=0.2, qz_mvar=-0.1)
    pp.create_motor(net, 8, pn_mech_mw=0.1, cos_phi=0.9, efficiency_percent=95.0)
    pp.create_storage(net, 9, p_mw=0.5, max_e_mwh=1.0)
    fused = pp.create_bus(net, 20.0)
    pp.create_switch(net, 10, fused, et="b", closed=True)
    pp.create_bus(net, 20.0)  # nothing leads there
    pp.create_bus(net, 20.0, in_service=False)
    pp.create_gen(net, 11, p_mw=0.4, vm_pu=1.0)
    net.trafo["tap_pos"] = 2
    net.load.loc[0, "scaling"] = 0.5
    return net


def outage() -> Any:
    """The same with a line out of service: loaded buses are cut off."""
    net = everything()
    net.line.loc[3, "in_service"] = False
    return net


NETS: dict[str, Callable[[], Any]] = {
    "case33bw": pn.case33bw,
    "cigre_mv": pn.create_cigre_network_mv,
    "cigre_lv": pn.create_cigre_network_lv,
    "kerber": pn.create_kerber_landnetz_freileitung_1,
    "everything": everything,
    "outage": outage,
}


def plain_net(net: Any) -> Any:
    """The same net with one load and one static generator at each bus and no others."""
    plain = copy.deepcopy(net)
    for table in OWNED_TABLES:
        plain[table] = plain[table].iloc[:0]
    plain.ward[["ps_mw", "qs_mvar"]] = 0.0
    pp.create_loads(plain, plain.bus.index, 0.0)
    pp.create_sgens(plain, plain.bus.index, 0.0)
    return plain


def run_plain(plain: Any, power: dict[str, Any]) -> None:
    plain.load["p_mw"], plain.load["q_mvar"] = power["p_load_mw"], power["q_load_mvar"]
    plain.sgen["p_mw"], plain.sgen["q_mvar"] = power["p_gen_mw"], power["q_gen_mvar"]
    pp.runpp(plain, numba=False)


def random_power(grid: PandapowerGrid, rng: np.random.Generator) -> dict[str, Any]:
    n = len(grid.bus_index)
    load = grid.nominal
    return {
        "p_load_mw": load.p_load_mw * rng.uniform(0.0, 1.2, n),
        "q_load_mvar": load.q_load_mvar * rng.uniform(0.0, 1.2, n),
        "p_gen_mw": load.p_load_mw * rng.uniform(0.0, 1.0, n),
        "q_gen_mvar": load.q_load_mvar * rng.uniform(-0.5, 0.5, n),
    }


def solve_nominal(grid: PandapowerGrid) -> GridResult:
    own = grid.nominal
    return grid.solve(own.p_load_mw, own.q_load_mvar, own.p_gen_mw, own.q_gen_mvar)


@pytest.mark.parametrize("name", NETS)
def test_random_hours_have_the_bits_of_runpp(name: str) -> None:
    net = NETS[name]()
    grid, plain = PandapowerGrid(net), plain_net(net)
    rng = np.random.default_rng(7)
    rated = ~grid.line_rating_assumed
    for _ in range(HOURS):
        power = random_power(grid, rng)
        result = grid.solve(**power)
        run_plain(plain, power)
        assert result.converged
        exact = {
            "vm_pu": plain.res_bus.vm_pu,
            "va_deg": plain.res_bus.va_degree,
            "line_i_ka": plain.res_line.i_ka,
            "line_p_loss_mw": plain.res_line.pl_mw,
            "trafo_i_ka": plain.res_trafo.i_hv_ka,
            "trafo_p_loss_mw": plain.res_trafo.pl_mw,
            "ext_p_mw": plain.res_ext_grid.p_mw,
            "ext_q_mvar": plain.res_ext_grid.q_mvar,
        }
        for field, expected in exact.items():
            # pandapower's sums over buses run through the load that is cut off: not the same bits
            rtol, atol = (1e-9, 1e-10) if name == "outage" else (0.0, 0.0)
            actual = getattr(result, field)
            np.testing.assert_allclose(actual, expected, rtol, atol, err_msg=field)
        # sums in another order, so not to the last bit
        np.testing.assert_allclose(result.p_mw, plain.res_bus.p_mw, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(result.q_mvar, plain.res_bus.q_mvar, rtol=1e-12, atol=1e-12)
        loading = result.line_loading_percent[rated]
        np.testing.assert_allclose(loading, plain.res_line.loading_percent[rated], rtol=1e-9)
        loading = result.trafo_loading_percent
        np.testing.assert_allclose(loading, plain.res_trafo.loading_percent, rtol=1e-9)
        losses = plain.res_line.pl_mw.sum() + plain.res_trafo.pl_mw.sum()
        assert result.p_loss_mw == pytest.approx(losses, abs=1e-12)


@pytest.mark.parametrize("name", ["case33bw", "outage"])
def test_an_hour_does_not_depend_on_the_hours_before(name: str) -> None:
    grid = PandapowerGrid(NETS[name]())
    power = random_power(grid, np.random.default_rng(1))
    fresh = grid.solve(**power)
    for factor in (1e-3, 3.0, 1e9, -1e300):
        grid.solve(**{key: value * factor for key, value in power.items()})
        again = grid.solve(**power)
        assert again.converged
        for field, value in vars(fresh).items():
            np.testing.assert_array_equal(getattr(again, field), value, err_msg=field)


@pytest.mark.parametrize("scale", [50.0, 1e9, 1e300, np.inf, np.nan])
def test_no_solution_is_a_result(scale: float) -> None:
    grid = PandapowerGrid(pn.case33bw())
    own = grid.nominal
    zeros = np.zeros(33)
    with np.errstate(all="ignore"):
        result = grid.solve(own.p_load_mw * scale, own.q_load_mvar, zeros, zeros)
    assert result.converged is False
    for field, value in vars(result).items():
        if field != "converged":
            assert np.all(np.isnan(value)), field
    assert result.line_i_ka.shape == (37,)
    assert solve_nominal(grid).converged


def test_nominal_power_is_what_pandapower_makes_of_the_tables() -> None:
    net = outage()
    grid = PandapowerGrid(net)
    pp.create_loads(net, net.bus.index, 0.0)
    net.storage["p_mw"] = 0.0
    net.ward[["pz_mw", "qz_mvar"]] = 0.0
    net.shunt["in_service"] = False
    net.gen["in_service"] = False
    pp.runpp(net, numba=False)
    own = grid.nominal
    others = net.bus.index[net.res_bus.vm_pu > 0.0].difference(net.ext_grid.bus)
    rows = net.bus.index.get_indexer(others)
    expected = net.res_bus.loc[others]
    np.testing.assert_allclose((own.p_load_mw - own.p_gen_mw)[rows], expected.p_mw, atol=1e-12)
    np.testing.assert_allclose(
        (own.q_load_mvar - own.q_gen_mvar)[rows], expected.q_mvar, atol=1e-12
    )


def test_nothing_is_counted_twice_and_the_net_stays_as_it_was() -> None:
    net = outage()
    before = copy.deepcopy(net)
    grid = PandapowerGrid(net, slack_vm_pu=1.05, impedance_scale=2.0)
    assert nets_equal(net, before)
    idle = BusPower.zeros(len(grid.bus_index))
    result = grid.solve(idle.p_load_mw, idle.q_load_mvar, idle.p_gen_mw, idle.q_gen_mvar)
    loads = ~np.isin(grid.bus_index, [0, 5, 7, 11]) & net.bus.in_service.to_numpy()
    np.testing.assert_array_equal(result.p_mw[loads], 0.0)


def test_power_balance_with_shunts() -> None:
    grid = PandapowerGrid(outage())
    result = solve_nominal(grid)
    # whatever the buses draw, the external grid's import included, is lost
    assert -np.nansum(result.p_mw) == pytest.approx(result.p_loss_mw, abs=1e-6)
    assert -np.nansum(result.q_mvar) == pytest.approx(result.q_loss_mvar, abs=1e-6)


def test_the_plant_can_differ_from_the_model_others_have() -> None:
    net = resolve_network("ieee33")
    base = solve_nominal(PandapowerGrid(net))
    weak = solve_nominal(PandapowerGrid(net, impedance_scale=1.3))
    assert weak.vm_pu.min() < base.vm_pu.min()
    model = from_pandapower(net).scaled_impedance(1.3)
    scaled = copy.deepcopy(net)
    scaled.line[["r_ohm_per_km", "x_ohm_per_km"]] *= 1.3
    np.testing.assert_allclose(from_pandapower(scaled).r_pu, model.r_pu, rtol=1e-12)
    assert solve_nominal(PandapowerGrid(scaled)).vm_pu.tolist() == weak.vm_pu.tolist()
    high = solve_nominal(PandapowerGrid(net, slack_vm_pu=1.04))
    assert high.vm_pu[0] == 1.04


def test_ratings_nobody_gave_are_assumed_as_the_market_assumes_them() -> None:
    net = pn.case33bw()
    grid, feeder = PandapowerGrid(net), from_pandapower(net)
    assert grid.line_rating_assumed.all()
    fed = feeder.branch_index[1:]
    np.testing.assert_array_equal(grid.line_rating_ka[fed], feeder.i_max_ka[1:])
    grid = PandapowerGrid(resolve_network("ieee33"), impedance_scale=2.0)
    assert grid.line_rating_assumed.all()
    assert grid.line_rating_ka[0] == grid.net.line.max_i_ka.iloc[0]
    assert not PandapowerGrid(pn.create_cigre_network_mv()).line_rating_assumed.any()


@pytest.mark.parametrize("values", [{"slack_vm_pu": 0.0}, {"impedance_scale": float("nan")}])
def test_values_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(DataError, match="a positive number"):
        PandapowerGrid(pn.case33bw(), **values)


def test_what_the_plant_does_not_model_is_refused() -> None:
    net = pn.case33bw()
    pp.create_asymmetric_load(net, 4, p_a_mw=0.1)
    with pytest.raises(ModelError, match="asymmetric_load 0"):
        PandapowerGrid(net)
    net = pn.case33bw()
    net.ext_grid["in_service"] = False
    with pytest.raises(ModelError, match="no ext_grid"):
        PandapowerGrid(net)
    with pytest.raises(DataError, match="a pandapowerNet"):
        PandapowerGrid("case33bw")


def test_one_bus_and_no_line_is_a_grid_too() -> None:
    net = pp.create_empty_network()
    pp.create_ext_grid(net, pp.create_bus(net, 0.4), vm_pu=1.02)
    result = PandapowerGrid(net).solve(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    assert result.vm_pu.tolist() == [1.02]
    assert result.ext_p_mw.tolist() == [1.0]
    assert result.line_i_ka.shape == (0,)
