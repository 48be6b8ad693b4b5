"""The operator's hour under the mechanism ``stochastic``: plan, carry out the first step, go on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peergrid.cosim.market_setup import Members, community_of
from peergrid.errors import DataError
from peergrid.market.admm import Status
from peergrid.operator.community import Community, Foresight, Participant
from peergrid.operator.hour import Outbox, hour
from peergrid.operator.state import State, from_plain
from tests.operator import tiny

STEPS = tiny.HORIZON
WASHER = 6
NAMES = (*tiny.NAMES, "store.washer")
CYCLE_KW = (12.0, 4.0)


def community(scenarios: int = 3, **changes: Any) -> Community:
    members = (
        Participant(name="sun", bus=18, resources=(0, 1)),
        Participant(name="store", bus=25, resources=(2, 3, WASHER)),
        Participant(name="plant", bus=33, resources=(4, 5)),
    )
    usual: dict[str, Any] = {
        "mechanism": "stochastic",
        "kind": "none",
        "participants": members,
        "names": NAMES,
        "foresight": Foresight(scenarios=scenarios, seed=7),
    }
    return tiny.community(**(usual | changes))


def washer(index: int, earliest: int, latest: int) -> dict[str, Any]:
    """A cycle of two steps in a window."""
    return {
        "kind": "PPBC",
        "t0_s": 3600.0 * index,
        "dt_s": 3600.0,
        "p_min_kw": [-12.0] * STEPS,
        "p_max_kw": [0.0] * STEPS,
        "p_ref_kw": [0.0] * STEPS,
        "profiles": [{"p_kw": [*CYCLE_KW], "earliest": earliest, "latest": latest, "count": 1}],
    }


def inbox(index: int, window: tuple[int, int], changed: dict[int, Any] | None = None) -> Any:
    box = tiny.inbox(index, changed)
    return replace(
        box,
        messages=(*box.messages, washer(index, *window)),
        realised_kw=np.append(box.realised_kw, np.nan),
    )


def first(members: Community, changed: dict[int, Any] | None = None) -> tuple[State, Outbox]:
    state = State.first(len(NAMES), tiny.FEEDER.n_bus)
    return hour(members, state, inbox(0, (0, STEPS), changed))


def said(outbox: Outbox) -> str:
    return "; ".join(f"{event.who}: {event.what}" for event in outbox.events)


def test_the_plan_is_cleared_and_published() -> None:
    _, outbox = first(community())
    clearing = outbox.clearing
    assert clearing is not None
    assert clearing.status is Status.CONVERGED
    assert clearing.lower_bound_eur <= clearing.objective_eur + 1e-9
    assert clearing.gap <= 1e-3
    assert said(outbox) == ""
    np.testing.assert_allclose(clearing.position_kw.sum(axis=0), -clearing.import_kw[0], atol=1e-9)


@pytest.mark.parametrize(("window", "starts"), [((0, 2), True), ((2, 4), False)])
def test_an_appliance_starts_when_the_plan_says_so(window: tuple[int, int], starts: bool) -> None:
    members = community()
    state = State.first(len(NAMES), tiny.FEEDER.n_bus)
    _, outbox = hour(members, state, inbox(0, window))
    assert outbox.set_point_kw[WASHER] == pytest.approx(-CYCLE_KW[0] if starts else 0.0)


def test_an_appliance_waits_for_the_cheap_hour() -> None:
    """Without sun everybody buys; of four hours the second is the cheapest to begin in."""
    dark = dict.fromkeys(("p_min_kw", "p_max_kw", "p_ref_kw"), [0.0] * STEPS)
    for members in (community(scenarios=1), community(mechanism="p2p")):
        _, outbox = first(members, {1: tiny.message(0.0, 1) | dark})
        clearing = outbox.clearing
        assert clearing is not None
        drawn = -clearing.schedule_kw[-1]
        assert drawn.sum() == pytest.approx(sum(CYCLE_KW))
        assert drawn[1] == pytest.approx(CYCLE_KW[0])


def test_sun_that_no_scenario_curtails_gets_no_set_point() -> None:
    _, outbox = first(community())
    assert np.isnan(outbox.set_point_kw[1])


def test_same_seed_same_plan_another_seed_another() -> None:
    unsure = {1: tiny.message(0.0, 1, sigma_kw=[30.0] * STEPS)}
    one, same = (first(community(), unsure)[1].clearing for _ in range(2))
    other = first(community(foresight=Foresight(scenarios=3, seed=8)), unsure)[1].clearing
    assert one is not None
    assert same is not None
    assert other is not None
    np.testing.assert_array_equal(one.schedule_kw, same.schedule_kw)
    assert one.objective_eur != other.objective_eur


def test_restart_is_exact() -> None:
    members = community()
    state, _ = first(members)
    again = from_plain(state.plain())
    outboxes = [hour(members, known, inbox(1, (0, STEPS)))[1] for known in (state, again)]
    assert tiny.bits(outboxes[0]) == tiny.bits(outboxes[1])


def test_a_promise_out_of_reach_is_an_event_and_no_trade_is_lost_for_it() -> None:
    """The battery cannot have so much an hour from now: it counts as firm, the others go on."""
    empty = tiny.message(0.0, 3, e_now_kwh=10.0, e_min_kwh=[10.0, 190.0, 10.0, 10.0, 10.0])
    _, outbox = first(community(), {3: empty})
    assert "energy bounds cannot be met" in said(outbox)
    assert outbox.clearing is not None


def test_contracts_and_envelopes_are_kept() -> None:
    limit = 70.0
    members = community(
        participants=(
            replace(community().participants[0], export_limit_kw=limit),
            *community().participants[1:],
        )
    )
    _, outbox = first(members)
    clearing = outbox.clearing
    assert clearing is not None
    assert clearing.position_kw[0].max() <= limit + 1e-6
    assert outbox.set_point_kw[1] == pytest.approx(limit + 20.0, abs=2.0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"network": "ac"}, "network = 'ac'"),
        ({"envelopes": {"kind": "dfe-joint"}}, "envelopes.kind = 'dfe-joint'"),
        ({"fee_eur_per_mwh_ohm": 1.0}, "fee_eur_per_mwh_ohm"),
        ({"scenarios": 0}, "scenarios = 0"),
        ({"late_share": 0.7, "early_share": 0.7}, "late"),
    ],
)
def test_what_the_plan_knows_nothing_of_is_refused(settings: dict[str, Any], named: str) -> None:
    members = Members(
        participants=community().participants,
        bystanders=(),
        takes_part=(True, True, True),
        names=NAMES,
        sides=np.ones(len(NAMES)),
    )
    with pytest.raises(DataError, match=named):
        community_of("market", tiny.FEEDER, members, 3600.0, {"mechanism": "stochastic"} | settings)


def test_reactive_power_goes_where_the_cycle_goes() -> None:
    """What a device expects at its habit is not there any more once its cycle has moved."""
    habit = {"p_ref_kw": [*(-p for p in CYCLE_KW), 0.0, 0.0], "q": {"tan_phi": 0.5}}
    said = washer(0, 2, STEPS) | habit | {"q_ref_kvar": [-6.0, -2.0, 0.0, 0.0]}
    box = inbox(0, (2, STEPS))
    members = community(scenarios=1)
    state = State.first(len(NAMES), tiny.FEEDER.n_bus)
    _, outbox = hour(members, state, replace(box, messages=(*box.messages[:-1], said)))
    assert outbox.clearing is not None
    np.testing.assert_allclose(outbox.clearing.position_kvar[1], [0.0, 0.0, -6.0, -2.0], atol=1e-9)


def test_a_cycle_beyond_the_horizon_keeps_no_other_from_being_asked() -> None:
    longer = 8
    said = washer(0, 0, STEPS)
    later = {"p_kw": [12.0], "earliest": 6, "latest": longer, "count": 1}
    series = {"p_min_kw": -12.0, "p_max_kw": 0.0, "p_ref_kw": 0.0}
    said |= {name: [level] * longer for name, level in series.items()}
    said |= {"profiles": [*said["profiles"], later]}
    box = inbox(0, (0, STEPS))
    state = State.first(len(NAMES), tiny.FEEDER.n_bus)
    _, outbox = hour(community(), state, replace(box, messages=(*box.messages[:-1], said)))
    assert np.isfinite(outbox.set_point_kw[WASHER])
    assert outbox.clearing is not None
    assert -outbox.clearing.schedule_kw[-1].sum() == pytest.approx(sum(CYCLE_KW))
