"""The negotiation by ADMM against the joint optimum that one solver finds who knows everything."""

import pytest

from peergrid.envelopes.rows import linear_rows
from peergrid.operator.negotiate import negotiated
from peergrid.study.methods import SETTINGS, loosened
from peergrid.study.random_case import random_case
from peergrid.study.same_rows import on_same_rows


@pytest.mark.parametrize("seed", [1, 2, 10, 15])
def test_a_negotiation_finds_the_joint_optimum(seed: int) -> None:
    case = random_case(seed)
    rows = linear_rows(case.limits, case.room.most)
    found = negotiated(case.problem, rows, case.room, loosened(SETTINGS), None)
    best = on_same_rows(case, ["proportional"]).joint_eur
    assert found.clearing.objective_eur == pytest.approx(best, rel=1e-5)
