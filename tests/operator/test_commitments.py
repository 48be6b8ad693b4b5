"""Commitments: what a participant will inject at least makes room for the others."""

import numpy as np
import pytest

from peergrid.market.admm import Settings
from peergrid.market.clearing import clear
from peergrid.operator.negotiate import inside, negotiate
from peergrid.study.library import load_case

CAREFUL = Settings(max_iterations=4000).tightened(1e-5)


@pytest.fixture(scope="module")
def outcomes() -> dict[bool, tuple[float, object]]:
    case = load_case("ieee33")
    limits, found = case.limits, {}
    for commits in (False, True):
        room = case.room.committing() if commits else case.room
        proof = negotiate(case.problem, limits, room, CAREFUL)
        cleared = clear(inside(case.problem, proof.boxes, room), CAREFUL, proof.found.clearing.warm)
        found[commits] = (cleared.objective_eur, proof)
    return found


def test_commitments_never_cost_more(outcomes: dict[bool, tuple[float, object]]) -> None:
    assert outcomes[True][0] <= outcomes[False][0] + 1e-4 * abs(outcomes[False][0])


def test_a_committed_box_lies_on_one_side_of_zero(
    outcomes: dict[bool, tuple[float, object]],
) -> None:
    free, committed = outcomes[False][1].boxes, outcomes[True][1].boxes
    assert (free.p_min_kw <= 1e-6).all()
    assert (free.p_max_kw >= -1e-6).all()
    assert (committed.p_min_kw > 1.0).any() or (committed.p_max_kw < -1.0).any()


def test_corners_are_safe(outcomes: dict[bool, tuple[float, object]]) -> None:
    for _, proof in outcomes.values():
        assert np.nanmax(proof.violation_pu) <= 1e-5
        assert np.nanmax(proof.overload) <= 1e-3
