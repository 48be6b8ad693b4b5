"""From flexibility messages to the agents' private problems."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, Storage
from peergrid.errors import DataError
from peergrid.market.agents import Agents, storage_box
from peergrid.market.cycle_prox import build_cycles
from peergrid.market.reactive import build_reactive

Floats = NDArray[np.float64]


def build_agents(messages: Sequence[Flexibility], steps: int, dt_h: float) -> Agents:
    """Private problems from flexibility messages, which must all cover ``steps`` steps.

    Raises
    ------
    DataError
        If a message is shorter than the horizon.
    """
    for message in messages:
        if message.steps < steps:
            raise DataError("flexibility message", "p_max_kw", message.steps, f"{steps} steps")
    stores = [i for i, message in enumerate(messages) if message.storage is not None]
    cycling = [i for i, message in enumerate(messages) if message.profiles]
    return Agents(
        dt_h=dt_h,
        p_min_kw=stacked([m.p_min_kw for m in messages], steps),
        p_max_kw=stacked([m.p_max_kw for m in messages], steps),
        p_ref_kw=stacked([m.p_ref_kw for m in messages], steps),
        linear_eur_per_kwh=stacked([linear_cost(m) for m in messages], steps),
        quadratic_eur_per_kw2h=np.array([m.cost.quadratic_eur_per_kw2h for m in messages]),
        discomfort_eur_per_kw2h=np.array([m.cost.discomfort_eur_per_kw2h for m in messages]),
        wear_eur_per_kwh=np.array([m.cost.wear_eur_per_kwh for m in messages]),
        stores=np.array(stores, dtype=np.int64),
        storage=_storages([messages[i] for i in stores], steps),
        cycling=np.array(cycling, dtype=np.int64),
        cycles=build_cycles([messages[i] for i in cycling], steps),
        reactive=build_reactive(messages, steps),
        follow_kvar_per_kw=np.array([float((m.q or {}).get("tan_phi", 0.0)) for m in messages]),
    )


def linear_cost(message: Flexibility) -> Floats:
    """Linear cost per kWh; staying below ``p_max`` costs ``cut_cost`` per kWh."""
    linear = np.broadcast_to(message.cost.linear_eur_per_kwh, message.p_max_kw.shape)
    return np.asarray(linear - message.cost.cut_cost_eur_per_kwh, dtype=np.float64)


def stacked(rows: Sequence[Floats], steps: int) -> Floats:
    """The first ``steps`` entries of each series, ``(n, steps)``."""
    table = np.empty((len(rows), steps))
    for i, row in enumerate(rows):
        table[i] = row[:steps]
    return table


def _storages(messages: Sequence[Flexibility], steps: int) -> tuple[Any, ...]:
    """Columns for :func:`peergrid.market.storage_prox.solve`."""
    stores: list[Storage] = [m.storage for m in messages if m.storage is not None]
    p_min = stacked([m.p_min_kw for m in messages], steps)
    p_max = stacked([m.p_max_kw for m in messages], steps)
    return (
        storage_box(p_min, p_max),
        stacked([s.eta_charge for s in stores], steps),
        stacked([s.eta_discharge for s in stores], steps),
        np.array([1.0 - s.leak for s in stores]),
        stacked([s.demand_kwh for s in stores], steps),
        np.array([s.e_now_kwh for s in stores]),
        stacked([s.e_min_kwh[1:] for s in stores], steps),
        stacked([s.e_max_kwh[1:] for s in stores], steps),
    )
