"""The clearing of one hour: rights, envelopes, the grid if it is asked, and what may not be agreed.

On the AC network the band is the operator's own, narrowed by what the meters taught. Where firm
load and generation alone leave it, the limit there is what they cause: nobody may make it worse.
A clearing whose first hour breaks a limit all the same is not agreed.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.envelope import band
from peergrid.envelopes.feedback import Correction
from peergrid.errors import ModelError, SolverError
from peergrid.market import admm
from peergrid.market.clearing import clear
from peergrid.market.participant import opened
from peergrid.market.problem import Grid, Problem, fold_boxes
from peergrid.market.result import Clearing
from peergrid.network.power_flow import solve
from peergrid.operator.community import Community, Event, Inbox
from peergrid.operator.reading import Reading
from peergrid.operator.state import State

Floats = NDArray[np.float64]
AGREED_PU = 1e-4  # largest violation that a clearing may have in the hour it is made for
BESIDE_PU = 1e-4  # room beside what firm load alone causes


@dataclass(frozen=True, eq=False)
class Terrain:
    """What the operator knows of the grid this hour: envelopes, correction, other injections."""

    boxes: Boxes
    correction: Correction
    background: tuple[Floats, Floats]


def trade(
    community: Community,
    state: State,
    inbox: Inbox,
    reading: Reading,
    terrain: Terrain,
    events: list[Event],
) -> Clearing | None:
    """Clear the market; None if there is no trade this hour, and why is an event."""
    problem = _problem(community, inbox, reading, terrain, events)
    warm = state.warm if state.warm_keys == tuple(int(r) for r in reading.flexible) else None
    try:
        clearing = clear(problem, community.settings, warm, network=community.clears_on)
    except (ModelError, SolverError, FloatingPointError, np.linalg.LinAlgError) as error:
        events.append(Event("market", f"clearing failed ({error}): no trade this hour"))
        return None
    if not np.isfinite(clearing.schedule_kw).all():
        events.append(Event("market", "clearing gave no numbers: no trade this hour"))
        return None
    if clearing.status is admm.Status.ITERATION_LIMIT:
        events.append(Event("market", "clearing stopped at its iteration limit", clearing.gap))
    return clearing if _may_be_agreed(clearing, events) else None


def _may_be_agreed(clearing: Clearing, events: list[Event]) -> bool:
    """The AC check: whether the first hour keeps the limits of the network."""
    if clearing.grid is None:
        return True
    broken = max(float(clearing.grid.violation_pu[0]), float(clearing.grid.overload[0]))
    if broken <= AGREED_PU:
        return True
    events.append(Event("market", "AC check: a limit is broken; not agreed, no trade", broken))
    return False


def _problem(
    community: Community,
    inbox: Inbox,
    reading: Reading,
    terrain: Terrain,
    events: list[Event],
) -> Problem:
    """What is to be cleared, with boxes that firm injections and devices can keep."""
    limited = _rights(community, reading, terrain.boxes)
    owner = community.owner[reading.flexible]
    reach_high, reach_low = reading.firm_kw.copy(), reading.firm_kw.copy()
    np.add.at(reach_high, owner, reading.agents.p_max_kw)
    np.add.at(reach_low, owner, reading.agents.p_min_kw)
    problem = Problem(
        agents=reading.agents,
        owner=owner,
        pool=community.pool,
        firm_kw=reading.firm_kw,
        price_import_eur_per_kwh=inbox.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=inbox.price_feed_in_eur_per_kwh,
        box_min_kw=np.minimum(limited.p_min_kw, reach_high),
        box_max_kw=np.maximum(limited.p_max_kw, reach_low),
        grid=_grid(community, reading, terrain, events) if community.clears_on == "ac" else None,
    )
    return _release(community, problem, events)


def _rights(community: Community, reading: Reading, boxes: Boxes) -> Boxes:
    """Envelopes within what each participant may do; firm injection always stays possible."""
    low, high = [], []
    for participant in community.participants:
        sell = participant.export_limit_kw if participant.may_sell else 0.0
        buy = participant.import_limit_kw if participant.may_buy else 0.0
        high.append(np.inf if sell is None else sell)
        low.append(-np.inf if buy is None else -buy)
    firm = reading.firm_kw
    low_kw, high_kw = np.array(low)[:, None], np.array(high)[:, None]
    if community.clears_on == "none":
        boxes = Boxes.unlimited(*firm.shape)
    return boxes.within_p(np.minimum(low_kw, firm), np.maximum(high_kw, firm))


def _grid(community: Community, reading: Reading, terrain: Terrain, events: list[Event]) -> Grid:
    """The corrected model with limits that firm load and generation leave possible."""
    network = community.network.corrected(terrain.correction.safe_impedance_scale)
    low, high = (limit[:, None] for limit in band(network, terrain.correction))
    firm_kvar = reading.firm_kvar.copy()
    offered = reading.agents.reactive
    owner = community.owner[reading.flexible]
    np.subtract.at(firm_kvar, owner[offered.resource], offered.q_ref_kvar)
    grid = Grid(
        feeder=network.feeder,
        at=community.at,
        firm_kvar=firm_kvar,
        background_kw=terrain.background[0],
        background_kvar=terrain.background[1],
        v_min_pu=low,
        v_max_pu=high,
        loading=network.loading,
    )
    alone = solve(network.feeder, *grid.firm_injections(reading.firm_kw))
    vm_pu = np.where(np.isfinite(alone.vm_pu), alone.vm_pu, 1.0)
    broken = float(grid.violation_pu(vm_pu)[0])
    if broken > BESIDE_PU:
        events.append(Event("market", "firm load alone leaves the voltage band", broken))
    share = np.nan_to_num(alone.loading).max(axis=1) + BESIDE_PU
    return replace(
        grid,
        v_min_pu=np.minimum(low, vm_pu - BESIDE_PU),
        v_max_pu=np.maximum(high, vm_pu + BESIDE_PU),
        loading=np.maximum(share, network.loading),
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
