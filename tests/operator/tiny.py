"""Three connection points on the 33-bus feeder: sun, a battery, a generator, and their loads."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

import numpy as np

from peergrid.envelopes.feedback import Measurements
from peergrid.envelopes.limits import Network
from peergrid.network.library import load_feeder
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import solve
from peergrid.operator.community import Community, Inbox, Participant, Rules
from peergrid.operator.hour import Outbox
from peergrid.operator.state import State

HORIZON = 4
NAMES = ("sun.load", "sun.pv", "store.load", "store.battery", "plant.load", "plant.engine")
FEEDER = load_feeder("ieee33").with_slack(1.02)


def community(*, rights: dict[str, Any] | None = None, **changes: Any) -> Community:
    """The community; ``rights`` are those of the participant with the sun."""
    members = (
        Participant(name="sun", bus=18, resources=(0, 1), **(rights or {})),
        Participant(name="store", bus=25, resources=(2, 3)),
        Participant(name="plant", bus=33, resources=(4, 5)),
    )
    usual: dict[str, Any] = {
        "participants": members,
        "names": NAMES,
        "network": Network(feeder=FEEDER, model=lindistflow(FEEDER), v_min_pu=0.95, v_max_pu=1.05),
        "at": np.array([FEEDER.index_of(p.bus) for p in members], dtype=np.int64),
        "step_s": 3600.0,
        "horizon": HORIZON,
    }
    rules = {name: changes.pop(name) for name in [*changes] if name in Rules.__dataclass_fields__}
    return Community(**(usual | {"rules": Rules(**rules)} | changes))


def message(t0_s: float, r: int, **changes: Any) -> dict[str, Any]:
    """What a resource says at the start of a step."""
    flat = {0: [-20.0], 1: [0.0, 100.0, 100.0], 2: [-60.0], 4: [-30.0]}
    start: dict[str, Any] = {"kind": "PEBC", "t0_s": t0_s, "dt_s": 3600.0}
    if r == 3:
        parts: dict[str, Any] = {
            "kind": "FRBC",
            "p_min_kw": [-50.0] * HORIZON,
            "p_max_kw": [50.0] * HORIZON,
            "e_min_kwh": 10.0,
            "e_max_kwh": 200.0,
            "e_now_kwh": 100.0,
            "eta_charge": 0.95,
            "eta_discharge": 0.95,
            "cost": {"wear": 0.005},
        }
    elif r == 5:
        cost = {"linear": 0.15, "quadratic": 0.0003}
        parts = {"p_min_kw": [0.0] * HORIZON, "p_max_kw": [80.0] * HORIZON, "cost": cost}
    else:
        low, high = flat[r][0], flat[r][-1]
        parts = {"p_min_kw": [low] * HORIZON, "p_max_kw": [high] * HORIZON}
        parts |= {"p_ref_kw": [high] * HORIZON, "sigma_kw": [1.0] * HORIZON}
    return start | parts | changes


def nothing_seen() -> Measurements:
    """No meter said anything."""
    unknown = np.full(FEEDER.n_bus, np.nan)
    nan = float("nan")
    return Measurements(
        vm_pu=unknown,
        p_inj_kw=unknown,
        q_inj_kvar=unknown,
        head_p_kw=nan,
        head_q_kvar=nan,
        loss_kw=nan,
    )


def inbox(index: int = 0, changed: dict[int, Any] | None = None, **changes: Any) -> Inbox:
    """The inbox of step ``index``; ``changed`` are other messages, by resource."""
    messages = [message(3600.0 * index, r) for r in range(len(NAMES))]
    for r, other in (changed or {}).items():
        messages[r] = other
    usual = Inbox(
        time_s=3600.0 * index,
        messages=tuple(messages),
        realised_kw=np.full(len(NAMES), np.nan),
        seen=nothing_seen(),
        price_import_eur_per_kwh=np.array([0.25, 0.20, 0.30, 0.25]),
        price_feed_in_eur_per_kwh=np.full(HORIZON, 0.05),
    )
    return replace(usual, **changes)


def realised(outbox: Outbox) -> np.ndarray:
    """Everyone does as asked, or else as usual."""
    usual = np.array([-20.0, 100.0, -60.0, 0.0, -30.0, 0.0])
    return np.where(np.isfinite(outbox.set_point_kw), outbox.set_point_kw, usual)


def metered(members: Community, power_kw: np.ndarray) -> Measurements:
    """What the meters see when the resources inject ``power_kw`` on a grid as modelled."""
    p_kw = np.zeros((FEEDER.n_bus, 1))
    np.add.at(p_kw[:, 0], members.at[members.owner], power_kw)
    flow = solve(FEEDER, p_kw, np.zeros_like(p_kw))
    return Measurements(
        vm_pu=flow.vm_pu[:, 0],
        p_inj_kw=p_kw[:, 0],
        q_inj_kvar=np.zeros(FEEDER.n_bus),
        head_p_kw=float(flow.head_p_kw[0]),
        head_q_kvar=float(flow.head_q_kvar[0]),
        loss_kw=float(flow.loss_kw[0]),
    )


def first_state() -> State:
    """Before the first hour."""
    return State.first(len(NAMES), FEEDER.n_bus)


def bits(value: Any) -> Any:
    """Everything in nested data classes, to the bit."""
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: bits(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, tuple | list):
        return [bits(item) for item in value]
    return repr(value.value) if isinstance(value, Enum) else repr(value)
