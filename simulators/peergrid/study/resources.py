"""The resources of energy communities as flexibility messages, and so as private problems."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import parse
from peergrid.inputs.communities import Communities, Community
from peergrid.market.agents import Agents
from peergrid.market.build import build_agents
from peergrid.units import kw_from_mw, mw_from_kw

Indices = NDArray[np.int64]
HOUR_S = 3600.0
PER_KW2 = 1e-6  # EUR/kW2h from EUR/MW2h


def resources(data: Communities) -> tuple[Agents, Indices]:
    """Private problems of all resources, and whose they are."""
    messages, owner = [], []
    for e, community in enumerate(data.community):
        for message in _messages(data, community):
            messages.append(parse({"t0_s": 0.0, "dt_s": HOUR_S, **message}))
            owner.append(e)
    return build_agents(messages, data.hours, 1.0), np.array(owner, dtype=np.int64)


def _messages(data: Communities, community: Community) -> list[dict[str, Any]]:
    """Flexibility messages of one community."""
    rules = data.common
    plants = [
        ("pv", community.pv, rules.pv_profile),
        ("wind", community.wind, rules.wind_profile),
    ]
    found: list[dict[str, Any]] = [
        {"kind": "PEBC", "p_min_kw": [0.0] * data.hours, "p_max_kw": _scaled(profile, power)}
        for _, power, profile in plants
        if power > 0.0
    ]
    nameplate = kw_from_mw(community.pv + community.wind)
    if found and rules.inverter_q.share > 0.0:
        most = rules.inverter_q.share * nameplate
        found[0]["q"] = {"box": [-most, most], **_q_cost(rules.inverter_q)}
    if community.generator.p > 0.0:
        found.append(_generator(data, community))
    if community.battery.p > 0.0:
        found.append(_battery(data, community))
    if community.flexible > 0.0:
        found.append(_flexible(data, community))
    return found


def _scaled(profile: list[float], power_mw: float) -> list[float]:
    return [kw_from_mw(power_mw * value) for value in profile]


def _q_cost(rules: Any) -> dict[str, float]:
    return {"cost": mw_from_kw(rules.cost), "quadratic": rules.quadratic * PER_KW2}


def _generator(data: Communities, community: Community) -> dict[str, Any]:
    rules, machine = data.common.generator_q, community.generator
    most = kw_from_mw(machine.p)
    return {
        "kind": "PEBC",
        "p_min_kw": [0.0] * data.hours,
        "p_max_kw": [most] * data.hours,
        "cost": {"linear": mw_from_kw(machine.b), "quadratic": machine.a / 2.0 * PER_KW2},
        "q": {"box": [-rules.down * most, rules.up * most], **_q_cost(rules)},
    }


def _battery(data: Communities, community: Community) -> dict[str, Any]:
    rules, hours = data.common.battery, data.hours
    power, energy = kw_from_mw(community.battery.p), kw_from_mw(community.battery.e)
    low = [rules.soc_min * energy] * hours + [rules.soc_end * energy]
    high = [energy] * hours + [rules.soc_end * energy]
    return {
        "kind": "FRBC",
        "p_min_kw": [-power] * hours,
        "p_max_kw": [power] * hours,
        "e_min_kwh": low,
        "e_max_kwh": high,
        "e_now_kwh": rules.soc_start * energy,
        "eta_charge": rules.eta_charge,
        "eta_discharge": rules.eta_discharge,
        "cost": {"wear": mw_from_kw(rules.wear)},
    }


def _flexible(data: Communities, community: Community) -> dict[str, Any]:
    """Energy over the day, whenever: a storage that is only charged.

    Leaving some of it out costs more than any hour in which it could run, so it is not modelled.
    """
    rules, hours = data.common.flexible, data.hours
    rated_kw = kw_from_mw(community.flexible)
    quota = rules.energy_over_day * rated_kw * hours / 24.0
    return {
        "kind": "FRBC",
        "p_min_kw": [-rules.p_max_over_rated * rated_kw] * hours,
        "p_max_kw": [0.0] * hours,
        "p_ref_kw": [-rated_kw] * hours,
        "e_min_kwh": [0.0] * hours + [quota],
        "e_max_kwh": quota,
        "e_now_kwh": 0.0,
        "cost": {"discomfort_eur_per_kw2h": rules.discomfort * PER_KW2},
        "q": {"tan_phi": data.common.tan_phi},
    }
