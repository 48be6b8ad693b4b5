"""What can be wrong with a scenario beyond its keys: found before anything is started or written.

Every error names the scenario's file and the field; the contents of another file are reported
with that file's name and line.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peergrid.errors import DataError, ModelError
from peergrid.inputs.forecast import MAX_LEAD_H
from peergrid.inputs.loads import bus_loads, measured_loads
from peergrid.inputs.plants import check_columns, plant_power
from peergrid.inputs.prices import Tariff, load_prices
from peergrid.inputs.span import HOUR_S, Span
from peergrid.inputs.tours import read_tours
from peergrid.inputs.turbines import load_turbine, read_turbine
from peergrid.inputs.weather import Site, load_weather
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import resolve_network
from peergrid.scenario.layout import in_words
from peergrid.scenario.schema import Scenario
from peergrid.scenario.setup import Setup
from peergrid.scenario.starters import Clock, override_of
from peergrid.units import hours

if TYPE_CHECKING:
    from pandapower import pandapowerNet

    from peergrid.network.feeder import Feeder

_CSV = {".csv", ".gz"}
ROUND_OFF = 1e-9
"""Part of a step by which an hour may miss its start and still counts as it."""


@contextmanager
def naming(where: object, field: str, value: object) -> Iterator[None]:
    """Errors of the parts below, said in terms of the scenario's file and field."""
    try:
        yield
    except DataError as error:
        if Path(error.where).suffix in {*_CSV, ".json"}:
            raise
        if error.value == value or str(error.value) in str(value):
            raise DataError(where, field, value, error.allowed) from error
        raise DataError(where, f"{field}: {error.field}", error.value, error.allowed) from error
    except ModelError as error:
        raise ModelError(f"{where}: {field} = {value!r}: {error}") from error


def find_network(scenario: Scenario, base_dir: Path, where: str) -> "tuple[pandapowerNet, Feeder]":
    """The network of a scenario and its radial model."""
    case = scenario.network.case
    with naming(where, "network.case", case):
        net = resolve_network(case, base_dir=base_dir)
        return net, from_pandapower(net, name=case).with_slack(scenario.network.slack_vm_pu)


def check_span(scenario: Scenario, clock: Clock, where: str) -> None:
    """The horizon must be one that forecasts reach."""
    if scenario.horizon > MAX_LEAD_H:
        raise DataError(where, "horizon", scenario.horizon, f"1 to {MAX_LEAD_H} h")
    if clock.hours * HOUR_S < clock.step_s:
        raise DataError(where, "hours", scenario.hours, f"a step of {clock.step_s} s or more")


def check_envelope(setup: Setup, feeder: "Feeder", where: str) -> None:
    """Without any current every connection point must lie inside the band.

    Otherwise not even the box that allows nothing is safe, and no envelope exists.
    """
    network = setup.scenario.network
    if setup.scenario.envelopes.kind == "none":
        return
    buses = [participant.bus for participant in setup.layout.participants]
    rows = np.array([feeder.index_of(bus) for bus in buses], dtype=np.int64)
    at_rest = network.slack_vm_pu / np.abs(feeder.transformation[rows])
    outside = (at_rest < network.v_min_pu) | (at_rest > network.v_max_pu)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        allowed = (
            f"a voltage that leaves bus {buses[first]} inside {network.v_min_pu:g} to "
            f"{network.v_max_pu:g} pu without load (it has {at_rest[first]:.4g}), "
            "or no envelope exists"
        )
        raise DataError(where, "network.slack_vm_pu", network.slack_vm_pu, allowed)


def check_meters(setup: Setup, where: str) -> None:
    """Metered buses must exist, each named once."""
    metered = setup.scenario.network.metered_buses
    if metered == "all":
        return
    labels = {int(label) for label in setup.net.bus.index}
    for k, bus in enumerate(metered):
        if bus not in labels:
            allowed = f"a bus of {setup.scenario.network.case}: {in_words(labels)}"
            raise DataError(where, f"network.metered_buses[{k}]", bus, allowed)
        if bus in metered[:k]:
            raise DataError(where, f"network.metered_buses[{k}]", bus, "each bus once")


def check_swapped(setup: Setup, where: str) -> None:
    """A bus can be in one pair of swapped meters only."""
    check_meters(setup, where)
    seen: set[int] = set()
    for k, pair in enumerate(setup.scenario.plant.swap_meters):
        if pair[0] == pair[1] or seen & set(pair):
            raise DataError(where, f"plant.swap_meters[{k}]", pair, "two buses, each in one pair")
        seen |= set(pair)


def check_inputs(setup: Setup, where: str) -> None:
    """Read every series and table that the run will read, over the same span."""
    span = data_span(setup)
    _check_prices(setup, span, where)
    _check_weather(setup, span, where)
    _check_loads(setup, span, where)
    _check_fixed_loads(setup, span, where)
    _check_plants(setup, span, where)
    _check_turbines(setup, where)
    _check_tours(setup, where)
    _check_cycles(setup, where)


def data_span(setup: Setup) -> Span:
    """The steps that data must cover: warm-up, run, closing step, and the horizon behind."""
    clock = setup.clock
    per_step = max(clock.step_s // HOUR_S, 1)
    tail_h = math.ceil((setup.horizon_steps + 1) * clock.step_s / HOUR_S)
    return Span(
        start=datetime.fromisoformat(clock.begin),
        hours=_whole(math.ceil(clock.until / HOUR_S), per_step),
        step_s=clock.step_s,
        horizon_h=_whole(tail_h, per_step),
        tz=setup.scenario.timezone,
    )


def _whole(hours: int, per_step: int) -> int:
    return -(-hours // per_step) * per_step


def _check_prices(setup: Setup, span: Span, where: str) -> None:
    prices = setup.scenario.prices
    tariff = Tariff(
        retail_adder_eur_per_mwh=prices.retail_adder_eur_per_mwh,
        feed_in_fee_eur_per_mwh=prices.feed_in_fee_eur_per_mwh,
        feed_in_floor_eur_per_mwh=prices.feed_in_floor_eur_per_mwh,
    )
    with naming(where, "prices.wholesale", prices.wholesale):
        found = load_prices(
            prices.wholesale, span, tariff=tariff, base_dir=setup.base_dir, tz=span.tz
        )
    if prices.strict and found.feed_in_capped.any():
        step = int(np.flatnonzero(found.feed_in_capped)[0])
        at = span.start + timedelta(seconds=step * span.step_s)
        allowed = (
            f"at most the import price, {found.import_eur_per_mwh[step]:g} EUR/MWh "
            "(strict = false takes the smaller)"
        )
        offered = float(found.feed_in_offered_eur_per_mwh[step])
        raise DataError(where, f"prices: feed-in price at {at:%Y-%m-%dT%H:%MZ}", offered, allowed)


def _check_weather(setup: Setup, span: Span, where: str) -> None:
    weather = setup.scenario.weather
    if not setup.layout.needs_weather or setup.scenario.simulators.weather is not None:
        return
    site = weather_site(setup, where)
    with naming(where, "weather.source", weather.source):
        load_weather(weather.source, span, base_dir=setup.base_dir, site=site, tz=span.tz)


def weather_site(setup: Setup, where: str) -> Site | None:
    """Where the weather of a CSV file was measured; other sources name their own place."""
    weather = setup.scenario.weather
    if weather.latitude is not None and weather.longitude is not None:
        return Site(**weather.site)
    if Path(weather.source).suffix in _CSV and ":" not in weather.source:
        allowed = "latitude and longitude of the place where the CSV file was measured"
        raise DataError(where, "weather.latitude", weather.latitude, allowed)
    return None


def _check_loads(setup: Setup, span: Span, where: str) -> None:
    """A file is read for all buses; what ships with the package needs one to check the span."""
    loads = [load for load in setup.layout.devices["load"] if load.nominal]
    source = setup.scenario.load.source
    if not loads or setup.scenario.simulators.load is not None:
        return
    checked = loads if Path(source).suffix in _CSV else loads[:1]
    with naming(where, "load.source", source):
        bus_loads(
            source,
            np.array([load.params["p_nom_kw"] for load in checked]),
            np.array([load.params["q_nom_kvar"] for load in checked]),
            span,
            seed=setup.scenario.seed,
            bus_ids=[load.bus for load in checked],
            base_dir=setup.base_dir,
        )


def _check_fixed_loads(setup: Setup, span: Span, where: str) -> None:
    """A column for each load with a series, none left over."""
    if setup.scenario.simulators.load is not None:
        return
    for k, table in enumerate(setup.scenario.fixed_load):
        spec, base_dir = table.series, setup.base_dir
        with naming(where, f"fixed_load[{k}].series", spec):
            check_columns(spec, buses=table.buses, tz=span.tz, base_dir=base_dir)
            none = np.zeros(len(table.buses))
            measured_loads(spec, span, buses=table.buses, tan_phi=none, base_dir=base_dir)


def _check_plants(setup: Setup, span: Span, where: str) -> None:
    """Measured plants: a column for each, none left over, no more than their nameplate power."""
    scenario = setup.scenario
    for part, nameplate in (("pv", "kwp"), ("wind", "rated_kw")):
        for k, table in enumerate(getattr(scenario, part)):
            if table.series is None or override_of(scenario, part) is not None:
                continue
            rated = [table.params(row)[nameplate] for row in range(len(table.buses))]
            with naming(where, f"{part}[{k}].series", table.series):
                check_columns(table.series, buses=table.buses, tz=span.tz, base_dir=setup.base_dir)
                plant_power(
                    table.series,
                    span,
                    buses=table.buses,
                    kwp=np.array(rated),
                    base_dir=setup.base_dir,
                    nameplate=nameplate,
                )


def _check_turbines(setup: Setup, where: str) -> None:
    for k, table in enumerate(setup.scenario.wind):
        if table.series is not None:
            continue
        with naming(where, f"wind[{k}].turbine", table.turbine):
            if table.turbine.endswith(".csv"):
                read_turbine(setup.base_dir / table.turbine, hub_height_m=30.0)
            else:
                load_turbine(table.turbine)


def _check_tours(setup: Setup, where: str) -> None:
    """Every tour of a file must fit into the battery of its vehicle."""
    for k, table in enumerate(setup.scenario.ev):
        if table.tours is None:
            continue
        path = setup.base_dir / table.tours
        with naming(where, f"ev[{k}].tours", table.tours):
            tours = read_tours(path, n_ev=len(table.buses))
        beyond = tours[tours["energy_kwh"] > table.e_max_kwh]
        if not beyond.empty:
            tour = beyond.iloc[0]
            field = f"energy_kwh of vehicle {tour['ev']} on {tour['date']}"
            allowed = f"at most the battery's {table.e_max_kwh:g} kWh (ev[{k}] of {where})"
            raise DataError(path, field, float(tour["energy_kwh"]), allowed)


def _check_cycles(setup: Setup, where: str) -> None:
    """The cycles of a day must fit into the window of their appliance, in whole steps."""
    scenario, step_h = setup.scenario, hours(setup.clock.step_s)
    if override_of(scenario, "appliance") is not None:
        return
    for k, table in enumerate(scenario.appliance):
        for device in map(table.params, range(len(table.buses))):
            cycle_h = len(device["phases_kw"]) * device["phase_min"] / 60.0
            steps, count = math.ceil(cycle_h / step_h - ROUND_OFF), device["cycles_per_day"]
            first = math.ceil(device["earliest_h"] / step_h - ROUND_OFF)
            room = math.floor(device["latest_h"] / step_h + ROUND_OFF) - first
            if count * steps > room:
                allowed = (
                    f"room for {count} x {steps} steps of {step_h:g} h "
                    f"after earliest_h = {device['earliest_h']:g}"
                )
                raise DataError(where, f"appliance[{k}].latest_h", device["latest_h"], allowed)
