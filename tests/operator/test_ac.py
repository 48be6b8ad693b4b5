"""The operator's hour when it clears on the AC network: limits, events, prices, memory."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peergrid.cosim.market_setup import Members, community_of
from peergrid.envelopes.feedback import Correction
from peergrid.envelopes.limits import Network
from peergrid.errors import DataError
from peergrid.market.admm import Settings, Status
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import solve
from peergrid.operator.community import Community
from peergrid.operator.hour import Outbox, hour
from peergrid.operator.state import State, from_plain
from tests.operator import tiny

STEPS = tiny.HORIZON
V_MAX_PU = 1.05


def community(**changes: Any) -> Community:
    return tiny.community(clears_on="ac", **({"kind": "none"} | changes))


def sunny(index: int, power_kw: float = 1000.0, **changes: Any) -> dict[int, Any]:
    """So much sun at the end of a lateral that it lifts the voltage above the band."""
    series = {"p_max_kw": [power_kw] * STEPS, "p_ref_kw": [power_kw] * STEPS}
    return {1: tiny.message(3600.0 * index, 1) | series | changes}


def hungry(load_kw: float) -> dict[int, Any]:
    """A firm load of the plant."""
    series = dict.fromkeys(("p_min_kw", "p_max_kw", "p_ref_kw"), [-load_kw] * STEPS)
    return {4: tiny.message(0.0, 4) | series}


def first(members: Community, changed: dict[int, Any] | None = None) -> tuple[State, Outbox]:
    return hour(members, tiny.first_state(), tiny.inbox(0, changed))


def said(outbox: Outbox) -> list[tuple[str, str]]:
    return [(event.who, event.what) for event in outbox.events]


def alone_vm_pu(members: Community, firm_kw: list[float]) -> np.ndarray:
    """Voltages that firm injections alone cause."""
    p_kw = np.zeros((tiny.FEEDER.n_bus, 1))
    np.add.at(p_kw[:, 0], members.at, firm_kw)
    return solve(tiny.FEEDER, p_kw, np.zeros_like(p_kw)).vm_pu[:, 0]


@pytest.mark.parametrize("envelopes", ["none", "doe", "static"])
def test_prices_have_loss_parts(envelopes: str) -> None:
    """An injection far from the head saves losses where load is, and causes them where sun is."""
    _, outbox = first(community(kind=envelopes))
    clearing = outbox.clearing
    assert outbox.events == ()
    assert clearing is not None
    assert clearing.grid is not None
    assert clearing.status is Status.CONVERGED
    loss = clearing.loss_price_eur_per_kwh
    assert np.all(np.abs(loss) > 1e-7)
    assert np.all(loss[0] < 0.0)
    assert np.all(loss[1:] > 0.0)
    parts = clearing.theta_eur_per_kwh[0] + loss + clearing.congestion_eur_per_kwh
    np.testing.assert_allclose(clearing.price_eur_per_kwh, parts, atol=1e-12)
    lost = clearing.import_kw[0] + clearing.position_kw.sum(axis=0)
    np.testing.assert_allclose(lost, clearing.grid.loss_kw, atol=1e-6)
    assert np.all(clearing.grid.loss_kw > 0.1)


def test_without_the_network_there_are_no_loss_parts() -> None:
    _, outbox = first(tiny.community())
    assert outbox.clearing is not None
    assert outbox.clearing.grid is None
    assert not outbox.clearing.loss_price_eur_per_kwh.any()
    assert np.isnan(outbox.set_point_kvar).all()


def test_sun_is_cut_to_the_voltage_band() -> None:
    _, outbox = first(community(), sunny(0))
    assert outbox.events == ()
    assert outbox.clearing is not None
    assert outbox.clearing.grid is not None
    assert outbox.clearing.grid.vm_pu.max() == pytest.approx(V_MAX_PU, abs=1e-4)
    assert 100.0 < outbox.set_point_kw[1] < 900.0
    assert np.all(outbox.clearing.congestion_eur_per_kwh[0] < -1e-3)


def test_a_first_hour_beyond_a_limit_is_not_agreed() -> None:
    """The iteration is stopped before it learns of the limit: no trade, and why is said."""
    members = community(settings=Settings(max_iterations=1))
    state, outbox = first(members, sunny(0))
    stopped, broken = outbox.events
    assert "iteration limit" in stopped.what
    assert "AC check" in broken.what
    assert broken.value > 1e-3
    assert outbox.clearing is None
    assert np.isnan(outbox.set_point_kw).all()
    assert np.isnan(outbox.set_point_kvar).all()
    assert state.warm is None
    np.testing.assert_allclose(outbox.position_kw, [-20.0, -60.0, -30.0])
    power = tiny.realised(outbox)
    seen = tiny.metered(members, power)
    _, after = hour(community(), state, tiny.inbox(1, sunny(1), realised_kw=power, seen=seen))
    assert after.clearing is not None
    assert after.settled is not None
    assert after.settled.money.traded_total_kw == pytest.approx(0.0, abs=1e-9)


def test_a_later_hour_beyond_a_limit_is_no_obstacle() -> None:
    """It will be cleared again before it comes."""
    members = community(settings=Settings(max_iterations=1))
    later = [0.0, *[1000.0] * (STEPS - 1)]
    _, outbox = first(members, sunny(0, p_max_kw=later, p_ref_kw=later))
    assert [who for who, _ in said(outbox)] == ["market"]
    assert outbox.clearing is not None
    assert outbox.clearing.grid is not None
    assert outbox.clearing.grid.violation_pu[0] <= 1e-3 < outbox.clearing.grid.violation_pu[1]


@pytest.mark.parametrize("envelopes", ["none", "doe"])
def test_firm_load_alone_outside_the_band(envelopes: str) -> None:
    """The limit is what firm load causes: still agreed, and nobody may make it worse."""
    _, outbox = first(community(kind=envelopes), hungry(2500.0))
    assert ("market", "firm load alone leaves the voltage band") in said(outbox)
    event = next(event for event in outbox.events if event.who == "market")
    alone = alone_vm_pu(community(), [-20.0, -60.0, -2500.0])
    assert event.value == pytest.approx(0.95 - alone.min(), abs=1e-6)
    clearing = outbox.clearing
    assert clearing is not None
    assert clearing.grid is not None
    assert np.isfinite(outbox.set_point_kw[[3, 5]]).all()
    assert clearing.grid.violation_pu.max() <= 1e-4
    assert np.all(clearing.grid.vm_pu[:, 0] >= np.minimum(alone, 0.95) - 2e-4)


def test_firm_load_beyond_the_feeder_is_no_trade() -> None:
    _, outbox = first(community(), hungry(1e6))
    assert outbox.clearing is None
    assert "no power flow solution" in outbox.events[-1].what
    assert np.isnan(outbox.set_point_kw).all()
    assert outbox.position_kw[2] == pytest.approx(-1e6)


def test_feedback_narrows_the_band() -> None:
    """What meters taught costs the sun room; without feedback it does not."""
    free = first(community(), sunny(0))[1]
    buses = tiny.FEEDER.n_bus
    learnt = replace(Correction.none(buses), narrow_upper_pu=np.full(buses, 0.01))
    state = replace(tiny.first_state(), correction=learnt)
    _, narrowed = hour(community(), state, tiny.inbox(0, sunny(0)))
    _, trusting = hour(community(feedback=False), state, tiny.inbox(0, sunny(0)))
    assert narrowed.correction.narrow_upper_pu.max() > 0.005
    assert narrowed.clearing is not None
    assert narrowed.clearing.grid is not None
    highest = narrowed.clearing.grid.vm_pu[1:, 0].max()
    assert highest <= V_MAX_PU - 0.9 * narrowed.correction.narrow_upper_pu.max() + 1e-4
    assert narrowed.set_point_kw[1] < free.set_point_kw[1] - 50.0
    np.testing.assert_allclose(trusting.set_point_kw[1], free.set_point_kw[1])


def test_meters_above_the_model_narrow_the_band() -> None:
    """The same from end to end: an hour metered 0.008 pu higher than modelled."""
    members = community()
    state, outbox = first(members, sunny(0))
    power = tiny.realised(outbox)
    seen = tiny.metered(members, power)
    inboxes = [
        tiny.inbox(1, sunny(1), realised_kw=power, seen=replace(seen, vm_pu=seen.vm_pu + lift))
        for lift in (0.0, 0.008)
    ]
    plain, lifted = (hour(members, state, inbox)[1] for inbox in inboxes)
    assert lifted.correction.narrow_upper_pu.max() > plain.correction.narrow_upper_pu.max()
    assert lifted.set_point_kw[1] < plain.set_point_kw[1] - 10.0


@pytest.mark.parametrize(
    ("r", "q"),
    [(1, {"disc_kva": 110.0}), (3, {"disc_kva": 60.0}), (5, {"box": [-40.0, 40.0]})],
    ids=["sun", "battery", "plant"],
)
def test_who_offers_reactive_power_gets_a_set_point(r: int, q: dict[str, Any]) -> None:
    members = community()
    _, outbox = first(members, {r: tiny.message(0.0, r, q=q)})
    asked = np.isfinite(outbox.set_point_kvar)
    assert np.flatnonzero(asked).tolist() == [r]
    assert abs(outbox.set_point_kvar[r]) > 1e-3
    expected = np.zeros(3)
    expected[members.owner[r]] = outbox.set_point_kvar[r]
    np.testing.assert_allclose(outbox.position_kvar, expected)


def test_reactive_power_counts_once() -> None:
    """What a resource would do by itself is not firm if it offers to do something else."""
    q = {"q_ref_kvar": [25.0] * STEPS, "q": {"box": [-40.0, 40.0]}}
    _, outbox = first(community(), {5: tiny.message(0.0, 5, **q)})
    assert outbox.position_kvar[2] == pytest.approx(outbox.set_point_kvar[5])
    _, firm = first(community(), {5: tiny.message(0.0, 5, q_ref_kvar=[25.0] * STEPS)})
    assert firm.position_kvar[2] == pytest.approx(25.0)


def test_reactive_power_makes_room_for_the_sun() -> None:
    _, without = first(community(), sunny(0))
    _, outbox = first(community(), sunny(0, q={"disc_kva": 1000.0}))
    assert outbox.events == ()
    assert outbox.set_point_kvar[1] < -50.0
    assert outbox.set_point_kw[1] > without.set_point_kw[1] + 50.0


@pytest.mark.parametrize("binding", ["voltage", "current"])
def test_memory_with_multipliers_survives_json(binding: str) -> None:
    members = community()
    if binding == "current":
        model = lindistflow(tiny.FEEDER)
        lax = {"v_min_pu": 0.8, "v_max_pu": 1.2, "loading": 0.05}
        members = community(network=Network(feeder=tiny.FEEDER, model=model, **lax))
    state, outbox = first(members, sunny(0))
    assert outbox.clearing is not None
    assert state.warm is not None
    multipliers = {"voltage": state.warm.mu_eur_per_pu2, "current": state.warm.kappa_eur_per_pu2}
    assert np.abs(multipliers[binding]).max() > 1e-3
    again = from_plain(json.loads(json.dumps(state.plain())))
    assert tiny.bits(again) == tiny.bits(state)
    power = tiny.realised(outbox)
    seen = tiny.metered(members, power)
    inbox = tiny.inbox(1, sunny(1), realised_kw=power, seen=seen)
    one, two = hour(members, state, inbox), hour(members, again, inbox)
    assert tiny.bits(one) == tiny.bits(two)
    cold = hour(members, replace(state, warm=None), inbox)[1].clearing
    assert one[1].clearing is not None
    assert cold is not None
    assert one[1].clearing.iterations < cold.iterations
    assert one[1].clearing.objective_eur == pytest.approx(cold.objective_eur, rel=3e-4, abs=1e-3)


def _set_up(**options: Any) -> Community:
    usual = tiny.community()
    feeder = usual.network.feeder
    members = Members(
        participants=usual.participants,
        bystanders=(),
        takes_part=(True,) * len(usual.participants),
        names=usual.names,
        sides=np.ones(len(usual.names)),
    )
    return community_of("Market-0", feeder, members, 3600.0, options)


def test_the_scenario_names_what_the_clearing_respects() -> None:
    assert _set_up().clears_on == "envelope"
    assert _set_up(network="ac").clears_on == "ac"
    assert _set_up(network="none", mechanism="none").clears_on == "none"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"network": "ac", "mechanism": "none"}, "Market-0: network = 'ac': allowed: envelope or"),
        ({"network": "dc"}, "Market-0: network = 'dc': allowed: envelope, ac, none"),
        ({"network": "branch-flow"}, "Market-0: network = 'branch-flow'"),
    ],
)
def test_networks_that_cannot_be_cleared_on(options: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        _set_up(**options)
