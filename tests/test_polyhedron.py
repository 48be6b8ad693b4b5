"""The nearest point of a polyhedron: optimality conditions, and an independent solver."""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.network.feeder import Floats
from peergrid.polyhedron import Nearest, nearest

LAWS = settings(max_examples=150, deadline=None, derandomize=True)
FEW = settings(max_examples=40, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """One projection of K coordinates on J rows in T hours."""

    point: Floats
    weight: Floats
    rows: Floats
    limit: Floats
    floor: Floats
    ceiling: Floats

    def solved(self) -> Nearest:
        return nearest(self.point, self.weight, self.rows, self.limit, self.floor, self.ceiling)

    def of_hour(self, h: int) -> "Task":
        one = slice(h, h + 1)
        rows = self.rows[one] if len(self.rows) > 1 else self.rows
        return Task(
            point=self.point[:, one],
            weight=self.weight,
            rows=rows,
            limit=self.limit[:, one],
            floor=self.floor[:, one],
            ceiling=self.ceiling[:, one],
        )


@st.composite
def tasks(draw: Any, *, spread: float = 1.0, positive: bool = False) -> Task:
    """Random rows with duplicates, parallel and empty ones; some hours have no feasible point."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, split, hours = int(rng.integers(1, 7)), int(rng.integers(0, 9)), int(rng.integers(1, 4))
    rows = rng.normal(size=(hours if rng.random() < 0.5 else 1, split, count))
    rows = np.abs(rows) if positive else rows
    limit = rng.normal(loc=0.5, size=(split, hours))
    for j in range(1, split):
        kind = rng.random()
        if kind < 0.15:
            rows[:, j], limit[j] = rows[:, j - 1], limit[j - 1]
        elif kind < 0.3:
            rows[:, j], limit[j] = 2.0 * rows[:, j - 1], 2.0 * limit[j - 1] + rng.normal(size=hours)
        elif kind < 0.4:
            rows[:, j], limit[j] = 0.0, np.abs(limit[j])
        elif kind < 0.5:
            limit[j] = np.inf
        elif kind < 0.6:
            rows[:, j] = np.round(rows[:, j])
    floor = rng.normal(loc=-1.5, size=(count, hours))
    ceiling = floor + rng.exponential(size=(count, hours)) * 2.0
    same = rng.random((count, hours)) < 0.15
    ceiling = np.where(same, floor, ceiling)
    free = rng.random((count, hours)) < 0.3
    return Task(
        point=2.0 * rng.normal(size=(count, hours)),
        weight=10.0 ** rng.uniform(-spread, spread, count),
        rows=rows,
        limit=limit,
        floor=np.where(free, -np.inf, floor),
        ceiling=np.where(rng.random((count, hours)) < 0.3, np.inf, ceiling),
    )


def assert_optimal(task: Task, found: Nearest, tolerance: float = 1e-8) -> None:
    """Conditions of Karush, Kuhn and Tucker in the hours that have a point, relative."""
    hours = np.flatnonzero(found.found)
    rows = np.broadcast_to(task.rows, (task.point.shape[1], *task.rows.shape[1:]))[hours]
    x, limit = found.x[:, hours], task.limit[:, hours]
    floor, ceiling = task.floor[:, hours], task.ceiling[:, hours]
    dual = found.multiplier[:, hours]
    low, high = found.floor_multiplier[:, hours], found.ceiling_multiplier[:, hours]
    size = 1.0 + np.abs(task.point[:, hours]).max(initial=0.0)
    used = np.einsum("tjk,kt->jt", rows, x)
    counts = np.isfinite(limit)
    left = np.where(counts, limit - used, 1.0)
    assert np.all(left >= -tolerance * size)
    assert np.all(x >= floor - tolerance * size)
    assert np.all(x <= ceiling + tolerance * size)
    assert np.all(dual >= 0.0)
    assert np.all(low >= 0.0)
    assert np.all(high >= 0.0)
    pull = task.weight[:, None] * (x - task.point[:, hours])
    parts = (pull, np.einsum("tjk,jt->kt", rows, dual), high, low)
    scale = sum(np.abs(part) for part in parts) + task.weight[:, None]
    assert np.all(np.abs(parts[0] + parts[1] + parts[2] - parts[3]) <= tolerance * scale)
    force = 1.0 + max(np.abs(p).max(initial=0.0) for p in (dual, low, high))
    assert np.all(dual[~counts] == 0.0)
    assert np.all(np.where(dual > tolerance * force, np.abs(left), 0.0) <= tolerance * size)
    with np.errstate(invalid="ignore"):
        assert np.all(np.where(low > tolerance * force, x - floor, 0.0) <= tolerance * size)
        assert np.all(np.where(high > tolerance * force, ceiling - x, 0.0) <= tolerance * size)


def by_cvxpy(task: Task) -> Floats | None:
    """Answer of the first hour from an interior-point solver; None if there is no point."""
    x = cp.Variable(len(task.point))
    low, high = np.isfinite(task.floor[:, 0]), np.isfinite(task.ceiling[:, 0])
    counts = np.isfinite(task.limit[:, 0])
    rules = []
    if counts.any():
        rules.append(task.rows[0][counts] @ x <= task.limit[counts, 0])
    if low.any():
        rules.append(x[low] >= task.floor[low, 0])
    if high.any():
        rules.append(x[high] <= task.ceiling[high, 0])
    root = np.sqrt(task.weight / task.weight.max())
    goal = cp.sum_squares(cp.multiply(root, x - task.point[:, 0])) / 2.0
    problem = cp.Problem(cp.Minimize(goal), rules)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return None if "infeasible" in problem.status else np.asarray(x.value)


@given(tasks())
@LAWS
def test_answers_are_optimal(task: Task) -> None:
    assert_optimal(task, task.solved())


@given(tasks(spread=3.0))
@LAWS
def test_answers_are_optimal_with_very_different_weights(task: Task) -> None:
    assert_optimal(task, task.solved(), 1e-7)


@given(tasks(spread=3.0, positive=True))
@LAWS
def test_answers_are_optimal_for_rows_without_signs(task: Task) -> None:
    assert_optimal(task, task.solved(), 1e-7)


@given(tasks())
@FEW
def test_an_interior_point_solver_agrees(task: Task) -> None:
    found = task.solved()
    for h in range(task.point.shape[1]):
        other = by_cvxpy(task.of_hour(h))
        assert found.found[h] == (other is not None)
        if other is not None:
            np.testing.assert_allclose(found.x[:, h], other, atol=2e-5)


@given(tasks())
@LAWS
def test_each_hour_is_on_its_own(task: Task) -> None:
    found = task.solved()
    for h in range(task.point.shape[1]):
        alone = task.of_hour(h).solved()
        assert alone.found[0] == found.found[h]
        np.testing.assert_array_equal(alone.x[:, 0], found.x[:, h])
        np.testing.assert_array_equal(alone.multiplier[:, 0], found.multiplier[:, h])


@given(tasks())
@LAWS
def test_a_point_inside_stays_where_it_is(task: Task) -> None:
    first = task.solved()
    again = Task(**{**vars(task), "point": np.where(first.found, first.x, 0.0)}).solved()
    hours = np.flatnonzero(first.found)
    np.testing.assert_allclose(again.x[:, hours], first.x[:, hours], atol=1e-9)


def only(limit: list[float], rows: list[list[float]], **bounds: list[float]) -> Nearest:
    """Project the origin plus one, with unit weights."""
    table = np.array([rows], dtype=np.float64)
    count = table.shape[2]
    floor = np.array(bounds.get("floor", [-np.inf] * count))[:, None]
    ceiling = np.array(bounds.get("ceiling", [np.inf] * count))[:, None]
    one = np.ones((count, 1))
    return nearest(one, np.ones(count), table, np.array(limit)[:, None], floor, ceiling)


@pytest.mark.parametrize(
    ("limit", "rows", "bounds"),
    [
        ([-1.0], [[0.0, 0.0]], {}),
        ([-1.0, -1.0], [[1.0, 0.0], [-1.0, 0.0]], {}),
        ([0.5], [[1.0, 1.0]], {"floor": [0.5, 0.5]}),
        ([np.inf], [[1.0, 1.0]], {"floor": [2.0, 0.0], "ceiling": [1.0, 0.0]}),
    ],
)
def test_an_empty_polyhedron_is_told(
    limit: list[float], rows: list[list[float]], bounds: dict[str, list[float]]
) -> None:
    assert not only(limit, rows, **bounds).found[0]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_copies_of_a_row_share_its_worth(copies: int) -> None:
    found = only([1.0] * copies, [[1.0, 1.0]] * copies)
    np.testing.assert_allclose(found.x[:, 0], [0.5, 0.5])
    assert found.multiplier.sum() == pytest.approx(0.5)


def test_a_vertex_with_more_rows_than_coordinates() -> None:
    found = only([0.0, 0.0, 0.0, 0.0], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    np.testing.assert_allclose(found.x[:, 0], [0.0, 0.0], atol=1e-12)
    assert found.found[0]


def test_no_rows_at_all() -> None:
    none = np.empty((1, 0, 2))
    one = np.ones((2, 3))
    found = nearest(2.0 * one, np.ones(2), none, np.empty((0, 3)), 0.0 * one, one)
    np.testing.assert_array_equal(found.x, one)
    np.testing.assert_array_equal(found.ceiling_multiplier, one)
