"""The flexibility message: what its reactive part may say, and how cycles are signed."""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from peergrid.devices.flexibility import compose, parse
from peergrid.devices.message_schema import MESSAGE_SCHEMA
from peergrid.errors import DataError

BASE = {"kind": "PEBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": [0.0], "p_max_kw": [5.0]}
GOOD: list[dict[str, Any]] = [
    {},
    {"box": [-1.0, 1.0]},
    {"box": (2.0, 2.0)},
    {"disc_kva": 6},
    {"min_pf": 1.0},
    {"box": [-1, 3], "disc_kva": 5.5, "min_pf": 0.9},
    {"box": [-1, 3], "cost": 0.002, "quadratic": 5e-7},
    {"disc_kva": 6, "cost": 0, "quadratic": 0},
    {"tan_phi": 0.4},
    {"tan_phi": -0.2, "box": [-1.0, 1.0]},
]
BAD: list[tuple[Any, str, str]] = [
    ([1.0], "q", "an object"),
    (4.0, "q", "an object"),
    ({"disk_kva": 5.0}, "q", "disc_kva"),
    ({"box": 1.0}, "q.box", "q_min_kvar"),
    ({"box": "ab"}, "q.box", "q_min_kvar"),
    ({"box": None}, "q.box", "q_min_kvar"),
    ({"box": [1.0]}, "q.box", "2 numbers"),
    ({"box": [-1.0, 0.0, 1.0]}, "q.box", "2 numbers"),
    ({"box": ["a", "b"]}, "q.box", "2 numbers"),
    ({"box": [1.0, -1.0]}, "q.box", "in this order"),
    ({"box": [-1.0, float("nan")]}, "q.box", "finite"),
    ({"box": [-float("inf"), 1.0]}, "q.box", "finite"),
    ({"disc_kva": 0.0}, "q.disc_kva", "above 0"),
    ({"disc_kva": -1.0}, "q.disc_kva", "above 0"),
    ({"disc_kva": float("nan")}, "q.disc_kva", "finite"),
    ({"disc_kva": "5"}, "q.disc_kva", "finite"),
    ({"disc_kva": True}, "q.disc_kva", "finite"),
    ({"disc_kva": None}, "q.disc_kva", "finite"),
    ({"min_pf": 0.0}, "q.min_pf", "at most 1"),
    ({"min_pf": 1.01}, "q.min_pf", "at most 1"),
    ({"min_pf": -0.9}, "q.min_pf", "at most 1"),
    ({"min_pf": float("nan")}, "q.min_pf", "finite"),
    ({"cost": -0.001}, "q.cost", "0 or more"),
    ({"cost": float("nan")}, "q.cost", "finite"),
    ({"cost": [0.1]}, "q.cost", "finite"),
    ({"quadratic": -1e-9}, "q.quadratic", "convex"),
    ({"quadratic": "1"}, "q.quadratic", "finite"),
    ({"tan_phi": float("inf")}, "q.tan_phi", "finite"),
    ({"tan_phi": True}, "q.tan_phi", "finite"),
    ({"tan_phi": None}, "q.tan_phi", "finite"),
]


@pytest.mark.parametrize("q", GOOD, ids=str)
def test_a_reactive_offer_is_kept_as_it_came(q: dict[str, Any]) -> None:
    assert parse({**BASE, "q": q}).q == q
    Draft202012Validator(MESSAGE_SCHEMA).validate(json.loads(json.dumps({**BASE, "q": q})))


def test_no_reactive_offer() -> None:
    assert parse(BASE).q is None
    assert parse({**BASE, "q": None}).q is None


@pytest.mark.parametrize(("q", "key", "remedy"), BAD, ids=[str(q) for q, _, _ in BAD])
def test_a_wrong_reactive_offer_names_its_key(q: Any, key: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        parse({**BASE, "q": q})
    assert caught.value.field == key
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "q",
    [
        {"box": [1.0]},
        {"disc_kva": 0},
        {"min_pf": 2},
        {"pf": 1},
        {"cost": -1},
        {"quadratic": -1},
        {"tan_phi": "0.4"},
    ],
    ids=str,
)
def test_the_schema_refuses_what_parse_refuses(q: dict[str, Any]) -> None:
    assert not Draft202012Validator(MESSAGE_SCHEMA).is_valid({**BASE, "q": q})


def test_cycles_state_consumption_as_positive() -> None:
    profile = MESSAGE_SCHEMA["properties"]["profiles"]["items"]["properties"]["p_kw"]
    assert "consumption positive" in profile["description"]
    parts = {"p_min_kw": np.full(2, -3.0), "p_max_kw": np.zeros(2)}
    cycle = {"p_kw": [3.0], "earliest": 0, "latest": 2, "count": 1}
    raw = compose(kind="PPBC", t0_s=0, dt_s=3600, profiles=[cycle], **parts)
    assert parse(raw).profiles == (cycle,)
