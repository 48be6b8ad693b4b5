"""What crosses between coordinator and agents in a clearing: all of it is listed here.

The coordinator gets the agents through a gate that passes the names of ``CROSSES`` and nothing
else, notes each call, and checks that what is sent and what comes back has the shape stated there.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from peergrid.devices.flexibility import parse
from peergrid.errors import ModelError
from peergrid.market.admm import Settings
from peergrid.market.agents import Agents
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.participant import Participants
from peergrid.market.problem import Grid, Problem
from peergrid.market.result import Clearing
from peergrid.network.library import load_feeder

STEPS = 12
AGENTS, BLOCK = "agents", "block"  # a new crowd behind a gate; a coupling block behind one
Shape = str | tuple[str, ...]

# name -> (shapes of what is sent, shape of the answer), with R resources, A rows of proposals
# (active powers, then reactive), T steps, J rows of second proposals, C appliances with cycles
CROSSES: dict[str, tuple[tuple[Shape, ...], Shape]] = {
    # facts, asked once: step length, who offers how many rows of which reach
    "dt_h": ((), ()),
    "row_size_kw": ((), ("A",)),
    "row_resource": ((), ("A",)),
    "is_foldable": ((), ("R",)),
    "cycling": ((), ("C",)),
    "follow_kvar_per_kw": ((), ("R",)),
    # the iteration: targets and weights out, proposals back
    "reference_kw": ((), ("A", "T")),
    "propose": ((("A", "T"), ("A",)), ("A", "T")),
    "inverters": ((), BLOCK),
    "inverters.rows": ((), ("J", "A")),
    "inverters.offset_kw": ((), ("J", "T")),
    "inverters.size_kw": ((), ("J",)),
    "inverters.propose": ((("J", "T"), ("J",)), ("J", "T")),
    # the report: prices out, one number per resource back
    "reactive_kvar": ((("A", "T"),), ("R", "T")),
    "cost": ((("R", "T"),), ("R",)),
    "reactive_cost": ((("R", "T"),), ("R",)),
    "best_value": ((("A", "T"),), ("R",)),
    "inverters.support": ((("J", "T"),), ()),
    "worth_of_limits": ((AGENTS, ("R", "T"), ("R", "T")), ("R", "T")),
    # commands: answer from now on within limits, active power only, with cycles fixed
    "within": ((("R", "T"), ("R", "T")), AGENTS),
    "without_reactive": ((), AGENTS),
    "with_best_starts": ((("A", "T"), ("A",)), AGENTS),
}
PRIVATE = (
    *("p_min_kw", "p_max_kw", "p_ref_kw", "linear_eur_per_kwh", "wear_eur_per_kwh"),
    *("quadratic_eur_per_kw2h", "discomfort_eur_per_kw2h", "stores", "storage", "cycles"),
    *("reactive", "shape", "size_kw", "burning_kw", "unreachable"),
)


class Gate:
    """Agents, or a block that they answer with, of which only ``CROSSES`` can be reached."""

    def __init__(self, inside: Any, prefix: str, dims: dict[str, int], log: Counter[str]) -> None:
        self._inside, self._prefix, self._dims, self._log = inside, prefix, dims, log

    def __getattr__(self, name: str) -> Any:
        full = self._prefix + name
        if full not in CROSSES:
            raise AssertionError(f"the coordinator reached for {full}")
        sent, back = CROSSES[full]
        value = getattr(self._inside, name)
        if not callable(value):
            assert sent == ()
            return self._passed(full, value, back)

        def call(*arguments: Any) -> Any:
            assert len(arguments) == len(sent), f"{full} takes {sent}"
            for argument, shape in zip(arguments, sent, strict=True):
                self._check(full, argument, shape)
            opened = [a._inside if isinstance(a, Gate) else a for a in arguments]
            return self._passed(full, value(*opened), back)

        return call

    def _passed(self, name: str, value: Any, shape: Shape) -> Any:
        self._log[name] += 1
        if shape == AGENTS:
            return gate(value, self._log)
        if shape == BLOCK:
            return Gate(value, f"{name}.", self._dims | {"J": len(value.rows)}, self._log)
        self._check(name, value, shape)
        return value

    def _check(self, name: str, value: Any, shape: Shape) -> None:
        if isinstance(shape, str):
            assert isinstance(value, Gate), f"{name}: {shape} expected"
            return
        assert np.asarray(value).dtype.kind in "fib", f"{name}: numbers only"
        assert np.shape(value) == tuple(self._dims[d] for d in shape), f"{name}: not {shape}"


def gate(agents: Agents, log: Counter[str]) -> Any:
    resources, steps = agents.shape
    rows, cycling = len(agents.row_resource), len(agents.cycling)
    return Gate(agents, "", {"R": resources, "A": rows, "T": steps, "C": cycling}, log)


def community(*, appliances: bool = True) -> Problem:
    """One resource of each kind: inverters, storage, appliances, elastic load; envelopes too."""
    hour = np.arange(STEPS)
    peak = (300.0 * np.maximum(np.sin(hour / STEPS * np.pi), 0.0)).tolist()
    flat: Callable[[float], list[float]] = lambda level: [level] * STEPS  # noqa: E731
    store = {"e_min_kwh": 10.0, "e_max_kwh": 200.0, "e_now_kwh": 100.0, "eta_charge": 0.95}
    messages: list[dict[str, Any]] = [
        {"p_min_kw": flat(0.0), "p_max_kw": peak, "q": {"disc_kva": 320.0, "min_pf": 0.9}},
        {"kind": "FRBC", "p_min_kw": flat(-50.0), "p_max_kw": flat(50.0), **store},
        {"p_min_kw": flat(0.0), "p_max_kw": flat(80.0), "q": {"box": [-30.0, 30.0]}},
        {"p_min_kw": flat(-40.0), "p_max_kw": flat(0.0), "p_ref_kw": flat(-30.0)},
        {"kind": "PPBC", "p_min_kw": flat(-9.0), "p_max_kw": flat(0.0)},
    ]
    messages[1]["cost"] = {"wear": 0.005}
    messages[2]["cost"] = {"linear": 0.15, "quadratic": 0.0003}
    messages[3]["cost"] = {"discomfort_eur_per_kw2h": 0.004}
    messages[4]["profiles"] = [{"p_kw": [9.0, 4.0], "earliest": 1, "latest": 11, "count": 2}]
    if not appliances:
        messages.pop()
    parsed = [parse({"kind": "PEBC", "t0_s": 0, "dt_s": 3600, **m}) for m in messages]
    feeder = load_feeder("ieee33")
    firm = -np.array([[20.0], [60.0], [30.0], [15.0]]) * (1.0 + 0.3 * np.cos(hour))
    limits = np.full(firm.shape, np.inf)
    box_max = limits.copy()
    box_max[0], box_max[1] = 150.0, 40.0
    return Problem(
        agents=build_agents(parsed, STEPS, 1.0),
        owner=np.array([0, 1, 1, 2, 3])[: len(parsed)],
        pool=np.zeros(4, dtype=np.int64),
        firm_kw=firm,
        price_import_eur_per_kwh=0.25 + 0.05 * np.sin(hour),
        price_feed_in_eur_per_kwh=np.full(STEPS, 0.05),
        box_min_kw=-limits,
        box_max_kw=box_max,
        grid=Grid.of(feeder, np.array([17, 24, 32, 5]), 0.3 * firm, v_min_pu=0.9, v_max_pu=1.01),
    )


def behind_a_gate(network: Any, problem: Problem) -> tuple[Clearing, Counter[str]]:
    log: Counter[str] = Counter()
    gated = replace(problem, agents=gate(problem.agents, log))
    return clear(gated, Settings(max_iterations=120), network=network), log


def arrays(value: Any) -> list[Any]:
    """All that a nested result holds."""
    if is_dataclass(value) and not isinstance(value, type):
        return [part for item in fields(value) for part in arrays(getattr(value, item.name))]
    return [value]


@pytest.mark.parametrize("network", ["none", "envelope", "ac"])
def test_nothing_else_crosses(network: Any) -> None:
    problem = community()
    found, log = behind_a_gate(network, problem)
    known = clear(problem, Settings(max_iterations=120), network=network)
    np.testing.assert_array_equal(found.schedule_kw, known.schedule_kw)
    assert found.lower_bound_eur == known.lower_bound_eur
    assert np.isfinite(found.lower_bound_eur)
    assert log["propose"] == found.iterations
    assert log["with_best_starts"] == 1
    unused = {"follow_kvar_per_kw"} | ({"without_reactive"} if network == "ac" else set())
    assert set(log) == set(CROSSES) - unused


@pytest.mark.parametrize("network", ["none", "envelope", "ac"])
def test_prices_need_no_second_look_at_the_agents(network: Any) -> None:
    """Without appliances an iteration is one proposal; dual values are asked when it is judged."""
    found, log = behind_a_gate(network, community(appliances=False))
    assert log["propose"] == found.iterations
    assert log["best_value"] <= found.iterations // Settings().check_every + 1
    assert "with_best_starts" not in log


@pytest.mark.parametrize("name", PRIVATE)
def test_private_data_cannot_be_reached(name: str) -> None:
    gated = gate(community().agents, Counter())
    assert hasattr(gated._inside, name)
    with pytest.raises(AssertionError, match=f"reached for {name}"):
        getattr(gated, name)
    with pytest.raises(AssertionError, match=r"reached for inverters\.reactive"):
        _ = gated.inverters().reactive


def test_the_central_solver_needs_what_is_private() -> None:
    problem = community()
    gated = replace(problem, agents=gate(problem.agents, Counter()))
    with pytest.raises(ModelError, match="keep to themselves"):
        clear(gated, method="central")


def test_the_protocol_asks_for_nothing_beyond_this_list() -> None:
    asked = {name for name in vars(Participants) if not name.startswith("_")}
    assert len(asked) >= 8
    assert asked <= set(CROSSES)


@pytest.mark.parametrize("network", ["none", "envelope", "ac"])
def test_the_result_holds_numbers_and_no_agent(network: Any) -> None:
    found, _ = behind_a_gate(network, community())
    for value in arrays(found):
        assert value is None or isinstance(value, np.ndarray | float | int | str | tuple)
