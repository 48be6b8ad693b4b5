"""The algebra of affine expressions, and small programmes by both back ends."""

from collections.abc import Sequence
from typing import Any

import cvxpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from peergrid.errors import DataError, SolverError
from peergrid.milp.affine import Affine, Block, columns_of
from peergrid.milp.algebra import Algebra, Constraint, Cvxpy, Expression, Sparse
from peergrid.milp.by_highs import programme_of
from peergrid.milp.model import Limits, Model, Variables
from peergrid.milp.relaxed import Relaxed
from peergrid.milp.solve import BACK_ENDS, BackEnd, solve

Floats = NDArray[np.float64]


def value_of(found: Any, x: Floats) -> Floats:
    """An expression at a point."""
    if isinstance(found, Affine):
        return np.asarray((found.matrix @ x + found.constant).reshape(found.shape))
    return np.asarray(found.value)


def composed(a: Any, b: Any, of: Any, rng: np.random.Generator) -> list[Any]:
    """Everything terms do with expressions of ``(4, 6)`` and ``(2, 6)``."""
    dense, thin = rng.normal(size=(3, 4)), sparse.csr_array(np.eye(2, 4, k=1))
    table, row = rng.normal(size=(4, 6)), rng.normal(size=(4, 1))
    rows, columns = np.array([3, 1]), np.array([0, 0, 5])
    return [
        a + table,
        table - a,
        a - 2.0,
        1.0 - a,
        -a + row,
        row + a,
        dense @ a,
        thin @ a - b,
        a[rows, :],
        a[:, columns],
        a[rows, :][:, columns],
        of.weigh(table, a),
        of.weigh(row, a) + of.weigh(0.5, a),
        of.weigh(table[1], b),
        of.reshape(a, (8, 3)),
        of.reshape(dense @ a, (9, 2))[:, np.array([1, 0, 1])],
        thin @ of.weigh(table, a - row) + b,
    ]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_affine_is_what_cvxpy_and_numpy_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = {"a": Block.of((4, 6)), "b": Block.of((2, 6))}
    x = rng.normal(size=36)
    ours = columns_of(blocks)
    theirs = [cvxpy.Variable(block.shape) for block in blocks.values()]
    plain = [x[:24].reshape(4, 6), x[24:].reshape(2, 6)]
    for variable, known in zip(theirs, plain, strict=True):
        variable.value = known
    expressions = (
        composed(*ours.values(), Sparse(), np.random.default_rng(seed)),
        composed(*theirs, Cvxpy(), np.random.default_rng(seed)),
    )
    for one, other in zip(*expressions, strict=True):
        np.testing.assert_allclose(value_of(one, x), value_of(other, x), atol=1e-12)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_comparisons_are_rows_that_hold_where_they_are_true(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = columns_of({"a": Block.of((2, 3))})["a"]
    x, right = rng.integers(-2, 3, 6).astype(np.float64), rng.integers(-2, 3, (2, 3))
    table = x.reshape(2, 3)
    for rows, holds in (
        (a <= right, table <= right),
        (a >= right, table >= right),
        (a == right, table == right),
        (a - 1.0 <= -a, table - 1.0 <= -table),
        (right >= a, right >= table),
    ):
        at = rows.matrix @ x
        kept = (rows.lower - 1e-9 <= at) & (at <= rows.upper + 1e-9)
        np.testing.assert_array_equal(kept, holds.ravel())


def knapsack(*, spare: bool = True) -> Model:
    """Whole pieces of two sizes, as dear as can be, into 10; and a block without entries."""

    def fits(x: Variables, of: Algebra) -> Sequence[Constraint]:
        return [np.array([[3.0, 4.0]]) @ x["pieces"] + x["rest"] == 10.0]

    def gain(x: Variables, of: Algebra) -> Expression:
        return of.weigh(np.array([[-5.0], [-7.0]]), x["pieces"]) + 1.0

    def none(x: Variables, of: Algebra) -> Expression:
        return of.weigh(np.ones((0, 1)), x["nothing"])

    return Model(
        blocks={
            "pieces": Block.of((2, 1), 3.0, integer=True),
            "rest": Block.of((1, 1), 0.5 if not spare else np.inf),
            "nothing": Block.of((0, 1), 1.0, integer=True),
        },
        terms=[fits],
        costs=[gain, none],
    )


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_a_small_programme(back_end: BackEnd) -> None:
    answer = solve(knapsack(), Limits(gap=0.0), back_end=back_end)
    assert answer.objective_eur == pytest.approx(-17.0 + 2.0)  # 2 of 3 and 1 of 4
    assert answer.bound_eur == pytest.approx(answer.objective_eur)
    assert answer.values["pieces"].ravel().tolist() == [2.0, 1.0]
    assert answer.values["nothing"].shape == (0, 1)
    assert answer.is_optimal
    assert answer.gap == 0.0


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_without_whole_numbers_the_bound_is_the_cost(back_end: BackEnd) -> None:
    """An empty block of whole numbers makes no mixed-integer programme."""
    model = knapsack()
    pieces = Block.of((2, 1), 3.0)
    relaxed = Model(blocks={**model.blocks, "pieces": pieces}, terms=model.terms, costs=model.costs)
    answer = solve(relaxed, Limits(), back_end=back_end)
    assert answer.bound_eur == pytest.approx(answer.objective_eur)
    assert answer.objective_eur == pytest.approx(-7.0 * 2.5 + 2.0)
    assert answer.binaries == 0


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_nothing_that_fits_is_an_error(back_end: BackEnd) -> None:
    model = knapsack(spare=False).fixed({"pieces": np.ones((2, 1))})
    with pytest.raises(SolverError, match="infeasible"):
        solve(model, Limits(), back_end=back_end)


def test_an_unknown_back_end_is_refused() -> None:
    with pytest.raises(DataError, match="back_end"):
        solve(knapsack(), Limits(), back_end="glpk")  # type: ignore[arg-type]


def test_given_values_stay_and_a_start_is_taken() -> None:
    model = knapsack().fixed({"pieces": np.array([[0.0], [2.0]])})
    assert model.binaries == 0
    assert solve(model, Limits()).objective_eur == pytest.approx(-14.0 + 2.0)
    start = {"pieces": np.array([[2.0], [1.0]]), "rest": np.zeros((1, 1))}
    assert solve(knapsack(), Limits(), start=start).objective_eur == pytest.approx(-15.0)


def test_the_relaxation_gives_and_frees() -> None:
    relaxed = Relaxed(knapsack(), Limits())
    free, _ = relaxed.solve()
    assert free == pytest.approx(-7.0 * 2.5 + 2.0)
    relaxed.give("pieces", np.array([1]), 1.0)
    given, values = relaxed.solve()
    assert values["pieces"].ravel() == pytest.approx([2.0, 1.0])
    relaxed.give("pieces", np.array([0]), 3.0)
    assert relaxed.solve() == (np.inf, {})
    relaxed.free("pieces", np.array([0, 1]))
    again, _ = relaxed.solve()
    assert (again, given) == (pytest.approx(free), pytest.approx(-15.0))


def test_the_programme_that_the_solver_gets() -> None:
    programme = programme_of(knapsack())
    assert (programme.num_row_, programme.num_col_, programme.offset_) == (1, 3, 2.0)
    assert list(programme.col_cost_) == [-5.0, -7.0, 0.0]
