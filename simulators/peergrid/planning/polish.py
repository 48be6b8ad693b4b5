"""The best sizes and operation at the buses that a search has chosen, by linear programming.

A search is good at where to build; how big and how to run follows exactly. For the cost it is a
programme with the candidates cut down to the buses of the plan; where the objective is trade, whole
numbers (sizes, directions, who sells) are kept as well.
"""

from dataclasses import replace

import numpy as np

from peergrid.errors import SolverError
from peergrid.milp.model import Limits
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.milp import CLEAN_PU, by_milp
from peergrid.planning.plan import LEAST_SIZE, Plan
from peergrid.planning.problem import Problem, Technology


def polished(figures: Figures, limits: Limits) -> Figures:
    """The plan at its own buses with the best sizes and powers; itself if none is better."""
    plan = figures.plan
    problem = replace(plan.problem, technologies=_at_home(plan))
    start = _moved(plan, problem) if problem.objective == "traded" else None
    try:
        found = by_milp(problem, limits=limits, start=start, rescue=False).plan
    except SolverError:
        return figures
    better = figures_of(_moved(found, plan.problem))
    broken = figures.violation_pu > CLEAN_PU
    is_clean = better.violation_pu <= CLEAN_PU
    return better if is_clean and (broken or better.score < figures.score) else figures


def _at_home(plan: Plan) -> tuple[Technology, ...]:
    """Technologies with the plan's buses for candidates; all of them while sites are left."""
    found = []
    for technology in plan.problem.technologies:
        built = plan.size[technology.name] > LEAST_SIZE
        rows = technology.rows[built] if built.sum() == technology.slots else technology.rows
        found.append(replace(technology, rows=rows))
    return tuple(found)


def _moved(plan: Plan, problem: Problem) -> Plan:
    """The same plan for the same problem with other candidates."""
    moved = Plan.nothing(problem)
    for old, new in zip(plan.problem.technologies, problem.technologies, strict=True):
        place = {int(row): k for k, row in enumerate(new.rows)}
        for k in np.flatnonzero(plan.size[old.name] > 0.0):
            if int(old.rows[k]) in place:
                at = place[int(old.rows[k])]
                moved.size[new.name][at] = plan.size[old.name][k]
                if old.name in plan.p_kw:
                    moved.p_kw[new.name][at] = plan.p_kw[old.name][k]
    return moved
