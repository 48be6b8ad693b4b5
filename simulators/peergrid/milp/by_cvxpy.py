"""A model as a problem of cvxpy, which gives it to HiGHS."""

import time

import cvxpy
import numpy as np

from peergrid.errors import SolverError
from peergrid.milp.algebra import Cvxpy
from peergrid.milp.model import Answer, Limits, Model, within


def solve_by_cvxpy(model: Model, limits: Limits) -> Answer:
    """Build the expressions and solve; see :func:`peergrid.milp.solve.solve`."""
    begun = time.perf_counter()
    of = Cvxpy()
    x = of.columns(model.blocks)
    found = [row for term in model.terms for row in term(x, of)]
    total = sum(
        (cvxpy.sum(cost) for cost in (cost(x, of) for cost in model.costs) if cost.size), 0.0
    )
    problem = cvxpy.Problem(cvxpy.Minimize(total), found)
    data, chain, inverse = problem.get_problem_data(cvxpy.HIGHS)
    built = time.perf_counter()
    try:
        raw = chain.solve_via_data(problem, data, solver_opts=limits.options)
        problem.unpack_results(raw, chain, inverse)
    except cvxpy.SolverError as error:
        raise SolverError(f"cvxpy with HiGHS: {error}") from error
    if problem.status not in (cvxpy.OPTIMAL, cvxpy.USER_LIMIT) or problem.value is None:
        raise SolverError(f"cvxpy with HiGHS: {problem.status}: no solution")
    info, cost = problem.solver_stats.extra_stats, float(problem.value)
    # the bound leaves out the constant that cvxpy keeps to itself
    bound = float(info.mip_dual_bound + cost - info.objective_function_value)
    values = {name: np.asarray(getattr(found, "value", found)) for name, found in x.items()}
    return Answer(
        values={name: within(block, values[name]) for name, block in model.blocks.items()},
        objective_eur=cost,
        bound_eur=bound if problem.is_mixed_integer() else cost,
        is_optimal=problem.status == cvxpy.OPTIMAL,
        columns=problem.size_metrics.num_scalar_variables,
        rows=problem.size_metrics.num_scalar_eq_constr + problem.size_metrics.num_scalar_leq_constr,
        binaries=model.binaries,
        build_s=built - begun,
        solve_s=time.perf_counter() - built,
    )
