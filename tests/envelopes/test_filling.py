"""Progressive filling: closed forms, and the definition of max-min fairness by linear programs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from peergrid.envelopes.filling import fill
from peergrid.network.feeder import Floats, Ints

LAWS = settings(max_examples=100, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Vessel:
    """Shares of K sides in J rows and T hours."""

    demand: Floats
    room: Floats
    least: Floats
    most: Floats
    rate: Floats
    group: Ints

    def filled(self) -> Floats:
        return fill(self.demand, self.room, self.least, self.most, self.rate, self.group)

    def left(self, share: Floats) -> Floats:
        return self.room - np.einsum("tjk,kt->jt", self.demand, share)


@st.composite
def vessels(draw: Any, *, alone: bool = False, granted: bool = True) -> Vessel:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, rows, hours = int(rng.integers(1, 6)), int(rng.integers(0, 6)), int(rng.integers(1, 3))
    demand = rng.exponential(size=(hours, rows, count))
    demand *= rng.random((hours, rows, count)) < 0.7
    least = rng.uniform(0.0, 0.5, (count, hours)) * (rng.random((count, hours)) < 0.4)
    owed = rng.uniform(0.0, 0.5, (count, hours)) * (rng.random((count, hours)) < 0.2)
    least = least - owed if granted else 0.0 * least  # a negative one gives room
    most = least + rng.uniform(0.0, 1.5, (count, hours)) * (rng.random((count, hours)) < 0.85)
    room = rng.uniform(-0.2 if granted else 0.0, 2.0, (rows, hours))
    room[rng.random((rows, hours)) < 0.15] = np.inf
    rate = np.ones((count, hours)) if alone else rng.uniform(0.3, 3.0, (count, hours))
    group = np.arange(count) if alone else rng.integers(0, 3, count)
    return Vessel(demand=demand, room=room, least=least, most=most, rate=rate, group=group)


@given(vessels())
@LAWS
def test_shares_stay_in_their_range_and_no_row_overflows(vessel: Vessel) -> None:
    share = vessel.filled()
    assert np.all(share >= vessel.least)
    assert np.all(share <= vessel.most)
    granted = np.minimum(vessel.left(vessel.least), 0.0)
    assert np.all(vessel.left(share) >= granted - 1e-9)


@given(vessels())
@LAWS
def test_rows_that_are_over_full_stop_all_who_enter_them(vessel: Vessel) -> None:
    share = vessel.filled()
    full = vessel.left(vessel.least) < -1e-9
    stopped = ((vessel.demand.transpose(1, 2, 0) > 0.0) & full[:, None, :]).any(axis=0)
    np.testing.assert_allclose(share[stopped], vessel.least[stopped], atol=1e-12)


@given(vessels(alone=True))
@LAWS
def test_every_share_is_stopped_by_something(vessel: Vessel) -> None:
    """Pareto: at its most, or in a row without room."""
    share = vessel.filled()
    room = vessel.left(share)
    full = np.where(np.isfinite(room), room, 1.0) <= 1e-9
    enters = (vessel.demand.transpose(1, 2, 0) > 0.0) & full[:, None, :]
    assert np.all((share >= vessel.most - 1e-9) | enters.any(axis=0))


@given(vessels(alone=True, granted=False))
@LAWS
def test_no_share_can_rise_without_lowering_one_that_is_not_larger(vessel: Vessel) -> None:
    share = vessel.filled()
    for h in range(share.shape[1]):
        rows = np.isfinite(vessel.room[:, h])
        for k in range(len(share)):
            low = np.where(share[:, h] <= share[k, h] + 1e-9, share[:, h], vessel.least[:, h])
            goal = np.zeros(len(share))
            goal[k] = -1.0
            found = linprog(
                goal,
                A_ub=vessel.demand[h, rows] if rows.any() else None,
                b_ub=vessel.room[rows, h] + 1e-12 if rows.any() else None,
                bounds=list(
                    zip(np.minimum(low, vessel.most[:, h]), vessel.most[:, h], strict=True)
                ),
            )
            assert found.status == 0
            assert -found.fun <= share[k, h] + 1e-6


@given(vessels(alone=True), st.floats(0.01, 100.0))
@LAWS
def test_units_do_not_matter(vessel: Vessel, unit: float) -> None:
    other = replace(
        vessel,
        demand=unit * vessel.demand,
        room=np.where(np.isfinite(vessel.room), unit * vessel.room, np.inf),
    )
    np.testing.assert_allclose(other.filled(), vessel.filled(), atol=1e-9)


@given(st.integers(0, 10**6))
@LAWS
def test_one_row_has_a_closed_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    demand, room = rng.exponential(size=(1, 1, count)), rng.exponential(size=(1, 1))
    least, most, rate = np.zeros((count, 1)), np.ones((count, 1)), np.ones((count, 1))
    share = fill(demand, room, least, most, rate, np.zeros(count, dtype=np.int64))
    np.testing.assert_allclose(share, min(room[0, 0] / demand.sum(), 1.0), atol=1e-12)


@pytest.mark.parametrize("participants", [0, 3])
def test_without_rows_everybody_gets_all(participants: int) -> None:
    most = np.ones((participants, 2))
    empty = np.empty((2, 0, participants))
    share = fill(empty, np.empty((0, 2)), 0.0 * most, most, most, np.arange(participants))
    np.testing.assert_array_equal(share, most)
