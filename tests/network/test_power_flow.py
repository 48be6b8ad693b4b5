"""The sweep against pandapower, and the laws every solution obeys."""

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from hypothesis import HealthCheck, given, settings

from peergrid.errors import DataError
from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import load_feeder
from peergrid.network.power_flow import PowerFlow, base_injections, solve
from tests.strategies import radial_feeders, radial_nets

NETS = {
    "cigre_mv": pn.create_cigre_network_mv,
    "cigre_mv_pv_wind": lambda: pn.create_cigre_network_mv(with_der="pv_wind"),
    "cigre_mv_all": lambda: pn.create_cigre_network_mv(with_der="all"),
    "cigre_lv": pn.create_cigre_network_lv,
    "case33bw": pn.case33bw,
    "four_bus": pn.simple_four_bus_system,
    "panda_four_load": pn.panda_four_load_branch,
    "kerber": pn.create_kerber_landnetz_freileitung_1,
    "dickert": pn.create_dickert_lv_network,
}
SIMBENCH = ("1-MV-rural--0-sw", "1-LV-urban6--0-sw")


def base_case(feeder: Feeder) -> PowerFlow:
    return solve(feeder, *base_injections(feeder))


def run_tightly(net: pp.pandapowerNet) -> None:
    """Run pandapower to the tightest tolerance that rounding lets it reach (default 1e-8 MVA)."""
    for tolerance_mva in (1e-10, 1e-9, 1e-8):
        try:
            pp.runpp(net, tolerance_mva=tolerance_mva)
        except pp.LoadflowNotConverged:
            continue
        return
    pytest.fail("pandapower does not solve the net")


def assert_same_as_runpp(net: pp.pandapowerNet) -> None:
    """Voltages, currents, loadings, losses and head power of the feeder are those of runpp."""
    feeder = from_pandapower(net)
    run_tightly(net)
    state = base_case(feeder)
    assert state.converged[0]
    buses = [b for b in net.bus.index if np.isfinite(net.res_bus.vm_pu[b])]
    rows = [feeder.index_of(b) for b in buses]
    expected = net.res_bus.vm_pu[buses] * np.exp(1j * np.deg2rad(net.res_bus.va_degree[buses]))
    np.testing.assert_allclose(state.v_pu[rows, 0], expected, rtol=0, atol=1e-8)
    head = net.res_ext_grid.iloc[0]
    np.testing.assert_allclose(state.head_p_kw[0], 1e3 * head.p_mw, rtol=1e-7, atol=1e-4)
    np.testing.assert_allclose(state.head_q_kvar[0], 1e3 * head.q_mvar, rtol=1e-7, atol=1e-4)
    assert_same_branches(net, feeder, state)


def assert_same_branches(net: pp.pandapowerNet, feeder: Feeder, state: PowerFlow) -> None:
    for i in range(1, feeder.n_bus):
        kind, index = feeder.branch_kind[i], feeder.branch_index[i]
        if kind not in ("line", "trafo"):
            continue
        result = net[f"res_{kind}"].loc[index]
        if kind == "line":
            assert state.i_ka[i, 0] == pytest.approx(result.i_ka, rel=1e-6, abs=1e-8)
        if not feeder.rating_assumed[i] and not _is_merged(net, kind, index):
            loading = 100.0 * state.loading[i, 0]
            assert loading == pytest.approx(result.loading_percent, rel=1e-6, abs=1e-5)


def _is_merged(net: pp.pandapowerNet, kind: str, index: int) -> bool:
    ends = ["hv_bus", "lv_bus"] if kind == "trafo" else ["from_bus", "to_bus"]
    return bool((net[kind][ends] == net[kind].loc[index, ends]).all(axis=1).sum() > 1)


@pytest.mark.parametrize("name", NETS)
def test_published_networks_give_the_voltages_of_runpp(name: str) -> None:
    assert_same_as_runpp(NETS[name]())


@pytest.mark.parametrize("code", SIMBENCH)
def test_simbench_networks_give_the_voltages_of_runpp(code: str) -> None:
    simbench = pytest.importorskip("simbench")
    assert_same_as_runpp(simbench.get_simbench_net(code))


@given(radial_nets())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_nets_give_the_voltages_of_runpp(net: pp.pandapowerNet) -> None:
    assert_same_as_runpp(net)


@given(radial_feeders())
@settings(max_examples=50, deadline=None)
def test_solution_obeys_ohm_and_kirchhoff(feeder: Feeder) -> None:
    state = base_case(feeder)
    assert state.converged.all()
    v, j = state.v_pu[:, 0], state.j_pu[:, 0]
    step = feeder.ratio * np.exp(1j * np.deg2rad(feeder.shift_deg))
    for i in range(1, feeder.n_bus):
        drop = (feeder.r_pu[i] + 1j * feeder.x_pu[i]) * j[i]
        assert abs(v[feeder.parent[i]] / step[i] - drop - v[i]) < 1e-9
    kva = 1e3 * feeder.base_mva
    for i, fed in enumerate(feeder.children):
        load = (feeder.p_load_kw[i] + 1j * feeder.q_load_kvar[i]) / kva
        drawn = np.conj(load / v[i]) + (feeder.g_sh_pu[i] + 1j * feeder.b_sh_pu[i]) * v[i]
        passed_on = sum(j[k] / np.conj(step[k]) for k in fed)
        assert abs(j[i] - drawn - passed_on) < 1e-9
    assert abs(v[0]) == pytest.approx(feeder.slack_vm_pu)


@given(radial_feeders())
@settings(max_examples=50, deadline=None)
def test_power_is_conserved(feeder: Feeder) -> None:
    p_inj, q_inj = base_injections(feeder, 3)
    p_inj = p_inj * np.array([0.0, 0.5, 1.0])
    state = solve(feeder, p_inj, q_inj)
    tol = 1e-6 * feeder.base_mva
    np.testing.assert_allclose(state.head_p_kw + p_inj.sum(0), state.loss_kw, atol=tol)
    np.testing.assert_allclose(state.head_q_kvar + q_inj.sum(0), state.loss_kvar, atol=tol)
    fed = [k for k in range(1, feeder.n_bus) if feeder.parent[k] == 0]
    shunt = feeder.g_sh_pu[0] * state.vm_pu[0] ** 2 * 1e3 * feeder.base_mva
    leaving = state.p_branch_kw[fed].sum(0) - p_inj[0] + shunt
    np.testing.assert_allclose(leaving, state.head_p_kw, atol=tol)


def test_an_hour_does_not_depend_on_the_hours_beside_it() -> None:
    feeder = load_feeder("ieee33")
    rng = np.random.default_rng(0)
    p_inj, q_inj = base_injections(feeder, 150)
    p_inj = p_inj * rng.uniform(-1.0, 1.5, p_inj.shape)
    together = solve(feeder, p_inj, q_inj)
    for t in (0, 63, 64, 149):
        alone = solve(feeder, p_inj[:, [t]], q_inj[:, [t]])
        assert np.array_equal(alone.v_pu[:, 0], together.v_pu[:, t])
        assert alone.iterations[0] == together.iterations[t]


def test_divergence_is_reported_for_its_hour_only() -> None:
    feeder = load_feeder("ieee33")
    p_inj, q_inj = base_injections(feeder, 4)
    p_inj[:, 1] *= 5.0
    p_inj[3, 2] = np.nan
    state = solve(feeder, p_inj, q_inj)
    assert state.converged.tolist() == [True, False, False, True]
    assert np.isnan(state.vm_pu[:, 1:3]).all()
    assert np.isnan(state.loss_kw[1:3]).all()
    assert np.isfinite(state.vm_pu[:, [0, 3]]).all()


def test_slack_voltage_per_hour_and_warm_start() -> None:
    feeder = load_feeder("ieee33")
    p_inj, q_inj = base_injections(feeder, 2)
    state = solve(feeder, p_inj, q_inj, slack_vm_pu=np.array([1.0, 1.04]))
    assert state.vm_pu[0] == pytest.approx([1.0, 1.04])
    raised = solve(feeder.with_slack(1.04), p_inj, q_inj)
    np.testing.assert_allclose(state.v_pu[:, 1], raised.v_pu[:, 1], atol=1e-12)
    warm = solve(feeder, p_inj, q_inj, v_start=solve(feeder, p_inj, q_inj).v_pu)
    assert warm.iterations.max() <= 2
    cold = solve(feeder, p_inj, q_inj, v_start=np.full((33, 2), np.nan + 0j))
    assert cold.converged.all()


def test_no_hours_is_no_error() -> None:
    feeder = load_feeder("ieee12")
    state = solve(feeder, np.zeros((12, 0)), np.zeros((12, 0)))
    assert state.vm_pu.shape == (12, 0)


@pytest.mark.parametrize("shape", [(12,), (11, 24), (24, 12)])
def test_injections_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    feeder = load_feeder("ieee12")
    with pytest.raises(DataError, match=r"shape \(12, T\)"):
        solve(feeder, np.zeros(shape), np.zeros(shape))
