"""Dispatchable generators: they run where they are told, and stand still when nobody tells."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.reactive import ReactiveOffers
from peergrid.devices.site import Room

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Generators:
    """n generators, one entry each.

    Parameters
    ----------
    p_min_kw, p_max_kw
        Least and largest power while running.
    cost_eur_per_kwh, cost_eur_per_kw2h
        Cost of an hour at p kW: ``cost_eur_per_kwh p + cost_eur_per_kw2h p^2``.
    reactive
        Reactive power on offer.
    """

    p_min_kw: Floats
    p_max_kw: Floats
    cost_eur_per_kwh: Floats
    cost_eur_per_kw2h: Floats
    reactive: ReactiveOffers


def output(generators: Generators, p_set_kw: Floats, room: Room) -> Floats:
    """Injection ``(n,)`` [kW].

    The set-point inside ``[p_min, p_max]``, zero without one. A generator never rises above its
    set-point to help its connection point; it comes down to the room's limit, and stops where that
    lies below its least power.

    >>> none = np.zeros(1)
    >>> machine = ReactiveOffers(kva=np.array([10.0]), q_min_kvar=none, q_max_kvar=none,
    ...     cost_eur_per_kvarh=none, cost_eur_per_kvar2h=none)
    >>> one = Generators(p_min_kw=np.array([2.0]), p_max_kw=np.array([9.0]),
    ...     cost_eur_per_kwh=none, cost_eur_per_kw2h=none, reactive=machine)
    >>> tight = Room(low_kw=np.array([-5.0]), high_kw=np.array([1.0]))
    >>> wide = Room(low_kw=np.array([-5.0]), high_kw=np.array([6.0]))
    >>> [output(one, np.array([8.0]), site).tolist() for site in (wide, tight)]
    [[6.0], [0.0]]
    """
    asked = np.clip(p_set_kw, generators.p_min_kw, generators.p_max_kw)
    asked = np.where(np.isnan(p_set_kw), 0.0, asked)
    held = np.minimum(asked, room.high_kw)
    return np.where(held < asked, np.where(held >= generators.p_min_kw, held, 0.0), asked)


def reactive_output(generators: Generators, q_set_kvar: Floats, p_kw: Floats) -> Floats:
    """Reactive injection ``(n,)`` [kvar]: a stated range also at standstill, else only running."""
    q_kvar = generators.reactive.follow(q_set_kvar, p_kw)
    return np.where((p_kw > 0.0) | generators.reactive.is_range, q_kvar, 0.0)


def messages(generators: Generators, *, steps: int, t0_s: float, dt_s: float) -> list[Any]:
    """Flexibility over ``steps`` steps: any power in the range, at the cost of its fuel."""
    rows = zip(
        generators.p_min_kw.tolist(),
        generators.p_max_kw.tolist(),
        generators.cost_eur_per_kwh.tolist(),
        generators.cost_eur_per_kw2h.tolist(),
        generators.reactive.on_wire(),
        strict=True,
    )
    return [
        compose(
            kind="PEBC",
            t0_s=t0_s,
            dt_s=dt_s,
            p_min_kw=[low] * steps,
            p_max_kw=[high] * steps,
            p_ref_kw=[low] * steps,
            cost={"linear": linear, "quadratic": quadratic},
            q=offer,
        )
        for low, high, linear, quadratic, offer in rows
    ]
