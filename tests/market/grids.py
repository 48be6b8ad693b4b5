"""Random communities on random feeders: drafts that can be permuted, scaled and then cleared.

All sizes are shares of what a bus of the feeder may draw, so that a draft on a feeder with a
thousand times the base power is a thousand times the draft.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.devices.flexibility import parse
from peergrid.market.build import build_agents
from peergrid.market.problem import Grid, Problem
from peergrid.network.feeder import Feeder
from peergrid.network.power_flow import PowerFlow, solve
from tests.strategies import Draw, radial_feeders

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Message = dict[str, Any]
BANDS = ("wide", "tight", "per bus", "current")
WHOLE = ("disc", "box", "both")  # capabilities that are convex whatever the sign of p
OFFERS = (*WHOLE, "pf", "all")
KINDS = ("pv", "vehicle", "battery", "generator", "elastic")
POWERS = ("p_min_kw", "p_max_kw", "p_ref_kw", "e_min_kwh", "e_max_kwh", "e_now_kwh", "demand_kwh")
BENT = ("quadratic", "discomfort_eur_per_kw2h")
FEEDER_POWERS = ("base_mva", "p_load_kw", "q_load_kvar", "i_max_ka", "i_max_parent_ka")


@dataclass(frozen=True, kw_only=True, eq=False)
class Draft:
    """N participants with R messages over T steps on a feeder, before it is made a problem."""

    feeder: Feeder
    at: Indices
    firm_kw: Floats
    firm_kvar: Floats
    messages: tuple[Message, ...]
    owner: Indices
    dt_h: float
    buy: Floats
    sell: Floats
    box_kw: tuple[Floats, Floats]
    limits: Mapping[str, Any]

    @property
    def has_cycles(self) -> bool:
        """Whether somebody runs cycles."""
        return any(message["kind"] == "PPBC" for message in self.messages)

    def problem(self) -> Problem:
        """What is to be cleared, the grid included."""
        parsed = [parse({**m, "t0_s": 0, "dt_s": 3600 * self.dt_h}) for m in self.messages]
        return Problem(
            agents=build_agents(parsed, self.firm_kw.shape[1], self.dt_h),
            owner=self.owner,
            pool=np.zeros(len(self.at), dtype=np.int64),
            firm_kw=self.firm_kw,
            price_import_eur_per_kwh=self.buy,
            price_feed_in_eur_per_kwh=self.sell,
            box_min_kw=self.box_kw[0],
            box_max_kw=self.box_kw[1],
            grid=Grid.of(self.feeder, self.at, self.firm_kvar, **self.limits),
        )


def flow_of(
    problem: Problem, schedule_kw: Floats, schedule_kvar: Floats | float = 0.0
) -> PowerFlow:
    """Exact power flow under a schedule ``(R, T)``."""
    grid = problem.grid
    assert grid is not None
    p_kw, q_kvar = grid.firm_injections(problem.firm_kw)
    spots = grid.at[problem.owner]
    np.add.at(p_kw, spots, schedule_kw)
    np.add.at(q_kvar, spots, np.broadcast_to(schedule_kvar, schedule_kw.shape))
    return solve(grid.feeder, p_kw, q_kvar)


@st.composite
def drafts(
    draw: Draw,
    *,
    bands: tuple[str, ...] = BANDS,
    kinds: tuple[str, ...] = KINDS,
    cycles: bool = False,
    offers: tuple[str, ...] = OFFERS,
    boxes: bool = False,
    max_bus: int = 8,
) -> Draft:
    """A community that has a schedule inside all limits, whole cycles included."""
    feeder = draw(radial_feeders(max_bus=max_bus))
    steps, dt_h = draw(st.integers(1, 8)), draw(st.sampled_from([0.25, 0.5, 1.0, 2.0]))
    band = draw(st.sampled_from(bands))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    if cycles:
        kinds = (*kinds, "cycles")
    free = _free(feeder, rng, steps, dt_h, kinds, offers)
    return _bounded(free, rng, band, boxes=boxes)


def _free(
    feeder: Feeder,
    rng: np.random.Generator,
    steps: int,
    dt_h: float,
    kinds: tuple[str, ...],
    offers: tuple[str, ...],
) -> Draft:
    """A community without limits of the network."""
    members = int(rng.integers(1, feeder.n_bus + 2))
    at = rng.integers(0, feeder.n_bus, members)
    swing = rng.uniform(0.2, 1.0, (members, steps))
    own = [int(rng.integers(0, 4)) if rng.random() < 0.8 else 0 for _ in range(members)]
    owner = np.repeat(np.arange(members), own)
    rng.shuffle(owner)
    messages = []
    for _ in owner:
        kind = str(rng.choice(kinds))
        size = 100.0 * feeder.base_mva * rng.uniform(0.05, 0.6)
        message = MAKERS[kind](rng, size, steps, dt_h)
        chosen = [o for o in offers if kind != "battery" or o in WHOLE]
        if chosen and kind in ("pv", "battery", "generator") and rng.random() < 0.6:
            message["q"] = _capability(rng, size, str(rng.choice(chosen)))
        messages.append(message)
    buy = rng.uniform(0.1, 0.4) + rng.uniform(0.0, 0.1, steps)
    margin = rng.uniform(0.0, 1.0, steps) if rng.random() < 0.5 else rng.uniform(0.0, 1.0)
    none = np.full((members, steps), np.inf)
    return Draft(
        feeder=feeder,
        at=at,
        firm_kw=-feeder.p_load_kw[at, None] * swing,
        firm_kvar=-feeder.q_load_kvar[at, None] * swing,
        messages=tuple(messages),
        owner=owner,
        dt_h=dt_h,
        buy=buy,
        sell=buy * margin,
        box_kw=(-none, none),
        limits={"v_min_pu": 0.5, "v_max_pu": 1.5},
    )


def _bounded(free: Draft, rng: np.random.Generator, band: str, *, boxes: bool) -> Draft:
    """The community with limits around the state under a schedule that all can follow."""
    problem = free.problem()
    schedule = feasible_kw(problem, 100.0 * free.feeder.base_mva)
    flow, limits = flow_of(problem, schedule), dict(free.limits)
    vm, room = flow.vm_pu[1:], float(rng.uniform(0.001, 0.01))
    if band == "wide":
        limits = {"v_min_pu": vm.min() - 0.1, "v_max_pu": vm.max() + 0.1}
    elif band == "tight":
        limits = {"v_min_pu": vm.min() - room, "v_max_pu": vm.max() + room}
    elif band == "per bus":
        low, high = flow.vm_pu.min(axis=1), flow.vm_pu.max(axis=1)
        limits = {"v_min_pu": low[:, None] - room, "v_max_pu": high[:, None] + room}
    else:
        most = np.abs(flow.j_pu).max(axis=1) + 100.0 * room * rng.uniform(0.05, 0.3)
        limits["loading"] = most / free.feeder.i_max_pu
    bounded = replace(free, limits=limits)
    if not boxes:
        return bounded
    position = problem.positions_kw(schedule)
    reach = 100.0 * free.feeder.base_mva * rng.uniform(0.05, 0.5, (2, *position.shape))
    reach[:, rng.random(len(position)) < 0.4] = np.inf
    return replace(bounded, box_kw=(position - reach[0], position + reach[1]))


def feasible_kw(problem: Problem, unit_kw: float) -> Floats:
    """A schedule ``(R, T)`` near what the resources would do, each private problem obeyed."""
    agents = problem.agents.without_reactive()
    target, weight = agents.reference_kw(), np.full(agents.shape[0], 1e3 / unit_kw)
    if len(agents.cycling):
        agents = agents.with_best_starts(target, weight)
    return agents.propose(target, weight)


def _capability(rng: np.random.Generator, size: float, kind: str) -> Message:
    q: Message = {}
    if kind in ("disc", "both", "all"):
        q["disc_kva"] = size * rng.uniform(1.0, 1.3)
    if kind in ("box", "both", "all"):
        q["box"] = [-size * rng.uniform(0.0, 0.6), size * rng.uniform(0.0, 0.6)]
    if kind in ("pf", "all"):
        q["min_pf"] = rng.uniform(0.8, 0.98)
    return q


def _pv(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    most = size * rng.uniform(0.0, 1.0, steps)
    cost = {"cut_cost": rng.uniform(0.0, 0.02)} if rng.random() < 0.5 else {}
    return _message("PEBC", 0.0 * most, most, p_ref_kw=(0.6 * most).tolist(), cost=cost)


def _generator(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    cost = {"linear": rng.uniform(0.05, 0.3), "quadratic": rng.uniform(0.01, 0.2) / size}
    return _message("PEBC", np.zeros(steps), np.full(steps, size), cost=cost)


def _elastic(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    wish = -size * rng.uniform(0.3, 1.0, steps)
    cost = {"discomfort_eur_per_kw2h": rng.uniform(0.02, 0.5) / size}
    return _message("PEBC", np.full(steps, -size), 0.0 * wish, p_ref_kw=wish.tolist(), cost=cost)


def _battery(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    hours = rng.uniform(0.5, 4.0)
    return _message(
        "FRBC",
        np.full(steps, -size),
        np.full(steps, size),
        e_min_kwh=[0.0] * steps + [0.3 * size * hours],
        e_max_kwh=size * hours,
        e_now_kwh=size * hours * rng.uniform(0.4, 0.9),
        eta_charge=rng.uniform(0.85, 1.0),
        eta_discharge=rng.uniform(0.85, 1.0),
        cost={"wear": rng.uniform(0.004, 0.03)},
    )


def _vehicle(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    """Away for some steps; before it leaves it must hold more than it does now."""
    energy = size * max(4.0, 2.0 * dt_h)
    leave = int(rng.integers(0, steps))
    back = int(rng.integers(leave + 1, steps + 1))
    plugged, e_min, demand = np.ones(steps), np.full(steps + 1, 0.1 * energy), np.zeros(steps)
    plugged[leave:back] = 0.0
    now = energy * rng.uniform(0.4, 0.6)
    e_min[leave] = max(min(now + 0.5 * size * dt_h * leave, 0.8 * energy), e_min[leave])
    e_min[leave] = min(e_min[leave], now) if leave == 0 else e_min[leave]
    demand[back - 1] = energy * rng.uniform(0.0, 0.25)
    return _message(
        "FRBC",
        -size * plugged,
        size * plugged * float(rng.random() < 0.5),
        e_min_kwh=e_min.tolist(),
        e_max_kwh=energy,
        e_now_kwh=now,
        eta_charge=0.95,
        eta_discharge=0.95,
        demand_kwh=demand.tolist(),
        cost={"wear": rng.uniform(0.004, 0.02), "linear": rng.uniform(0.0, 0.05)},
    )


def _cycles(rng: np.random.Generator, size: float, steps: int, dt_h: float) -> Message:
    """One or two kinds of cycles, which may overlap each other but not themselves."""
    profiles, most = [], np.zeros(steps)
    for _ in range(int(rng.integers(1, 3))):
        length = int(rng.integers(1, min(steps, 3) + 1))
        count = int(rng.integers(1, steps // length + 1)) if steps > 3 else 1
        slack = int(rng.integers(0, steps - count * length + 1))
        earliest = int(rng.integers(0, steps - count * length - slack + 1))
        power = size * rng.uniform(0.1, 0.5, length)
        window = {"earliest": earliest, "latest": earliest + count * length + slack}
        profiles.append({"p_kw": power.tolist(), "count": min(count, 2), **window})
        most += power.max()
    return _message("PPBC", -most, np.zeros(steps), profiles=profiles)


MAKERS: dict[str, Callable[[np.random.Generator, float, int, float], Message]] = {
    "pv": _pv,
    "vehicle": _vehicle,
    "battery": _battery,
    "generator": _generator,
    "elastic": _elastic,
    "cycles": _cycles,
}


def _message(kind: str, low: Floats, high: Floats, **parts: Any) -> Message:
    return {"kind": kind, "p_min_kw": low.tolist(), "p_max_kw": high.tolist(), **parts}


def larger(draft: Draft, factor: float) -> Draft:
    """All powers and energies multiplied; impedances per unit and prices stay."""
    grown = {name: getattr(draft.feeder, name) * factor for name in FEEDER_POWERS}
    return replace(
        draft,
        feeder=replace(draft.feeder, **grown),
        firm_kw=draft.firm_kw * factor,
        firm_kvar=draft.firm_kvar * factor,
        messages=tuple(_larger(message, factor) for message in draft.messages),
        box_kw=(draft.box_kw[0] * factor, draft.box_kw[1] * factor),
    )


def _larger(message: Message, factor: float) -> Message:
    grown = {key: _times(message[key], factor) for key in POWERS if key in message}
    if "q" in message:
        grown["q"] = {k: v if k == "min_pf" else _times(v, factor) for k, v in message["q"].items()}
    if "profiles" in message:
        each = message["profiles"]
        grown["profiles"] = [{**one, "p_kw": _times(one["p_kw"], factor)} for one in each]
    cost = message.get("cost", {})
    bent = {key: value / factor if key in BENT else value for key, value in cost.items()}
    return {**message, **grown, "cost": bent}


def dearer(draft: Draft, factor: float) -> Draft:
    """All prices and costs multiplied."""
    messages = tuple(
        {**message, "cost": {k: _times(v, factor) for k, v in message.get("cost", {}).items()}}
        for message in draft.messages
    )
    return replace(draft, messages=messages, buy=draft.buy * factor, sell=draft.sell * factor)


def permuted(draft: Draft, members: Indices, resources: Indices) -> Draft:
    """Participants and resources in another order."""
    return replace(
        draft,
        at=draft.at[members],
        firm_kw=draft.firm_kw[members],
        firm_kvar=draft.firm_kvar[members],
        messages=tuple(draft.messages[r] for r in resources),
        owner=np.argsort(members)[draft.owner[resources]],
        box_kw=(draft.box_kw[0][members], draft.box_kw[1][members]),
    )


def with_idle(draft: Draft, at: int) -> Draft:
    """One more participant without load whose one resource can do nothing."""
    nothing = np.zeros((1, draft.firm_kw.shape[1]))
    idle = _message("PEBC", nothing[0], nothing[0])
    low, high = draft.box_kw
    return replace(
        draft,
        at=np.append(draft.at, at),
        firm_kw=np.vstack([draft.firm_kw, nothing]),
        firm_kvar=np.vstack([draft.firm_kvar, nothing]),
        messages=(*draft.messages, idle),
        owner=np.append(draft.owner, len(draft.at)),
        box_kw=(np.vstack([low, nothing - np.inf]), np.vstack([high, nothing + np.inf])),
    )


def _times(value: Any, factor: float) -> Any:
    return (np.asarray(value) * factor).tolist()
