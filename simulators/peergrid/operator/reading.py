"""Sort the messages that arrived: what can be asked of whom, and what is firm."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.envelopes.boxes import Wishes
from peergrid.envelopes.margins import shared_margins
from peergrid.errors import DataError
from peergrid.market.participant import Agents, build_agents
from peergrid.operator.community import Community, Event, Inbox

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
FORECAST_SIGMAS = 2.0


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
    firm_kw, firm_kvar, sigma_kw
        ``(N, H)`` what nobody can change, and its standard deviation.
    export_kw, import_kw
        ``(N,)`` what the flexible resources could inject or draw at most.
    events
        Messages that could not be used.
    """

    agents: Agents
    flexible: Indices
    runs_free: NDArray[np.bool_]
    heard: NDArray[np.bool_]
    firm_kw: Floats
    firm_kvar: Floats
    sigma_kw: Floats
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
    candidates = [r for r, m in enumerate(decoded) if m is not None and _can_be_asked(m)]
    agents = _agents(community, decoded, candidates)
    stuck = agents.unreachable()
    if stuck.any():
        for k in np.flatnonzero(stuck):
            name = community.names[candidates[k]]
            events.append(Event(name, "energy bounds cannot be met: counts as firm, no set-point"))
        candidates = [r for r, bad in zip(candidates, stuck, strict=True) if not bad]
        agents = _agents(community, decoded, candidates)
    return _sum_up(community, inbox, decoded, candidates, agents, heard, events)


def wishes(community: Community, reading: Reading, scale: Floats) -> Wishes:
    """What the envelopes are allocated from; ``scale`` ``(H,)`` corrects the expected load."""
    load = -reading.firm_kw
    scaled = np.where(load > 0.0, load * scale, load)
    factor = np.where(load > 0.0, scale, 1.0)
    steps = load.shape[1]
    return Wishes(
        load_kw=scaled,
        load_kvar=-reading.firm_kvar * factor,
        margin_kw=shared_margins(reading.sigma_kw, community.confidence),
        export_kw=np.repeat(_contract(community, reading.export_kw, "export"), steps, axis=1),
        import_kw=np.repeat(_contract(community, reading.import_kw, "import"), steps, axis=1),
    )


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
    return message


def _can_be_asked(message: Flexibility) -> bool:
    """Whether the clearing can dispatch it; cycles of appliances count as firm at ``p_ref``."""
    return not message.is_fixed and message.kind != "PPBC"


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
    export, imports = np.zeros(count), np.zeros(count)
    owner, asked = community.owner, set(chosen)
    free = []
    for r, message in enumerate(decoded):
        i = owner[r]
        if message is None:
            last = inbox.realised_kw[r]
            firm[i] += last if np.isfinite(last) else 0.0
            continue
        reactive[i] += message.q_ref_kvar[:steps]
        if r in asked:
            spread = FORECAST_SIGMAS * message.sigma_kw[:steps]
            export[i] += max(float((message.p_max_kw[:steps] + spread).max()), 0.0)
            imports[i] += max(float(-message.p_min_kw[:steps].min()), 0.0)
            free.append(
                message.storage is None
                and bool(np.all(message.p_ref_kw >= message.p_max_kw - 1e-9))
            )
        else:
            firm[i] += message.p_ref_kw[:steps]
            variance[i] += message.sigma_kw[:steps] ** 2
    return Reading(
        agents=agents,
        flexible=np.array(chosen, dtype=np.int64),
        runs_free=np.array(free, dtype=bool),
        heard=heard,
        firm_kw=firm,
        firm_kvar=reactive,
        sigma_kw=np.sqrt(variance),
        export_kw=export,
        import_kw=imports,
        events=tuple(events),
    )
