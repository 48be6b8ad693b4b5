"""From flexibility messages and what may come to the households' programme."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, Storage
from peergrid.market.agents import storage_box
from peergrid.market.build import linear_cost, stacked
from peergrid.market.cycle_prox import build_cycles
from peergrid.market.stochastic_problem import Appliances, Curves, Plants, Stores

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
TANGENTS = 7  # of a cost that grows with the power, over the range of its device


@dataclass(frozen=True, kw_only=True, eq=False)
class Outlook:
    """What may come, for R resources, S scenarios and T steps.

    Parameters
    ----------
    probability
        ``(S,)``.
    error_kw
        ``(R, S, T)`` by which each resource's injection differs from its forecast.
    price_factor
        ``(S, T)`` on the import price.
    shift
        ``(R, S)`` steps by which a vehicle comes home later than planned.
    """

    probability: Floats
    error_kw: Floats
    price_factor: Floats
    shift: Indices

    @classmethod
    def certain(cls, resources: int, steps: int) -> "Outlook":
        """One scenario: the forecast."""
        return cls(
            probability=np.ones(1),
            error_kw=np.zeros((resources, 1, steps)),
            price_factor=np.ones((1, steps)),
            shift=np.zeros((resources, 1), dtype=np.int64),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Devices:
    """The resources of a community by what can be asked of them, and what is firm.

    ``rows`` are the resources that became a ``plant``, a ``store``, an ``appliance``; ``curves``
    the costs of plants and stores that grow with their power.
    """

    rows: Mapping[str, list[int]]
    plants: Plants
    stores: Stores
    appliances: Appliances
    curves: Curves | None
    firm_kw: Floats
    firm_kvar: Floats


def devices_of(
    messages: Sequence[Flexibility],
    names: Sequence[str],
    owner: Indices,
    outlook: Outlook,
    households: int,
) -> Devices:
    """Sort resources into plants, stores, appliances and what is firm.

    Forecast errors move what is firm and the largest power of plants; arrivals move when a store
    is plugged in.

    Parameters
    ----------
    messages, names, owner
        Message, name and household ``(R,)`` of each resource; all messages have T steps or more.
    outlook
        What may come.
    households
        Number of households N.
    """
    steps = outlook.price_factor.shape[1]
    firm_kw = np.zeros((households, len(outlook.probability), steps))
    firm_kvar = np.zeros_like(firm_kw)
    kinds = [_kind(message) for message in messages]
    for r, message in enumerate(messages):
        if kinds[r] == "firm":
            error = outlook.error_kw[r]
            firm_kw[owner[r]] += message.p_ref_kw[:steps] + error
            firm_kvar[owner[r]] += _firm_kvar(message, error, steps)
    chosen = {
        kind: [r for r, found in enumerate(kinds) if found == kind]
        for kind in ("plant", "store", "appliance")
    }
    return Devices(
        rows=chosen,
        plants=_plants(messages, names, owner, outlook, chosen["plant"]),
        stores=_stores(messages, names, owner, outlook, chosen["store"]),
        appliances=_appliances(messages, names, owner, steps, chosen["appliance"]),
        curves=_curves(messages, chosen["plant"], chosen["store"], steps),
        firm_kw=firm_kw,
        firm_kvar=firm_kvar,
    )


def _kind(message: Flexibility) -> str:
    if message.profiles:
        return "appliance"
    if message.storage is not None:
        return "store"
    return "firm" if message.is_fixed else "plant"


def _firm_kvar(message: Flexibility, error_kw: Floats, steps: int) -> Floats:
    """Reactive power of firm devices; an error of load keeps the power factor."""
    p_kw, q_kvar = message.p_ref_kw[:steps], message.q_ref_kvar[:steps]
    ratio = np.divide(q_kvar, p_kw, out=np.zeros_like(q_kvar), where=np.abs(p_kw) > 1e-9)
    return np.asarray(q_kvar + ratio * error_kw)


def _plants(
    messages: Sequence[Flexibility],
    names: Sequence[str],
    owner: Indices,
    outlook: Outlook,
    rows: list[int],
) -> Plants:
    scenarios, steps = outlook.price_factor.shape
    high = np.empty((len(rows), scenarios, steps))
    low, linear = np.empty_like(high), np.empty((len(rows), steps))
    for k, r in enumerate(rows):
        message = messages[r]
        least, most = message.p_min_kw[:steps], message.p_max_kw[:steps]
        low[k] = least
        high[k] = np.maximum(most + np.where(most > least, outlook.error_kw[r], 0.0), least)
        linear[k] = linear_cost(message)[:steps]
    return Plants(
        names=tuple(names[r] for r in rows),
        owner=owner[rows],
        low_kw=low,
        high_kw=high,
        linear_eur_per_kwh=linear,
        tan_phi=_tan_phi(messages, rows),
    )


def _stores(
    messages: Sequence[Flexibility],
    names: Sequence[str],
    owner: Indices,
    outlook: Outlook,
    rows: list[int],
) -> Stores:
    scenarios, steps = outlook.price_factor.shape
    found: list[Storage] = [s for s in (messages[r].storage for r in rows) if s is not None]
    p_min, p_max = np.empty((2, len(rows), scenarios, steps))
    demand = np.empty((len(rows), scenarios, steps))
    for k, r in enumerate(rows):
        for s in range(scenarios):
            p_min[k, s], p_max[k, s], demand[k, s] = _arriving(
                messages[r], steps, int(outlook.shift[r, s])
            )
    box = storage_box(p_min, p_max)
    return Stores(
        names=tuple(names[r] for r in rows),
        owner=owner[rows],
        charge_kw=box[:2],
        discharge_kw=box[2:],
        eta_charge=stacked([s.eta_charge for s in found], steps),
        eta_discharge=stacked([s.eta_discharge for s in found], steps),
        keep=np.array([1.0 - s.leak for s in found]),
        demand_kwh=demand,
        e_now_kwh=np.array([s.e_now_kwh for s in found]),
        e_min_kwh=_everywhere([s.e_min_kwh[1:] for s in found], scenarios, steps),
        e_max_kwh=_everywhere([s.e_max_kwh[1:] for s in found], scenarios, steps),
        wear_eur_per_kwh=np.array([messages[r].cost.wear_eur_per_kwh for r in rows]),
        linear_eur_per_kwh=stacked([linear_cost(messages[r]) for r in rows], steps),
        tan_phi=_tan_phi(messages, rows),
    )


def _appliances(
    messages: Sequence[Flexibility],
    names: Sequence[str],
    owner: Indices,
    steps: int,
    rows: list[int],
) -> Appliances:
    return Appliances(
        names=tuple(names[r] for r in rows),
        owner=owner[rows],
        cycles=build_cycles([messages[r] for r in rows], steps),
        tan_phi=_tan_phi(messages, rows),
        linear_eur_per_kwh=stacked([linear_cost(messages[r]) for r in rows], steps),
    )


def _curves(
    messages: Sequence[Flexibility], plants: list[int], stores: list[int], steps: int
) -> Curves | None:
    """Tangents of ``quadratic p^2 + discomfort (p - p_ref)^2`` over the range of each device."""
    places = [[k for k, r in enumerate(rows) if _grows(messages[r])] for rows in (plants, stores)]
    curved = [
        messages[rows[k]] for rows, kept in zip((plants, stores), places, strict=True) for k in kept
    ]
    if not curved:
        return None
    slope = np.empty((len(curved), TANGENTS, steps))
    offset = np.empty_like(slope)
    for c, message in enumerate(curved):
        square, strain = message.cost.quadratic_eur_per_kw2h, message.cost.discomfort_eur_per_kw2h
        reference = message.p_ref_kw[:steps]
        low, high = message.p_min_kw[:steps].min(), message.p_max_kw[:steps].max()
        at = np.linspace(low, high, TANGENTS)[:, None]
        slope[c] = 2.0 * (square * at + strain * (at - reference))
        offset[c] = square * at**2 + strain * (at - reference) ** 2 - slope[c] * at
    return Curves(
        plants=np.array(places[0], dtype=np.int64),
        stores=np.array(places[1], dtype=np.int64),
        slope_eur_per_kwh=slope,
        offset_eur_per_h=offset,
    )


def _grows(message: Flexibility) -> bool:
    cost = message.cost
    return cost.quadratic_eur_per_kw2h > 0.0 or cost.discomfort_eur_per_kw2h > 0.0


def _arriving(message: Flexibility, steps: int, shift: int) -> tuple[Floats, Floats, Floats]:
    """Limits and demand of a store whose arrivals all come ``shift`` steps later.

    A step in which nothing can be charged or discharged, before one in which it can, is the last
    one away; with a demand in it, a tour ends. The tour's energy is booked where it ends.
    """
    low, high = message.p_min_kw[:steps].copy(), message.p_max_kw[:steps].copy()
    storage = message.storage
    demand = np.zeros(steps) if storage is None else storage.demand_kwh[:steps].copy()
    away = (low == 0.0) & (high == 0.0)
    comes = np.flatnonzero(away[:-1] & ~away[1:]) + 1  # first step at home
    leaves = np.flatnonzero(away & np.concatenate([[True], ~away[:-1]]))  # first step away
    planned = demand.copy()
    for first in comes.tolist() if shift else []:
        # not before it has left, nor after it leaves again
        left, again = leaves[leaves < first].max(), leaves[leaves >= first].min(initial=steps)
        later = min(max(first + shift, int(left) + 1), int(again))
        source = min(first, steps - 1)
        if later > first:
            low[first:later] = high[first:later] = 0.0
        else:
            low[later:first], high[later:first] = low[source], high[source]
        demand[first - 1] -= planned[first - 1]
        demand[later - 1] += planned[first - 1]
    return low, high, demand


def _everywhere(values: Sequence[Floats], scenarios: int, steps: int) -> Floats:
    """The same in every scenario, ``(n, S, T)``."""
    return np.repeat(stacked(values, steps)[:, None, :], scenarios, axis=1)


def _tan_phi(messages: Sequence[Flexibility], rows: Sequence[int]) -> Floats:
    return np.array([float((messages[r].q or {}).get("tan_phi", 0.0)) for r in rows])
