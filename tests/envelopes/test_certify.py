"""Certified envelopes: nothing inside the boxes breaks a limit under the exact power flow."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import TOLERANCE_LOADING, TOLERANCE_PU, Certified, inspect
from peergrid.envelopes.corners import corners
from peergrid.envelopes.doe import OBJECTIVES, Allocation, Objective
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import linear_rows
from peergrid.errors import DataError, ModelError
from peergrid.network.feeder import Feeder, Floats
from peergrid.network.library import load_feeder, to_pandapower
from tests.envelopes.cases import HOURS, Case, broken, cases, community, points

LAWS = settings(max_examples=25, deadline=None, derandomize=True)
FEW = settings(max_examples=4, deadline=None, derandomize=True)
POINTS = 60
VOLTAGE_PU = 1e-5
LOADING = 1.001
FIRST = np.array([0])


def assert_holds(limits: Limits, boxes: Boxes, seed: int) -> None:
    voltage, loading = broken(limits, boxes, seed, POINTS)
    assert voltage <= VOLTAGE_PU
    assert loading <= LOADING


def assert_between_least_and_most(case: Case, found: Certified[Allocation]) -> None:
    """In the hours whose corners are known."""
    hours = np.flatnonzero(np.isfinite(found.violation_pu))
    extent, offer, firm = found.boxes.extent, case.offer, case.wishes.firm().extent
    slack = 1e-9 * (1.0 + np.abs(extent))
    granted = firm - offer.sure if case.count_on_load else firm
    assert np.all((extent >= granted - slack)[:, hours])
    assert np.all(extent <= np.maximum(case.most + offer.spare, firm) + slack)
    assert np.all(np.isfinite(extent))


@st.composite
def rules(draw: Any) -> dict[str, Any]:
    return {
        "band": draw(st.sampled_from([(0.9, 1.1), (0.95, 1.05), (0.97, 1.03)])),
        "greed": draw(st.sampled_from([0.3, 1.0, 4.0, 15.0])),
        "rated": draw(st.booleans()),
        "rise_pu": draw(st.sampled_from([None, 0.01, 0.03])),
        "sigma": draw(st.sampled_from([0.0, 0.2])),
        "count_on_load": draw(st.booleans()),
    }


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_point_of_the_boxes_keeps_all_limits(objective: Objective) -> None:
    @given(st.data(), rules(), st.integers(0, 10**6))
    @LAWS
    def holds(data: st.DataObject, chosen: dict[str, Any], seed: int) -> None:
        case = data.draw(cases(**chosen))
        found = case.certified(objective)
        assert_holds(case.limits, found.boxes, seed)
        assert_between_least_and_most(case, found)
        assert np.all(found.violation_pu <= TOLERANCE_PU)
        assert np.all(found.overload <= 5.0 * TOLERANCE_LOADING)

    holds()


@pytest.mark.parametrize("objective", ["proportional", "log"])
def test_certified_hours_hold_where_only_some_are(objective: Objective) -> None:
    @given(st.data(), rules(), st.integers(0, 10**6))
    @LAWS
    def holds(data: st.DataObject, chosen: dict[str, Any], seed: int) -> None:
        case = data.draw(cases(**chosen))
        found = case.certified(objective, FIRST)
        assert_holds(case.limits.only(FIRST), found.boxes.hours(FIRST), seed)
        assert_between_least_and_most(case, found)
        for report in (found.violation_pu, found.overload, found.linear_gap_pu):
            np.testing.assert_array_equal(np.isnan(report), np.arange(HOURS) > 0)

    holds()


@given(cases(rated=True, rise_pu=0.02, greed=1.0))
@LAWS
def test_an_hour_certified_alone_is_like_one_among_others(case: Case) -> None:
    alone, together = case.certified(hours=FIRST), case.certified()
    if max(alone.passes, together.passes) > 4:
        return
    size = np.abs(together.boxes.extent).max() + 1e-9
    gap = np.abs(alone.boxes.extent - together.boxes.extent)[:, 0]
    assert gap.max() <= 2e-2 * size
    linear = case.offer, linear_rows(case.limits, case.most)
    used = linear[1].used(alone.boxes.extent)
    granted = linear[1].used(case.wishes.firm().extent)
    over = used - np.maximum(linear[1].limit, granted)
    assert np.all(over[:, 1:] <= 1e-6 * (1.0 + np.abs(linear[1].limit[:, 1:])))


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_published_feeders_hold(name: str, seed: int) -> None:
    case = community(
        load_feeder(name),
        seed,
        greed=0.8,
        rated=bool(seed % 2),
        rise_pu=0.02,
        sigma=0.1,
        count=8,
    )
    found = case.certified(OBJECTIVES[seed])
    assert_holds(case.limits, found.boxes, seed)
    assert found.passes <= 6


@pytest.mark.parametrize("rated", [True, False])
def test_room_is_used_up_to_the_exact_limits(rated: bool) -> None:
    """Tangents leave nothing: some voltage or current is at its limit wherever a row binds."""
    case = community(load_feeder("ieee33"), 7, greed=1.0, rated=rated, rise_pu=0.02, count=6)
    found = case.certified()
    seen, limits = found.corners, case.limits
    full = np.abs(seen.high.vm_pu - seen.v_max_pu).min(axis=0) < 1e-5
    full |= np.abs(seen.low.vm_pu - seen.v_min_pu).min(axis=0) < 1e-5
    near = seen.currents
    at_rating = near.loading > (1.0 - 1e-3) * limits.loading_max[near.at, near.hour]
    full[near.hour[at_rating]] = True
    assert np.all(full | ~found.found.binding.any(axis=0))
    assert found.found.binding.any()


# ---- another power flow


@given(cases(transformers=False, shunts=False, greed=4.0, band=(0.94, 1.06)), st.integers(0, 10**6))
@FEW
def test_pandapower_agrees_that_the_band_is_kept(case: Case, seed: int) -> None:
    assert_pandapower_agrees(case, seed, 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_pandapower_agrees_on_a_published_feeder(seed: int) -> None:
    assert_pandapower_agrees(community(load_feeder("ieee33"), seed, greed=0.6), seed, 2)


def assert_pandapower_agrees(case: Case, seed: int, count: int) -> None:
    one_ka = np.ones(case.feeder.n_bus)
    rated = replace(case.feeder, i_max_ka=one_ka, i_max_parent_ka=one_ka)
    limits = case.limits
    for p_kw, q_kvar in points(case.certified().boxes, seed, count):
        p_all, q_all = limits.injections(p_kw, q_kvar)
        vm_pu = _by_pandapower(rated, p_all[:, 0], q_all[:, 0])[1:]
        assert np.all(vm_pu <= limits.v_max_pu[1:, 0] + VOLTAGE_PU)
        assert np.all(vm_pu >= limits.v_min_pu[1:, 0] - VOLTAGE_PU)


def _by_pandapower(feeder: Feeder, p_kw: Floats, q_kvar: Floats) -> Floats:
    net = to_pandapower(replace(feeder, p_load_kw=-p_kw, q_load_kvar=-q_kvar))
    net.load = net.load.iloc[:0]
    for bus, p, q in zip(feeder.bus_id, p_kw, q_kvar, strict=True):
        pp.create_load(net, int(bus), p_mw=-p / 1000.0, q_mvar=-q / 1000.0)
    pp.runpp(net, numba=False, tolerance_mva=1e-9)
    return np.asarray(net.res_bus.vm_pu.loc[feeder.bus_id], dtype=np.float64)


# ---- what is granted in any case


@given(cases(rated=True, greed=6.0, band=(0.97, 1.03), rise_pu=0.005))
@LAWS
def test_firm_load_alone_keeps_the_limits_that_it_widened(case: Case) -> None:
    limits = case.limits
    assert_holds(limits, case.wishes.firm(), 1)
    assert np.all(limits.v_max_pu >= limits.highest_pu)
    assert np.all(limits.v_min_pu <= limits.lowest_pu)


@pytest.mark.parametrize("band", [(1.2, 1.3), (0.7, 0.8)])
def test_no_room_means_little_more_than_firm_load(band: tuple[float, float]) -> None:
    case = community(load_feeder("ieee33"), 4, greed=1.0, band=band)
    free = community(load_feeder("ieee33"), 4, greed=1.0)
    firm = case.wishes.firm().extent
    side = slice(0, len(case.at)) if band[0] < 1.0 else slice(len(case.at), 2 * len(case.at))
    gained = (case.certified().boxes.extent - firm)[side].sum()
    wished = (free.most - firm)[side].sum()
    assert gained <= 0.02 * wished


@given(cases(greed=2.0))
@LAWS
def test_neither_load_nor_wishes_give_an_empty_box(case: Case) -> None:
    nothing = np.zeros_like(case.wishes.load_kw)
    silent = replace(case, wishes=type(case.wishes)(**dict.fromkeys(vars(case.wishes), nothing)))
    for objective in OBJECTIVES:
        assert not silent.certified(objective).boxes.extent.any()


# ---- degenerate cases


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("hours", [1, 2])
def test_one_bus_beyond_the_root(objective: Objective, hours: int) -> None:
    @given(st.data())
    @FEW
    def holds(data: st.DataObject) -> None:
        case = data.draw(
            cases(max_bus=2, greed=20.0, rated=True, rise_pu=0.01, count=3, hours=hours)
        )
        found = case.certified(objective)
        assert_holds(case.limits, found.boxes, 3)
        assert_between_least_and_most(case, found)

    holds()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_wishes_that_no_power_flow_carries(objective: Objective) -> None:
    case = community(load_feeder("ieee33"), 6, greed=300.0, count=5)
    found = case.certified(objective)
    assert_holds(case.limits, found.boxes, 6)
    assert_between_least_and_most(case, found)
    assert found.corners.solved.all()


def test_boxes_without_a_power_flow_are_told() -> None:
    case = community(load_feeder("ieee33"), 6, greed=300.0, count=5)
    boxes = Boxes.of_extent(case.most)
    found = inspect(case.limits, boxes, linear_rows(case.limits, case.most))
    assert np.isposinf(found.violation_pu).all()
    assert not corners(case.limits, boxes).solved.any()


def test_a_feeder_without_power_flow_is_refused() -> None:
    case = community(load_feeder("ieee33"), 6)
    drowned = replace(case, background=(case.background[0] - 1e6, case.background[1]))
    with pytest.raises(ModelError, match="no power flow solution without participants in hour 0"):
        _ = drowned.limits


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_wishes_without_an_end_are_refused(value: float) -> None:
    case = community(load_feeder("ieee33"), 6)
    export = case.wishes.export_kw.copy()
    export[0, 1] = value
    endless = replace(case, wishes=replace(case.wishes, export_kw=export))
    with pytest.raises(DataError, match="finite"):
        endless.certified()


def test_participants_at_one_bus_are_treated_alike() -> None:
    case = community(load_feeder("ieee69"), 8, greed=0.0, rise_pu=0.01, count=4)
    kw = np.full_like(case.wishes.export_kw, 2000.0)
    case = replace(
        case,
        at=np.full(4, 50),
        wishes=replace(case.wishes, export_kw=kw, q_up_kvar=0.0 * kw, q_down_kvar=0.0 * kw),
    )
    firm = case.wishes.firm().extent
    for objective in OBJECTIVES[:-1]:  # the sum of widths does not say who gets what
        gained = (case.certified(objective).boxes.extent - firm)[:4]
        assert np.all(gained < 2000.0)
        np.testing.assert_allclose(gained - gained[0], 0.0, atol=1e-5 * gained.max())
