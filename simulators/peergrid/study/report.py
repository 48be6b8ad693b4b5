"""A day in plain numbers: one flat line per method, and the series behind the figures."""

from dataclasses import replace
from typing import Any

import numpy as np

from peergrid.market.clearing import clear
from peergrid.study.binding import in_short
from peergrid.study.day import Day
from peergrid.study.safety import look

CORNERS = 300


def line(
    day: Day, *, corners: int = CORNERS, seed: int = 0, central: bool = False
) -> dict[str, Any]:
    """What a method did, without a number that JSON does not know.

    Parameters
    ----------
    day
        The result.
    corners, seed
        Random points per hour that :func:`peergrid.study.safety.look` takes, and their seed.
    central
        Whether to solve the final clearing once more by a central solver.
    """
    seen = look(day.case.limits, day.allowed, corners, np.random.default_rng(seed))
    found: dict[str, Any] = {
        "case": day.case.name,
        "method": day.method,
        "seconds": day.seconds,
        "certify_seconds": day.certify_seconds,
        "cpu_seconds": day.cpu_seconds,
        "iterations": day.iterations,
        "status": day.clearing.status.name.lower(),
        "gap": day.clearing.gap,
        "passes": 0 if day.certified is None else day.certified.passes,
        "cost": day.cost_eur,
        "central_cost": central_cost(day) if central else None,
        "traded_mwh": day.traded_mwh,
        "traded_mvarh": day.traded_mvarh,
        "loss_kwh": day.loss_kwh,
        "loss_kvarh": day.loss_kvarh,
        "vm_min_pu": float(day.flow.vm_pu.min()),
        "vm_max_pu": float(day.flow.vm_pu.max()),
        "worst_violation_pu": seen.worst_violation_pu,
        "schedule_violation_pu": day.schedule_violation_pu,
        "worst_loading": seen.worst_loading,
        "points": seen.points,
        "linear_gap_pu": day.linear_gap_pu,
        "used_share": day.used_share,
        "jain": day.jain_boxes,
        "binding": in_short(day.binding),
    }
    return {key: known(value) for key, value in found.items()}


def compared(day: Day, base: Day) -> dict[str, Any]:
    """What a method changed against the day on which everybody is alone."""
    found = {
        "loss_change": day.loss_kwh / base.loss_kwh - 1.0,
        "loss_change_reactive": day.loss_kvarh / base.loss_kvarh - 1.0,
        "savings_eur": day.savings_eur(base).tolist(),
        "jain_savings": day.jain_savings(base),
    }
    return {key: known(value) for key, value in found.items()}


def series(day: Day) -> dict[str, Any]:
    """By community and hour, for figures: envelopes, positions, extreme voltages, limits."""
    limits, case = day.case.limits, day.case
    found: dict[str, Any] = {
        "bus": case.network.feeder.bus_id[case.at].tolist(),
        "p_kw": day.clearing.position_kw.tolist(),
        "q_kvar": day.clearing.position_kvar.tolist(),
        "margin_up_kw": case.margin[: len(case.at)].tolist(),
        "margin_down_kw": case.margin[len(case.at) : 2 * len(case.at)].tolist(),
        "vm_low_pu": day.flow.vm_pu.min(axis=0).tolist(),
        "vm_high_pu": day.flow.vm_pu.max(axis=0).tolist(),
        "rise_pu": (day.flow.vm_pu - limits.base.vm_pu).max(axis=0).tolist(),
        "corner_rise_pu": _corner_rise(day),
        "v_min_pu": case.network.v_min_pu,
        "v_max_pu": case.network.v_max_pu,
        "rise_limit_pu": case.network.rise_pu,
        "binding": [str(one) for one in day.binding],
    }
    if day.boxes is not None:
        for name in ("p_max_kw", "p_min_kw", "q_max_kvar", "q_min_kvar"):
            found[name] = getattr(day.boxes, name).tolist()
    return found


def _corner_rise(day: Day) -> list[float]:
    """Largest voltage rise by hour if everyone stands at the upper corner of what is allowed."""
    allowed = day.allowed
    high = day.case.limits.flow(allowed.p_max_kw, allowed.q_max_kvar)
    return list((high.vm_pu - day.case.limits.base.vm_pu).max(axis=0).tolist())


def central_cost(day: Day) -> float:
    """The optimum of the final clearing by a central solver, a charge on losses left out [EUR]."""
    return replace(day, clearing=clear(day.problem, method="central")).cost_eur


def known(value: Any) -> Any:
    """None for numbers that are none, which JSON does not know."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
