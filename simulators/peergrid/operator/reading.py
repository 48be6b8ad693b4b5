"""Sort the messages that arrived: what can be asked of whom, and what is firm."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.envelopes.boxes import Wishes
from peergrid.errors import DataError
from peergrid.market.agents import Agents
from peergrid.market.build import build_agents
from peergrid.operator.community import Community, Event, Inbox

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """Messages in market form, for N participants and H steps.

    Parameters
    ----------
    agents
        Private problems of the flexible resources.
    flexible
        ``(F,)`` index of each among all resources.
    runs_free
        ``(F,)`` whether the device does ``p_ref`` by itself, so that no set-point is needed there.
    heard
        ``(R,)`` whether a valid message arrived.
    messages
        What each resource said, R entries; None where nothing usable came.
    firm_kw, firm_kvar
        ``(N, H)`` what nobody can change.
    sigma_kw
        ``(N, H)`` standard deviation of each participant's injection, whatever is cleared.
    background_kw, background_kvar
        ``(n, H)`` injections that bystanders expect, by feeder row.
    export_kw, import_kw
        ``(N,)`` what the flexible resources could inject or draw at most.
    events
        Messages that could not be used.
    """

    agents: Agents
    flexible: Indices
    runs_free: NDArray[np.bool_]
    heard: NDArray[np.bool_]
    messages: tuple[Flexibility | None, ...]
    firm_kw: Floats
    firm_kvar: Floats
    sigma_kw: Floats
    background_kw: Floats
    background_kvar: Floats
    export_kw: Floats
    import_kw: Floats
    events: tuple[Event, ...]


def read(community: Community, inbox: Inbox, heard_before: NDArray[np.bool_]) -> Reading:
    """Decode all messages.

    A resource that says nothing, or nothing usable, gets no set-point and counts as firm with
    what it did last; that is an event only if it had spoken before.
    """
    events: list[Event] = []
    decoded = [_decode(community, inbox, r, events) for r in range(len(community.names))]
    heard = np.array([message is not None for message in decoded], dtype=bool)
    for r in np.flatnonzero(heard_before & ~heard):
        if inbox.messages[r] is None:
            events.append(Event(community.names[r], "says nothing: counts as firm, no set-point"))
    ours = community.owner >= 0
    candidates = [
        r for r, m in enumerate(decoded) if m is not None and ours[r] and _can_be_asked(m)
    ]
    agents = _agents(community, decoded, candidates)
    stuck = agents.unreachable()
    if stuck.any():
        for k in np.flatnonzero(stuck):
            name = community.names[candidates[k]]
            events.append(Event(name, "energy bounds cannot be met: counts as firm, no set-point"))
        candidates = [r for r, bad in zip(candidates, stuck, strict=True) if not bad]
        agents = _agents(community, decoded, candidates)
    return _sum_up(community, inbox, decoded, candidates, agents, heard, events)


def wishes(
    community: Community, reading: Reading, scale: Floats, margin_kw: Floats, *, reactive: bool
) -> Wishes:
    """What the envelopes are allocated from.

    ``scale`` ``(H,)`` corrects the expected load, ``margin_kw`` ``(N, H)`` is that of the
    injections; with ``reactive``, reactive power is wished for too.
    """
    load = -reading.firm_kw
    scaled = np.where(load > 0.0, load * scale, load)
    factor = np.where(load > 0.0, scale, 1.0)
    found = Wishes(
        load_kw=scaled,
        load_kvar=-reading.firm_kvar * factor,
        margin_kw=margin_kw,
        # contracts limit what is cleared; what happens may miss it by the margin
        export_kw=_contract(community, reading.export_kw, "export") + margin_kw,
        import_kw=_contract(community, reading.import_kw, "import") + margin_kw,
    )
    if not reactive:
        return found
    up, down = reactive_reach(community, reading)
    return replace(found, q_up_kvar=up, q_down_kvar=down)


def reactive_reach(community: Community, reading: Reading) -> tuple[Floats, Floats]:
    """What resources could inject and draw of reactive power at most, ``(N, H)`` [kvar]."""
    agents, owner = reading.agents, community.owner[reading.flexible]
    up, down = np.zeros_like(reading.firm_kw), np.zeros_like(reading.firm_kw)
    offered = agents.reactive
    np.add.at(up, owner[offered.resource], np.maximum(offered.q_max_kvar, 0.0))
    np.add.at(down, owner[offered.resource], np.maximum(-offered.q_min_kvar, 0.0))
    follows = agents.follow_kvar_per_kw[:, None]
    ends = follows * agents.p_min_kw, follows * agents.p_max_kw
    np.add.at(up, owner, np.maximum(np.maximum(*ends), 0.0))
    np.add.at(down, owner, np.maximum(-np.minimum(*ends), 0.0))
    return up, down


def _contract(community: Community, capability_kw: Floats, side: str) -> Floats:
    """Capability, at most the contract limit, ``(N, 1)``."""
    limits = [getattr(p, f"{side}_limit_kw") for p in community.participants]
    right = "may_sell" if side == "export" else "may_buy"
    allowed = np.array([getattr(p, right) for p in community.participants], dtype=bool)
    bound = np.array([np.inf if limit is None else limit for limit in limits])
    return np.asarray(np.where(allowed, np.minimum(capability_kw, bound), 0.0)[:, None])


def _decode(community: Community, inbox: Inbox, r: int, events: list[Event]) -> Flexibility | None:
    """The message of a resource if it is usable for this step."""
    raw = inbox.messages[r]
    if raw is None:
        return None
    try:
        message = parse(raw)
        if abs(message.t0_s - inbox.time_s) > 1e-6:
            raise DataError("flexibility message", "t0_s", message.t0_s, f"{inbox.time_s:g}")
        if abs(message.dt_s - community.step_s) > 1e-6:
            raise DataError("flexibility message", "dt_s", message.dt_s, f"{community.step_s:g}")
        if message.steps < community.horizon:
            wanted = f"{community.horizon} steps"
            raise DataError("flexibility message", "p_max_kw", message.steps, wanted)
    except DataError as error:
        events.append(Event(community.names[r], f"{error}: counts as firm, no set-point"))
        return None
    return _in_view(message, community.horizon)


def _can_be_asked(message: Flexibility) -> bool:
    """Whether the clearing can dispatch it; an appliance without a cycle to begin is firm."""
    return not message.is_fixed and (message.kind != "PPBC" or bool(message.profiles))


def _in_view(message: Flexibility, steps: int) -> Flexibility:
    """The message without cycles that need not end, and so cannot be fixed, inside the horizon."""
    kept = tuple(
        profile
        for profile in message.profiles
        if profile["count"] * len(profile["p_kw"])
        <= min(profile["latest"], steps) - profile["earliest"]
    )
    return message if len(kept) == len(message.profiles) else replace(message, profiles=kept)


def _agents(community: Community, decoded: list[Flexibility | None], chosen: list[int]) -> Agents:
    messages = [m for m in (decoded[r] for r in chosen) if m is not None]
    return build_agents(messages, community.horizon, community.dt_h)


def _sum_up(
    community: Community,
    inbox: Inbox,
    decoded: list[Flexibility | None],
    chosen: list[int],
    agents: Agents,
    heard: NDArray[np.bool_],
    events: list[Event],
) -> Reading:
    """Add up what is firm, by participant."""
    count, steps = len(community.participants), community.horizon
    firm, reactive, variance = (np.zeros((count, steps)) for _ in range(3))
    around = [np.zeros((community.network.feeder.n_bus, steps)) for _ in range(2)]
    rows = {r: b.row for b in community.bystanders for r in b.resources}
    export, imports = np.zeros(count), np.zeros(count)
    owner, asked = community.owner, set(chosen)
    free = []
    for r, message in enumerate(decoded):
        i = owner[r]
        here = (firm[i], reactive[i]) if i >= 0 else (around[0][rows[r]], around[1][rows[r]])
        if message is None:
            last = inbox.realised_kw[r]
            here[0][:] += last if np.isfinite(last) else 0.0
            continue
        follows = inbox.trades_reactive and r in asked and "tan_phi" in (message.q or {})
        here[1][:] += 0.0 if follows else message.q_ref_kvar[:steps]
        if i < 0:
            here[0][:] += message.p_ref_kw[:steps]
            continue
        variance[i] += message.sigma_kw[:steps] ** 2
        if r in asked:
            export[i] += max(float(message.p_max_kw[:steps].max()), 0.0)
            imports[i] += max(float(-message.p_min_kw[:steps].min()), 0.0)
            free.append(
                message.storage is None
                and not message.profiles
                and bool(np.all(message.p_ref_kw >= message.p_max_kw - 1e-9))
            )
        else:
            firm[i] += message.p_ref_kw[:steps]
    return Reading(
        agents=agents,
        flexible=np.array(chosen, dtype=np.int64),
        runs_free=np.array(free, dtype=bool),
        heard=heard,
        messages=tuple(decoded),
        firm_kw=firm,
        firm_kvar=reactive,
        sigma_kw=np.sqrt(variance),
        background_kw=around[0],
        background_kvar=around[1],
        export_kw=export,
        import_kw=imports,
        events=tuple(events),
    )
