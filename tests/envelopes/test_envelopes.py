"""Laws of the envelopes: what stays inside the boxes keeps the grid inside its limits."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandapower as pp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.certify import injections
from peergrid.envelopes.doe import allocate
from peergrid.envelopes.envelope import Envelope, static
from peergrid.envelopes.feedback import (
    VOLTAGE_DECIMALS,
    Correction,
    Measurements,
    correct,
    load_scale,
)
from peergrid.envelopes.margins import shared_margins
from peergrid.envelopes.rows import Rows
from peergrid.network.feeder import Feeder, Floats
from peergrid.network.library import load_feeder, to_pandapower
from peergrid.network.power_flow import solve
from tests.envelopes.cases import HOURS, Case, cases, community, firm_is_inside, points

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
FEW = settings(max_examples=8, deadline=None, derandomize=True)
VOLTAGE_PU = 2e-4


def assert_voltages_hold(case: Case, vm_pu: Floats, hours: Floats) -> None:
    inside = vm_pu[1:, hours.astype(bool)]
    assert np.all(inside <= case.network.v_max_pu + VOLTAGE_PU)
    assert np.all(inside >= case.network.v_min_pu - VOLTAGE_PU)


# ---- safety


@pytest.mark.parametrize("greed", [1.0, 4.0])
@pytest.mark.parametrize("band", [(0.9, 1.1), (0.94, 1.06)])
def test_every_point_of_the_boxes_keeps_the_voltage_band(
    greed: float, band: tuple[float, float]
) -> None:
    @given(cases(band=band, greed=greed), st.integers(0, 10**6))
    @LAWS
    def holds(case: Case, seed: int) -> None:
        boxes, inside = case.dynamic().boxes, firm_is_inside(case)
        for p_kw, q_kvar in points(boxes, seed, 6):
            assert_voltages_hold(case, case.flow(p_kw, q_kvar).vm_pu, inside)

    holds()


@given(cases(transformers=False, greed=4.0, band=(0.94, 1.06)), st.integers(0, 10**6))
@FEW
def test_pandapower_agrees_that_the_band_is_kept(case: Case, seed: int) -> None:
    inside = firm_is_inside(case)
    rated = replace(
        case.feeder, i_max_ka=np.ones(case.feeder.n_bus), i_max_parent_ka=np.ones(case.feeder.n_bus)
    )
    for p_kw, q_kvar in points(case.dynamic().boxes, seed, 1):
        p_all, q_all = injections(case.at, p_kw, q_kvar, case.background)
        vm_pu = _by_pandapower(rated, p_all[:, 0], q_all[:, 0])
        assert_voltages_hold(case, vm_pu[:, None], inside[:1])


@pytest.mark.parametrize("seed", [1, 2])
def test_pandapower_agrees_on_a_published_feeder(seed: int) -> None:
    case = community(load_feeder("ieee33"), seed, greed=6.0)
    assert firm_is_inside(case)[0]
    for p_kw, q_kvar in points(case.dynamic().boxes, seed, 2):
        p_all, q_all = injections(case.at, p_kw, q_kvar, case.background)
        vm_pu = _by_pandapower(case.feeder, p_all[:, 0], q_all[:, 0])
        assert_voltages_hold(case, vm_pu[:, None], np.ones(1))


def _by_pandapower(feeder: Feeder, p_kw: Floats, q_kvar: Floats) -> Floats:
    net = to_pandapower(replace(feeder, p_load_kw=-p_kw, q_load_kvar=-q_kvar))
    net.load = net.load.iloc[:0]
    for bus, p, q in zip(feeder.bus_id, p_kw, q_kvar, strict=True):
        pp.create_load(net, int(bus), p_mw=-p / 1000.0, q_mvar=-q / 1000.0)
    pp.runpp(net, numba=False)
    return np.asarray(net.res_bus.vm_pu.loc[feeder.bus_id], dtype=np.float64)


@given(cases(rated=True, greed=1.0), st.integers(0, 10**6))
@LAWS
def test_every_point_of_the_boxes_keeps_the_ratings(case: Case, seed: int) -> None:
    """Rows neglect losses and use the lowest voltage allowed, which more than makes up for them."""
    boxes, inside = case.dynamic().boxes, firm_is_inside(case)
    for p_kw, q_kvar in points(boxes, seed, 6):
        current = case.flow(p_kw, q_kvar).i_child_ka[1:, inside]
        assert np.all(current <= 1.01 * case.feeder.i_max_ka[1:, None])


@given(cases(rated=True, greed=2.0), st.integers(0, 10**6))
@LAWS
def test_rows_hold_over_the_whole_box(case: Case, seed: int) -> None:
    envelope = case.dynamic()
    boxes, rows = envelope.boxes, envelope.rows
    worst = rows.worst((boxes.p_max_kw, boxes.q_max_kvar), (boxes.p_min_kw, boxes.q_min_kvar))
    for p_kw, q_kvar in points(boxes, seed, 4):
        assert np.all(rows.a @ p_kw + rows.b @ q_kvar <= worst + 1e-6 * (1.0 + np.abs(worst)))
    firm = _firm_boxes(case.wishes)
    alone = rows.worst((firm.p_max_kw, firm.q_max_kvar), (firm.p_min_kw, firm.q_min_kvar))
    slack = 1e-6 * (1.0 + np.abs(rows.limit))
    volts = rows.kind != "current"  # reactive power of currents is counted at its worst
    possible = (alone <= rows.limit)[volts].all(axis=0)
    assert np.all((worst <= rows.limit + slack)[volts][:, possible])


@given(cases(greed=0.0))
@LAWS
def test_each_row_looks_at_one_side_even_if_all_participants_count_alike(case: Case) -> None:
    """All at one bus: the coefficients of a row are equal, and still have a sign."""
    far = np.full_like(case.at, case.feeder.n_bus - 1)
    a_lot = np.full_like(case.wishes.load_kw, 1e7 * case.feeder.base_mva)
    crowded = replace(case, at=far, wishes=replace(case.wishes, import_kw=a_lot))
    allocation = crowded.dynamic().allocation
    assert np.all(allocation.share_down < 1.0)
    assert allocation.share_up == pytest.approx(np.ones(HOURS))


# ---- what a box always contains


def _firm_boxes(wishes: Wishes) -> Boxes:
    sure = np.maximum(wishes.load_kw - wishes.margin_kw, 0.0)
    most = wishes.load_kw + wishes.margin_kw
    return Boxes(
        p_max_kw=-sure,
        p_min_kw=-most,
        q_max_kvar=-sure * wishes.reactive_share,
        q_min_kvar=-most * wishes.reactive_share,
    )


@given(cases(rated=True, greed=6.0, band=(0.97, 1.03)))
@LAWS
def test_firm_load_with_its_margin_is_always_inside(case: Case) -> None:
    boxes, firm = case.dynamic().boxes, _firm_boxes(case.wishes)
    assert np.all(boxes.p_max_kw >= firm.p_max_kw - 1e-9)
    assert np.all(boxes.p_min_kw <= firm.p_min_kw + 1e-9)
    assert np.all(boxes.q_max_kvar >= firm.q_max_kvar - 1e-9)
    assert np.all(boxes.q_min_kvar <= firm.q_min_kvar + 1e-9)
    allocation = case.dynamic().allocation
    for share in (allocation.share_up, allocation.share_down, allocation.credit, allocation.spare):
        assert np.all((share >= 0.0) & (share <= 1.0))


@given(cases(rated=True, greed=2.0))
@LAWS
def test_no_room_means_firm_load_only(case: Case) -> None:
    narrow = replace(case, network=replace(case.network, v_min_pu=1.2, v_max_pu=1.3))
    boxes, firm = narrow.dynamic().boxes, _firm_boxes(case.wishes)
    if (case.wishes.import_kw.sum(axis=0) > 0.0).all():
        np.testing.assert_allclose(boxes.p_min_kw, firm.p_min_kw, atol=1e-9)
    narrow = replace(case, network=replace(case.network, v_min_pu=0.7, v_max_pu=0.8))
    if (case.wishes.export_kw.sum(axis=0) > 0.0).all():
        np.testing.assert_allclose(narrow.dynamic().boxes.p_max_kw, firm.p_max_kw, atol=1e-9)


# ---- the closed form


@given(cases(rated=True, greed=3.0))
@LAWS
def test_shares_are_the_largest_possible(case: Case) -> None:
    """Bisection on the share, with all sure load credited and no spare room used."""
    silent = replace(case, wishes=replace(case.wishes, load_kvar=0.0 * case.wishes.load_kvar))
    envelope, wishes = silent.dynamic(), silent.wishes
    allocation = allocate(envelope.rows, wishes)
    firm = _firm_boxes(wishes)
    found = _bisect(envelope.rows, firm, wishes)
    np.testing.assert_allclose(allocation.share_up, found[0], atol=1e-6)
    np.testing.assert_allclose(allocation.share_down, found[1], atol=1e-6)


def _bisect(rows: Rows, firm: Boxes, wishes: Wishes) -> tuple[Floats, Floats]:
    """Largest shares up and down; a side whose firm load is already too much gets zero."""
    found = []
    raising = (rows.a.max(axis=1) > 0.0)[:, None]
    for up in (True, False):
        low, high = np.zeros(HOURS), np.ones(HOURS)
        for k in range(40):
            share = high if k == 0 else (low + high) / 2.0
            top = firm.p_max_kw + (share * wishes.export_kw if up else 0.0)
            bottom = firm.p_min_kw - (0.0 if up else share * wishes.import_kw)
            worst = rows.worst((top, firm.q_max_kvar), (bottom, firm.q_min_kvar))
            fits = ((worst <= rows.limit + 1e-12) | (raising != up)).all(axis=0)
            low, high = np.where(fits, share, low), np.where(fits, high, share)
        found.append(low)
    return found[0], found[1]


@given(cases(greed=4.0))
@LAWS
def test_load_is_credited_only_where_room_is_short(case: Case) -> None:
    allocation = case.dynamic().allocation
    assert np.all(allocation.credit[allocation.share_up < 1.0 - 1e-9] == 1.0)
    assert np.all(allocation.spare[allocation.share_down < 1.0] == 0.0)


@given(cases(greed=2.0))
@LAWS
def test_neither_load_nor_wishes_give_an_empty_box(case: Case) -> None:
    none = replace(
        case.wishes,
        export_kw=0.0 * case.wishes.export_kw,
        import_kw=0.0 * case.wishes.import_kw,
        load_kw=0.0 * case.wishes.load_kw,
        margin_kw=0.0 * case.wishes.margin_kw,
    )
    boxes = replace(case, wishes=none).dynamic().boxes
    assert not boxes.width_kw().any()


# ---- static envelopes


@given(cases(rated=True, greed=3.0), st.integers(0, 10**6))
@LAWS
def test_static_box_is_safe_in_every_hour(case: Case, seed: int) -> None:
    envelope = static(case.network, case.at, case.wishes, case.background)
    firm = _firm_boxes(case.wishes)
    assert np.all(envelope.boxes.p_min_kw <= firm.p_min_kw + 1e-9)
    assert np.all(envelope.boxes.p_max_kw >= -1e-9)
    all_hours = Boxes(
        **{name: np.repeat(value, HOURS, axis=1) for name, value in vars(envelope.boxes).items()}
    )
    peak = (case.wishes.load_kw + case.wishes.margin_kw).max(axis=1, keepdims=True)
    reactive = case.wishes.load_kvar.max(axis=1, keepdims=True)
    nothing = np.zeros((len(peak), HOURS))
    extremes = (case.flow(nothing - peak, nothing - reactive), case.flow(nothing, nothing))
    low, high = case.network.v_min_pu, case.network.v_max_pu
    inside = np.ones(HOURS, dtype=bool)
    for flow in extremes:
        inside &= ((flow.vm_pu >= low) & (flow.vm_pu <= high))[1:].all(axis=0)
    for p_kw, q_kvar in points(all_hours, seed, 4):
        assert_voltages_hold(case, case.flow(p_kw, q_kvar).vm_pu, inside)


def test_static_box_is_narrower_than_dynamic_ones() -> None:
    case = published()
    fixed = static(case.network, case.at, case.wishes, case.background).boxes
    assert fixed.width_kw().sum() < case.dynamic().boxes.width_kw().mean(axis=1).sum()


# ---- margins


@given(
    st.lists(st.floats(0.0, 100.0, allow_subnormal=False), min_size=1, max_size=9),
    st.floats(0.5, 0.999),
)
@LAWS
def test_shared_margins_add_up_to_the_margin_of_the_sum(
    sigma_kw: list[float], confidence: float
) -> None:
    sigma = np.array(sigma_kw)[:, None]
    margins = shared_margins(sigma, confidence)
    unit = shared_margins(np.ones((1, 1)), confidence)[0, 0]
    assert margins.sum() == pytest.approx(unit * np.sqrt((sigma**2).sum()), abs=1e-9)
    assert np.all(margins >= 0.0)
    assert np.all(margins <= unit * sigma + 1e-9)


# ---- feedback


@lru_cache(maxsize=1)
def published() -> Case:
    """ieee33 with wishes that its voltages limit in both directions."""
    return community(load_feeder("ieee33"), 3, band=(0.94, 1.02), greed=6.0)


def scaled(feeder: Feeder, factor: float) -> Feeder:
    return replace(feeder, r_pu=factor * feeder.r_pu, x_pu=factor * feeder.x_pu)


def seen_on(plant: Feeder, case: Case, hour: int = 0) -> Measurements:
    """What meters at every bus report while firm load alone is connected."""
    load = case.wishes.load_kw
    p_kw, q_kvar = injections(case.at, -load, -case.wishes.load_kvar, case.background)
    flow = solve(plant, p_kw, q_kvar)
    return Measurements(
        vm_pu=flow.vm_pu[:, hour].copy(),
        p_inj_kw=p_kw[:, hour].copy(),
        q_inj_kvar=q_kvar[:, hour].copy(),
        head_p_kw=float(flow.head_p_kw[hour]),
        head_q_kvar=float(flow.head_q_kvar[hour]),
        loss_kw=float(flow.loss_kw[hour]),
    )


def learned(case: Case, seen: Measurements) -> Correction:
    expected = float(case.wishes.load_kw[:, 0].sum())
    return correct(case.feeder, seen, Correction.none(case.feeder.n_bus), expected, 0.0)[0]


def assert_not_wider(narrow: Envelope, wide: Envelope) -> None:
    slack = 1e-3 * (1.0 + np.abs(wide.boxes.p_max_kw) + np.abs(wide.boxes.p_min_kw))
    assert np.all(narrow.boxes.p_max_kw <= wide.boxes.p_max_kw + slack)
    assert np.all(narrow.boxes.p_min_kw >= wide.boxes.p_min_kw - slack)


@given(cases(rated=True, greed=3.0), st.integers(0, 10**6))
@LAWS
def test_a_correction_never_widens_a_box(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    buses = case.feeder.n_bus
    upper, lower = rng.uniform(0.0, 0.02, (2, buses))
    correction = Correction(narrow_upper_pu=upper, narrow_lower_pu=lower, load_scale=1.0)
    assert_not_wider(case.dynamic(correction), case.dynamic())


def test_ratings_do_not_grow_when_every_bus_is_narrowed() -> None:
    case = community(load_feeder("ieee33"), 5, greed=4.0, rated=True)
    all_buses = np.full(33, 0.02)
    correction = Correction(narrow_upper_pu=all_buses, narrow_lower_pu=all_buses, load_scale=1.0)
    narrow, wide = case.dynamic(correction).rows, case.dynamic().rows
    current = wide.kind == "current"
    np.testing.assert_array_equal(narrow.limit[current], wide.limit[current])


def test_meters_that_agree_with_the_model_change_nothing() -> None:
    case = published()
    correction = learned(case, seen_on(case.feeder, case))
    resolution_pu = 10.0**-VOLTAGE_DECIMALS  # what a meter rounds away cannot be told from error
    assert correction.narrow_upper_pu.max() < resolution_pu
    assert correction.narrow_lower_pu.max() < resolution_pu


@pytest.mark.parametrize("nonsense", [np.nan, 0.0, 7.0, np.inf])
def test_nonsense_of_one_meter_is_ignored(nonsense: float) -> None:
    case = published()
    seen = seen_on(scaled(case.feeder, 1.2), case)
    before = learned(case, seen)
    vm_pu = seen.vm_pu.copy()
    vm_pu[20] = nonsense
    after = learned(case, replace(seen, vm_pu=vm_pu))
    others = np.arange(33) != 20
    np.testing.assert_allclose(
        after.narrow_lower_pu[others], before.narrow_lower_pu[others], atol=1e-5
    )
    assert after.narrow_lower_pu[20] == after.narrow_lower_pu[others].max()
    assert after.impedance_scale == pytest.approx(before.impedance_scale, abs=2e-3)


def test_without_any_meter_the_model_is_trusted() -> None:
    case = published()
    nothing = np.full(33, np.nan)
    silent = Measurements(
        vm_pu=nothing,
        p_inj_kw=nothing,
        q_inj_kvar=nothing,
        head_p_kw=np.nan,
        head_q_kvar=np.nan,
        loss_kw=np.nan,
    )
    correction = learned(case, silent)
    assert not correction.narrow_upper_pu.any()
    assert not correction.narrow_lower_pu.any()
    assert correction.load_scale == 1.0


def test_swapped_meters_change_the_envelopes() -> None:
    case = published()
    seen = seen_on(scaled(case.feeder, 1.3), case)
    vm_pu = seen.vm_pu.copy()
    near, far = 1, int(np.argmin(vm_pu))
    vm_pu[[near, far]] = vm_pu[[far, near]]
    right = case.dynamic(learned(case, seen)).boxes
    wrong = case.dynamic(learned(case, replace(seen, vm_pu=vm_pu))).boxes
    change = np.abs(wrong.p_min_kw - right.p_min_kw) + np.abs(wrong.p_max_kw - right.p_max_kw)
    assert change.max() > 0.01 * right.width_kw().mean()


def test_impedances_ten_percent_lower_cost_little_width() -> None:
    """The meters then see less voltage drop than the model; envelopes do not rely on it."""
    case = published()
    correction = learned(case, seen_on(scaled(case.feeder, 0.9), case))
    before, after = case.dynamic(), case.dynamic(correction)
    assert_not_wider(after, before)
    lost = 1.0 - after.boxes.width_kw().sum() / before.boxes.width_kw().sum()
    assert -1e-6 <= lost < 0.05


def test_impedances_higher_than_modelled_narrow_the_envelopes() -> None:
    """And so make them safe on the real feeder, which the model alone does not."""
    case = published()
    plant = scaled(case.feeder, 1.2)
    real = replace(case, network=replace(case.network, feeder=plant))
    before, after = case.dynamic(), case.dynamic(learned(case, seen_on(plant, case)))
    assert after.boxes.width_kw().sum() < before.boxes.width_kw().sum()
    worst = []
    for envelope in (before, after):
        outside = [
            np.maximum(vm - real.network.v_max_pu, real.network.v_min_pu - vm)[1:].max()
            for p_kw, q_kvar in points(envelope.boxes, 0, 4)
            for vm in (real.flow(p_kw, q_kvar).vm_pu,)
        ]
        worst.append(max(outside))
    assert worst[0] > VOLTAGE_PU
    assert worst[1] <= 10.0 * VOLTAGE_PU


@given(
    st.floats(0.5, 2.0),
    st.floats(-1e4, 1e4) | st.just(float("nan")),
    st.floats(-10.0, 1e4),
)
@LAWS
def test_load_scale_moves_towards_the_measurement_within_bounds(
    before: float, measured_kw: float, expected_kw: float
) -> None:
    after = load_scale(before, measured_kw, expected_kw)
    assert 0.5 <= after <= 2.0
    if np.isnan(measured_kw) or expected_kw <= 0.0:
        assert after == before
        return
    goal = min(max(measured_kw / expected_kw, 0.5), 2.0)
    assert abs(after - goal) <= abs(before - goal)
    again = after
    for _ in range(60):
        again = load_scale(again, measured_kw, expected_kw)
    assert again == pytest.approx(goal)


def test_load_scale_fades_over_the_horizon() -> None:
    scale = replace(Correction.none(3), load_scale=1.5).scale_of(24)
    assert scale[0] == 1.5
    assert np.all(np.diff(scale) < 0.0)
    assert scale[-1] > 1.0
