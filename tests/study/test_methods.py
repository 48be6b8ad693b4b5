"""Laws of every method, and the figures of the shipped days."""

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.market.admm import Status
from peergrid.study.methods import METHODS, run
from peergrid.study.money import rest_kw
from peergrid.study.report import central_cost
from peergrid.study.safety import look
from tests.study.days import case, day

TRADING = [method for method in METHODS if method != "base"]
ENVELOPES = [method for method in METHODS if method not in ("base", "none")]
EACH = [("ieee69", method) for method in METHODS] + [
    ("ieee33", "doe-prop"),
    ("ieee33", "dfe-joint"),
]
WANTED = {  # losses [kWh], traded [MWh], cost [EUR]
    "base": (2929.0, 0.0, 1326.0),
    "none": (2340.0, 9.20, 1009.0),
    "doe-prop": (2420.0, 8.29, 1017.0),
    "doe-equal": (2549.0, 7.19, 1035.0),
    "dfe-joint": (2378.0, 8.85, 1010.0),
}
each_day = pytest.mark.parametrize(("name", "method"), EACH)


@pytest.mark.parametrize("method", WANTED)
def test_the_69_bus_day_has_its_figures(method: str) -> None:
    found, (loss, traded, cost) = day("ieee69", method), WANTED[method]
    assert found.loss_kwh == pytest.approx(loss, rel=0.01)
    assert found.traded_mwh == pytest.approx(traded, rel=0.01)
    assert found.cost_eur == pytest.approx(cost, rel=0.005)


def test_the_base_case_of_69_buses_loses_as_published() -> None:
    found = day("ieee69", "base")
    assert found.loss_kwh == pytest.approx(2929.0, rel=0.001)
    assert found.loss_kvarh == pytest.approx(1351.0, rel=0.001)


def test_static_envelopes_lose_more_than_dynamic_ones() -> None:
    static, dynamic = day("ieee69", "static"), day("ieee69", "doe-prop")
    assert static.loss_kwh == pytest.approx(2431.0, rel=0.01)
    assert static.traded_mwh == pytest.approx(8.17, rel=0.01)
    assert static.cost_eur > dynamic.cost_eur


def test_two_stages_come_near_the_joint_agreement() -> None:
    two, joint = day("ieee69", "dfe-two-stage"), day("ieee69", "dfe-joint")
    assert two.loss_kwh <= 2403.0 * 1.01
    assert joint.cost_eur <= two.cost_eur <= 1.002 * joint.cost_eur


def test_a_price_on_losses_lowers_them_at_little_cost() -> None:
    joint, priced = day("ieee69", "dfe-joint"), day("ieee69", "dfe-joint-loss")
    assert priced.loss_kwh < 0.93 * joint.loss_kwh
    assert joint.cost_eur < priced.cost_eur < 1.005 * joint.cost_eur
    assert priced.traded_mvarh > 2.0 * joint.traded_mvarh


@pytest.mark.parametrize(
    ("method", "loss_change", "traded"), [("doe-prop", -0.053, 2.14), ("dfe-joint", -0.092, 3.95)]
)
def test_the_33_bus_day_has_its_figures(method: str, loss_change: float, traded: float) -> None:
    found, base = day("ieee33", method), day("ieee33", "base")
    assert found.loss_kwh / base.loss_kwh - 1.0 == pytest.approx(loss_change, abs=0.002)
    assert found.traded_mwh == pytest.approx(traded, rel=0.01)


@each_day
def test_the_clearing_is_the_central_optimum(name: str, method: str) -> None:
    found = day(name, method)
    assert found.clearing.status is Status.CONVERGED
    assert found.cost_eur == pytest.approx(central_cost(found), rel=1e-5)


@each_day
def test_positions_are_what_is_traded_and_what_the_retailer_takes(name: str, method: str) -> None:
    found = day(name, method).clearing
    goods = (found.position_kw, found.trades), (found.position_kvar, found.reactive_trades)
    for position, trades in goods:
        assert (trades is None) == (method == "base")
        if trades is None:
            continue
        flow = trades.flow_kw
        assert flow.min() >= 0.0
        assert np.abs(np.einsum("eet->et", flow)).max() == 0.0
        net = flow - flow.transpose(1, 0, 2)
        np.testing.assert_array_equal(net, -net.transpose(1, 0, 2))
        rest = rest_kw(position, trades)
        np.testing.assert_allclose(net.sum(axis=1) - rest, position, atol=1e-9)
        np.testing.assert_allclose(trades.bought_kw - trades.sold_kw, rest, atol=0.1)


@each_day
def test_payments_are_the_retailers_bill_and_the_fees(name: str, method: str) -> None:
    found = day(name, method)
    problem, clearing, money = found.problem, found.clearing, found.money
    assert abs(money.trades_eur.sum()) <= 1e-9
    bill = fees = 0.0
    trade = problem.reactive
    assert trade is not None
    for position, trades, high, low, share in (
        (
            clearing.position_kw,
            clearing.trades,
            problem.price_import_eur_per_kwh,
            problem.price_feed_in_eur_per_kwh,
            1.0,
        ),
        (
            clearing.position_kvar,
            clearing.reactive_trades,
            trade.price_import_eur_per_kvarh,
            trade.price_feed_in_eur_per_kvarh,
            trade.fee_share,
        ),
    ):
        rest = rest_kw(position, trades)
        bill += float((high * np.maximum(rest, 0.0) - low * np.maximum(-rest, 0.0)).sum())
        if trades is not None and problem.fee_eur_per_kwh is not None:
            fees += float((share * problem.fee_eur_per_kwh[:, :, None] * trades.flow_kw).sum())
    assert money.paid_eur.sum() == pytest.approx(bill + fees, abs=1e-6)
    assert money.total_eur.sum() == pytest.approx(found.cost_eur, abs=1e-6)


@pytest.mark.parametrize("method", ENVELOPES)
def test_positions_with_margins_stay_inside_and_boxes_are_safe(method: str) -> None:
    found = day("ieee69", method)
    assert found.boxes is not None
    assert (found.needed - found.boxes.extent).max() <= 0.05
    assert (found.case.room.least - found.boxes.extent).max() <= 1e-6
    seen = look(found.case.limits, found.boxes, 60, np.random.default_rng(5))
    assert seen.points == 60 * 24
    assert seen.worst_violation_pu <= 1e-6
    assert seen.worst_loading <= 1.0 + 1e-4
    assert found.schedule_violation_pu <= 1e-6


def test_without_envelopes_the_contracts_break_the_limits() -> None:
    found = day("ieee69", "none")
    assert (
        look(found.case.limits, found.allowed, 10, np.random.default_rng(5)).worst_violation_pu
        > 0.01
    )
    assert found.schedule_violation_pu > 1e-4


@pytest.mark.parametrize("method", ["doe-prop", "dfe-joint"])
def test_the_limit_on_the_rise_is_what_binds(method: str) -> None:
    bound = day("ieee69", method).binding
    assert sum(one.kind == "rise" for one in bound) >= 20
    assert str(bound[0]).startswith(f"{bound[0].kind} at bus ")


def test_the_static_box_is_the_same_in_all_hours_but_for_what_is_granted() -> None:
    found = day("ieee69", "static")
    assert found.boxes is not None
    extent, least = found.boxes.extent, found.case.room.least
    smallest = extent.min(axis=1, keepdims=True)
    assert ((extent <= smallest + 1e-9) | (extent <= least + 1e-9)).all()


def test_communities_save_and_jain_says_how_evenly() -> None:
    base, found = day("ieee69", "base"), day("ieee69", "none")
    savings = found.savings_eur(base)
    assert (savings > 0.0).all()
    assert savings.sum() == pytest.approx(base.cost_eur - found.cost_eur, abs=1e-6)
    assert 0.2 < found.jain_savings(base) < 1.0
    assert 0.9 < day("ieee69", "dfe-joint").jain_boxes <= 1.0
    assert np.isnan(found.jain_boxes)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(DataError, match="dfe-joint"):
        run(case("ieee69"), "dfe")
