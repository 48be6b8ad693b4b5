"""The hour of the mechanism ``stochastic``: plan under scenarios, carry out the first step.

In every hour the flexibility messages and a few scenarios of what may come make one programme
(:mod:`peergrid.market.stochastic`). What it decides now is carried out: appliances start, storages
charge or discharge, all as set-points; the rest of the plan is made anew an hour later, when more
is known (receding horizon). The programme knows everybody's data: there is no private problem.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility
from peergrid.errors import DataError, ModelError, SolverError
from peergrid.inputs.forecast import Kind
from peergrid.inputs.scenarios import Unsure
from peergrid.market.admm import Status
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing, Warm
from peergrid.market.stochastic import plan
from peergrid.market.stochastic_build import Devices, Outlook, devices_of
from peergrid.market.stochastic_plan import Plan
from peergrid.market.stochastic_problem import Households, Wires
from peergrid.operator.boundaries import Boundaries
from peergrid.operator.community import Community, Event, Inbox
from peergrid.operator.outlook import look_ahead
from peergrid.operator.reading import Reading
from peergrid.operator.terrain import Terrain

Floats = NDArray[np.float64]
SHORT_KWH = 1e-3  # a promised energy that the plan misses by more is an event
OVER_KW = 1e-2  # a rating that the plan exceeds by more in the hour to come is an event
CURTAILED_KW = 1e-6


def planned(
    community: Community,
    inbox: Inbox,
    problem: Problem,
    boundaries: Boundaries,
    terrain: Terrain | None,
    reading: Reading,
    events: list[Event],
) -> Clearing | None:
    """Plan the horizon; None if there is no plan, and then no trade: why is an event."""
    asked = _Asked.of(community, reading)
    try:
        outlook = _outlook(community, inbox, asked)
        devices = _devices(asked, outlook)
        day = _households(community, inbox, asked, outlook, devices)
        day = _limited(community, day, problem, boundaries, terrain)
        found = plan(day, community.foresight.planning)
    except (DataError, ModelError, SolverError) as error:
        events.append(Event("market", f"no plan ({error}): no trade this hour"))
        return None
    _tell(found, events)
    return _clearing(found, asked, devices, problem)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """The resources that can be asked, with their messages, and what is firm, ``(N, T)``."""

    messages: tuple[Flexibility, ...]
    names: tuple[str, ...]
    owner: NDArray[np.int64]
    firm_kw: Floats
    firm_kvar: Floats
    firm_sigma_kw: Floats

    @classmethod
    def of(cls, community: Community, reading: Reading) -> "_Asked":
        steps, owner = community.horizon, community.owner
        variance = np.zeros(reading.firm_kw.shape)
        asked = set(reading.flexible.tolist())
        for r, message in enumerate(reading.messages):
            if message is not None and r not in asked and owner[r] >= 0:
                variance[owner[r]] += message.sigma_kw[:steps] ** 2
        follows = np.zeros_like(reading.firm_kvar)
        heard = [(r, m) for r, m in enumerate(reading.messages) if r in asked and m is not None]
        for r, message in heard:
            if "tan_phi" in (message.q or {}):
                follows[owner[r]] += message.q_ref_kvar[:steps]
        return cls(
            messages=tuple(message for _, message in heard),
            names=tuple(community.names[r] for r, _ in heard),
            owner=owner[reading.flexible],
            firm_kw=reading.firm_kw,
            firm_kvar=reading.firm_kvar - follows,
            firm_sigma_kw=np.sqrt(variance),
        )


def _outlook(community: Community, inbox: Inbox, asked: _Asked) -> Outlook:
    """Scenarios: firm power of each participant first, then the resources that are asked."""
    count, steps = asked.firm_kw.shape
    foresight = community.foresight
    kinds: list[Kind | None] = ["load"] * count
    kinds += ["pv" if message.storage is None else None for message in asked.messages]
    forecast = [message.p_ref_kw[:steps] for message in asked.messages]
    sigma = [message.sigma_kw[:steps] for message in asked.messages]
    unsure = Unsure(
        forecast_kw=np.vstack([asked.firm_kw, *forecast]),
        sigma_kw=np.vstack([asked.firm_sigma_kw, *sigma]),
        kinds=tuple(kinds),
        travels=np.array([False] * count + [_comes_home(m, steps) for m in asked.messages]),
        step_h=community.dt_h,
    )
    index = round(inbox.time_s / community.step_s)
    rng = np.random.default_rng(np.random.SeedSequence([foresight.seed, index]))
    return look_ahead(unsure, foresight.scenarios, rng, foresight.doubt)


def _comes_home(message: Flexibility, steps: int) -> bool:
    """Whether a storage is away and then there again within the horizon."""
    if message.storage is None:
        return False
    there = (message.p_min_kw[:steps] < 0.0) | (message.p_max_kw[:steps] > 0.0)
    return bool((~there[:-1] & there[1:]).any())


def _devices(asked: _Asked, outlook: Outlook) -> Devices:
    """The resources that are asked, as devices of the programme."""
    count = len(asked.firm_kw)
    own = replace(outlook, error_kw=outlook.error_kw[count:], shift=outlook.shift[count:])
    return devices_of(asked.messages, asked.names, asked.owner, own, count)


def _households(
    community: Community, inbox: Inbox, asked: _Asked, outlook: Outlook, devices: Devices
) -> Households:
    """The programme of the hour, without limits."""
    members = community.participants
    price = inbox.price_import_eur_per_kwh * outlook.price_factor
    return Households(
        names=tuple(member.name for member in members),
        dt_h=community.dt_h,
        probability=outlook.probability,
        firm_kw=asked.firm_kw[:, None, :] + outlook.error_kw[: len(members)],
        firm_kvar=np.repeat(asked.firm_kvar[:, None, :], len(outlook.probability), axis=1),
        price_import_eur_per_kwh=price,
        price_feed_in_eur_per_kwh=np.minimum(inbox.price_feed_in_eur_per_kwh, price),
        fee_eur_per_kwh=_fee(community),
        may_sell=np.array([member.may_sell for member in members]),
        may_buy=np.array([member.may_buy for member in members]),
        plants=devices.plants,
        stores=devices.stores,
        appliances=devices.appliances,
        curves=devices.curves,
        here_and_now=True,
    )


def _limited(
    community: Community,
    day: Households,
    problem: Problem,
    boundaries: Boundaries,
    terrain: Terrain | None,
) -> Households:
    """The same with contracts and envelopes, and the network where it is known."""
    boxes = boundaries.boxes
    return replace(
        day,
        export_limit_kw=np.minimum(problem.box_max_kw, boxes.p_max_kw),
        import_limit_kw=-np.maximum(problem.box_min_kw, boxes.p_min_kw),
        wires=None if terrain is None else _wires(community, terrain, day),
    )


def _fee(community: Community) -> float:
    """Fees on every trade, the same between all; the plan weighs both."""
    fees = community.fee_eur_per_kwh
    own = 0.0 if fees is None else float(fees.max())
    return own + community.terms.network_fee_eur_per_kwh


def _wires(community: Community, terrain: Terrain, day: Households) -> Wires:
    """The corrected model, around what is expected without storage."""
    network = community.network
    return Wires(
        feeder=terrain.limits.feeder,
        at=community.at,
        background_kw=terrain.limits.background[0],
        background_kvar=terrain.limits.background[1],
        expected_kw=day.without_storage_kw,
        expected_kvar=day.firm_kvar,
        v_min_pu=network.v_min_pu,
        v_max_pu=network.v_max_pu,
        loading=network.loading,
        over_eur_per_kwh=community.foresight.over_eur_per_kwh,
    )


def _tell(found: Plan, events: list[Event]) -> None:
    """What the plan cannot keep."""
    if not found.is_optimal:
        events.append(Event("market", "plan stopped at its time limit", found.gap))
    names = found.day.stores.names
    for b in np.flatnonzero(found.short_kwh.max(axis=(1, 2), initial=0.0) > SHORT_KWH):
        worst = float(found.short_kwh[b].max())
        events.append(Event(names[b], "plan falls short of a promised energy [kWh]", worst))
    if found.network is not None:
        over = float(found.day.expected(found.network.over_kw)[:, 0].max(initial=0.0))
        if over > OVER_KW:
            events.append(Event("market", "plan expects to exceed a line's rating [kW]", over))


def _clearing(found: Plan, asked: _Asked, devices: Devices, problem: Problem) -> Clearing:
    """The plan in the words of a clearing; what differs between scenarios is expected.

    The price is what one more kWh costs the community: that of the retailer.
    """
    schedule = _schedule(found, asked, devices)
    position = asked.firm_kw.copy()
    np.add.at(position, asked.owner, schedule)
    high, low = problem.price_import_eur_per_kwh, problem.price_feed_in_eur_per_kwh
    theta = np.where(position.sum(axis=0) < 0.0, high, low)
    price = np.repeat(theta[None], len(position), axis=0)
    nothing = np.zeros_like(position)
    return Clearing(
        schedule_kw=schedule,
        schedule_kvar=np.zeros_like(schedule),
        position_kw=position,
        position_kvar=found.day.expected(found.position_kvar),
        import_kw=-position.sum(axis=0, keepdims=True),
        theta_eur_per_kwh=theta[None],
        price_eur_per_kwh=price,
        loss_price_eur_per_kwh=nothing,
        congestion_eur_per_kwh=nothing,
        price_eur_per_kvarh=nothing,
        status=Status.CONVERGED if found.is_optimal else Status.ITERATION_LIMIT,
        iterations=0,
        primal_kw=0.0,
        dual_eur_per_kwh=0.0,
        history=(),
        dual_history=(),
        objective_eur=found.programme_eur,
        lower_bound_eur=found.bound_eur,
        box_violation_kw=0.0,
        warm=Warm(schedule_kw=schedule, price_eur_per_kwh=np.zeros_like(schedule)),
        probability=tuple(found.day.probability.tolist()),
        linear_gap_pu=float("nan") if found.network is None else found.network.gap_pu,
    )


def _schedule(found: Plan, asked: _Asked, devices: Devices) -> Floats:
    """Expected injection of the resources that are asked, ``(F, T)``.

    A plant that no scenario curtails has its forecast: whatever comes is welcome.
    """
    day = found.day
    schedule = np.zeros((len(asked.messages), day.shape[2]))
    schedule[devices.rows["plant"]] = day.expected(found.plant_kw)
    schedule[devices.rows["store"]] = day.expected(found.discharge_kw - found.charge_kw)
    schedule[devices.rows["appliance"]] = -found.appliance_kw
    uncut = np.all(found.plant_kw >= day.plants.high_kw - CURTAILED_KW, axis=1)
    for k, r in enumerate(devices.rows["plant"]):
        forecast = asked.messages[r].p_ref_kw[: day.shape[2]]
        schedule[r] = np.where(uncut[k, :], forecast, schedule[r])
    return schedule
