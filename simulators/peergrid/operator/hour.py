"""One hour of the market operator, as a pure function of its memory and its inbox.

Correct the model with what the meters saw, set envelopes, clear, publish; settle the hour before.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes import envelope
from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.envelope import Envelope
from peergrid.envelopes.feedback import Correction, correct, known_or_zero
from peergrid.market.result import Clearing
from peergrid.market.settlement import Hour, Settlement, settle
from peergrid.operator.community import Community, Event, Inbox
from peergrid.operator.fallback import firm_boxes, patch
from peergrid.operator.reading import Reading, read, wishes
from peergrid.operator.state import Pending, State
from peergrid.operator.trade import Terrain, trade

Floats = NDArray[np.float64]
SET_POINT_TOLERANCE_KW = 1e-3
BREACH_TOLERANCE_KW = 0.5
CORNER_TOLERANCE_PU = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Outbox:
    """What the operator publishes for the hour.

    Parameters
    ----------
    set_point_kw, set_point_kvar
        ``(R,)``, NaN: no set-point.
    position_kw, position_kvar
        ``(N,)`` cleared injection.
    boxes
        Envelopes of the hour, ``(N, 1)``.
    envelope
        How they came about; None without envelopes or in a fallback.
    clearing
        Result of the market; None in a fallback.
    settlement
        Money of the hour before, if there was one, and its losses and breaches.
    errors_pu
        ``(n,)`` measured less modelled voltages of the hour before.
    correction
        What the meters taught.
    events
        What went wrong and what was done.
    """

    set_point_kw: Floats
    set_point_kvar: Floats
    position_kw: Floats
    position_kvar: Floats
    boxes: Boxes
    envelope: Envelope | None
    clearing: Clearing | None
    settlement: Settlement | None
    loss_kw: float
    breaches: int
    errors_pu: Floats
    correction: Correction
    events: tuple[Event, ...]


def hour(community: Community, state: State, inbox: Inbox) -> tuple[State, Outbox]:
    """Run one hour: new memory and what is published."""
    events: list[Event] = []
    correction, errors = _correct(community, state, inbox)
    settlement, loss_kw, breaches = _settle(community, state.pending, inbox)
    reading = read(community, inbox, state.heard)
    events.extend(reading.events)
    background = _background(community, inbox)
    wanted = wishes(community, reading, correction.scale_of(community.horizon))
    boxes, found, static = _envelopes(
        community, state, wanted, correction, background, bool(reading.heard.any()), events
    )
    clearing = trade(
        community, state, inbox, reading, Terrain(boxes, correction, background), events
    )
    position = reading.firm_kw[:, 0] if clearing is None else clearing.position_kw[:, 0]
    pending = _pending(community, inbox, reading, boxes, position, clearing)
    memory = State(
        heard=state.heard | reading.heard,
        correction=correction,
        pending=pending,
        warm=None if clearing is None else clearing.warm.shifted(),
        warm_keys=tuple(int(r) for r in reading.flexible),
        agreed=boxes.hour(0),
        static=static,
    )
    return memory, Outbox(
        set_point_kw=_set_points(community, reading, clearing),
        set_point_kvar=_reactive_set_points(community, reading, clearing),
        position_kw=position,
        position_kvar=_reactive_position(reading, clearing),
        boxes=boxes.hour(0),
        envelope=found,
        clearing=clearing,
        settlement=settlement,
        loss_kw=loss_kw,
        breaches=breaches,
        errors_pu=errors,
        correction=correction,
        events=tuple(events),
    )


def _correct(community: Community, state: State, inbox: Inbox) -> tuple[Correction, Floats]:
    """What the meters teach; without feedback the model is trusted, and only watched."""
    feeder = community.network.feeder
    pending = state.pending
    controlled = expected = float("nan")
    if pending is not None:
        controlled = float(inbox.realised_kw[pending.flexible].sum())
        expected = pending.expected_load_kw
    correction, errors = correct(feeder, inbox.seen, state.correction, expected, controlled)
    if not community.feedback:
        correction = Correction.none(feeder.n_bus)
    return correction, errors


def _background(community: Community, inbox: Inbox) -> tuple[Floats, Floats]:
    """Injections of buses without participants: as last metered, else none."""
    outside = np.ones(community.network.feeder.n_bus, dtype=bool)
    outside[community.at] = False
    outside[0] = False
    columns = []
    for seen in (inbox.seen.p_inj_kw, inbox.seen.q_inj_kvar):
        value = np.where(outside, known_or_zero(seen), 0.0)
        columns.append(np.repeat(value[:, None], community.horizon, axis=1))
    return columns[0], columns[1]


def _envelopes(
    community: Community,
    state: State,
    wanted: Wishes,
    correction: Correction,
    background: tuple[Floats, Floats],
    heard: bool,
    events: list[Event],
) -> tuple[Boxes, Envelope | None, Boxes | None]:
    """Envelopes of the horizon with contract rights; the static box is made once."""
    count, steps = wanted.load_kw.shape
    if community.envelopes == "none" or not heard:
        return Boxes.unlimited(count, steps), None, state.static
    if community.envelopes == "static":
        found = None
        static = state.static
        if static is None:
            found = envelope.static(community.network, community.at, wanted, background)
            static = found.boxes
        repeated = Boxes(
            **{name: np.repeat(values, steps, axis=1) for name, values in vars(static).items()}
        )
        safe = firm_boxes(wanted, None)
        held = replace(
            repeated,
            p_max_kw=np.maximum(repeated.p_max_kw, safe.p_max_kw),
            p_min_kw=np.minimum(repeated.p_min_kw, safe.p_min_kw),
        )
        return held, found, static
    found = envelope.dynamic(community.network, community.at, wanted, correction, background)
    failed = ~np.isfinite(found.corner_violation_pu)
    boxes = found.boxes
    if failed.any():
        boxes = patch(boxes, firm_boxes(wanted, state.agreed), failed)
    if failed[0]:
        events.append(Event("envelopes", "no power flow solution at a corner: firm load only"))
    elif found.corner_violation_pu[0] > CORNER_TOLERANCE_PU:
        worst = float(found.corner_violation_pu[0])
        events.append(Event("envelopes", "firm load alone leaves the voltage band", worst))
    return boxes, found, None


def _set_points(community: Community, reading: Reading, clearing: Clearing | None) -> Floats:
    """Set-point of each resource; none where the device does the same by itself."""
    points = np.full(len(community.names), np.nan)
    if clearing is None:
        return points
    asked = clearing.schedule_kw[:, 0]
    same = np.abs(asked - reading.agents.p_ref_kw[:, 0]) <= SET_POINT_TOLERANCE_KW
    points[reading.flexible] = np.where(reading.runs_free & same, np.nan, asked)
    return points


def _reactive_set_points(
    community: Community, reading: Reading, clearing: Clearing | None
) -> Floats:
    """Reactive set-point of the resources that offer any, where the network was cleared."""
    points = np.full(len(community.names), np.nan)
    if clearing is not None and clearing.grid is not None:
        asked = reading.agents.reactive.resource
        points[reading.flexible[asked]] = clearing.schedule_kvar[asked, 0]
    return points


def _reactive_position(reading: Reading, clearing: Clearing | None) -> Floats:
    """Reactive injection of each participant: as cleared, else what is firm."""
    if clearing is None or clearing.grid is None:
        return reading.firm_kvar[:, 0]
    return clearing.position_kvar[:, 0]


def _pending(
    community: Community,
    inbox: Inbox,
    reading: Reading,
    boxes: Boxes,
    position: Floats,
    clearing: Clearing | None,
) -> Pending:
    pools = int(community.pool.max(initial=-1)) + 1
    price = float(inbox.price_import_eur_per_kwh[0])
    return Pending(
        position_kw=position,
        theta_eur_per_kwh=np.full(pools, price)
        if clearing is None
        else clearing.theta_eur_per_kwh[:, 0].copy(),
        price_import_eur_per_kwh=price,
        price_feed_in_eur_per_kwh=float(inbox.price_feed_in_eur_per_kwh[0]),
        p_min_kw=boxes.p_min_kw[:, 0].copy(),
        p_max_kw=boxes.p_max_kw[:, 0].copy(),
        expected_load_kw=float(np.maximum(-reading.firm_kw[:, 0], 0.0).sum()),
        flexible=reading.flexible,
    )


def _settle(
    community: Community, pending: Pending | None, inbox: Inbox
) -> tuple[Settlement | None, float, int]:
    """Settle the hour before on realised meters; losses as metered, else by the energy balance."""
    if pending is None:
        return None, float("nan"), 0
    metered = _metered(community, pending, inbox)
    loss_kw = _losses_kw(inbox, metered)
    settled = settle(
        Hour(
            dt_h=community.dt_h,
            pool=community.pool,
            position_kw=pending.position_kw,
            metered_kw=metered,
            theta_eur_per_kwh=pending.theta_eur_per_kwh,
            price_import_eur_per_kwh=pending.price_import_eur_per_kwh,
            price_feed_in_eur_per_kwh=pending.price_feed_in_eur_per_kwh,
            loss_kw=loss_kw,
        ),
        community.terms,
    )
    outside = np.maximum(metered - pending.p_max_kw, pending.p_min_kw - metered)
    return settled, loss_kw, int((outside > BREACH_TOLERANCE_KW).sum())


def _losses_kw(inbox: Inbox, metered: Floats) -> float:
    """Losses to settle: as metered if that can be true, else what the energy balance leaves."""
    loss_kw, head_kw = inbox.seen.loss_kw, inbox.seen.head_p_kw
    balance = head_kw + float(metered.sum())
    most = float(np.abs(metered).sum()) + (abs(head_kw) if np.isfinite(head_kw) else 0.0)
    if 0.0 <= loss_kw <= most:
        return loss_kw
    return min(max(balance, 0.0), most) if np.isfinite(balance) else 0.0


def _metered(community: Community, pending: Pending, inbox: Inbox) -> Floats:
    """Realised injection of each participant.

    Where a device said nothing, the bus meter speaks for a participant alone at its bus; else the
    cleared position has to stand in.
    """
    metered = np.zeros(len(community.participants))
    np.add.at(metered, community.owner, inbox.realised_kw)
    shared = np.bincount(community.at, minlength=community.network.feeder.n_bus)[community.at] > 1
    at_bus = np.where(shared, np.nan, inbox.seen.p_inj_kw[community.at])
    metered = np.where(np.isfinite(metered), metered, at_bus)
    return np.where(np.isfinite(metered), metered, pending.position_kw)
