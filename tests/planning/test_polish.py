"""A linear programme has the last word on sizes and powers, never on the buses of a search."""

from dataclasses import replace

import numpy as np
import pytest

from peergrid.planning.evaluate import Evaluator
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.genes import plan_of
from peergrid.planning.methods import Settings, plan_by
from peergrid.planning.milp import CLEAN_PU, DEFAULT
from peergrid.planning.plan import LEAST_SIZE, Plan
from peergrid.planning.polish import polished
from peergrid.planning.problem import Problem
from peergrid.planning.search import SearchSettings, search
from tests.planning.problems import day


def searched(problem: Problem) -> Figures:
    evaluator = Evaluator(problem)
    settings = SearchSettings(budget=2000)
    found = search("de", evaluator, evaluator.n_genes, seed=3, settings=settings)
    return figures_of(plan_of(problem, found.genes))


def buses(plan: Plan) -> dict[str, set[int]]:
    return {
        t.name: set(t.rows[plan.size[t.name] > LEAST_SIZE].tolist())
        for t in plan.problem.technologies
    }


@pytest.mark.parametrize("objective", ["cost", "traded"])
def test_it_is_better_at_the_same_buses(objective: str) -> None:
    before = searched(day(objective=objective))
    after = polished(before, DEFAULT)
    assert after.plan.problem is before.plan.problem
    assert after.score < before.score
    assert after.violation_pu <= CLEAN_PU
    for technology in before.problem.technologies:
        old, new = buses(before.plan)[technology.name], buses(after.plan)[technology.name]
        if len(old) == technology.slots:
            assert new <= old


def test_what_no_programme_mends_stays_as_it_is() -> None:
    impossible = replace(day(), v_min_pu=1.03, v_max_pu=1.04)
    before = figures_of(plan_of(impossible, np.full(Evaluator(impossible).n_genes, 0.4)))
    assert polished(before, DEFAULT) is before


def test_what_the_search_found_alone_is_kept_beside_it() -> None:
    problem, few = day(), SearchSettings(budget=2000)
    polished_too = plan_by("ga", problem, seed=2, settings=Settings(search=few))
    alone = plan_by("ga", problem, seed=2, settings=Settings(search=few, polish=False))
    assert alone.score == alone.searched_score == polished_too.searched_score
    assert polished_too.score < alone.score
