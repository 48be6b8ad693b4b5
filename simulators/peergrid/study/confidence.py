"""Whether promised confidences are kept: days planned with margins, and drawn many times.

Two promises. *Side*: every side of every box is kept at the confidence. *Network*: in each hour all
limits of the feeder are kept together at the confidence; then each side, and the operator for its
own load, gets its part of what may go wrong (Bonferroni).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.calibration import rank
from peergrid.envelopes.margins import Margins, side_confidence, sides_entering
from peergrid.envelopes.promise import (
    Promise,
    binding_sides,
    breach_rate,
    interval,
    summarise,
)
from peergrid.envelopes.rows import linear_rows
from peergrid.errors import DataError
from peergrid.network.power_flow import PowerFlow, solve
from peergrid.study.case import Case, symmetric
from peergrid.study.day import Day
from peergrid.study.errors import Errors, Shape
from peergrid.study.methods import run

Floats = NDArray[np.float64]
Kind = Literal["side", "network"]
TOUCHING_KW = 0.05  # room at which a schedule with its margin counts as touching its box
ROUNDING_KW = 1e-3
BROKEN_PU = 1e-6
BLOCK = 100  # draws at a time


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How much is drawn, and of what.

    Parameters
    ----------
    draws
        Days that happen.
    calibration
        Days whose errors are known, per community and hour, where margins are conformal; more
        where the confidence asks for more.
    shape
        Of the errors; margins are gaussian for gaussian ones and conformal for all others.
    """

    draws: int = 2000
    calibration: int = 1000
    shape: Shape = "gaussian"


@dataclass(frozen=True, kw_only=True)
class Broken:
    """Share of draws in which a limit of the feeder is broken somewhere, by hour ``(T,)``."""

    anything: Floats
    voltage: Floats
    rise: Floats
    current: Floats


def confidence_line(
    case: Case, method: str, confidence: float, kind: Kind, sample: Sample, seed: int
) -> dict[str, Any]:
    """Plan a day with margins at a confidence, draw it, and say what came of the promise."""
    rng = np.random.default_rng(seed)
    each, sides = confidence, None
    if kind == "network":
        rows = linear_rows(case.limits, case.room.most)
        sides = sides_entering(rows.a, rows.b, q_follows_p=False) + 1
        each = side_confidence(confidence, sides)
    known = enough(sample.calibration, each)
    margin = margins(case.errors, each, sample.shape, known, rng)
    day = run(case.promising(margin, each), method)
    errors = case.errors.draw(sample.draws, rng, sample.shape)
    kept = promise_kept(day, errors, each, None if sample.shape == "gaussian" else known)
    broken = network_broken(day, errors, rng)
    low, high = interval(confidence, sample.draws, sides=case.limits.hours)
    return {
        "confidence": confidence,
        "errors": sample.shape,
        "margins": "gaussian" if sample.shape == "gaussian" else "conformal",
        "promise": kind,
        "method": method,
        "draws": sample.draws,
        "sides": sides,
        "side_confidence": each,
        "traded_mwh": day.traded_mwh,
        "traded_mvarh": day.traded_mvarh,
        "cost": day.cost_eur,
        "binding_sides": kept.binding,
        "side_promised": kept.promised,
        "side_breach_mean": kept.mean,
        "side_breach_worst": kept.worst,
        "side_interval": [kept.low, kept.high],
        "other_sides_worst": kept.worst_other,
        "sides_kept": kept.is_kept,
        "network_allowed": 1.0 - confidence,
        "network_breach_worst_hour": float(broken.anything.max()),
        "network_breach_mean": float(broken.anything.mean()),
        "voltage_breach_worst_hour": float(broken.voltage.max()),
        "rise_breach_worst_hour": float(broken.rise.max()),
        "current_breach_worst_hour": float(broken.current.max()),
        "network_interval": [low, high],
        "network_kept": bool(broken.anything.max() <= high),
    }


def enough(calibration: int, confidence: float) -> int:
    """At least as many errors as a conformal margin needs, three times over."""
    return max(calibration, int(np.ceil(3.0 * confidence / (1.0 - confidence))))


def margins(
    errors: Errors, confidence: float, shape: Shape, known: int, rng: np.random.Generator
) -> Floats:
    """Margins ``(4 N, T)`` up and down of p, then of q.

    Gaussian from the standard deviations, or conformal from ``known`` past errors of the same hour
    and community, side by side.
    """
    if shape == "gaussian":
        return symmetric(errors.sigma, confidence)
    place = rank(known, confidence)
    if place > known:
        allowed = f"at least {confidence / (1.0 - confidence):.0f} at confidence {confidence:g}"
        raise DataError("confidence", "calibration", known, allowed)
    parts = []
    for good in errors.draw(known, rng, shape):
        ordered = np.sort(good, axis=0)
        parts += [ordered[place - 1], -ordered[known - place]]
    return np.asarray(np.maximum(np.concatenate(parts), 0.0))


def promise_kept(
    day: Day, errors: tuple[Floats, Floats], confidence: float, known: int | None
) -> Promise:
    """How often injections leave their boxes, active and reactive sides together."""
    found, boxes = day.clearing, day.allowed
    split = _margins_of(day.case)
    rates, binding = [], []
    for reactive, position, error, low, high in (
        (False, found.position_kw, errors[0], boxes.p_min_kw, boxes.p_max_kw),
        (True, found.position_kvar, errors[1], boxes.q_min_kvar, boxes.q_max_kvar),
    ):
        rates.append(breach_rate(position + error, low, high, ROUNDING_KW))
        binding.append(binding_sides(position, split, boxes, TOUCHING_KW, reactive=reactive))
    draws = len(errors[0])
    return summarise(np.concatenate(rates), np.concatenate(binding), confidence, draws, known)


def _margins_of(case: Case) -> Margins:
    up, down, q_up, q_down = np.split(case.margin, 4)
    return Margins(p_up_kw=up, p_down_kw=down, q_up_kvar=q_up, q_down_kvar=q_down)


def network_broken(day: Day, errors: tuple[Floats, Floats], rng: np.random.Generator) -> Broken:
    """Exact power flows of all draws, feeder load drawn as well, against limits without margins.

    What firm load causes in any case is no breach. The rise is that against the same hour without
    communities.
    """
    parts = []
    for first in range(0, len(errors[0]), BLOCK):
        block = slice(first, first + BLOCK)
        parts.append(_block(day, (errors[0][block], errors[1][block]), rng))
    shares = [np.concatenate([part[k] for part in parts]).mean(axis=0) for k in range(3)]
    together = np.concatenate([part[0] | part[1] | part[2] for part in parts])
    return Broken(
        anything=together.mean(axis=0), voltage=shares[0], rise=shares[1], current=shares[2]
    )


def _block(
    day: Day, errors: tuple[Floats, Floats], rng: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Whether voltage, rise and current limits are broken, each ``(draws, T)``."""
    case, found = day.case, day.clearing
    count, hours = len(errors[0]), case.limits.hours
    buses = case.network.feeder.n_bus
    factor = case.errors.draw_feeder(count, buses, hours, rng)
    load = [factor * part for part in case.background]
    total = [part.copy() for part in load]
    for part, position, error in zip(
        total, (found.position_kw, found.position_kvar), errors, strict=True
    ):
        for e, bus in enumerate(case.at):
            part[:, bus] += position[e] + error[:, e]
    alone, together = _solved(case, load), _solved(case, total)
    return [part.reshape(count, hours) for part in _broken(day, alone, together, count)]


def _solved(case: Case, injections: list[Floats]) -> PowerFlow:
    flat = (part.transpose(1, 0, 2).reshape(part.shape[1], -1) for part in injections)
    return solve(case.network.feeder, *flat, tol_pu=1e-8)


def _broken(
    day: Day, alone: PowerFlow, together: PowerFlow, count: int
) -> tuple[NDArray[np.bool_], ...]:
    limits, network = day.case.limits, day.case.network
    upper = np.tile(np.maximum(limits.highest_pu, network.v_max_pu), (1, count)) + BROKEN_PU
    lower = np.tile(np.minimum(limits.lowest_pu, network.v_min_pu), (1, count)) - BROKEN_PU
    inside = (together.vm_pu <= upper) & (together.vm_pu >= lower)
    rises = np.ones_like(inside)
    if network.rise_pu is not None:
        granted = np.maximum(limits.highest_pu - limits.base.vm_pu, network.rise_pu)
        caused = together.vm_pu - alone.vm_pu
        rises = caused <= np.tile(granted, (1, count)) + BROKEN_PU
    loading = np.tile(limits.loading_max, (1, count))[1:] + BROKEN_PU
    carried = together.loading[1:] <= loading
    return tuple(np.asarray(~part.all(axis=0)) for part in (inside[1:], rises, carried))
