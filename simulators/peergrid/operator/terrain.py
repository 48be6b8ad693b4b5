"""What the operator knows of the grid this hour: other injections, limits, margins, contracts."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Offer, Wishes
from peergrid.envelopes.calibration import conformal
from peergrid.envelopes.feedback import Correction, corrected, posterior_margin_pu
from peergrid.envelopes.limits import Limits, limits_of
from peergrid.envelopes.margins import gaussian, side_confidence
from peergrid.envelopes.metering import known_or_zero
from peergrid.operator.community import Community, Inbox
from peergrid.operator.negotiate import Room
from peergrid.operator.reading import Reading, wishes
from peergrid.operator.state import State

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Terrain:
    """The ground on which envelopes are set and trades cleared, for N participants.

    Parameters
    ----------
    limits
        What the network must keep, on the corrected model.
    wishes, offer, room
        What participants have and want, what is shared out, and what both sides bring to a
        negotiation.
    """

    limits: Limits
    wishes: Wishes
    offer: Offer
    room: Room


def survey(
    community: Community, state: State, inbox: Inbox, reading: Reading, correction: Correction
) -> Terrain:
    """Put together what is known at the start of the hour.

    Raises
    ------
    ModelError
        If the feeder has no power flow solution even without participants.
    """
    level = side_level(community, reading, reactive=inbox.trades_reactive)
    up, down = margins(community, state, reading, level)
    scale = correction.scale_of(community.horizon)
    wanted = wishes(community, reading, scale, np.maximum(up, down), reactive=inbox.trades_reactive)
    network = community.network.on(corrected(community.network.feeder, correction))
    network = replace(network, confidence=level)
    limits = limits_of(
        network,
        community.at,
        wanted.firm(),
        background(community, inbox, reading, scale),
        narrow_pu=(correction.narrow_lower_pu, correction.narrow_upper_pu),
        uncertainty_pu=partial(posterior_margin_pu, correction),
    )
    offer = wanted.offer(count_on_load=community.rules.count_on_load)
    room = _room(wanted, offer, up, down)
    commits = community.rules.commitments and community.rules.kind == "dfe-joint"
    return Terrain(
        limits=limits, wishes=wanted, offer=offer, room=room.committing() if commits else room
    )


def side_level(community: Community, reading: Reading, *, reactive: bool) -> float:
    """Confidence of each side of each box, and of the operator's own margin.

    As promised; a promise about the whole network is shared among all sides that are uncertain
    (Bonferroni), and the operator's.
    """
    rules = community.rules
    if rules.promise == "side":
        return rules.confidence
    uncertain = int((reading.sigma_kw > 0.0).any(axis=1).sum())
    return side_confidence(rules.confidence, (4 if reactive else 2) * uncertain + 1)


def margins(
    community: Community, state: State, reading: Reading, level: float
) -> tuple[Floats, Floats]:
    """Margins ``(N, H)`` of the injections upwards and downwards [kW] at a confidence."""
    if community.rules.margins == "conformal":
        return conformal(state.calibration, reading.sigma_kw, level)
    known = gaussian(reading.sigma_kw, level)
    return known, known


def background(
    community: Community, inbox: Inbox, reading: Reading, scale: Floats
) -> tuple[Floats, Floats]:
    """Injections ``(n, H)`` of everything but participants [kW, kvar].

    As bystanders expect them (loads corrected by the feeder's load scale); at buses of which
    nobody says anything, as last metered, else none.
    """
    silent = np.ones(community.network.feeder.n_bus, dtype=bool)
    silent[community.at] = False
    silent[[0, *(b.row for b in community.bystanders)]] = False
    found = []
    for seen, expected in (
        (inbox.seen.p_inj_kw, reading.background_kw),
        (inbox.seen.q_inj_kvar, reading.background_kvar),
    ):
        metered = np.where(silent, known_or_zero(seen), 0.0)
        found.append(np.where(expected < 0.0, expected * scale, expected) + metered[:, None])
    return found[0], found[1]


def _room(wanted: Wishes, offer: Offer, up: Floats, down: Floats) -> Room:
    """Margins of all four sides, what is granted in any case, and the most that is wished."""
    reactive = np.abs(wanted.reactive_share) * np.maximum(up, down)
    return Room(
        margin=np.concatenate([up, down, reactive, reactive]),
        least=offer.base,
        most=np.maximum(offer.base, offer.extent(np.ones_like(offer.least))),
    )
