"""The envelopes of one hour, by the rule of the scenario, and what happens if there are none.

All kinds are safe under the exact power flow in the hour that is published; the hours of the
horizon behind it keep to linear rows, for they are set again before they come.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes import envelope
from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.envelope import Envelope
from peergrid.envelopes.limits import BESIDE_PU
from peergrid.envelopes.polygons import Polygons, polygons
from peergrid.errors import ModelError, SolverError
from peergrid.market.admm import Settings
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing, Warm
from peergrid.operator.community import Community, Event
from peergrid.operator.fallback import firm_boxes, patch
from peergrid.operator.negotiate import negotiate
from peergrid.operator.state import State
from peergrid.operator.terrain import Terrain

Floats = NDArray[np.float64]
FIRST = np.array([0])
HASTE = 8.0  # tolerance of a negotiation, relative to that of the clearing
NOTED_PU = 1e-3  # firm load further outside the band is an event


@dataclass(frozen=True, kw_only=True, eq=False)
class Boundaries:
    """Envelopes of the horizon.

    Parameters
    ----------
    boxes
        ``(N, H)``.
    envelope
        How they came about; None without envelopes, and where an old static box was taken.
    static
        The one box of all hours, where it is.
    warm
        Where the clearing inside them may start, if they were negotiated.
    polygons
        What takes the place of the boxes in the clearing, if polygons are asked for.
    """

    boxes: Boxes
    envelope: Envelope | None = None
    static: Boxes | None = None
    warm: Warm | None = None
    polygons: Polygons | None = None

    def published(self, clearing: Clearing | None) -> Boxes:
        """Boxes of the hour; of a polygon, its active range at the reactive power cleared."""
        boxes = self.boxes.hour(0)
        if self.polygons is None or clearing is None:
            return boxes
        low, high = self.polygons.slice_p(clearing.position_kvar)
        reactive = clearing.position_kvar[:, :1]
        return Boxes(
            p_max_kw=np.maximum(high[:, :1], clearing.position_kw[:, :1]),
            p_min_kw=np.minimum(low[:, :1], clearing.position_kw[:, :1]),
            q_max_kvar=reactive,
            q_min_kvar=reactive,
        )


def set_boundaries(
    community: Community,
    state: State,
    terrain: Terrain | None,
    problem: Problem,
    warm: Warm | None,
    events: list[Event],
) -> Boundaries:
    """Envelopes of the horizon.

    Parameters
    ----------
    community, state
        The rules, and what is remembered.
    terrain
        The ground; None where no power flow solution exists even without participants.
    problem
        What will be cleared, within contracts; joint envelopes are negotiated over it.
    warm
        Where a negotiation may start.
    events
        What goes wrong is added here.
    """
    shape = problem.firm_kw.shape
    if community.rules.kind == "none":
        return Boundaries(boxes=Boxes.unlimited(*shape), static=state.static)
    if terrain is None:
        events.append(Event("envelopes", "no power flow solution at a corner: firm load only"))
        held = np.minimum(problem.firm_kw, 0.0), np.maximum(problem.firm_kw, 0.0)
        free = Boxes.unlimited(*shape)
        return Boundaries(boxes=free.within_p(*held), static=state.static)
    if community.rules.kind == "static" and state.static is not None:
        found = Boundaries(boxes=_repeated(state.static, shape[1]), static=state.static)
    else:
        found = _computed(community, state, terrain, problem, warm, events)
    found = _safe(state, terrain, found, events)
    if community.rules.shape == "polygon" and problem.reactive is not None:
        return _widened(terrain, found)
    return found


def _computed(
    community: Community,
    state: State,
    terrain: Terrain,
    problem: Problem,
    warm: Warm | None,
    events: list[Event],
) -> Boundaries:
    rules, limits = community.rules, terrain.limits
    if rules.kind == "static":
        found = envelope.static(limits, terrain.wishes, rules.objective)
        return Boundaries(boxes=found.boxes, envelope=found, static=found.boxes.hour(0))
    try:
        if rules.kind == "dfe-two-stage":
            desired = _desired(community, state, terrain, problem)
            found = envelope.agreed_in_two_stages(limits, desired, terrain.offer, hours=FIRST)
            return Boundaries(boxes=found.boxes, envelope=found)
        if rules.kind == "dfe-joint":
            proof = negotiate(
                problem,
                limits,
                terrain.room,
                _hasty(community.settings),
                warm=warm,
                hours=FIRST,
                near=state.agreed,
            )
            return Boundaries(
                boxes=proof.boxes,
                envelope=envelope.known(limits, proof),
                warm=proof.found.clearing.warm,
            )
    except (ModelError, SolverError, FloatingPointError, np.linalg.LinAlgError) as error:
        events.append(Event("envelopes", f"no agreement ({error}): the operator alone sets them"))
    found = envelope.dynamic(limits, terrain.offer, rules.objective, alpha=rules.alpha, hours=FIRST)
    return Boundaries(boxes=found.boxes, envelope=found)


def _hasty(settings: Settings) -> Settings:
    """Settings of a negotiation: trades are cleared once more inside what it agrees on."""
    return replace(
        settings,
        tolerance_share=HASTE * settings.tolerance_share,
        tolerance_price_share=HASTE * settings.tolerance_price_share,
    )


def _desired(community: Community, state: State, terrain: Terrain, problem: Problem) -> Floats:
    """Extents ``(4 N, H)`` around what was planned last, else around a market without envelopes."""
    p_kw, q_kvar = state.plan_kw, state.plan_kvar
    if p_kw is None or q_kvar is None or p_kw.shape != problem.firm_kw.shape:
        found = clear(problem, community.settings, network="none", certificate="off")
        p_kw, q_kvar = found.position_kw, found.position_kvar
    return np.concatenate([p_kw, -p_kw, q_kvar, -q_kvar]) + terrain.room.margin


def _widened(terrain: Terrain, found: Boundaries) -> Boundaries:
    """Polygons around the boxes, for the hours in which rows are known."""
    if found.envelope is None:
        return found
    around = polygons(
        terrain.limits, found.envelope.rows, found.boxes, terrain.room.most, hours=FIRST
    )
    return replace(found, polygons=around.polygons)


def _repeated(box: Boxes, hours: int) -> Boxes:
    return Boxes.of_extent(np.repeat(box.extent, hours, axis=1))


def _safe(state: State, terrain: Terrain, found: Boundaries, events: list[Event]) -> Boundaries:
    """Firm load inside in any case, and alone where nothing else is safe."""
    granted = terrain.wishes.firm()
    boxes = Boxes.of_extent(np.maximum(found.boxes.extent, granted.extent))
    if found.envelope is None:
        return replace(found, boxes=boxes)
    boxes = found.boxes if found.static is None else boxes
    failed = np.isinf(found.envelope.violation_pu)
    if failed.any():
        boxes = patch(boxes, firm_boxes(terrain.wishes, state.agreed), failed)
    _note(terrain, bool(failed[0]), events)
    return replace(found, boxes=boxes)


def _note(terrain: Terrain, failed: bool, events: list[Event]) -> None:
    """Say so where firm load is too much for the feeder."""
    if failed:
        events.append(Event("envelopes", "no power flow solution at a corner: firm load only"))
        return
    limits = terrain.limits
    low, high = (band[1:, 0] for band in limits.planned_pu)
    broken = np.maximum(low - limits.v_min_pu[1:, 0], limits.v_max_pu[1:, 0] - high) - BESIDE_PU
    worst = float(broken.max(initial=0.0))
    if worst > NOTED_PU:
        events.append(Event("envelopes", "firm load alone leaves the voltage band", worst))
