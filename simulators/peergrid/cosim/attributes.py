"""The table of wire names: every mosaik model and attribute of peergrid, with unit and sign.

META of each simulator, the units in HDF5 files and the README's tables are generated from it.
Names follow ``Quantity[unit]``; a name without brackets has no unit.
"""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["in", "out", "in/out"]

_UNIT = re.compile(r"\[(?P<unit>[^\]]+)\]$")


@dataclass(frozen=True)
class Attribute:
    """One attribute on the wire.

    Parameters
    ----------
    name
        Wire name, ``Quantity[unit]``.
    direction
        ``in``, ``out`` or ``in/out``.
    meaning
        What it says, with its sign.
    lag_steps
        How many steps after the hour it describes it is published (settlement: 1). The recorder
        writes it into the row of the hour it describes.
    """

    name: str
    direction: Direction
    meaning: str
    lag_steps: int = 0

    @property
    def unit(self) -> str:
        """The unit in the brackets, or an empty string.

        >>> Attribute("P[MW]", "out", "power").unit
        'MW'
        """
        return unit_of(self.name)


@dataclass(frozen=True)
class Model:
    """A mosaik model: its creation parameters and its attributes."""

    name: str
    attributes: tuple[Attribute, ...]
    params: tuple[str, ...] = ()
    public: bool = True
    any_inputs: bool = False


def unit_of(name: str) -> str:
    """Unit of a wire name.

    >>> unit_of("price[EUR/MWh]"), unit_of("iterations")
    ('EUR/MWh', '')
    """
    match = _UNIT.search(name)
    return match["unit"] if match else ""


def _in(name: str, meaning: str) -> Attribute:
    return Attribute(name, "in", meaning)


def _out(name: str, meaning: str, lag_steps: int = 0) -> Attribute:
    return Attribute(name, "out", meaning, lag_steps)


P_GEN = _out("P[MW]", "active power, generation positive")
Q_GEN = _out("Q[MVar]", "reactive power, generation positive")
FLEXIBILITY = _out("flexibility", "the flexibility message for the steps after this one")
P_SET = _in("P_set[MW]", "set-point, injection positive; none: run free")
Q_SET = _in("Q_set[MVar]", "reactive set-point, injection positive")
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
        _in(name, meaning),
        _in(
            name.replace("[", FORECAST_SUFFIX + "["),
            meaning + ", list for the steps after this one",
        ),
    )
)
SITE = (
    _in("P_gen[MW]", "what else generates behind the same connection point, this step"),
    _in("P_load[MW]", "what else consumes behind the same connection point, this step"),
    _in("P_max[MW]", "envelope of the connection point: largest injection"),
    _in("P_min[MW]", "envelope of the connection point: smallest injection (negative: import)"),
)

Q_COSTS = ("q_cost_eur_per_mvarh", "q_cost_quadratic_eur_per_mvar2h")
MEASURED = ("series", "bus")
FORECAST_AND_Q = ("sigma_share", "q_share", *Q_COSTS)

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "Grid",
            (
                _out("P_loss[MW]", "active losses of lines and transformers"),
                _out("Q_loss[MVar]", "reactive losses"),
                _out("converged", "whether the power flow of this step converged"),
            ),
            params=(
                "net",
                "json",
                "network",
                "slack_vm_pu",
                "impedance_scale",
                "impedance_spread",
                "seed",
            ),
        ),
        Model(
            "Bus",
            (
                _in("P_gen[MW]", "generation to add at the bus"),
                _in("P_load[MW]", "load to add at the bus"),
                _in("Q_gen[MVar]", "reactive generation to add at the bus"),
                _in("Q_load[MVar]", "reactive load to add at the bus"),
                _out("P[MW]", "net active power, load positive"),
                _out("Q[MVar]", "net reactive power, load positive"),
                _out("Vm[pu]", "voltage magnitude"),
                _out("Va[deg]", "voltage angle"),
            ),
            public=False,
        ),
        Model(
            "Line",
            (
                _out("I[kA]", "current, the larger of both ends"),
                _out("loading[%]", "current over rating"),
                _out("P_loss[MW]", "active losses"),
            ),
            public=False,
        ),
        Model(
            "Trafo",
            (
                _out("I[kA]", "current at the high-voltage side"),
                _out("loading[%]", "current over rating"),
                _out("P_loss[MW]", "active losses"),
            ),
            public=False,
        ),
        Model(
            "ExternalGrid",
            (
                _out("P[MW]", "active power, import positive"),
                _out("Q[MVar]", "reactive power, import positive"),
            ),
            public=False,
        ),
        Model(
            "Weather",
            tuple(
                attribute
                for name, meaning in WEATHER_NAMES.items()
                for attribute in (
                    _out(name, meaning),
                    _out(
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
                _out("P[MW]", "active power, load positive"),
                _out("Q[MVar]", "reactive power, load positive"),
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
                _out("P[MW]", "active power, load positive"),
                _out("Q[MVar]", "reactive power, load positive"),
                _out("E[MWh]", "energy drawn since local midnight, at the end of the step"),
                _out("unserved[MWh]", "at the end of a local day: what is missing to its quota"),
                _out("cut_cost[EUR]", "what the energy not served costs its owner"),
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
            "Battery",
            (
                P_SET,
                *SITE,
                _out("P[MW]", "active power, discharge positive"),
                _out("Q[MVar]", "reactive power, generation positive"),
                _out("E[MWh]", "stored energy at the end of the step"),
                _out("SoC[%]", "state of charge at the end of the step"),
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
                _out("P[MW]", "active power of all vehicles, discharge positive"),
                _out("E[MWh]", "energy stored in all vehicles at the end of the step"),
                _out("n_plugged", "vehicles plugged in"),
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
                _out("P[MW]", "active power, discharge positive"),
                _out("E[MWh]", "stored energy at the end of the step"),
                _out("SoC[%]", "state of charge at the end of the step"),
                _out("plugged", "1 when plugged in for the whole step"),
                _out("departures", "1 when the vehicle leaves at the end of this step"),
                _out("departures_met", "1 when it leaves with the energy it was promised"),
                FLEXIBILITY,
            ),
            public=False,
        ),
        Model(
            "Market",
            (
                _in("price_import[EUR/MWh]", "retail price of energy bought (else from file)"),
                _in("price_feed_in[EUR/MWh]", "tariff of energy fed in (else from file)"),
                _in("price_import_q[EUR/MVArh]", "price of reactive power drawn (else settings)"),
                _in("price_feed_in_q[EUR/MVArh]", "price of reactive power given (else settings)"),
                _out("iterations", "iterations of the clearing"),
                _out("primal_residual", "largest primal residual [kW]"),
                _out("dual_residual", "largest dual residual [EUR/MWh]"),
                _out("residual_history", "primal residual by iteration, list"),
                _out("status", "0 converged, 1 iteration limit, 2 fallback"),
                _out("lower_bound[EUR]", "dual bound on the horizon's cost"),
                _out("gap", "relative gap between cost and bound"),
                _out("binding_rows", "number of network rows that limit the envelopes"),
                _out("theta[EUR/MWh]", "marginal price of the community"),
                _out("p2p_price[EUR/MWh]", "price of trades between neighbours", 1),
                _out("traded[MW]", "energy traded between neighbours", 1),
                _out(
                    "retailer_bill[EUR]",
                    "what the retailer is paid, losses and reactive power included",
                    1,
                ),
                _out("network_fees[EUR]", "fees on trades between neighbours", 1),
                _out("loss_cost[EUR]", "what the losses cost", 1),
                _out("operator_cost[EUR]", "what the network operator pays for losses", 1),
                _out("losses[MW]", "losses that were settled", 1),
                _out("breaches", "participants outside their envelope", 1),
                _out("breaches_promised", "how many the promised confidence allows for", 1),
                _out("traded_q[MVar]", "reactive power traded between neighbours", 1),
                _out("reactive_bill[EUR]", "its part for reactive power", 1),
                _out("linear_gap[pu]", "largest error of the linear voltages at the corners"),
                _out("corner_violation[pu]", "what a corner of the envelopes breaks, exact"),
                _out("corner_overload", "by how much a corner exceeds a rating, relative"),
                _out("events", "what went wrong and what was done, list"),
            ),
            params=("participants", "network", "tariff", "settings"),
        ),
        Model(
            "Participant",
            (
                _out("P[MW]", "cleared position, injection positive"),
                _out("Q[MVar]", "cleared reactive position, injection positive"),
                _out("price[EUR/MWh]", "marginal price at the connection point"),
                _out("price_energy[EUR/MWh]", "its energy part"),
                _out("price_loss[EUR/MWh]", "its loss part"),
                _out("price_congestion[EUR/MWh]", "its congestion part"),
                _out("price_q[EUR/MVArh]", "marginal price of reactive power"),
                _out("P_max[MW]", "envelope: largest injection"),
                _out("P_min[MW]", "envelope: smallest injection (negative: import)"),
                _out("Q_max[MVar]", "envelope: largest reactive injection"),
                _out("Q_min[MVar]", "envelope: smallest reactive injection"),
                _out("traded[MW]", "traded with neighbours, sold positive", 1),
                _out("traded_q[MVar]", "reactive power traded, sold positive", 1),
                _out("trade_with[MW]", "by partner, sold positive; list", 1),
                _out("import[MW]", "bought from the retailer, imbalance included", 1),
                _out("export[MW]", "sold to the retailer, imbalance included", 1),
                _out("imbalance[MW]", "metered less cleared, injection positive", 1),
                _out("envelope_use", "share of the envelope's reach that was used", 1),
                _out("outside", "1 when the injection was outside the envelope", 1),
                _out("cost[EUR]", "what the participant pays (negative: receives)", 1),
                _out("saving[EUR]", "less than alone with the retailer, same meter", 1),
            ),
            public=False,
        ),
        Model(
            "Resource",
            (
                _in("flexibility", "the device's flexibility message"),
                _in("P[MW]", "realised injection; its sign is given by the resource's side"),
                _in("Q[MVar]", "realised reactive injection, same sign"),
                _out("P_set[MW]", "set-point, injection positive; none: run free"),
                _out("Q_set[MVar]", "reactive set-point, injection positive"),
            ),
            public=False,
        ),
        Model(
            "Meter",
            (
                _in("Vm[pu]", "measured voltage"),
                _in("P[MW]", "measured net power of the bus, load positive"),
                _in("Q[MVar]", "measured net reactive power of the bus, load positive"),
                _out("model_error", "measured less modelled voltage, last step [pu]"),
                _out("binds", "voltage limit that limits envelopes: 1 upper, 2 rise, -1 lower"),
            ),
            public=False,
        ),
        Model(
            "Head",
            (
                _in("P[MW]", "power at the feeder head, import positive"),
                _in("Q[MVar]", "reactive power at the feeder head, import positive"),
                _in("P_loss[MW]", "losses of the grid; absent: the market's own model"),
                _out("model_error", "load scale: measured over forecast load"),
            ),
            public=False,
        ),
        Model(
            "LineMeter",
            (
                _in("I[kA]", "measured current"),
                _out("model_error", "measured less modelled current [kA]"),
                _out("binds", "1 when the rating limits envelopes"),
            ),
            public=False,
        ),
        Model("Recorder", (), params=("filename", "attributes", "overwrite"), any_inputs=True),
        Model(
            "Checkpoint",
            (_out("state", "everything the simulator needs to go on from here"),),
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
