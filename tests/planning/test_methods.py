"""All methods through one interface."""

import json
from functools import cache

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.milp.model import Limits
from peergrid.planning.genes import genes_of
from peergrid.planning.methods import METHODS, Outcome, Settings, plan_by
from peergrid.planning.search import SearchSettings
from tests.planning.problems import broken_bounds, day

SETTINGS = Settings(
    search=SearchSettings(budget=1500),
    milp=Limits(gap=1e-3, time_limit_s=10.0, restarts=False),
)


@cache
def outcome(method: str, seed: int = 0) -> Outcome:
    return plan_by(method, day(), seed=seed, settings=SETTINGS)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_clean_plan_better_than_nothing(method: str) -> None:
    found = outcome(method)
    assert found.is_clean
    assert found.ac.max_v_error_pu < 1e-8
    assert broken_bounds(found.plan, tol=2e-6) == []
    assert found.score == found.figures.score < 2424.0
    assert found.plan.problem.objective == found.to_dict()["objective"]


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_plan_to_the_bit(method: str) -> None:
    one, again = outcome(method), plan_by(method, day(), seed=0, settings=SETTINGS)
    for name, size in one.plan.size.items():
        assert np.array_equal(size, again.plan.size[name])
    for name, power in one.plan.p_kw.items():
        assert np.array_equal(power, again.plan.p_kw[name])
    assert one.score == again.score


@pytest.mark.parametrize("method", METHODS)
def test_traces_fall(method: str) -> None:
    used, scores = np.array(outcome(method).trace).T
    assert np.all(np.diff(used) >= 0.0)
    assert np.all(np.diff(scores) <= 0.0)


def test_searches_with_other_seeds_find_other_plans() -> None:
    one, other = outcome("de", 1), outcome("de", 2)
    assert not np.array_equal(genes_of(one.plan), genes_of(other.plan))


def test_no_search_beats_the_bound_of_the_programme() -> None:
    exact = outcome("milp")
    assert exact.bound is not None
    assert exact.gap is not None
    assert exact.gap <= 1e-3
    for method in METHODS[1:]:
        assert outcome(method).score >= exact.bound


@pytest.mark.parametrize("method", METHODS)
def test_an_outcome_is_json(method: str) -> None:
    found = outcome(method)
    said = json.loads(json.dumps(found.to_dict()))
    assert said["method"] == method
    assert said["ac"]["clean"] is True
    labels = found.plan.problem.feeder.bus_id
    built = {(unit["technology"], unit["bus"]): unit["size"] for unit in said["built"]}
    assert built == {(u.technology.name, labels[u.row]): u.size for u in found.plan.units()}


@pytest.mark.parametrize("method", METHODS)
def test_progress_goes_from_nothing_to_at_most_one(method: str) -> None:
    told: list[float] = []
    few = day(technologies=day().technologies[:1])
    plan_by(method, few, settings=SETTINGS, progress=told.append)
    assert told == sorted(told)
    assert 0.0 <= told[0] <= told[-1] <= 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_problem_without_anything_to_build_is_answered(method: str) -> None:
    found = plan_by(method, day(technologies=()), settings=SETTINGS)
    assert found.is_clean
    assert found.to_dict()["built"] == []


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="milp, cheetah, ga, de, cmaes"):
        plan_by("guess", day())
