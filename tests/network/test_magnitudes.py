"""Voltage magnitudes without angles against the sweep over complex currents, and pandapower."""

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import LIBRARY, load_feeder
from peergrid.network.magnitudes import magnitudes
from peergrid.network.power_flow import base_injections, solve
from tests.network.test_power_flow import run_tightly
from tests.strategies import radial_feeders, radial_nets

SHARES = np.array([-1.0, 0.0, 0.5, 1.0])
NETS = {
    "cigre_mv": pn.create_cigre_network_mv,
    "cigre_lv": pn.create_cigre_network_lv,
    "four_bus": pn.simple_four_bus_system,
    "dickert": pn.create_dickert_lv_network,
}


def assert_same_as_solve(feeder: Feeder, shares: np.ndarray = SHARES) -> None:
    """Voltages, losses and import of shares of the nominal load are those of ``solve``."""
    p_inj, q_inj = (part * shares for part in base_injections(feeder, len(shares)))
    found, expected = magnitudes(feeder, p_inj, q_inj), solve(feeder, p_inj, q_inj)
    assert found.converged.all()
    size_kw = 1e3 * feeder.base_mva + np.abs(p_inj).sum()
    np.testing.assert_allclose(found.vm_pu, expected.vm_pu, rtol=0.0, atol=2e-9)
    np.testing.assert_allclose(found.head_p_kw, expected.head_p_kw, rtol=0.0, atol=1e-8 * size_kw)
    np.testing.assert_allclose(found.loss_kw, expected.loss_kw, rtol=0.0, atol=1e-8 * size_kw)


def assert_same_as_runpp(net: pp.pandapowerNet) -> None:
    """Voltages and import are those of pandapower."""
    run_tightly(net)
    feeder = from_pandapower(net)
    found = magnitudes(feeder, *base_injections(feeder))
    assert found.converged.all()
    buses = [bus for bus in net.bus.index if np.isfinite(net.res_bus.vm_pu[bus])]
    rows = [feeder.index_of(bus) for bus in buses]
    np.testing.assert_allclose(found.vm_pu[rows, 0], net.res_bus.vm_pu[buses], rtol=0, atol=1e-8)
    head_kw = 1e3 * float(net.res_ext_grid.p_mw.iloc[0])
    assert found.head_p_kw[0] == pytest.approx(head_kw, rel=1e-6, abs=1e-3)


def star(branches: int) -> Feeder:
    """A root with so many buses around it."""
    n = branches + 1
    return Feeder(
        name="star",
        base_mva=1.0,
        bus_id=np.arange(n),
        vn_kv=np.full(n, 12.66),
        parent=np.array([-1] + [0] * branches),
        r_pu=np.full(n, 0.01),
        x_pu=np.full(n, 0.01),
        ratio=np.ones(n),
        shift_deg=np.zeros(n),
        branch_kind=("line",) * n,
        branch_index=np.arange(n) - 1,
        g_sh_pu=np.zeros(n),
        b_sh_pu=np.zeros(n),
        p_load_kw=np.full(n, 100.0),
        q_load_kvar=np.full(n, 50.0),
        slack_vm_pu=1.0,
        i_max_ka=np.full(n, 0.4),
        rating_assumed=np.zeros(n, dtype=bool),
    )


@pytest.mark.parametrize("name", LIBRARY)
def test_library_feeders_give_what_the_sweep_over_currents_gives(name: str) -> None:
    assert_same_as_solve(load_feeder(name))


@given(radial_feeders())
@settings(max_examples=100, deadline=None)
def test_random_feeders_with_transformers_and_shunts_do_too(feeder: Feeder) -> None:
    assert_same_as_solve(feeder)


@pytest.mark.parametrize("name", NETS)
def test_published_networks_give_the_voltages_of_runpp(name: str) -> None:
    assert_same_as_runpp(NETS[name]())


@given(radial_nets())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_nets_with_taps_and_charging_give_the_voltages_of_runpp(net: pp.pandapowerNet) -> None:
    assert_same_as_runpp(net)


@given(radial_feeders())
@settings(max_examples=30, deadline=None)
def test_losses_are_import_plus_injections(feeder: Feeder) -> None:
    p_inj, q_inj = (part * SHARES for part in base_injections(feeder, len(SHARES)))
    found = magnitudes(feeder, p_inj, q_inj)
    np.testing.assert_allclose(found.loss_kw, found.head_p_kw + p_inj.sum(axis=0), rtol=1e-12)
    assert np.all(found.loss_kw > -1e-9 * feeder.base_mva)


@given(st.floats(0.5, 8.0), st.sampled_from(LIBRARY))
@settings(max_examples=60, deadline=None)
def test_heavy_load_gives_the_true_voltages_or_none(factor: float, name: str) -> None:
    feeder = load_feeder(name)
    for sign in (1.0, -1.0):
        p_inj, q_inj = (sign * factor * part for part in base_injections(feeder))
        found, expected = magnitudes(feeder, p_inj, q_inj), solve(feeder, p_inj, q_inj)
        if found.converged[0]:
            np.testing.assert_allclose(found.vm_pu, expected.vm_pu, rtol=0.0, atol=1e-7)
        else:
            assert np.isnan(found.vm_pu).all()
            assert np.isnan(found.loss_kw).all()


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_behind_one_branch_is_seen_beside_others(row: int, value: float) -> None:
    feeder = star(3)
    p_inj, q_inj = base_injections(feeder)
    p_inj[row] = value
    found = magnitudes(feeder, p_inj, q_inj)
    assert not found.converged[0]
    assert np.isnan(found.vm_pu).all()


def test_an_hour_does_not_depend_on_the_hours_beside_it() -> None:
    feeder = load_feeder("ieee33")
    rng = np.random.default_rng(0)
    p_inj, q_inj = base_injections(feeder, 20)
    p_inj = p_inj * rng.uniform(-1.0, 1.5, p_inj.shape)
    together = magnitudes(feeder, p_inj, q_inj)
    for t in (0, 7, 19):
        alone = magnitudes(feeder, p_inj[:, [t]], q_inj[:, [t]])
        assert np.array_equal(alone.vm_pu[:, 0], together.vm_pu[:, t])


def test_divergence_is_reported_for_its_hour_only() -> None:
    feeder = load_feeder("ieee33")
    p_inj, q_inj = base_injections(feeder, 4)
    p_inj[:, 1] *= 5.0
    p_inj[3, 2] = np.nan
    found = magnitudes(feeder, p_inj, q_inj)
    assert found.converged.tolist() == [True, False, False, True]
    assert np.isnan(found.vm_pu[:, 1:3]).all()
    assert np.isnan(found.loss_kw[1:3]).all()
    assert np.isfinite(found.vm_pu[:, [0, 3]]).all()


@pytest.mark.parametrize("row", range(12))
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_at_any_bus_gives_none(row: int, value: float) -> None:
    feeder = load_feeder("ieee12")
    for part in range(2):
        given = base_injections(feeder)
        given[part][row] = value
        found = magnitudes(feeder, *given)
        assert not found.converged[0]
        assert np.isnan(found.vm_pu).all()


def test_a_feeder_without_branches_has_the_voltage_of_its_root() -> None:
    feeder = star(0)
    found = magnitudes(feeder, np.array([[-3.0]]), np.array([[1.0]]))
    assert found.head_p_kw == pytest.approx([3.0])
    assert found.vm_pu == pytest.approx(np.array([[feeder.slack_vm_pu]]))
