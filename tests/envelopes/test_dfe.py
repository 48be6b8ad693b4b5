"""Two-stage agreements: the nearest boxes to what is desired, and nothing left unused."""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import certify
from peergrid.envelopes.dfe import Agreed, hand_out, two_stage
from peergrid.envelopes.rows import Rows
from peergrid.network.feeder import Floats
from peergrid.network.library import load_feeder
from tests.envelopes.cases import broken, cases, community

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Desk:
    """Rows, desires, and what is granted and allowed."""

    rows: Rows
    desired: Floats
    least: Floats
    most: Floats

    def agreed(self) -> Agreed:
        return two_stage(self.rows, self.desired, self.least, self.most)

    @property
    def limit(self) -> Floats:
        return np.maximum(self.rows.limit, self.rows.used(self.least))


@st.composite
def desks(draw: Any) -> Desk:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    participants, hours, count = (int(rng.integers(1, n)) for n in (5, 3, 6))
    shape = (count, participants, hours)
    sign = rng.choice([-1.0, 1.0], (count, 1, 1))
    limit = rng.uniform(-0.2, 1.0, (count, hours)) * participants
    limit[rng.random((count, hours)) < 0.1] = np.inf
    rows = Rows(
        a=sign * rng.uniform(0.2, 1.0, shape) * (rng.random(shape) < 0.8),
        b=sign * rng.uniform(0.0, 1.0, shape) * (rng.random(shape) < 0.8),
        limit=limit,
        at=np.ones(count, dtype=np.int64),
        kind=np.full(count, "upper"),
    )
    sides = (4 * participants, hours)
    nobody = rng.random((4 * participants, 1)) < 0.2
    least = rng.uniform(0.0, 0.3, sides) * (rng.random(sides) < 0.5) * ~nobody
    most = rng.uniform(0.1, 3.0, sides) * ~nobody
    return Desk(rows=rows, desired=rng.uniform(-0.5, 4.0, sides), least=least, most=most)


@given(desks())
@LAWS
def test_agreed_boxes_keep_the_rows_and_what_is_granted(desk: Desk) -> None:
    found = desk.agreed()
    final, slack = found.boxes.extent, 1e-8 * (1.0 + desk.rows.used(desk.most))
    assert np.all(desk.rows.used(final) <= desk.limit + slack)
    assert np.all(final >= found.extent - 1e-12)
    assert np.all(found.extent >= desk.least - 1e-9)
    assert np.all(final <= np.maximum(desk.most, desk.least) + 1e-9)


@given(desks())
@LAWS
def test_nobody_could_still_grow_alone(desk: Desk) -> None:
    final = desk.agreed().boxes.extent
    left = np.where(np.isfinite(desk.limit), desk.limit - desk.rows.used(final), 1.0)
    full = left <= 1e-8 * (1.0 + desk.rows.used(desk.most))
    stopped = ((desk.rows.demand.transpose(1, 2, 0) > 0.0) & full[:, None, :]).any(axis=0)
    assert np.all(stopped | (final >= desk.most - 1e-9))


@given(desks())
@FEW
def test_an_interior_point_solver_agrees(desk: Desk) -> None:
    found = desk.agreed()
    wanted = np.clip(desk.desired, desk.least, np.maximum(desk.least, desk.most))
    weight = 1.0 / np.maximum(desk.most.max(axis=1), 1e-6)
    weight = np.minimum(weight, 1e3)  # those who may have nothing stay at nothing all the same
    for h in range(wanted.shape[1]):
        x = cp.Variable(len(wanted))
        counts = np.isfinite(desk.limit[:, h])
        rules = [x >= desk.least[:, h]]
        if counts.any():
            rules.append(desk.rows.demand[h][counts] @ x <= desk.limit[counts, h])
        goal = cp.sum_squares(cp.multiply(np.sqrt(weight), x - wanted[:, h]))
        cp.Problem(cp.Minimize(goal), rules).solve(
            solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12
        )
        np.testing.assert_allclose(found.extent[:, h], x.value, atol=1e-4)


@given(desks())
@LAWS
def test_only_full_rows_are_worth_something(desk: Desk) -> None:
    found = desk.agreed()
    assert np.all(found.worth >= 0.0)
    left = desk.limit - desk.rows.used(found.extent)
    dear = found.worth > 1e-9 * (1.0 + found.worth.max())
    assert np.all(np.abs(left[dear]) <= 1e-7 * (1.0 + desk.rows.used(desk.most))[dear])
    np.testing.assert_array_equal(found.binding, found.worth > 0.0)


@given(desks())
@LAWS
def test_modest_desires_are_met_in_full(desk: Desk) -> None:
    modest = Desk(rows=desk.rows, desired=desk.least, least=desk.least, most=desk.most)
    np.testing.assert_allclose(modest.agreed().extent, desk.least, atol=1e-12)
    assert not modest.agreed().worth.any()


@given(desks())
@LAWS
def test_handing_out_twice_changes_nothing(desk: Desk) -> None:
    final = desk.agreed().boxes.extent
    np.testing.assert_allclose(hand_out(desk.rows, final, desk.most), final, atol=1e-7)


@given(cases(rated=True, rise_pu=0.02, greed=1.0, band=(0.95, 1.05)), st.integers(0, 10**6))
@FEW
def test_certified_agreements_hold(case: Any, seed: int) -> None:
    assert_certified(case, seed)


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
def test_certified_agreements_hold_on_published_feeders(name: str) -> None:
    assert_certified(community(load_feeder(name), 3, greed=0.8, rise_pu=0.01, count=6), 3)


def assert_certified(case: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    most, least = case.most, case.wishes.firm().extent
    desired = most * rng.uniform(0.0, 1.5, most.shape)

    def agree(rows: Rows) -> tuple[Boxes, Agreed]:
        found = two_stage(rows, desired, least, most)
        return found.boxes, found

    found = certify(case.limits, most, agree)
    voltage, loading = broken(case.limits, found.boxes, seed, 40)
    assert voltage <= 1e-5
    assert loading <= 1.001


def test_desires_decide_who_gets_the_room() -> None:
    """What the operator alone would share out evenly goes to the one who asks for it."""
    rows = Rows(
        a=np.array([[[1.0], [1.0]]]),
        b=np.zeros((1, 2, 1)),
        limit=np.array([[1.0]]),
        at=np.array([1]),
        kind=np.array(["upper"]),
    )
    least, most = np.zeros((8, 1)), np.array([[1.0, 1.0, 0, 0, 0, 0, 0, 0]]).T
    asked = np.array([[0.8, 0.1, 0, 0, 0, 0, 0, 0]]).T
    found = two_stage(rows, asked, least, most)
    np.testing.assert_allclose(found.extent[:2, 0], [0.8, 0.1])
    assert found.boxes.p_max_kw[:, 0].sum() == pytest.approx(1.0)
    assert found.boxes.p_max_kw[0, 0] >= 0.8
