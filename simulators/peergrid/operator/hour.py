"""One hour of the market operator, as a pure function of its memory and its inbox.

Correct the model with what the meters saw, set envelopes, clear, publish; settle the hour before.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.calibration import Calibration, record
from peergrid.envelopes.envelope import Envelope
from peergrid.envelopes.feedback import Correction, lesson
from peergrid.envelopes.feedback_injections import Expected
from peergrid.envelopes.metering import known_or_zero
from peergrid.errors import ModelError, SolverError
from peergrid.market.blocks.exchange import Trades
from peergrid.market.result import Clearing
from peergrid.operator.accounts import Settled, settle_hour
from peergrid.operator.boundaries import Boundaries, set_boundaries
from peergrid.operator.community import Community, Event, Inbox
from peergrid.operator.planned import planned
from peergrid.operator.reading import Reading, read
from peergrid.operator.state import Pending, State
from peergrid.operator.terrain import Terrain, survey
from peergrid.operator.trade import charged, contracted, trade, warm_start
from peergrid.threads import one_thread

Floats = NDArray[np.float64]
SET_POINT_TOLERANCE_KW = 1e-3


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
    settled
        Money of the hour before, if there was one, its losses, and how its envelopes were kept.
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
    settled: Settled | None
    errors_pu: Floats
    correction: Correction
    events: tuple[Event, ...]


def hour(community: Community, state: State, inbox: Inbox) -> tuple[State, Outbox]:
    """Run one hour: new memory and what is published."""
    events: list[Event] = []
    correction, errors = _correct(community, state, inbox, events)
    settled = settle_hour(community, state.pending, inbox)
    reading = read(community, inbox, state.heard)
    events.extend(reading.events)
    terrain = _survey(community, state, inbox, reading, correction)
    problem = charged(community, contracted(community, inbox, reading), terrain)
    boundaries = (
        set_boundaries(community, state, terrain, problem, warm_start(state, reading), events)
        if reading.heard.any()
        else Boundaries(boxes=Boxes.unlimited(*reading.firm_kw.shape), static=state.static)
    )
    if community.mechanism == "stochastic":
        clearing = planned(community, inbox, problem, boundaries, terrain, reading, events)
    else:
        clearing = trade(community, state, problem, boundaries, terrain, reading, events)
    boxes = boundaries.published(clearing)
    pending = _pending(community, inbox, reading, boxes, clearing)
    memory = State(
        heard=state.heard | reading.heard,
        correction=correction,
        pending=pending,
        warm=None if clearing is None else clearing.warm.shifted(),
        warm_keys=tuple(int(r) for r in reading.flexible),
        agreed=boundaries.boxes.hour(0),
        static=boundaries.static,
        calibration=_recorded(state, settled),
        plan_kw=None if clearing is None else _later(clearing.position_kw),
        plan_kvar=None if clearing is None else _later(clearing.position_kvar),
    )
    return memory, Outbox(
        set_point_kw=_set_points(community, reading, clearing),
        set_point_kvar=_reactive_set_points(community, inbox, reading, clearing),
        position_kw=pending.position_kw,
        position_kvar=pending.position_kvar,
        boxes=boxes,
        envelope=boundaries.envelope,
        clearing=clearing,
        settled=settled,
        errors_pu=errors,
        correction=correction,
        events=tuple(events),
    )


def _correct(
    community: Community, state: State, inbox: Inbox, events: list[Event]
) -> tuple[Correction, Floats]:
    """What the meters teach; without feedback the model is trusted, and only watched."""
    feeder, pending = community.network.feeder, state.pending
    controlled = expected = float("nan")
    if pending is not None:
        controlled = float(inbox.realised_kw[pending.flexible].sum())
        expected = float(np.maximum(pending.load_kw, 0.0).sum())
    with one_thread():
        learnt = lesson(
            feeder,
            inbox.seen,
            state.correction,
            expected,
            controlled,
            _expected(community, pending, inbox),
        )
    if not community.rules.feedback:
        return Correction.none(feeder.n_bus), learnt.errors_pu
    for refused in learnt.refused:
        if refused.why != "missing":
            where = "head" if refused.row < 0 else f"bus {feeder.bus_id[refused.row]}"
            events.append(Event(f"meter at {where}", f"{refused.why}: not believed"))
    return learnt.correction, learnt.errors_pu


def _expected(community: Community, pending: Pending | None, inbox: Inbox) -> Expected | None:
    """What was expected of every bus in the hour before; None if nobody had said anything."""
    if pending is None or not pending.load_kw.any():
        return None
    powers = []
    silent = np.full(len(community.names), np.nan)
    for realised in (inbox.realised_kw, inbox.realised_kvar):
        given = (silent if realised is None else realised)[pending.flexible]
        at_bus = np.zeros(community.network.feeder.n_bus)
        rows = community.at[community.owner[pending.flexible]]
        np.add.at(at_bus, rows, known_or_zero(given))
        powers.append(at_bus)
    return Expected(
        controlled_kw=powers[0],
        controlled_kvar=powers[1],
        load_kw=pending.load_kw,
        load_kvar=pending.load_kvar,
    )


def _survey(
    community: Community, state: State, inbox: Inbox, reading: Reading, correction: Correction
) -> Terrain | None:
    """The ground of the hour; None if there is no power flow solution even without trade."""
    try:
        return survey(community, state, inbox, reading, correction)
    except (ModelError, SolverError):
        return None


def _recorded(state: State, settled: Settled | None) -> Calibration:
    """Forecast errors so far: what was metered less what was cleared."""
    if settled is None or state.pending is None:
        return state.calibration
    error = settled.metered_kw - state.pending.position_kw
    known = np.where(settled.is_metered, error, np.nan)
    return record(state.calibration, known, state.pending.sigma_kw)


def _later(positions: Floats) -> Floats:
    """A plan seen from one step later; the last step is repeated."""
    return np.concatenate([positions[:, 1:], positions[:, -1:]], axis=1)


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
    community: Community, inbox: Inbox, reading: Reading, clearing: Clearing | None
) -> Floats:
    """Reactive set-point of the resources that offer any, where it was cleared."""
    points = np.full(len(community.names), np.nan)
    if clearing is not None and (clearing.grid is not None or inbox.trades_reactive):
        asked = reading.agents.reactive.resource
        points[reading.flexible[asked]] = clearing.schedule_kvar[asked, 0]
    return points


def _pending(
    community: Community,
    inbox: Inbox,
    reading: Reading,
    boxes: Boxes,
    clearing: Clearing | None,
) -> Pending:
    """What there will be to settle; without a clearing everyone keeps to what is firm."""
    pools = int(community.pool.max(initial=-1)) + 1
    price = float(inbox.price_import_eur_per_kwh[0])
    position, reactive = reading.firm_kw[:, 0], reading.firm_kvar[:, 0]
    theta = np.full(pools, price)
    trades: tuple[Floats | None, Floats | None] = (None, None)
    if clearing is not None:
        position, theta = clearing.position_kw[:, 0], clearing.theta_eur_per_kwh[:, 0]
        if clearing.grid is not None or inbox.trades_reactive:
            reactive = clearing.position_kvar[:, 0]
        trades = _first_hour(clearing.trades), _first_hour(clearing.reactive_trades)
    load_kw, load_kvar = -reading.background_kw[:, 0], -reading.background_kvar[:, 0]
    np.subtract.at(load_kw, community.at, reading.firm_kw[:, 0])
    np.subtract.at(load_kvar, community.at, reading.firm_kvar[:, 0])
    return Pending(
        position_kw=position.copy(),
        position_kvar=reactive.copy(),
        theta_eur_per_kwh=theta.copy(),
        price_import_eur_per_kwh=price,
        price_feed_in_eur_per_kwh=float(inbox.price_feed_in_eur_per_kwh[0]),
        p_min_kw=boxes.p_min_kw[:, 0].copy(),
        p_max_kw=boxes.p_max_kw[:, 0].copy(),
        load_kw=load_kw,
        load_kvar=load_kvar,
        flexible=reading.flexible,
        sigma_kw=reading.sigma_kw[:, 0].copy(),
        trade_kw=trades[0],
        trade_kvar=trades[1],
        price_import_eur_per_kvarh=inbox.price_import_eur_per_kvarh,
        price_feed_in_eur_per_kvarh=inbox.price_feed_in_eur_per_kvarh,
    )


def _first_hour(made: Trades | None) -> Floats | None:
    """Trades of the hour that is published, ``(N, N)``."""
    return None if made is None else made.flow_kw[:, :, 0].copy()
