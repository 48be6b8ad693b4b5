"""The clearing of one hour: rights, envelopes, the grid if it is asked, and what may not be agreed.

Inside an envelope there is room for what may happen: positions keep the margins' distance from it.

On the AC network the band is the operator's own, narrowed by what the meters taught. Where firm
load and generation alone leave it, the limit there is what they cause: nobody may make it worse.
A clearing whose first hour breaks a limit all the same is not agreed.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.polygons import drawn_in
from peergrid.errors import ModelError, SolverError
from peergrid.market import admm
from peergrid.market.agents import opened
from peergrid.market.clearing import clear
from peergrid.market.problem import Grid, Problem, fold_boxes
from peergrid.market.result import Clearing, Warm
from peergrid.market.trading import PqLimits, ReactiveTrade
from peergrid.network.power_flow import solve
from peergrid.operator.boundaries import Boundaries
from peergrid.operator.community import Community, Event, Inbox
from peergrid.operator.loss_charge import loss_charge
from peergrid.operator.negotiate import inside
from peergrid.operator.reading import Reading
from peergrid.operator.state import State
from peergrid.operator.terrain import Terrain

Floats = NDArray[np.float64]
AGREED_PU = 1e-4  # largest violation that a clearing may have in the hour it is made for
BESIDE_PU = 1e-4  # room beside what firm load alone causes


def trade(
    community: Community,
    state: State,
    problem: Problem,
    boundaries: Boundaries,
    terrain: Terrain | None,
    reading: Reading,
    events: list[Event],
) -> Clearing | None:
    """Clear the market inside envelopes; None if there is no trade this hour; why is an event."""
    network = community.clears_on
    if network == "ac" and terrain is None:
        network = "envelope"
    if network != "none":
        problem = _enveloped(problem, boundaries, terrain, reading, community)
    if network == "ac" and terrain is not None:
        problem = replace(problem, grid=_grid(reading, community, terrain, events))
    problem = _release(community, problem, events)
    warm = boundaries.warm or warm_start(state, reading)
    try:
        clearing = clear(problem, community.settings, warm, network=network)
    except (ModelError, SolverError, FloatingPointError, np.linalg.LinAlgError) as error:
        events.append(Event("market", f"clearing failed ({error}): no trade this hour"))
        return None
    if not np.isfinite(clearing.schedule_kw).all():
        events.append(Event("market", "clearing gave no numbers: no trade this hour"))
        return None
    if clearing.status is admm.Status.ITERATION_LIMIT:
        events.append(Event("market", "clearing stopped at its iteration limit", clearing.gap))
    return clearing if _may_be_agreed(clearing, events) else None


def warm_start(state: State, reading: Reading) -> Warm | None:
    """The last clearing, shifted, if the same resources answer."""
    return state.warm if state.warm_keys == tuple(int(r) for r in reading.flexible) else None


def _may_be_agreed(clearing: Clearing, events: list[Event]) -> bool:
    """The AC check: whether the first hour keeps the limits of the network."""
    if clearing.grid is None:
        return True
    broken = max(float(clearing.grid.violation_pu[0]), float(clearing.grid.overload[0]))
    if broken <= AGREED_PU:
        return True
    events.append(Event("market", "AC check: a limit is broken; not agreed, no trade", broken))
    return False


def contracted(community: Community, inbox: Inbox, reading: Reading) -> Problem:
    """What is to be cleared, within rights and contracts, and without envelopes."""
    low, high = [], []
    for participant in community.participants:
        sell = participant.export_limit_kw if participant.may_sell else 0.0
        buy = participant.import_limit_kw if participant.may_buy else 0.0
        high.append(np.inf if sell is None else sell)
        low.append(-np.inf if buy is None else -buy)
    firm = reading.firm_kw
    highest, lowest = _reach(community, reading)
    low_kw = np.minimum(np.array(low)[:, None], firm)
    high_kw = np.maximum(np.array(high)[:, None], firm)
    reactive = _reactive(community, inbox, reading) if inbox.trades_reactive else None
    return Problem(
        agents=reading.agents,
        owner=community.owner[reading.flexible],
        pool=community.pool,
        firm_kw=firm,
        price_import_eur_per_kwh=inbox.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=inbox.price_feed_in_eur_per_kwh,
        box_min_kw=np.minimum(low_kw, highest),
        box_max_kw=np.maximum(high_kw, lowest),
        fee_eur_per_kwh=community.fee_eur_per_kwh,
        reactive=reactive,
    )


def charged(community: Community, problem: Problem, terrain: Terrain | None) -> Problem:
    """The problem with the operator's price on losses, where joint envelopes are asked for.

    It is a signal, published with the envelopes and kept up while trades are cleared inside them;
    who pays for the losses is said by the terms of the settlement.
    """
    price = community.rules.loss_price_eur_per_kwh
    if price == 0.0 or terrain is None or community.rules.kind != "dfe-joint":
        return problem
    reactive = problem.reactive is not None
    return replace(problem, losses=loss_charge(terrain.limits, price, reactive=reactive))


def _reach(community: Community, reading: Reading) -> tuple[Floats, Floats]:
    """Highest and lowest injection that the resources allow, ``(N, T)``."""
    owner = community.owner[reading.flexible]
    high, low = reading.firm_kw.copy(), reading.firm_kw.copy()
    np.add.at(high, owner, reading.agents.p_max_kw)
    np.add.at(low, owner, reading.agents.p_min_kw)
    return high, low


def _reactive(community: Community, inbox: Inbox, reading: Reading) -> ReactiveTrade:
    """Reactive power as a second good, at the prices of the step over the whole horizon."""
    free: Floats = np.full(reading.firm_kw.shape, np.inf)
    steps = np.ones(len(inbox.price_import_eur_per_kwh))
    return ReactiveTrade(
        firm_kvar=_firm_kvar(community, reading),
        price_import_eur_per_kvarh=inbox.price_import_eur_per_kvarh * steps,
        price_feed_in_eur_per_kvarh=inbox.price_feed_in_eur_per_kvarh * steps,
        box_min_kvar=-free,
        box_max_kvar=free,
        fee_share=community.reactive_fee_share,
    )


def _firm_kvar(community: Community, reading: Reading) -> Floats:
    """Reactive injection ``(N, T)`` without that of resources which offer any."""
    firm = reading.firm_kvar.copy()
    offered, owner = reading.agents.reactive, community.owner[reading.flexible]
    np.subtract.at(firm, owner[offered.resource], offered.q_ref_kvar)
    return firm


def _enveloped(
    problem: Problem,
    boundaries: Boundaries,
    terrain: Terrain | None,
    reading: Reading,
    community: Community,
) -> Problem:
    """The problem inside envelopes drawn in by the margins.

    Only where they matter: devices must be able to keep them, and limits beyond what devices can
    reach would only be rows to iterate over.
    """
    boxes = boundaries.boxes
    if terrain is None or not np.isfinite(boxes.p_max_kw).any():
        inner = replace(
            problem,
            box_min_kw=np.maximum(problem.box_min_kw, boxes.p_min_kw),
            box_max_kw=np.minimum(problem.box_max_kw, boxes.p_max_kw),
        )
    elif boundaries.polygons is not None and problem.reactive is not None:
        firm = problem.firm_kw, problem.reactive.firm_kvar
        held = drawn_in(boundaries.polygons, terrain.room.margin, firm)
        inner = replace(problem, polygons=PqLimits(p_kw=held.p_kw, q_kvar=held.q_kvar))
    else:
        inner = inside(problem, boxes, terrain.room)
    high, low = _reach(community, reading)
    box_min = np.where(inner.box_min_kw <= low, -np.inf, np.minimum(inner.box_min_kw, high))
    box_max = np.where(inner.box_max_kw >= high, np.inf, np.maximum(inner.box_max_kw, low))
    return replace(inner, box_min_kw=box_min, box_max_kw=box_max)


def _grid(reading: Reading, community: Community, terrain: Terrain, events: list[Event]) -> Grid:
    """The corrected model with limits that firm load and generation leave possible."""
    limits = terrain.limits
    unsure = limits.uncertainty_pu(limits.base)
    low = np.minimum(limits.v_min_pu + unsure, limits.lowest_pu)
    high = np.maximum(limits.v_max_pu - unsure, limits.highest_pu)
    grid = Grid(
        feeder=limits.feeder,
        at=community.at,
        firm_kvar=_firm_kvar(community, reading),
        background_kw=limits.background[0],
        background_kvar=limits.background[1],
        v_min_pu=low,
        v_max_pu=high,
        loading=limits.loading_max.max(axis=1),
    )
    alone = solve(limits.feeder, *grid.firm_injections(reading.firm_kw))
    vm_pu = np.where(np.isfinite(alone.vm_pu), alone.vm_pu, 1.0)
    planned = replace(grid, v_min_pu=limits.planned_pu[0], v_max_pu=limits.planned_pu[1])
    broken = float(planned.violation_pu(vm_pu)[0])
    if broken > BESIDE_PU:
        events.append(Event("market", "firm load alone leaves the voltage band", broken))
    return replace(
        grid,
        v_min_pu=np.minimum(low, vm_pu - BESIDE_PU),
        v_max_pu=np.maximum(high, vm_pu + BESIDE_PU),
    )


def _release(community: Community, problem: Problem, events: list[Event]) -> Problem:
    """Lift envelopes inside which a storage could not meet its energy bounds (a departure)."""
    stuck = opened(fold_boxes(problem).agents).unreachable()
    if not stuck.any():
        return problem
    low, high = problem.box_min_kw.copy(), problem.box_max_kw.copy()
    for index in np.unique(problem.owner[stuck]):
        low[index], high[index] = -np.inf, np.inf
        name = community.participants[index].name
        events.append(Event(name, "envelope too narrow for the energy promised: not enforced"))
    return replace(problem, box_min_kw=low, box_max_kw=high)
