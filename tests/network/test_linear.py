"""LinDistFlow against the exact power flow."""

import numpy as np
import pytest
from hypothesis import given, settings

from peergrid.network.feeder import Feeder
from peergrid.network.library import LIBRARY, load_feeder
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import base_injections, solve
from tests.strategies import radial_feeders


@given(radial_feeders(shunts=False))
@settings(max_examples=40, deadline=None)
def test_slopes_are_exact_in_the_limit_of_small_injections(feeder: Feeder) -> None:
    model = lindistflow(feeder)
    p_inj, q_inj = base_injections(feeder)
    errors = []
    for size in (1e-1, 1e-2):
        exact = solve(feeder, size * p_inj, size * q_inj, tol_pu=1e-13)
        linear = model.voltage_sq(size * p_inj, size * q_inj)
        errors.append(np.abs(linear - exact.vm_pu**2).max())
    assert errors[1] <= errors[0] / 50.0 + 1e-12  # the error is of second order


@given(radial_feeders())
@settings(max_examples=40, deadline=None)
def test_no_load_is_exact_with_shunts_and_taps(feeder: Feeder) -> None:
    nothing = np.zeros((feeder.n_bus, 1))
    model = lindistflow(feeder)
    exact = solve(feeder, nothing, nothing)
    np.testing.assert_allclose(model.voltage(nothing, nothing), exact.vm_pu, atol=1e-12)


@given(radial_feeders(shunts=False, generation=False))
@settings(max_examples=40, deadline=None)
def test_voltages_are_never_below_the_exact_ones_under_load(feeder: Feeder) -> None:
    p_inj, q_inj = base_injections(feeder)
    exact = solve(feeder, p_inj, q_inj)
    assert np.all(lindistflow(feeder).voltage(p_inj, q_inj) >= exact.vm_pu - 1e-9)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_library_feeders_under_load(name: str, share: float) -> None:
    feeder = load_feeder(name)
    p_inj, q_inj = base_injections(feeder)
    exact = solve(feeder, share * p_inj, share * q_inj).vm_pu
    linear = lindistflow(feeder).voltage(share * p_inj, share * q_inj)
    assert np.all(linear >= exact - 1e-9)
    assert np.max(linear - exact) < 0.03 * share


def test_flows_are_sums_downstream() -> None:
    feeder = load_feeder("ieee33")
    model = lindistflow(feeder)
    p_inj, q_inj = base_injections(feeder, 24)
    flow = model.branch_flow_kw(p_inj)
    assert flow.shape == (33, 24)
    assert flow[0] == pytest.approx(3715.0)
    row = feeder.index_of(18)
    assert flow[row] == pytest.approx(90.0)
    assert model.D[feeder.index_of(2)].sum() == 32
    exact = solve(feeder, p_inj, q_inj)
    assert np.all(exact.p_branch_kw >= flow * (np.arange(33) > 0)[:, None] - 1e-9)


def test_root_does_not_move() -> None:
    model = lindistflow(load_feeder("ieee33"), slack_vm_pu=1.03)
    assert not model.R[0].any()
    assert not model.R[:, 0].any()
    assert model.v0_sq == pytest.approx(np.full(33, 1.03**2))
