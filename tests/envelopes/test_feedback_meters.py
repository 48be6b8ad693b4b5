"""Meters that fail or lie: what is refused, and that it never widens a promise."""

import json
from dataclasses import replace

import numpy as np
import pytest

from peergrid.envelopes.feedback import (
    HEAD_METER,
    REFUSED_NARROWING_PU,
    Correction,
    Lesson,
    Measurements,
    corrected,
    posterior_margin_pu,
)
from peergrid.envelopes.feedback_lines import Factors
from peergrid.network.feeder import Floats
from peergrid.network.library import load_feeder
from peergrid.operator.state import State, from_plain
from tests.envelopes.plant_loop import Plant, at_corners, make_plant, promise, violation_pu

PROMISE_PU = 2e-4
# Without a meter the factors are estimated anew, and the flow at the corner with them: margins of
# the refused and of the honest hour are compared to a twentieth of the promise.
COMPARED_PU = 1e-5
HOUR = 3  # of the lie; the hours before are honest


def taught(plant: Plant, hours: int = HOUR) -> Correction:
    """What honest hours taught."""
    correction = Correction.first(plant.model.n_bus)
    for hour in range(hours):
        correction = plant.learn(hour, correction).correction
    return correction


def changed(seen: Measurements, row: int, **readings: float) -> Measurements:
    """Other readings of one meter: ``vm_pu``, ``p_inj_kw``, ``q_inj_kvar``."""
    columns = {}
    for name, value in readings.items():
        column = getattr(seen, name).copy()
        column[row] = value
        columns[name] = column
    return replace(seen, **columns)


def reasons(lesson: Lesson) -> dict[int, str]:
    return {meter.row: meter.why for meter in lesson.refused}


def demands_pu(plant: Plant, correction: Correction, reach: Floats) -> tuple[Floats, Floats]:
    """Margin plus narrowing at the upper and lower corner ``(n, 2)``, and the margin alone."""
    flow = at_corners(plant, corrected(plant.model, correction), HOUR + 1, reach)
    margin = posterior_margin_pu(correction, flow)
    narrow = np.stack([correction.narrow_upper_pu, correction.narrow_lower_pu], axis=1)
    return (margin + narrow)[1:], margin[1:]


# ---- what is refused, and why


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        ({"vm_pu": np.nan}, "missing"),
        ({"p_inj_kw": np.nan}, "missing"),
        ({"vm_pu": np.nan, "p_inj_kw": np.nan, "q_inj_kvar": np.nan}, "missing"),
        ({"vm_pu": 0.0}, "absurd"),
        ({"vm_pu": 230.0}, "absurd"),
        ({"vm_pu": np.inf}, "absurd"),
        ({"p_inj_kw": -1e6}, "absurd"),
        ({"q_inj_kvar": -np.inf}, "absurd"),
        ({"vm_pu": 1.02}, "inconsistent"),
        ({"vm_pu": 0.90}, "inconsistent"),
        ({"p_inj_kw": 2500.0}, "inconsistent"),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_bad_reading_is_refused_and_its_reason_named(
    readings: dict[str, float], why: str, share: float
) -> None:
    plant = make_plant(load_feeder("ieee33"), 1, metered_share=share)
    row = int(np.flatnonzero(plant.metered)[-1])
    before = taught(plant)
    lesson = plant.learn(HOUR, before, changed(plant.seen(HOUR), row, **readings))
    assert reasons(lesson) == {row: why}
    assert not reasons(plant.learn(HOUR, before))


def test_where_there_never_was_a_meter_none_is_missing() -> None:
    plant = make_plant(load_feeder("ieee33"), 1, metered_share=0.2)
    assert not plant.learn(0, Correction.first(33)).refused


def test_a_frozen_meter_is_found_in_the_third_hour() -> None:
    plant = make_plant(load_feeder("ieee33"), 2, hours=8)
    correction, row = taught(plant, 1), 12
    stuck = {
        name: getattr(plant.seen(0), name)[row] for name in ("vm_pu", "p_inj_kw", "q_inj_kvar")
    }
    found = []
    for hour in range(1, 5):
        lesson = plant.learn(hour, correction, changed(plant.seen(hour), row, **stuck))
        correction = lesson.correction
        found.append(reasons(lesson).get(row))
    assert found[1:] == ["frozen"] * 3
    assert found[0] in (None, "inconsistent")  # the second equal reading; others may know better
    assert row not in reasons(plant.learn(5, correction))


def test_a_grid_that_does_not_move_freezes_no_meter() -> None:
    plant = make_plant(load_feeder("ieee33"), 2)
    correction, seen = Correction.first(33), plant.seen(0)
    for _ in range(6):
        lesson = plant.learn(0, correction, seen)
        correction = lesson.correction
        assert not lesson.refused


def test_the_root_may_well_keep_its_voltage() -> None:
    plant = make_plant(load_feeder("ieee33"), 2, hours=8)
    assert plant.metered[0]
    correction = Correction.first(33)
    for hour in range(8):
        lesson = plant.learn(hour, correction)
        correction = lesson.correction
        assert not lesson.refused


@pytest.mark.parametrize("head_kw", [np.nan, np.inf, -np.inf, 1e9])
def test_an_absurd_head_keeps_the_load_scale(head_kw: float) -> None:
    plant = make_plant(load_feeder("ieee33"), 3)
    before = taught(plant)
    lesson = plant.learn(HOUR, before, replace(plant.seen(HOUR), head_p_kw=head_kw))
    assert reasons(lesson) == {HEAD_METER: "missing" if np.isnan(head_kw) else "absurd"}
    assert lesson.correction.load_scale == before.load_scale
    honest = plant.learn(HOUR, before).correction
    np.testing.assert_allclose(lesson.correction.impedance_scale, honest.impedance_scale, atol=0.02)


@pytest.mark.parametrize("factor", [0.0, 0.7, 1.5, 4.0])
def test_a_head_that_contradicts_all_meters_keeps_the_load_scale(factor: float) -> None:
    plant = make_plant(load_feeder("ieee33"), 3)
    before, seen = taught(plant), plant.seen(HOUR)
    lesson = plant.learn(HOUR, before, replace(seen, head_p_kw=factor * seen.head_p_kw))
    assert reasons(lesson) == {HEAD_METER: "inconsistent"}
    assert lesson.correction.load_scale == before.load_scale


def test_swapped_meters_are_noticed() -> None:
    plant = make_plant(load_feeder("ieee33"), 4, scale=1.0, spread=0.0)
    seen, a, b = plant.seen(0), 1, 17
    swapped = {}
    for name in ("vm_pu", "p_inj_kw", "q_inj_kvar"):
        column = getattr(seen, name).copy()
        column[[a, b]] = column[[b, a]]
        swapped[name] = column
    before = Correction.first(33)
    lesson = plant.learn(0, before, replace(seen, **swapped))
    assert {a, b} & set(reasons(lesson))
    assert np.nanmax(np.abs(lesson.errors_pu)) > 5e-3
    right = plant.learn(0, before).correction
    assert np.all(promise(plant, lesson.correction, 1) <= promise(plant, right, 1) + 1e-9)


# ---- a refused meter never widens


def lies(rng: np.random.Generator, vm_pu: float) -> dict[str, float]:
    """A voltage that is missing, absurd or far off."""
    kind = rng.integers(3)
    if kind == 0:
        return {"vm_pu": np.nan}
    if kind == 1:
        return {"vm_pu": vm_pu * float(rng.choice([0.0, 0.01, 3.0]))}
    return {"vm_pu": vm_pu + float(rng.choice([-1.0, 1.0]) * rng.uniform(0.02, 0.2))}


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
@pytest.mark.parametrize("seed", range(5))
def test_a_refused_meter_never_widens_a_promise(name: str, seed: int) -> None:
    """Margin and narrowing at every bus and corner are those of the honest hour, or more."""
    plant = make_plant(load_feeder(name), seed, hours=HOUR + 2)
    rng = np.random.default_rng(seed)
    before, seen = taught(plant), plant.seen(HOUR)
    honest = plant.learn(HOUR, before).correction
    reach = promise(plant, honest, HOUR + 1)
    wanted, margin = demands_pu(plant, honest, reach)
    for _ in range(10):
        row = int(rng.integers(1, plant.model.n_bus))
        lesson = plant.learn(HOUR, before, changed(seen, row, **lies(rng, seen.vm_pu[row])))
        assert row in reasons(lesson)
        found, own = demands_pu(plant, lesson.correction, reach)
        assert np.all(found >= wanted - COMPARED_PU)
        assert np.all(own >= margin - 1e-6)
        assert np.all(promise(plant, lesson.correction, HOUR + 1) <= 1.002 * reach + 1e-3)
        assert lesson.correction.impedance_sd[row] > honest.impedance_sd[row]
        assert lesson.correction.narrow_upper_pu[row] >= REFUSED_NARROWING_PU


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_promises_are_kept_with_a_lying_meter(seed: int, share: float) -> None:
    """Whatever one meter says of voltage or power, in every hour."""
    plant = make_plant(load_feeder("ieee33"), seed, metered_share=share, hours=8)
    rng = np.random.default_rng(seed)
    row = int(rng.choice(np.flatnonzero(plant.metered[1:]) + 1))
    correction = Correction.first(33)
    for hour in range(plant.hours - 1):
        seen = plant.seen(hour)
        lie = lies(rng, seen.vm_pu[row])
        if hour % 2:
            lie = {"p_inj_kw": seen.p_inj_kw[row] + float(rng.choice([-500.0, 500.0]))}
        correction = plant.learn(hour, correction, changed(seen, row, **lie)).correction
        reach = promise(plant, correction, hour + 1)
        assert violation_pu(plant, hour + 1, reach) <= PROMISE_PU


def test_a_lie_teaches_nothing() -> None:
    """However large: what is learned is the same."""
    plant = make_plant(load_feeder("ieee33"), 5)
    before, seen = taught(plant), plant.seen(HOUR)
    results = [
        plant.learn(HOUR, before, changed(seen, 20, vm_pu=seen.vm_pu[20] + lie)).correction
        for lie in (0.02, -0.08, 0.3)
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(other.impedance_scale, results[0].impedance_scale)
        np.testing.assert_array_equal(other.narrow_upper_pu, results[0].narrow_upper_pu)
        np.testing.assert_array_equal(other.narrow_lower_pu, results[0].narrow_lower_pu)


def test_meters_in_chaos_are_all_refused_and_only_narrow() -> None:
    plant = make_plant(load_feeder("ieee33"), 6)
    before, seen = taught(plant), plant.seen(HOUR)
    noise = np.random.default_rng(0).uniform(-0.05, 0.05, 33)
    lesson = plant.learn(HOUR, before, replace(seen, vm_pu=seen.vm_pu + noise))
    assert set(reasons(lesson).values()) == {"inconsistent"}
    assert len(lesson.refused) >= 16
    after = lesson.correction
    assert np.all(after.impedance_sd >= before.impedance_sd)
    assert np.all(promise(plant, after, HOUR + 1) <= promise(plant, before, HOUR + 1) + 1e-9)


def test_meters_that_all_lie_alike_cannot_be_found() -> None:
    """Voltages of a grid with lines a fifth shorter: consistent, so it is believed."""
    plant = make_plant(load_feeder("ieee33"), 7, scale=1.0, spread=0.0)
    other = replace(plant, true=plant.model.scaled_impedance(0.8))
    lesson = plant.learn(0, Correction.first(33), other.seen(0))
    assert not lesson.refused
    assert lesson.correction.impedance_scale[1:].mean() < 0.95


def test_a_meter_that_recovers_is_used_again() -> None:
    plant = make_plant(load_feeder("ieee33"), 8, hours=8)
    before, seen = taught(plant), plant.seen(HOUR)
    bad = plant.learn(HOUR, before, changed(seen, 16, vm_pu=np.nan)).correction
    good = plant.learn(HOUR + 1, bad)
    assert not good.refused
    assert good.correction.impedance_sd[16] < bad.impedance_sd[16]
    assert good.correction.narrow_upper_pu[16] < REFUSED_NARROWING_PU


# ---- memory


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_correction_survives_a_restart_to_the_bit(share: float) -> None:
    plant = make_plant(load_feeder("ieee33"), 9, metered_share=share)
    correction = taught(plant)
    state = State(heard=np.zeros(2, dtype=bool), correction=correction)
    back = from_plain(json.loads(json.dumps(state.plain(), allow_nan=False))).correction
    assert isinstance(back.factors, Factors)
    assert correction.factors is not None
    np.testing.assert_array_equal(back.factors.covariance, correction.factors.covariance)
    for learnt in (plant.learn(HOUR, correction), plant.learn(HOUR, back)):
        following = learnt.correction
        np.testing.assert_array_equal(
            following.impedance_scale, plant.learn(HOUR, correction).correction.impedance_scale
        )
    once, again = (
        json.dumps(State(heard=np.zeros(0, dtype=bool), correction=c).plain())
        for c in (plant.learn(HOUR, correction).correction, plant.learn(HOUR, back).correction)
    )
    assert once == again


def test_a_correction_that_trusts_the_model_survives_too() -> None:
    state = State(heard=np.zeros(0, dtype=bool), correction=Correction.none(3))
    back = from_plain(json.loads(json.dumps(state.plain(), allow_nan=False))).correction
    assert back.factors is None
    assert back.history is None
    assert back.load_scale == 1.0
