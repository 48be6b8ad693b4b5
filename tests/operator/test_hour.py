"""One hour of the operator on a tiny community: what may go wrong, and what comes out then."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from peergrid.envelopes.feedback import Measurements
from peergrid.envelopes.limits import Network
from peergrid.errors import SolverError
from peergrid.network.linear import lindistflow
from peergrid.operator import trade
from peergrid.operator.community import KINDS, Community, Inbox
from peergrid.operator.hour import Outbox, hour
from peergrid.operator.state import State, from_plain
from tests.operator import tiny

FLEXIBLE = [1, 3, 5]
FIRM = [0, 2, 4]
ASKED = [3, 5]  # the sun shines by itself: no set-point as long as nothing is to be cut


def play(
    community: Community, hours: int, state: State | None = None, begin: int = 0
) -> tuple[State, Outbox]:
    """Some hours in which everyone does as asked and the meters see it."""
    state = state or tiny.first_state()
    power = None
    outbox = None
    for index in range(begin, begin + hours):
        inbox = tiny.inbox(index)
        if power is not None:
            seen = tiny.metered(community, power)
            inbox = tiny.inbox(index, realised_kw=power, seen=seen)
        state, outbox = hour(community, state, inbox)
        power = tiny.realised(outbox)
    assert outbox is not None
    return state, outbox


def following(community: Community, outbox: Outbox, index: int, **changes: Any) -> Inbox:
    """The inbox of the step after ``outbox``."""
    power = tiny.realised(outbox)
    usual = {"realised_kw": power, "seen": tiny.metered(community, power)}
    return tiny.inbox(index, **(usual | changes))


def said(outbox: Outbox, who: str) -> str:
    """What the events say about ``who``."""
    return " / ".join(event.what for event in outbox.events if event.who == who)


@pytest.mark.parametrize("envelopes", KINDS)
@pytest.mark.parametrize("mechanism", ["p2p", "none"])
def test_an_hour_is_a_pure_function(envelopes: str, mechanism: str) -> None:
    community = tiny.community(kind=envelopes, mechanism=mechanism)
    state, outbox = play(community, 2)
    inbox = following(community, outbox, 2)
    before, read = tiny.bits(state), tiny.bits(inbox)
    one, two = hour(community, state, inbox), hour(community, state, inbox)
    assert tiny.bits(one) == tiny.bits(two)
    assert (tiny.bits(state), tiny.bits(inbox)) == (before, read)
    assert one[1].events == ()


@pytest.mark.parametrize("envelopes", KINDS)
def test_memory_survives_json(envelopes: str) -> None:
    community = tiny.community(kind=envelopes)
    state, outbox = play(community, 3)
    again = from_plain(json.loads(json.dumps(state.plain())))
    assert tiny.bits(again) == tiny.bits(state)
    inbox = following(community, outbox, 3)
    assert tiny.bits(hour(community, again, inbox)) == tiny.bits(hour(community, state, inbox))


def test_memory_of_the_first_instant_survives_json() -> None:
    first = tiny.first_state()
    again = from_plain(json.loads(json.dumps(first.plain())))
    assert tiny.bits(again) == tiny.bits(first)


@pytest.mark.parametrize("envelopes", KINDS)
def test_nobody_says_anything(envelopes: str) -> None:
    community = tiny.community(kind=envelopes)
    state = tiny.first_state()
    for index in range(2):
        state, outbox = hour(community, state, tiny.inbox(index, dict.fromkeys(range(6))))
        assert np.isnan(outbox.set_point_kw).all()
        assert outbox.position_kw.tolist() == [0.0, 0.0, 0.0]
        assert outbox.events == ()
    assert np.isfinite(play(community, 1, state, begin=2)[1].set_point_kw[ASKED]).all()


def test_usually_the_flexible_ones_are_asked_and_trade() -> None:
    community = tiny.community()
    state, outbox = play(community, 1)
    assert np.isnan(outbox.set_point_kw[FIRM]).all()
    assert np.isnan(outbox.set_point_kw[1])
    assert np.isfinite(outbox.set_point_kw[ASKED]).all()
    _, after = hour(community, state, following(community, outbox, 1))
    assert after.settled is not None
    assert after.settled.money.traded_total_kw > 10.0
    assert after.settled.breaches == 0


def _broken(kind: str, r: int) -> object:
    message = tiny.message(0.0, r)
    if kind == "NaN":
        message["p_max_kw"] = [float("nan")] * tiny.HORIZON
    elif kind == "late":
        message["t0_s"] = 3600.0
    elif kind == "short":
        message = {k: v[:-1] if isinstance(v, list) else v for k, v in message.items()}
    elif kind == "minutes":
        message["dt_s"] = 900.0
    elif kind == "crossed":
        message |= {"p_min_kw": [10.0] * tiny.HORIZON, "p_max_kw": [-10.0] * tiny.HORIZON}
    elif kind == "text":
        return "hello"
    return message


@pytest.mark.parametrize("kind", ["NaN", "late", "short", "minutes", "crossed", "text"])
@pytest.mark.parametrize("r", [0, 3, 5])
def test_a_message_that_cannot_be_used(kind: str, r: int) -> None:
    community = tiny.community()
    realised = np.full(6, np.nan)
    realised[r] = -7.0
    inbox = tiny.inbox(0, {r: _broken(kind, r)}, realised_kw=realised)
    state, outbox = hour(community, tiny.first_state(), inbox)
    assert "counts as firm" in said(outbox, tiny.NAMES[r])
    assert len(outbox.events) == 1
    assert np.isnan(outbox.set_point_kw[r])
    others = [k for k in ASKED if k != r]
    assert np.isfinite(outbox.set_point_kw[others]).all()
    assert not state.heard[r]
    expected = np.nan_to_num(outbox.set_point_kw) + np.array([-20.0, 100.0, -60.0, 0, -30.0, 0])
    expected[r] = -7.0
    by_member = expected.reshape(3, 2).sum(axis=1)
    np.testing.assert_allclose(outbox.position_kw, by_member, atol=2e-3)
    _, after = hour(community, state, following(community, outbox, 1))
    assert after.settled is not None
    assert after.settled.money.traded_total_kw > 0.0


def test_a_device_that_dies_after_it_had_spoken() -> None:
    community = tiny.community()
    state, outbox = play(community, 2)
    inbox = following(community, outbox, 2, changed={3: None})
    state, dead = hour(community, state, inbox)
    assert "says nothing" in said(dead, "store.battery")
    assert np.isnan(dead.set_point_kw[3])
    assert np.isfinite(dead.set_point_kw[5])
    last = tiny.realised(outbox)[3]
    np.testing.assert_allclose(dead.position_kw[1], -60.0 + last)
    _, back = hour(community, state, following(community, dead, 3))
    assert back.events == ()
    assert np.isfinite(back.set_point_kw[3])


def _everywhere(value: float) -> Measurements:
    buses = np.full(tiny.FEEDER.n_bus, value)
    return Measurements(
        vm_pu=buses,
        p_inj_kw=buses,
        q_inj_kvar=buses,
        head_p_kw=value,
        head_q_kvar=value,
        loss_kw=value,
    )


@pytest.mark.parametrize("value", [float("nan"), 0.0, 1e4, -1e4, 1e9, -1e9, 1e30, np.inf, -np.inf])
@pytest.mark.parametrize("devices", [float("nan"), 0.0, 1e9, np.inf])
@pytest.mark.filterwarnings("error")
def test_any_measurement_is_legal(value: float, devices: float) -> None:
    community = tiny.community()
    state, _ = play(community, 2)
    inbox = tiny.inbox(2, realised_kw=np.full(6, devices), seen=_everywhere(value))
    state, outbox = hour(community, state, inbox)
    assert np.isfinite(outbox.position_kw).all()
    assert np.isfinite(outbox.correction.load_scale)
    assert 0.5 <= outbox.correction.load_scale <= 2.0
    assert np.isfinite(outbox.correction.impedance_scale).all()
    assert (outbox.correction.narrow_upper_pu >= 0.0).all()
    assert outbox.settled is not None
    assert np.isfinite(outbox.settled.cost_eur).all()
    _, after = hour(community, state, following(community, outbox, 3))
    assert np.isfinite(after.set_point_kw[ASKED]).all()


def test_a_storage_that_cannot_reach_its_energy() -> None:
    community = tiny.community()
    energies = [0.0] + [190.0] * tiny.HORIZON
    inbox = tiny.inbox(0, {3: tiny.message(0.0, 3, e_min_kwh=energies, e_now_kwh=20.0)})
    _, outbox = hour(community, tiny.first_state(), inbox)
    assert "energy bounds" in said(outbox, "store.battery")
    assert np.isnan(outbox.set_point_kw[3])
    assert np.isfinite(outbox.set_point_kw[5])


def test_a_departure_goes_before_the_envelope() -> None:
    community = tiny.community(
        participants=tuple(
            p if p.name != "store" else type(p)(**(vars(p) | {"import_limit_kw": 65.0}))
            for p in tiny.community().participants
        )
    )
    energies = [0.0] * tiny.HORIZON + [190.0]
    inbox = tiny.inbox(0, {3: tiny.message(0.0, 3, e_min_kwh=energies, e_now_kwh=20.0)})
    _, outbox = hour(community, tiny.first_state(), inbox)
    assert "not enforced" in said(outbox, "store")
    assert outbox.set_point_kw[3] < -20.0


def test_who_may_not_sell_does_not_export() -> None:
    _, free = play(tiny.community(), 1)
    assert free.position_kw[0] > 50.0
    _, held = play(tiny.community(rights={"may_sell": False}), 1)
    assert held.position_kw[0] <= 1e-6
    assert held.set_point_kw[1] == pytest.approx(20.0)


@pytest.mark.parametrize("envelopes", KINDS)
@pytest.mark.parametrize("limit", [0.0, 15.0, 40.0])
def test_a_contract_limits_exports(envelopes: str, limit: float) -> None:
    community = tiny.community(rights={"export_limit_kw": limit}, kind=envelopes)
    _, outbox = play(community, 2)
    assert outbox.position_kw[0] == pytest.approx(limit, abs=1e-6)
    assert outbox.set_point_kw[1] == pytest.approx(20.0 + limit, abs=1e-6)


@pytest.mark.parametrize("rights", [{"may_buy": False}, {"import_limit_kw": 5.0}])
def test_firm_load_is_never_forbidden(rights: dict[str, Any]) -> None:
    dark = tiny.message(0.0, 1) | {"p_max_kw": [0.0] * 4, "p_ref_kw": [0.0] * 4}
    _, outbox = hour(tiny.community(rights=rights), tiny.first_state(), tiny.inbox(0, {1: dark}))
    assert outbox.position_kw[0] == pytest.approx(-20.0)
    assert outbox.clearing is not None


def test_a_clearing_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    community = tiny.community()
    state, outbox = play(community, 2)

    def fail(*_: object, **__: object) -> None:
        raise SolverError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr(trade, "clear", fail)
        state, failed = hour(community, state, following(community, outbox, 2))
    assert failed.clearing is None
    assert np.isnan(failed.set_point_kw).all()
    assert "out of luck" in said(failed, "market")
    assert failed.settled is not None
    state, after = hour(community, state, following(community, failed, 3))
    assert after.events == ()
    assert np.isfinite(after.set_point_kw[ASKED]).all()
    assert after.settled is not None
    assert abs(after.settled.money.off_balance_eur) < 1e-9


def _lax(v_min_pu: float = 0.1) -> Network:
    """A band and ratings that forbid next to nothing."""
    model = lindistflow(tiny.FEEDER)
    return Network(feeder=tiny.FEEDER, model=model, v_min_pu=v_min_pu, v_max_pu=1.9, loading=1e6)


def _hungry(index: int, power_kw: float) -> dict[str, Any]:
    """The plant's engine is a huge load that may be switched on."""
    series = {"p_min_kw": [-power_kw] * 4, "p_max_kw": [0.0] * 4, "p_ref_kw": [0.0] * 4}
    return tiny.message(3600.0 * index, 5) | series


def test_a_corner_without_power_flow_is_drawn_in() -> None:
    community = tiny.community(network=_lax())
    state, outbox = play(community, 2)
    inbox = following(community, outbox, 2, changed={5: _hungry(2, 1e6)})
    _, shrunk = hour(community, state, inbox)
    assert shrunk.envelope is not None
    assert np.isfinite(shrunk.envelope.violation_pu[0])
    assert -1e6 < shrunk.boxes.p_min_kw[2, 0] < -30.0
    known = shrunk.envelope.limits.only(np.array([0]))
    flow = known.flow(shrunk.boxes.p_min_kw, shrunk.boxes.q_min_kvar)
    assert flow.converged.all()
    assert (shrunk.position_kw >= shrunk.boxes.p_min_kw[:, 0] - 1e-6).all()


def test_huge_wishes_share_what_the_feeder_can_carry() -> None:
    community = tiny.community()
    _, outbox = hour(community, tiny.first_state(), tiny.inbox(0, {5: _hungry(0, 1e6)}))
    assert outbox.envelope is not None
    assert outbox.envelope.violation_pu[0] < 1e-3
    assert -1e4 < outbox.boxes.p_min_kw[2, 0] < -30.0
    assert said(outbox, "envelopes") == ""


def test_firm_load_beyond_the_feeder() -> None:
    huge = tiny.message(0.0, 4) | {k: [-1e6] * 4 for k in ("p_min_kw", "p_max_kw", "p_ref_kw")}
    _, outbox = hour(tiny.community(), tiny.first_state(), tiny.inbox(0, {4: huge}))
    assert "no power flow solution" in said(outbox, "envelopes")
    assert outbox.position_kw[2] < -9e5


Spoil = Callable[[np.ndarray], np.ndarray]


@pytest.mark.parametrize("mechanism", ["p2p", "none"])
@pytest.mark.parametrize(
    "spoil", [lambda p: p, lambda p: p * 0.0, lambda p: p[::-1] * 3.0], ids=["as", "off", "wild"]
)
def test_money_is_neither_made_nor_lost(mechanism: str, spoil: Spoil) -> None:
    community = tiny.community(mechanism=mechanism)
    state, outbox = play(community, 2)
    power = spoil(tiny.realised(outbox)).copy()
    seen = tiny.metered(community, power)
    _, after = hour(community, state, tiny.inbox(2, realised_kw=power, seen=seen))
    assert after.settled is not None
    assert abs(after.settled.money.off_balance_eur) < 1e-9


def test_a_breach_is_counted() -> None:
    community = tiny.community()
    state, outbox = play(community, 2)
    power = tiny.realised(outbox)
    power[1] = outbox.boxes.p_max_kw[0, 0] + 21.0
    seen = tiny.metered(community, power)
    _, after = hour(community, state, tiny.inbox(2, realised_kw=power, seen=seen))
    assert after.settled.breaches == 1


def test_everyone_alone_trades_nothing() -> None:
    _, outbox = play(tiny.community(mechanism="none"), 3)
    assert outbox.settled is not None
    assert outbox.settled.money.traded_total_kw == pytest.approx(0.0, abs=1e-9)
    assert not np.any(outbox.settled.money.trade_with_kw)
    assert np.isfinite(outbox.set_point_kw[ASKED]).all()
