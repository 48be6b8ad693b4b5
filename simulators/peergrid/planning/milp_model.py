"""The programme of a planning problem, its answer as a plan, and why there may be none."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.milp.model import Answer, Limits, Model, within
from peergrid.milp.solve import solve
from peergrid.planning.figures import figures_of
from peergrid.planning.milp_network import Reference, network_blocks, network_terms
from peergrid.planning.milp_terms import building_blocks, building_terms, costs_of, whole_values
from peergrid.planning.plan import LEAST_SIZE, Plan
from peergrid.planning.problem import Problem, Storage

Floats = NDArray[np.float64]
BURNT_KW = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """An answer of the programme.

    Parameters
    ----------
    plan
        Its plan.
    objective, bound
        As the programme has them.
    burns
        Whether a storage charges and discharges at once, which only the programme can.
    inflates
        Whether losses are more than the flows cause, which only the programme can.
    """

    plan: Plan
    objective: float
    bound: float
    burns: bool
    inflates: bool


def model_of(problem: Problem, reference: Reference, *, modes: bool) -> Model:
    """The programme around a reference; ``modes``: with whole numbers for directions."""
    blocks = {**building_blocks(problem, modes=modes), **network_blocks(problem, reference)}
    terms = [*building_terms(problem), *network_terms(problem, reference)]
    return Model(blocks=blocks, terms=terms, costs=costs_of(problem))


def answered(model: Model, limits: Limits, reference: Reference, start: Plan | None) -> Answered:
    """Solve a model around a reference, from a plan if there is one.

    Raises
    ------
    SolverError
        If there is no plan (with the limits that cannot be kept), or none was found in time.
    """
    problem = reference.problem
    begin = None if start is None else whole_of(model, start)
    try:
        answer = solve(model, limits, start=begin)
    except SolverError as error:
        if "infeasible" not in str(error):
            raise
        raise SolverError(explained(problem)) from error
    return Answered(
        plan=plan_of_values(problem, answer.values),
        objective=answer.objective_eur,
        bound=answer.bound_eur,
        burns=_burns(problem, answer),
        inflates=problem.objective == "cost"
        and not reference.tight
        and reference.inflates(answer.values["flow"], answer.values["loss"]),
    )


def keeping(model: Model, plan: Plan) -> Model:
    """The same programme with the whole numbers of a plan given."""
    return model.fixed(whole_of(model, plan))


def whole_of(model: Model, plan: Plan) -> dict[str, Floats]:
    """Values of the blocks of whole numbers in a plan."""
    return {
        name: within(block, whole_values(plan, name))
        for name, block in model.blocks.items()
        if block.integer
    }


def plan_of_values(problem: Problem, values: Mapping[str, Floats]) -> Plan:
    """Sizes and powers of an answer; nothing at sites that are not built."""
    size, p_kw = {}, {}
    for technology in problem.technologies:
        found = values[f"size {technology.name}"][:, 0]
        found = np.where(found > LEAST_SIZE, found, 0.0)
        size[technology.name] = found
        if isinstance(technology, Storage):
            given = values[f"discharge {technology.name}"]
            taken = values[f"charge {technology.name}"]
            p_kw[technology.name] = np.where(found[:, None] > 0.0, given - taken, 0.0)
    return Plan(problem=problem, size=size, p_kw=p_kw)


def _burns(problem: Problem, answer: Answer) -> bool:
    return any(
        float(
            np.minimum(answer.values[f"charge {s.name}"], answer.values[f"discharge {s.name}"]).max(
                initial=0.0
            )
        )
        > BURNT_KW
        for s in problem.storages
    )


def explained(problem: Problem) -> str:
    """What an infeasible programme means to who wrote the problem."""
    text = (
        f"{problem.name}: no plan keeps voltages within {problem.v_min_pu:g} to "
        f"{problem.v_max_pu:g} pu and currents within {100.0 * problem.max_loading:g} % of their "
        "ratings"
    )
    base = figures_of(Plan.nothing(problem))
    if base.violation_pu > 0.0:
        text += (
            f"; without a plan voltages are {base.v_min_pu.min():.4f} to {base.v_max_pu.max():.4f} "
            f"pu and loadings up to {100.0 * base.loading.max():.1f} %"
        )
    return text + ": widen the limits, or allow more sites, sizes, candidate buses or budget"
