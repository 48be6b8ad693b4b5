"""What holds on any data, and what is only drawn."""

import numpy as np
import pytest

from peergrid.study.library import load_case
from peergrid.study.random_case import random_case
from peergrid.study.same_rows import on_same_rows


@pytest.mark.parametrize("seed", [1, 2, 8, 15])
def test_agreed_envelopes_cost_no_more_than_any_doe_on_the_same_rows(seed: int) -> None:
    found = on_same_rows(random_case(seed))
    assert len(found.doe_eur) == 6
    assert found.advantage >= -1e-6


def test_a_seed_stands_for_one_day() -> None:
    first, again, other = random_case(4), load_case("random:4"), random_case(5)
    np.testing.assert_array_equal(first.contract, again.contract)
    np.testing.assert_array_equal(first.problem.firm_kw, again.problem.firm_kw)
    assert first.contract.shape != other.contract.shape or (first.contract != other.contract).any()
