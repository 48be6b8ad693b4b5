"""A model as sparse rows, given to HiGHS directly."""

import time
from collections.abc import Mapping

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from peergrid.errors import SolverError
from peergrid.milp.affine import Rows
from peergrid.milp.algebra import Sparse
from peergrid.milp.model import Answer, Limits, Model, TimeLimitError, within

Floats = NDArray[np.float64]
USABLE = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kTimeLimit)
CONTINUOUS, WHOLE = highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger


def solve_directly(model: Model, limits: Limits, start: Mapping[str, Floats] | None) -> Answer:
    """Build the rows and solve; see :func:`peergrid.milp.solve.solve`."""
    begun = time.perf_counter()
    programme = programme_of(model)
    built = time.perf_counter()
    solver = solver_of(programme, limits)
    if start is not None:
        point = highspy.HighsSolution()
        parts = [start.get(name, block.lower).ravel() for name, block in model.blocks.items()]
        point.col_value = np.concatenate(parts)
        solver.setSolution(point)
    solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    if status not in USABLE or not np.isfinite(info.objective_function_value):
        late = status == highspy.HighsModelStatus.kTimeLimit
        failure = TimeLimitError if late else SolverError
        raise failure(f"HiGHS: {solver.modelStatusToString(status).lower()}: no solution")
    whole = any(block.integer and block.lower.size for block in model.blocks.values())
    cost = float(info.objective_function_value)
    return Answer(
        values=values_of(solver, model),
        objective_eur=cost,
        bound_eur=float(info.mip_dual_bound) if whole else cost,
        is_optimal=status == highspy.HighsModelStatus.kOptimal,
        columns=programme.num_col_,
        rows=programme.num_row_,
        binaries=model.binaries,
        build_s=built - begun,
        solve_s=time.perf_counter() - built,
    )


def programme_of(model: Model, *, relaxed: bool = False) -> highspy.HighsLp:
    """The rows and columns of a model; ``relaxed``: without whole numbers."""
    of = Sparse()
    x = of.columns(model.blocks)
    found: list[Rows] = [rows for term in model.terms for rows in term(x, of)]
    costs = [cost(x, of) for cost in model.costs]
    matrix = sparse.csr_array(sparse.vstack([rows.matrix for rows in found], format="csr"))
    matrix.eliminate_zeros()
    blocks = list(model.blocks.values())
    lp = highspy.HighsLp()
    lp.num_row_, lp.num_col_ = matrix.shape
    lp.col_cost_ = np.sum([np.asarray(cost.matrix.sum(axis=0)).ravel() for cost in costs], axis=0)
    lp.offset_ = float(sum(cost.constant.sum() for cost in costs))
    lp.col_lower_ = np.concatenate([block.lower.ravel() for block in blocks])
    lp.col_upper_ = np.concatenate([block.upper.ravel() for block in blocks])
    lp.row_lower_ = np.concatenate([rows.lower for rows in found])
    lp.row_upper_ = np.concatenate([rows.upper for rows in found])
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = matrix.indptr
    lp.a_matrix_.index_ = matrix.indices
    lp.a_matrix_.value_ = matrix.data
    if not relaxed:
        kinds = (
            WHOLE if block.integer else CONTINUOUS for block in blocks for _ in block.lower.flat
        )
        lp.integrality_ = list(kinds)
    return lp


def solver_of(programme: highspy.HighsLp, limits: Limits) -> highspy.Highs:
    """HiGHS with a programme in it."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in limits.options.items():
        solver.setOptionValue(option, value)
    solver.passModel(programme)
    return solver


def values_of(solver: highspy.Highs, model: Model) -> dict[str, Floats]:
    """The solver's solution by block, inside its bounds to the bit."""
    found = model.by_block(np.array(solver.getSolution().col_value))
    return {name: within(block, found[name]) for name, block in model.blocks.items()}
