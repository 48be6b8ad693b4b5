"""The households' programme at its edges: rights, promises, prices, arrivals, network, refusals."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peergrid.devices import battery, building, ev, fleet
from peergrid.devices.flexibility import Flexibility, parse
from peergrid.errors import DataError, SolverError
from peergrid.market.cycle_prox import Cycles
from peergrid.market.stochastic import Settings, model_of, plan
from peergrid.market.stochastic_build import Outlook, devices_of
from peergrid.market.stochastic_problem import Appliances, Households, Plants, Stores, Wires
from peergrid.milp.model import Limits
from peergrid.milp.solve import solve
from peergrid.network.library import load_feeder
from tests.market.households import Sizes, bill, check_laws, one_home, random_day

Floats = NDArray[np.float64]
EXACT = Settings(limits=Limits(gap=0.0))
NEVER = np.zeros(1, dtype=bool)


def stores_of(scenarios: int = 1, steps: int = 3, **parts: Any) -> Stores:
    """One battery of 4 kWh and 1 kW without losses, half full, and to be so again at the end."""
    shape = (1, scenarios, steps)
    least = np.zeros(shape)
    least[..., -1] = 2.0
    given: dict[str, Any] = {
        "names": ("battery",),
        "owner": np.zeros(1, dtype=np.int64),
        "charge_kw": np.stack([np.zeros(shape), np.ones(shape)]),
        "discharge_kw": np.stack([np.zeros(shape), np.ones(shape)]),
        "eta_charge": np.ones((1, steps)),
        "eta_discharge": np.ones((1, steps)),
        "keep": np.ones(1),
        "demand_kwh": np.zeros(shape),
        "e_now_kwh": np.full(1, 2.0),
        "e_min_kwh": least,
        "e_max_kwh": np.full(shape, 4.0),
        "wear_eur_per_kwh": np.zeros(1),
        "linear_eur_per_kwh": np.zeros((1, steps)),
        "tan_phi": np.zeros(1),
    }
    return Stores(**(given | parts))


def plants_of(low: Floats, high: Floats, **parts: Any) -> Plants:
    """One plant between ``(S, T)`` powers."""
    given: dict[str, Any] = {
        "names": ("plant",),
        "owner": np.zeros(1, dtype=np.int64),
        "low_kw": low[None],
        "high_kw": high[None],
        "linear_eur_per_kwh": np.zeros((1, low.shape[1])),
        "tan_phi": np.zeros(1),
    }
    return Plants(**(given | parts))


def washer(steps: int = 3, count: int = 1, power: tuple[float, ...] = (2.0, 1.0)) -> Appliances:
    """A machine that runs when it likes."""
    return Appliances(
        names=("washer",),
        owner=np.zeros(1, dtype=np.int64),
        cycles=Cycles(
            steps=steps,
            p_kw=np.array([power]),
            length=np.array([len(power)]),
            earliest=np.array([0]),
            latest=np.array([steps]),
            count=np.array([count]),
            first=np.array([0, 1]),
        ),
        tan_phi=np.zeros(1),
    )


# -- what it costs -------------------------------------------------------------------------------


def test_a_home_with_nothing_pays_its_bill() -> None:
    found = plan(one_home(firm_kw=((-1.0, -2.0, 1.0),)))
    check_laws(found)
    assert found.cost_eur == pytest.approx(0.3 + 0.4 - 0.05, abs=1e-4)
    assert found.bound_eur == pytest.approx(found.cost_eur)  # no whole numbers: a linear programme
    assert (found.binaries, found.gap, found.is_optimal) == (0, 0.0, True)
    assert found.starts == ()


def test_a_battery_moves_a_load_and_a_washer_waits() -> None:
    day = one_home(firm_kw=((-1.0, 0.0, 0.0),), stores=stores_of(), appliances=washer())
    found = plan(day, EXACT)
    check_laws(found)
    # the battery serves the load and is filled in the last hour; the washer runs in hours 2 and 3
    assert found.cost_eur == pytest.approx(2.0 * 0.2 + 1.0 * 0.1 + 1.0 * 0.1, abs=1e-5)
    assert found.starts == (("washer", 1),)


def test_what_is_first_decided_must_do_for_all() -> None:
    """One mode for both: charging from a surplus and serving a load exclude each other."""
    store = stores_of(2, 1, e_min_kwh=np.zeros((1, 2, 1)), e_now_kwh=np.ones(1))
    day = one_home(firm_kw=((1.0,), (-1.0,)), buy=(0.3,), sell=(0.0,), stores=store)
    day = replace(day, stores=replace(store, linear_eur_per_kwh=np.full((1, 1), 0.1)))
    found = plan(day, EXACT)
    check_laws(found)
    # charging saves 0.1 in the first scenario only, discharging 0.3 - 0.1 in the second only
    assert found.cost_eur == pytest.approx(0.5 * 0.1, abs=1e-5)
    assert found.first_stage["mode"].ravel().tolist() == [0.0]
    now = plan(replace(day, here_and_now=True), EXACT)
    check_laws(now)
    # 1 kW out in both: 0.1 each for the owner, and nothing for the kilowatt that is sold
    assert now.cost_eur == pytest.approx(0.1, abs=1e-4)


# -- rights and contracts ------------------------------------------------------------------------


def two_homes(day: Households) -> Households:
    """The same, and a neighbour who needs 5 kW."""
    shape = day.shape
    need = np.full((1, *shape[1:]), -5.0)
    return replace(
        day,
        names=("home", "neighbour"),
        firm_kw=np.concatenate([day.firm_kw, need]),
        firm_kvar=np.zeros((2, *shape[1:])),
        may_sell=np.append(day.may_sell, True),
        may_buy=np.append(day.may_buy, True),
    )


def test_without_the_right_only_a_surplus_is_sold_and_only_once() -> None:
    """Not once to the retailer and once more, from the battery, to a neighbour."""
    store = stores_of(e_min_kwh=np.zeros((1, 1, 3)))
    day = one_home(firm_kw=((1.0, 0.0, -0.5),), may_sell=NEVER, stores=store)
    found = plan(two_homes(day), EXACT)
    check_laws(found)
    sold = (found.sell_kw + found.sell_local_kw)[0, 0]
    np.testing.assert_allclose(sold, [1.0, 0.0, 0.0], atol=1e-6)


def test_without_the_right_a_load_that_may_be_shed_is_shed() -> None:
    load = plants_of(
        np.full((1, 3), -2.0), np.zeros((1, 3)), linear_eur_per_kwh=np.full((1, 3), 1.0)
    )
    day = one_home(firm_kw=((-1.0, -1.0, -1.0),), may_buy=NEVER, plants=load)
    found = plan(day)
    check_laws(found)
    np.testing.assert_allclose(found.buy_kw, 1.0, atol=1e-6)


def test_what_must_run_has_room_in_a_contract() -> None:
    must = plants_of(np.full((1, 3), 2.0), np.full((1, 3), 3.0))
    found = plan(one_home(plants=must, export_limit_kw=np.full((1, 3), 0.5)))
    check_laws(found)
    np.testing.assert_allclose(found.sell_kw, 2.0, atol=1e-6)


# -- demands that nothing can meet ---------------------------------------------------------------


def refused(day: Households) -> str:
    """What is said to it."""
    with pytest.raises(DataError) as caught:
        plan(day)
    return str(caught.value)


def test_an_energy_out_of_reach_is_named() -> None:
    least = np.array([[[0.0, 3.9, 0.0]]])
    told = refused(one_home(stores=stores_of(e_min_kwh=least, e_now_kwh=np.ones(1))))
    assert "household home, battery, end of step 2 of 3 (2 h from the start)" in told
    assert "e_min_kwh = 3.9" in told
    assert "at most 3 kWh" in told


def test_an_energy_that_cannot_be_got_rid_of_is_named() -> None:
    most = np.array([[[4.0, 4.0, 0.5]]])
    store = stores_of(e_max_kwh=most, e_min_kwh=np.zeros((1, 1, 3)), e_now_kwh=np.full(1, 4.0))
    told = refused(one_home(stores=store))
    assert "household home, battery, end of step 3 of 3" in told
    assert "e_max_kwh = 0.5" in told
    assert "at least 1 kWh" in told


def test_a_contract_too_small_for_an_appliance_is_named() -> None:
    day = one_home(firm_kw=((-1.0, -1.0, -1.0),), appliances=washer())
    told = refused(replace(day, import_limit_kw=np.full((1, 1), 2.0)))
    assert "household home, washer, step 1 of 3 (0 h from the start)" in told
    assert "import_limit_kw = 2.0: allowed: 1 kW more" in told
    told = refused(replace(day, may_buy=NEVER))
    assert "household home, washer" in told
    assert "no right" in told


def test_a_first_stage_that_cannot_be_kept_is_an_error_of_the_solver() -> None:
    day = one_home(appliances=washer())
    with pytest.raises(SolverError, match="infeasible"):
        plan(day, first_stage={"start": np.ones((2, 1))})


def test_a_cycle_longer_than_its_window_is_refused_by_the_message() -> None:
    with pytest.raises(DataError, match=r"profiles\[0\]: count times cycle = '2 x 2 steps'"):
        parse(
            {
                "kind": "PPBC",
                "t0_s": 0,
                "dt_s": 3600,
                "p_min_kw": [-2.0] * 3,
                "p_max_kw": [0.0] * 3,
                "profiles": [{"p_kw": [2.0, 1.0], "earliest": 0, "latest": 3, "count": 2}],
            }
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": np.array([0.5])},
        {"price_feed_in_eur_per_kwh": np.full((1, 3), 0.5)},
    ],
)
def test_wrong_numbers_are_refused(wrong: dict[str, Floats]) -> None:
    with pytest.raises(DataError):
        one_home(**wrong)  # type: ignore[arg-type]


# -- short of what was promised ------------------------------------------------------------------


def test_a_late_vehicle_falls_short_at_a_price() -> None:
    """In one of two scenarios there is only one hour to charge 2 kWh."""
    charge = np.ones((1, 2, 3))
    charge[0, 1, :2] = 0.0
    least = np.zeros((1, 2, 3))
    least[..., 2] = 4.0
    store = stores_of(
        2,
        charge_kw=np.stack([0.0 * charge, charge]),
        discharge_kw=np.zeros((2, 1, 2, 3)),
        e_min_kwh=least,
    )
    found = plan(one_home(firm_kw=((0.0,) * 3,) * 2, stores=store))
    check_laws(found)
    np.testing.assert_allclose(found.short_kwh[0, :, 2], [0.0, 1.0], atol=1e-6)
    assert bill(found)["short"] == pytest.approx(0.5 * 10.0)


def test_a_tour_without_the_energy_for_it_is_short_not_infeasible() -> None:
    """In one scenario the vehicle is late for its next tour: 3 kWh, and it has 2."""
    demand = np.zeros((1, 2, 3))
    demand[..., 1] = 3.0
    charge = np.ones((1, 2, 3))
    charge[0, 1] = 0.0
    store = stores_of(
        2,
        charge_kw=np.stack([0.0 * charge, charge]),
        discharge_kw=np.zeros((2, 1, 2, 3)),
        demand_kwh=demand,
        e_min_kwh=np.zeros((1, 2, 3)),
    )
    found = plan(one_home(firm_kw=((0.0,) * 3,) * 2, stores=store))
    check_laws(found)
    np.testing.assert_allclose(found.short_kwh[0, 1], [0.0, 1.0, 1.0], atol=1e-6)


# -- ties ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("price", [0.2, 0.0, -0.1])
def test_nobody_buys_and_sells_at_once_though_it_costs_nothing(seed: int, price: float) -> None:
    """No fee, feed-in as high as the import price, and prices below zero."""
    day = random_day(np.random.default_rng(seed), None, Sizes(steps=4))
    same = np.full(day.shape[1:], price)
    day = replace(
        day,
        price_import_eur_per_kwh=same,
        price_feed_in_eur_per_kwh=same,
        fee_eur_per_kwh=0.0,
        trades=True,
    )
    found = plan(day, EXACT)
    check_laws(found)
    strict = solve(model_of(day, exclusive=True), EXACT.limits)
    assert strict.objective_eur == pytest.approx(found.cost_eur, abs=1e-5)
    bought = strict.values["buy"] + strict.values["buy_local"]
    sold = strict.values["sell"] + strict.values["sell_local"]
    assert np.minimum(bought, sold).max() < 1e-4


# -- the network ---------------------------------------------------------------------------------


def on_feeder(firm_kw: float, **parts: Any) -> Households:
    """Two homes at the far ends of the 33-bus feeder, with half of its load around them."""
    day = two_homes(one_home(firm_kw=((firm_kw, 0.5 * firm_kw, -firm_kw),), stores=stores_of()))
    feeder = load_feeder("ieee33")
    nothing = np.zeros((2, 1, 3))
    wires = Wires(
        feeder=feeder,
        at=np.array([17, 32]),
        background_kw=np.tile(-0.5 * feeder.p_load_kw[:, None], 3),
        background_kvar=np.tile(-0.5 * feeder.q_load_kvar[:, None], 3),
        expected_kw=nothing,
        expected_kvar=nothing,
        **parts,
    )
    return replace(day, wires=wires)


def test_corrected_rows_meet_the_exact_power_flow() -> None:
    gaps = []
    for corrections in range(3):
        found = plan(on_feeder(-300.0), replace(EXACT, corrections=corrections))
        check_laws(found)
        assert found.network is not None
        gaps.append(found.network.gap_pu)
    assert gaps[0] < 0.01
    assert gaps[1] < 1e-6  # what the homes draw hardly changes after the first plan
    assert gaps[2] < 1e-6


def test_limits_are_soft_and_priced() -> None:
    """More load than line and band can take: it is served, and what is exceeded is told."""
    free = plan(on_feeder(-900.0, v_min_pu=0.5, loading=None), EXACT)
    found = plan(on_feeder(-900.0, v_min_pu=0.97, loading=0.5), EXACT)
    check_laws(found)
    parts = bill(found)
    assert found.network is not None
    assert parts["over"] > 0.0
    assert parts["outside"] > 0.0
    assert (found.network.over_kw > 1e-3).any()
    assert found.cost_eur > free.cost_eur
    assert free.network is not None
    assert not free.network.over_kw.any()
    # where the linear flow is over, the branch is beyond its share of the rating, and nowhere else
    beyond = found.network.loading > 0.5 + 1e-3
    np.testing.assert_array_equal(found.network.over_kw[1:] > 1e-3, beyond[1:])


# -- from messages -------------------------------------------------------------------------------


def vehicle(steps: int, leaves: int, back: int, tour_kwh: float = 8.0) -> Flexibility:
    """One vehicle, away from hour ``leaves`` to ``back``, full when it leaves."""
    one = ev.Vehicles(
        capacity_kwh=np.array([40.0]),
        p_max_kw=np.array([10.0]),
        eta_charge=np.array([0.95]),
        eta_discharge=np.array([0.95]),
        soc_min=np.array([0.2]),
        soc_departure=np.ones(1),
        v2g=np.ones(1, dtype=bool),
    )
    hours = np.arange(steps)
    plugged = ((hours < leaves) | (hours >= back))[None]
    used = np.zeros((1, steps))
    used[0, back - 1] = tour_kwh
    trips = ev.itinerary(one, plugged, used, 1.0).window(0, steps)
    sent, _ = fleet.messages(
        one,
        np.array([0.01]),
        np.array([24.0]),
        trips,
        np.array([0, 1]),
        t0_s=0.0,
        dt_s=3600.0,
        dt_h=1.0,
        rise_eur_per_kwh=np.zeros(1),
    )
    return parse(sent[0])


def outlook(resources: int, steps: int, shifts: dict[int, tuple[int, ...]]) -> Outlook:
    """Scenarios that differ in arrivals only."""
    scenarios = len(next(iter(shifts.values())))
    shift = np.zeros((resources, scenarios), dtype=np.int64)
    for r, values in shifts.items():
        shift[r] = values
    return Outlook(
        probability=np.full(scenarios, 1.0 / scenarios),
        error_kw=np.zeros((resources, scenarios, steps)),
        price_factor=np.ones((scenarios, steps)),
        shift=shift,
    )


def devices(messages: list[Flexibility], seen: Outlook) -> Any:
    """All of one household."""
    names = [f"device {r}" for r in range(len(messages))]
    return devices_of(messages, names, np.zeros(len(messages), dtype=np.int64), seen, 1)


@pytest.mark.parametrize(
    ("shift", "home"), [(0, 8), (1, 9), (2, 10), (-1, 7), (-2, 6), (-5, 5), (9, 12)]
)
def test_arrivals_move_the_plug_and_the_tour(shift: int, home: int) -> None:
    """Away from hour 4 to 8 of 12; never back before it has left for an hour."""
    found = devices([vehicle(12, 4, 8)], outlook(1, 12, {0: (0, shift)})).stores
    plugged = found.charge_kw[1, 0] > 0.0
    hours = np.arange(12)
    np.testing.assert_array_equal(plugged[0], (hours < 4) | (hours >= 8))
    np.testing.assert_array_equal(plugged[1], (hours < 4) | (hours >= home))
    np.testing.assert_array_equal(found.discharge_kw[1, 0, 1] > 0.0, plugged[1])
    assert found.demand_kwh[0, 1].sum() == pytest.approx(found.demand_kwh[0, 0].sum())
    assert np.flatnonzero(found.demand_kwh[0, 1]).tolist() == [home - 1]
    np.testing.assert_array_equal(found.e_min_kwh[0, 0], found.e_min_kwh[0, 1])


def test_two_tours_stay_apart() -> None:
    """Home for an hour between them: four hours late means not home at all, tours conserved."""
    message = vehicle(12, 2, 5)
    assert message.storage is not None
    low, high = message.p_min_kw.copy(), message.p_max_kw.copy()
    low[6:8] = high[6:8] = 0.0
    demand = message.storage.demand_kwh.copy()
    demand[7] = 3.0
    storage = replace(message.storage, demand_kwh=demand)
    message = replace(message, p_min_kw=low, p_max_kw=high, storage=storage)
    found = devices([message], outlook(1, 12, {0: (0, 4, -4)})).stores
    plugged = found.charge_kw[1, 0] > 0.0
    assert np.flatnonzero(~plugged[1]).tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert np.flatnonzero(~plugged[2]).tolist() == [2, 6]
    np.testing.assert_allclose(found.demand_kwh.sum(axis=2), 11.0)
    np.testing.assert_allclose(found.demand_kwh[0, 2, [2, 6]], [8.0, 3.0])


def home_of_messages() -> tuple[list[Flexibility], int]:
    """Load, PV, battery, heat pump, vehicle and dishwasher over 12 hours."""
    steps, head = 12, {"t0_s": 0.0, "dt_s": 3600.0, "dt_h": 1.0}
    cell = battery.Batteries(
        capacity_kwh=np.array([10.0]),
        p_max_kw=np.array([4.0]),
        eta_charge=np.array([0.95]),
        eta_discharge=np.array([0.95]),
        soc_min=np.array([0.1]),
        soc_end=np.array([0.5]),
        wear_eur_per_kwh=np.array([0.01]),
        wear_rise_eur_per_kwh=np.zeros(1),
    )
    house = building.Buildings(
        p_max_kw=np.array([4.0]),
        cop=np.array([3.0]),
        r_k_per_kw=np.array([5.0]),
        c_kwh_per_k=np.array([4.0]),
        theta_min_c=np.array([20.0]),
        theta_max_c=np.array([23.0]),
        theta_set_c=np.array([21.0]),
        cools=NEVER,
        gains_kw=np.array([0.2]),
        tan_phi=np.array([0.3]),
    )
    outside = np.full((1, steps), -2.0)
    sun = 5.0 * np.sin(np.pi * np.arange(steps) / steps)
    plain: dict[str, Any] = {"kind": "PEBC", "t0_s": 0, "dt_s": 3600}
    load, pv = [-0.5] * steps, sun.tolist()
    cycle = {"p_kw": [2.0, 0.5], "earliest": 1, "latest": 11, "count": 2}
    return [
        parse({**plain, "p_min_kw": load, "p_max_kw": load}),
        parse({**plain, "p_min_kw": [0.0] * steps, "p_max_kw": pv}),
        parse(battery.messages(cell, np.array([5.0]), steps=steps, **head)[0]),
        parse(building.messages(house, np.array([21.0]), outside, **head)[0]),
        vehicle(steps, 4, 8),
        parse(
            {
                **plain,
                "kind": "PPBC",
                "p_min_kw": [-2.0] * steps,
                "p_max_kw": [0.0] * steps,
                "profiles": [cycle],
            }
        ),
    ], steps


def test_a_home_of_real_devices() -> None:
    """Sorted by kind, planned under late and early arrivals, with the building in its band."""
    messages, steps = home_of_messages()
    found = devices(messages, outlook(6, steps, {4: (0, 1, -1)}))
    assert found.plants.names == ("device 1",)
    assert found.stores.names == ("device 2", "device 3", "device 4")
    assert found.appliances.names == ("device 5",)
    np.testing.assert_allclose(found.firm_kw, -0.5)
    empty = one_home(firm_kw=((0.0,) * steps,) * 3, buy=(0.3,) * steps, sell=(0.05,) * steps)
    day = replace(
        empty,
        firm_kw=found.firm_kw,
        firm_kvar=found.firm_kvar,
        plants=found.plants,
        stores=found.stores,
        appliances=found.appliances,
    )
    result = plan(day, replace(EXACT, limits=Limits(gap=1e-4)))
    check_laws(result)
    assert result.is_optimal
    assert len(result.starts) == 2
    np.testing.assert_allclose(result.short_kwh, 0.0, atol=1e-5)
    # temperatures, from the energies: inside the band
    degrees = 20.0 + result.energy_kwh[1] / 4.0
    assert degrees.min() >= 20.0 - 1e-5
    assert degrees.max() <= 23.0 + 1e-5
    # the vehicle is full when it leaves, in every scenario
    np.testing.assert_allclose(result.energy_kwh[2, :, 3], 40.0, atol=1e-4)


def test_a_building_colder_than_its_band_is_short_of_nothing_it_can_reach() -> None:
    """Its message asks for no more than the heat pump can do: energies below zero are planned."""
    messages, steps = home_of_messages()
    assert messages[3].storage is not None
    storage = messages[3].storage
    low = storage.e_min_kwh.copy()
    low[:3] = -6.0
    cold = replace(messages[3], storage=replace(storage, e_now_kwh=-6.0, e_min_kwh=low))
    found = devices([cold], Outlook.certain(1, steps))
    empty = one_home(firm_kw=((0.0,) * steps,), buy=(0.3,) * steps, sell=(0.05,) * steps)
    result = plan(replace(empty, stores=found.stores))
    check_laws(result)
    assert result.energy_kwh[0, 0, 0] < 0.0
    np.testing.assert_allclose(result.short_kwh, 0.0, atol=1e-6)


# -- the solver ----------------------------------------------------------------------------------


def test_time_that_is_too_short_is_an_error_or_a_plan_that_says_so() -> None:
    day = random_day(np.random.default_rng(5), None, Sizes(households=5, stores=3, appliances=3))
    with pytest.raises(SolverError, match="time limit"):
        plan(day, Settings(limits=Limits(gap=0.0, time_limit_s=1e-6)))
    for seconds in (1e-2, 5e-2):
        with suppress(SolverError):
            check_laws(plan(day, Settings(limits=Limits(gap=0.0, time_limit_s=seconds))))


@pytest.mark.parametrize("seed", [530, 2002])
def test_deciding_modes_moves_no_start(seed: int) -> None:
    """Days on which the dive had whole starts, which came apart again when it decided modes."""
    day = random_day(np.random.default_rng(seed), None, Sizes(households=2, steps=6))
    check_laws(plan(day))


def test_the_size_of_the_programme_is_told() -> None:
    found = plan(one_home(stores=stores_of(), appliances=washer()))
    assert found.binaries == 2 + 3
    assert found.columns > found.binaries
    assert found.rows > 0
    assert found.build_s >= 0.0
    assert found.solve_s >= 0.0
