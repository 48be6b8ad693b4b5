"""Random days: feeders, communities, prices and profiles drawn from a seed.

Made to look at what holds beyond one data set: what is a theorem (agreed envelopes cost no more
than any operating envelope on the same rows) and what is not (losses, volumes).
"""

from typing import Any

import numpy as np

from peergrid.inputs.communities import Communities, checked
from peergrid.network.feeder import Feeder
from peergrid.network.library import load_feeder
from peergrid.network.linear import lindistflow
from peergrid.study.case import Case, build_case
from peergrid.units import kw_from_mw, mw_from_kw

FEEDERS = ("ieee33", "ieee69")
HOURS = 24


def random_case(seed: int) -> Case:
    """A day drawn from a seed: 3 to 7 communities on one of the two feeders."""
    rng = np.random.default_rng(seed)
    name = str(rng.choice(FEEDERS))
    return build_case(random_communities(rng, name))


def random_communities(rng: np.random.Generator, feeder: str) -> Communities:
    """Communities, prices and profiles on a library feeder."""
    net = load_feeder(feeder)
    count = int(rng.integers(3, 8))
    buses = rng.choice(net.bus_id[1:], count, replace=False)
    scale = mw_from_kw(float(net.p_load_kw.sum())) / count * rng.uniform(0.3, 0.8)
    found = [_community(rng, int(bus), scale) for bus in buses]
    shift = int(rng.integers(-2, 3))
    day, sun = np.roll(_bump(13, 5.0), shift), _bump(12, 3.0)
    evening = 0.4 + 0.35 * day + 0.6 * np.roll(_bump(19, 2.5), shift)
    return checked(
        {
            "network": {
                "case": feeder,
                "v_min_pu": 0.85,
                "load_profile": (0.4 + 0.5 * evening / evening.max()).round(3).tolist(),
                "rise_limit_pu": _rise_limit(rng, net, buses, scale),
                "current_limit_a": {"default": 1000.0},
            },
            "uncertainty": {
                "confidence": float(rng.choice([0.8, 0.9, 0.95])),
                "sigma_pv": 0.12,
                "sigma_wind": 0.15,
                "sigma_load": 0.06,
                "correlation": {"pv": 0.5, "wind": 0.3, "load": 0.1},
                "feeder_load_sigma": {"each": 0.05, "common": 0.02},
            },
            "prices": _prices(rng),
            "common": {
                "tan_phi": float(rng.uniform(0.2, 0.5)),
                "battery": {"wear": float(rng.uniform(1.0, 8.0))},
                "flexible": {"discomfort": 20.0},
                "generator_q": {"up": 0.6, "down": 0.3, "cost": 2.0, "quadratic": 0.5},
                "inverter_q": {"share": 0.44, "cost": 1.0, "quadratic": 0.5},
                "load_profile": (evening / evening.max()).round(3).tolist(),
                "pv_profile": (sun * (sun > 0.05)).round(3).tolist(),
                "wind_profile": np.clip(0.45 + 0.15 * rng.standard_normal(HOURS), 0.1, 0.9)
                .round(3)
                .tolist(),
            },
            "community": found,
        },
        "random",
    )


def _bump(middle: int, width: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A bell over the hours of a day, 1 at its middle."""
    away = (np.arange(HOURS) - middle + 12) % 24 - 12
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def _community(rng: np.random.Generator, bus: int, scale_mw: float) -> dict[str, Any]:
    """One community: some mostly draw, some mostly inject."""
    load = scale_mw * rng.uniform(0.2, 1.2)
    battery = scale_mw * rng.uniform(0.0, 0.4)
    return {
        "bus": bus,
        "load": load,
        "flexible": load * rng.uniform(0.1, 0.3),
        "pv": scale_mw * rng.uniform(0.0, 1.2),
        "wind": scale_mw * rng.uniform(0.0, 0.8) * rng.integers(0, 2),
        "generator": {
            "p": scale_mw * rng.uniform(0.0, 0.8),
            "b": rng.uniform(50.0, 110.0),
            "a": rng.uniform(20.0, 100.0),
        },
        "battery": {"p": battery, "e": 4.0 * battery},
    }


def _prices(rng: np.random.Generator) -> dict[str, Any]:
    """Three retail prices over the day, and fees."""
    night, noon, evening = 60.0 + np.cumsum(rng.uniform(5.0, 50.0, 3))
    buy = np.where(np.arange(HOURS) < 7, night, noon)
    buy[17:22] = evening
    return {
        "buy": buy.round(2).tolist(),
        "sell": float(rng.uniform(10.0, 50.0)),
        "reactive_buy": 12.0,
        "p2p_fee": {"fixed": float(rng.uniform(0.5, 4.0)), "per_ohm": float(rng.uniform(0.2, 1.5))},
        "p2p_fee_reactive": 0.1,
    }


def _rise_limit(
    rng: np.random.Generator, net: Feeder, buses: np.ndarray[Any, Any], scale_mw: float
) -> float:
    """A limit on the rise that lets through 10 to 50 % of what the communities might cause."""
    at = [net.index_of(int(bus)) for bus in buses]
    slope = lindistflow(net).R[:, at].sum(axis=1).max() / 2.0
    return float(rng.uniform(0.1, 0.5) * slope * kw_from_mw(scale_mw))
