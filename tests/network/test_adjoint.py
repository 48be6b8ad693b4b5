"""Gradients of the AC state against differences of the power flow."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.network.adjoint import adjoint, branch_state
from peergrid.network.feeder import Feeder, Floats
from peergrid.network.library import load_feeder
from peergrid.network.power_flow import base_injections, solve
from tests.strategies import radial_feeders


def value(feeder: Feeder, p: Floats, q: Floats, weights: tuple[Floats, Floats, Floats]) -> float:
    theta, mu, kappa = weights
    flow = solve(feeder, p, q, tol_pu=1e-14)
    i_sq = np.abs(flow.j_pu) ** 2
    i_sq[0] = 0.0
    return float((theta * flow.head_p_kw).sum() + (mu * flow.vm_pu**2).sum() + (kappa * i_sq).sum())


@given(feeder=radial_feeders(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_gradient_equals_differences(feeder: Feeder, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = base_injections(feeder, 3)
    p, q = p * rng.random((1, 3)), q * rng.random((1, 3))
    base_kw = 1000.0 * feeder.base_mva
    weights = (
        rng.normal(size=3),
        rng.normal(size=(feeder.n_bus, 3)) * base_kw,
        rng.normal(size=(feeder.n_bus, 3)) * base_kw,
    )
    found = adjoint(branch_state(solve(feeder, p, q, tol_pu=1e-14)), *weights)
    h = 1e-4 * base_kw
    for _ in range(4):
        bus, hour = rng.integers(feeder.n_bus), rng.integers(3)
        for powers, gradient in (((p, q), found.p), ((q, p), found.q)):
            up, down = powers[0].copy(), powers[0].copy()
            up[bus, hour] += h
            down[bus, hour] -= h
            pair = [(x, powers[1]) if gradient is found.p else (powers[1], x) for x in (up, down)]
            slope = (value(feeder, *pair[0], weights) - value(feeder, *pair[1], weights)) / (2 * h)
            assert np.isclose(gradient[bus, hour], slope, rtol=1e-5, atol=1e-5)


def test_a_kw_far_out_saves_its_losses() -> None:
    feeder = load_feeder("ieee33")
    p, q = base_injections(feeder)
    found = adjoint(branch_state(solve(feeder, p, q)), np.ones(1))
    row = feeder.index_of(18)
    assert found.p[0, 0] == -1.0
    assert -1.25 < found.p[row, 0] < -1.05
    p_more = p.copy()
    p_more[row] += 1.0
    saved = solve(feeder, p_more, q).head_p_kw - solve(feeder, p, q).head_p_kw
    assert np.isclose(saved[0], found.p[row, 0], atol=1e-3)


def test_columns_repeat_hours() -> None:
    feeder = load_feeder("ieee12")
    p, q = base_injections(feeder, 2)
    state = branch_state(solve(feeder, p * np.array([1.0, 0.5]), q))
    theta = np.array([1.0, 2.0])
    whole = adjoint(state, theta)
    picked = adjoint(state.columns(np.array([1, 1, 0])), theta[[1, 1, 0]])
    assert np.array_equal(picked.p, whole.p[:, [1, 1, 0]])
