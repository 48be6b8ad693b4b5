"""The table of wire names: every mosaik model and attribute of peergrid, with unit and sign.

META of each simulator, the units in HDF5 files and the README's tables are generated from it.
Names follow ``Quantity[unit]``; a name without brackets has no unit.
"""

import copy
from collections.abc import Iterable
from typing import Any

from peergrid.cosim.grid_attributes import GRID_MODELS
from peergrid.cosim.market_attributes import MARKET_MODELS
from peergrid.cosim.wire import Model, given, taken

P_GEN = given("P[MW]", "active power, generation positive")
Q_GEN = given("Q[MVar]", "reactive power, generation positive")
FLEXIBILITY = given("flexibility", "the flexibility message for the steps after this one")
P_SET = taken("P_set[MW]", "set-point, injection positive; none: run free")
Q_SET = taken("Q_set[MVar]", "reactive set-point, injection positive")
WEATHER_NAMES = {
    "GHI[W/m2]": "global horizontal irradiance, mean of the step",
    "DNI[W/m2]": "direct normal irradiance",
    "DHI[W/m2]": "diffuse horizontal irradiance",
    "T_air[C]": "air temperature",
    "wind_speed[m/s]": "wind speed at the height the source measured it",
}
FORECAST_SUFFIX = "_forecast"
WEATHER_IN = tuple(
    attribute
    for name, meaning in WEATHER_NAMES.items()
    for attribute in (
        taken(name, meaning),
        taken(
            name.replace("[", FORECAST_SUFFIX + "["),
            meaning + ", list for the steps after this one",
        ),
    )
)
T_AIR_IN = tuple(attribute for attribute in WEATHER_IN if attribute.name.startswith("T_air"))
SITE = (
    taken("P_gen[MW]", "what else generates behind the same connection point, this step"),
    taken("P_load[MW]", "what else consumes behind the same connection point, this step"),
    taken("P_max[MW]", "envelope of the connection point: largest injection"),
    taken("P_min[MW]", "envelope of the connection point: smallest injection (negative: import)"),
)

Q_COSTS = ("q_cost_eur_per_mvarh", "q_cost_quadratic_eur_per_mvar2h")
MEASURED = ("series", "bus")
FORECAST_AND_Q = ("sigma_share", "q_share", *Q_COSTS)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        *GRID_MODELS,
        Model(
            "Weather",
            tuple(
                attribute
                for name, meaning in WEATHER_NAMES.items()
                for attribute in (
                    given(name, meaning),
                    given(
                        name.replace("[", FORECAST_SUFFIX + "["),
                        meaning + ", list for the steps after this one",
                    ),
                )
            ),
            params=("source",),
        ),
        Model(
            "PV",
            (*WEATHER_IN, P_SET, Q_SET, *SITE, P_GEN, Q_GEN, FLEXIBILITY),
            params=("kwp", "tilt_deg", "azimuth_deg", *MEASURED, *FORECAST_AND_Q, "name"),
        ),
        Model(
            "WindTurbine",
            (*WEATHER_IN, P_SET, Q_SET, *SITE, P_GEN, Q_GEN, FLEXIBILITY),
            params=(
                "turbine",
                "hub_height_m",
                "count",
                "rated_kw",
                *MEASURED,
                *FORECAST_AND_Q,
                "name",
            ),
        ),
        Model(
            "Generator",
            (P_SET, Q_SET, *SITE, P_GEN, Q_GEN, FLEXIBILITY),
            params=(
                "p_max_kw",
                "p_min_kw",
                "cost_eur_per_mwh",
                "cost_quadratic_eur_per_mw2h",
                "q_up_share",
                "q_down_share",
                *Q_COSTS,
                "name",
            ),
        ),
        Model(
            "Load",
            (
                *WEATHER_IN,
                P_SET,
                given("P[MW]", "active power, load positive"),
                given("Q[MVar]", "reactive power, load positive"),
                FLEXIBILITY,
            ),
            params=(
                "bus",
                "p_nom_kw",
                "q_nom_kvar",
                "series",
                "tan_phi",
                "sigma_share",
                "name",
            ),
        ),
        Model(
            "FlexibleLoad",
            (
                P_SET,
                *SITE,
                given("P[MW]", "active power, load positive"),
                given("Q[MVar]", "reactive power, load positive"),
                given("E[MWh]", "energy drawn since local midnight, at the end of the step"),
                given("unserved[MWh]", "at the end of a local day: what is missing to its quota"),
                given("cut_cost[EUR]", "what the energy not served costs its owner"),
                FLEXIBILITY,
            ),
            params=(
                "p_rated_kw",
                "p_max_over_rated",
                "discomfort_eur_per_mw2h",
                "cut_cost_eur_per_mwh",
                "tan_phi",
                "name",
            ),
        ),
        Model(
            "Appliance",
            (
                P_SET,
                *SITE,
                given("P[MW]", "active power, load positive"),
                given("Q[MVar]", "reactive power, load positive"),
                given("cycles_left", "cycles of the local day that have not begun"),
                given("running", "whether a cycle runs in the step"),
                FLEXIBILITY,
            ),
            params=(
                "phases_kw",
                "phase_min",
                "earliest_h",
                "latest_h",
                "habit_h",
                "cycles_per_day",
                "homes",
                "tan_phi",
                "name",
            ),
        ),
        Model(
            "Building",
            (
                *T_AIR_IN,
                P_SET,
                *SITE,
                given("P[MW]", "active power, load positive"),
                given("Q[MVar]", "reactive power, load positive"),
                given("T_in[C]", "indoor temperature at the end of the step"),
                given("discomfort[Kh]", "distance to the comfort band times the step's length"),
                FLEXIBILITY,
            ),
            params=(
                "p_max_kw",
                "cop",
                "r_k_per_kw",
                "c_kwh_per_k",
                "theta_min_c",
                "theta_max_c",
                "theta_start_c",
                "theta_set_c",
                "mode",
                "gains_kw",
                "homes",
                "tan_phi",
                "name",
            ),
        ),
        Model(
            "Battery",
            (
                P_SET,
                *SITE,
                given("P[MW]", "active power, discharge positive"),
                given("Q[MVar]", "reactive power, generation positive"),
                given("E[MWh]", "stored energy at the end of the step"),
                given("SoC[%]", "state of charge at the end of the step"),
                FLEXIBILITY,
            ),
            params=(
                "e_max_kwh",
                "p_max_kw",
                "eta_charge",
                "eta_discharge",
                "soc_start",
                "soc_min",
                "soc_end",
                "wear_eur_per_mwh",
                "wear_rise_eur_per_mwh",
                "name",
            ),
        ),
        Model(
            "EVFleet",
            (
                P_SET,
                given("P[MW]", "active power of all vehicles, discharge positive"),
                given("E[MWh]", "energy stored in all vehicles at the end of the step"),
                given("n_plugged", "vehicles plugged in"),
                FLEXIBILITY,
            ),
            params=(
                "num_ev",
                "e_max_kwh",
                "p_max_kw",
                "eta_charge",
                "eta_discharge",
                "soc_start",
                "soc_min",
                "soc_departure",
                "v2g",
                "wear_eur_per_mwh",
                "wear_rise_eur_per_mwh",
                "tours",
                "bid_share_of_import",
                "tariff",
                "name",
            ),
        ),
        Model(
            "EV",
            (
                P_SET,
                *SITE,
                given("P[MW]", "active power, discharge positive"),
                given("E[MWh]", "stored energy at the end of the step"),
                given("SoC[%]", "state of charge at the end of the step"),
                given("plugged", "1 when plugged in for the whole step"),
                given("departures", "1 when the vehicle leaves at the end of this step"),
                given("departures_met", "1 when it leaves with the energy it was promised"),
                FLEXIBILITY,
            ),
            public=False,
        ),
        *MARKET_MODELS,
        Model("Recorder", (), params=("filename", "attributes", "overwrite"), any_inputs=True),
        Model(
            "Checkpoint",
            (given("state", "everything the simulator needs to go on from here"),),
        ),
    )
}


def build_meta(models: Iterable[str], *, extra_methods: Iterable[str] = ()) -> dict[str, Any]:
    """META of a time-based simulator that offers the named models and ``Checkpoint``.

    A new dictionary at each call: mosaik and subclasses may change theirs.

    >>> sorted(build_meta(["Generator"])["models"])
    ['Checkpoint', 'Generator']
    """
    return copy.deepcopy(
        {
            "api_version": "3.0",
            "type": "time-based",
            "models": {
                name: {
                    "public": MODELS[name].public,
                    "params": list(MODELS[name].params),
                    "attrs": sorted({a.name for a in MODELS[name].attributes}),
                    "any_inputs": MODELS[name].any_inputs,
                }
                for name in (*models, "Checkpoint")
            },
            "extra_methods": list(extra_methods),
        }
    )


def outputs_of(model: str) -> tuple[str, ...]:
    """Names of the attributes a model publishes, in table order.

    >>> outputs_of("ExternalGrid")
    ('P[MW]', 'Q[MVar]')
    """
    return tuple(a.name for a in MODELS[model].attributes if a.direction != "in")


def lag_steps_of(model: str, attribute: str) -> int:
    """Steps by which an attribute is published after the hour it describes (0 if unknown).

    >>> lag_steps_of("Participant", "cost[EUR]"), lag_steps_of("Foreign", "P[MW]")
    (1, 0)
    """
    entry = MODELS.get(model)
    if entry is None:
        return 0
    return next((a.lag_steps for a in entry.attributes if a.name == attribute), 0)
