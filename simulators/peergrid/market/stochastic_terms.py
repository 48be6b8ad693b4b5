"""The terms of the households' programme, one function each; its name is what it says.

Tables have one row per household, device, bus or branch, and ``K = S T`` columns, scenario after
scenario. First-stage blocks (``start``, ``mode``) have no scenarios and are repeated.

Numbers in brackets are equations of S. F. Santos et al., "Impact of P2P Market Transactions on
Distribution Network Congestion Considering Physical Constraints". What was mended is said where it
was; all balances hold in every step and scenario.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from peergrid.market.stochastic_problem import Households
from peergrid.market.stochastic_reach import reach
from peergrid.milp.affine import Block
from peergrid.milp.algebra import Algebra, Constraint, Expression
from peergrid.milp.model import Variables

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
TermOf = Callable[[Households, Variables, Algebra], Sequence[Constraint]]
UNLIMITED_KW = 1e7  # in hours without a limit, where others have one


def blocks(day: Households, *, exclusive: bool) -> dict[str, Block]:
    """The variables: what each household buys and sells, and what its devices do.

    ``exclusive`` adds the binaries that keep a household from buying and selling at once.
    """
    count, scenarios, steps = day.shape
    columns = scenarios * steps
    plants, stores, held = day.plants, day.stores, reach(day)
    sells, buys = may_trade_kw(day)
    found = {
        "start": Block.of((len(day.appliances.starts[0]), 1), 1.0, integer=True),
        "mode": Block.of((len(stores.two_way), steps), 1.0, integer=True),
        "buy": Block.of((count, columns), buys),
        "sell": Block.of((count, columns), sells),
        "buy_local": Block.of((count, columns), buys if day.trades else 0.0),
        "sell_local": Block.of((count, columns), sells if day.trades else 0.0),
        "plant": Block.of(
            (len(plants.names), columns), day.flat(plants.high_kw), lower=day.flat(plants.low_kw)
        ),
        "charge": Block.of(
            (len(stores.names), columns),
            day.flat(stores.charge_kw[1]),
            lower=day.flat(stores.charge_kw[0]),
        ),
        "discharge": Block.of(
            (len(stores.names), columns),
            day.flat(stores.discharge_kw[1]),
            lower=day.flat(stores.discharge_kw[0]),
        ),
        "energy": Block.of(
            (len(stores.names), columns), day.flat(held.upper), lower=day.flat(held.lower)
        ),
        "short": Block.of(
            (len(stores.names), columns), day.flat(np.maximum(stores.e_min_kwh - held.lower, 0.0))
        ),
    }
    if day.curves is not None:
        found["curved"] = Block.of((len(day.curves.slope_eur_per_kwh), columns))
    if exclusive:
        found["buying"] = Block.of((count, columns), 1.0, integer=True)
    if day.wires is not None:
        buses = (day.wires.feeder.n_bus, columns)
        found |= {
            "flow": Block.of(buses, lower=-np.inf),
            "drop": Block.of(buses, lower=-np.inf),
            "over": Block.of(buses),
            "outside": Block.of(buses),
        }
    return found


def lacking_blocks(day: Households) -> dict[str, Block]:
    """Power that comes from, or goes, nowhere: to find out who cannot be served."""
    shape = len(day.names), len(day.step)
    return {"lacking": Block.of(shape), "spilled": Block.of(shape)}


def surplus_kw(day: Households, plants_kw: Floats) -> Floats:
    """What is injected by what is firm and by plants ``(V, S, T)``, ``(N, K)``."""
    surplus = day.flat(day.firm_kw).copy()
    np.add.at(surplus, day.plants.owner, day.flat(plants_kw))
    return surplus


def may_trade_kw(day: Households) -> tuple[Floats, Floats]:
    """What each household may sell and buy, ``(N, K)`` each.

    Without the right it is what cannot be avoided: a surplus with all plants at their least, a
    need with all at their most.
    """
    surplus, need = surplus_kw(day, day.plants.low_kw), -surplus_kw(day, day.plants.high_kw)
    sells = np.where(day.may_sell[:, None], np.inf, np.maximum(surplus, 0.0))
    buys = np.where(day.may_buy[:, None], np.inf, np.maximum(need, 0.0))
    return sells, buys


# -- households ----------------------------------------------------------------------------------


def position(day: Households, x: Variables, of: Algebra) -> Expression:
    """Injection of each household ``(N, K)``: (2) and (3)."""
    return x["sell"] + x["sell_local"] - x["buy"] - x["buy_local"]


def household_balance(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """What a household injects is what its devices do: (8), with the HVAC that the print lacks.

    (5), (9), (17) and (24) split the same sum by source; the split has no cost, so it is told
    where it is asked for. PV may be curtailed: not everybody may sell.
    """
    own = day.flat(day.firm_kw) + _by_owner(day, day.plants.owner) @ x["plant"]
    storing = _by_owner(day, day.stores.owner)
    own = own + storing @ (x["discharge"] - x["charge"])
    own = own - _by_owner(day, day.appliances.owner) @ cycle_power(day, x, of)
    if "lacking" in x:
        own = own + x["lacking"] - x["spilled"]
    return [position(day, x, of) == own]


def local_balance(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """What is sold to neighbours is bought by neighbours: (4), in every step and scenario."""
    everybody = np.ones((1, day.shape[0]))
    return [everybody @ x["sell_local"] == everybody @ x["buy_local"]]


def rights(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Who may not sell, or buy, trades what it must once: with the retailer or with neighbours."""
    found = []
    names = ("sell", "sell_local"), ("buy", "buy_local")
    for most, (retail, local) in zip(may_trade_kw(day), names, strict=True):
        rows = np.flatnonzero(np.isfinite(most).all(axis=1) & most.any(axis=1))
        if len(rows) and day.trades:
            found.append(x[retail][rows, :] + x[local][rows, :] <= most[rows])
    return found


def contracts(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Limits on what a connection point injects and draws.

    What is firm has room in any case, and so has what plants inject, or draw, at least.
    """
    found = []
    for limit, sign, plants_kw in (
        (day.export_limit_kw, 1.0, day.plants.low_kw),
        (day.import_limit_kw, -1.0, day.plants.high_kw),
    ):
        firm = np.maximum(sign * day.flat(day.firm_kw), sign * surplus_kw(day, plants_kw))
        most = np.broadcast_to(limit, (day.shape[0], day.shape[2]))
        rows = np.flatnonzero(np.isfinite(most).any(axis=1))
        if len(rows):
            bound = np.maximum(np.minimum(most[rows], UNLIMITED_KW)[:, day.step], firm[rows])
            moved = position(day, x, of)[rows, :]
            found.append((moved if sign > 0.0 else -moved) <= bound)
    return found


def one_side_at_a_time(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Nobody buys and sells at once: (6) and (7), of which (7) must bound what is sold.

    Left out where it cannot matter: with a fee and an import price above the feed-in tariff doing
    both only costs money. Then it is checked afterwards.
    """
    if "buying" not in x:
        return []
    most = _largest_exchange_kw(day)
    return [
        x["buy"] + x["buy_local"] <= of.weigh(most, x["buying"]),
        x["sell"] + x["sell_local"] <= most - of.weigh(most, x["buying"]),
    ]


# -- devices -------------------------------------------------------------------------------------


def cycle_power(day: Households, x: Variables, of: Algebra) -> Expression:
    """Consumption of each appliance ``(A, K)`` from its starts: (10)."""
    table = len(day.appliances.names), day.shape[2]
    return of.reshape(day.appliances.power_of_starts @ x["start"], table)[:, day.step]


def cycles_complete(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Every cycle runs as often as it must: (16).

    A start stands for the whole cycle, phase after phase without a break, so (11) to (15) hold by
    construction with a third of the binaries. In print (12) forbids nothing, (13) and (14) do not
    link a phase's end to its start: y + z <= 1, z(t + duration) = y(t), y - z = x(t) - x(t-1).
    """
    profile, _ = day.appliances.starts
    if not len(profile):
        return []
    count = day.appliances.cycles.count
    ones = np.ones(len(profile))
    member = sparse.csr_array(
        (ones, (profile, np.arange(len(profile)))), (len(count), len(profile))
    )
    return [member @ x["start"] == count[:, None].astype(np.float64)]


def one_cycle_at_a_time(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """No run of a cycle begins before the last one has ended."""
    profile, first = day.appliances.starts
    cycles, steps = day.appliances.cycles, day.shape[2]
    rows, columns = [], []
    for j, (k, t) in enumerate(zip(profile, first, strict=True)):
        if cycles.count[k] > 1:
            rows += [k * steps + t + step for step in range(cycles.length[k])]
            columns += [j] * int(cycles.length[k])
    if not rows:
        return []
    kept, row = np.unique(rows, return_inverse=True)
    shape = (len(kept), len(profile))
    return [sparse.csr_array((np.ones(len(row)), (row, columns)), shape=shape) @ x["start"] <= 1.0]


def energy_recursion(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Energy of the stores, (20), (21), (27), (28), and the temperature of buildings, (30).

    In print (30) weighs the driving temperature with 1 + beta, which must be 1 - beta, and cools
    with the sign of heating; buildings say their energy in the message (``devices/building.py``).
    """
    stores, steps = day.stores, day.step
    if not len(stores.names):
        return []
    began = steps == 0
    before = np.maximum(np.arange(len(steps)) - 1, 0)
    kept = of.weigh(stores.keep[:, None] * ~began, x["energy"][:, before])
    held = np.where(began, (stores.keep * stores.e_now_kwh)[:, None], 0.0)
    into = of.weigh(day.dt_h * stores.eta_charge[:, steps], x["charge"])
    out = of.weigh(day.dt_h / stores.eta_discharge[:, steps], x["discharge"])
    return [x["energy"] == kept + into - out + (held - day.flat(stores.demand_kwh))]


def energy_promised(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Least energies: departures (23), the end of the day, comfort (31); short at a price.

    In print (24) to (29) end the day with an empty battery: at the end there is a least energy too.
    """
    if not len(day.stores.names):
        return []
    return [x["energy"] + x["short"] >= day.flat(day.stores.e_min_kwh)]


def charge_or_discharge(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """One mode in each step, the same in all scenarios: (18), (19), (25), (26)."""
    which, stores = day.stores.two_way, day.stores
    if not len(which):
        return []
    mode = x["mode"][:, day.step]
    most_in, most_out = (
        day.flat(power[1])[which] for power in (stores.charge_kw, stores.discharge_kw)
    )
    return [
        x["charge"][which, :] <= of.weigh(most_in, mode),
        x["discharge"][which, :] <= most_out - of.weigh(most_out, mode),
    ]


def first_step_decided(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """What stores do in the first step is decided now, where all scenarios let them do the same."""
    _, scenarios, steps = day.shape
    if not day.here_and_now or scenarios == 1 or not len(day.stores.names):
        return []
    limits = np.concatenate([day.stores.charge_kw[..., 0], day.stores.discharge_kw[..., 0]])
    same = np.flatnonzero((np.ptp(limits, axis=2) <= 1e-9).all(axis=0))
    others = steps * np.arange(1, scenarios)
    now = np.zeros(scenarios - 1, dtype=np.int64)
    return [
        x[name][same, :][:, others] == x[name][same, :][:, now] for name in ("charge", "discharge")
    ]


def above_tangents(day: Households, x: Variables, of: Algebra) -> list[Constraint]:
    """Costs that grow with the power lie above their tangents."""
    if day.curves is None:
        return []
    curves, split = day.curves, len(day.curves.plants)
    found = []
    for rows, power in (
        (slice(None, split), x["plant"][curves.plants, :]),
        (slice(split, None), (x["discharge"] - x["charge"])[curves.stores, :]),
    ):
        slopes, offsets = curves.slope_eur_per_kwh[rows], curves.offset_eur_per_h[rows]
        for point in range(slopes.shape[1] if len(slopes) else 0):
            slope, offset = slopes[:, point][:, day.step], offsets[:, point][:, day.step]
            found.append(x["curved"][rows, :] - of.weigh(slope, power) >= offset)
    return found


def _by_owner(day: Households, owner: Indices) -> sparse.csr_array:
    """``(N, n)``: adds up the devices of each household."""
    shape = (day.shape[0], len(owner))
    return sparse.csr_array((np.ones(len(owner)), (owner, np.arange(len(owner)))), shape=shape)


def _largest_exchange_kw(day: Households) -> Floats:
    """What each household can buy or sell at most, ``(N, K)``."""
    most = np.abs(day.flat(day.firm_kw))
    devices = (
        (day.plants.owner, np.maximum(np.abs(day.plants.low_kw), np.abs(day.plants.high_kw))),
        (day.stores.owner, np.maximum(day.stores.charge_kw[1], day.stores.discharge_kw[1])),
    )
    for owner, power in devices:
        np.add.at(most, owner, day.flat(power))
    for k, device in enumerate(day.appliances.device_of_profile):
        most[day.appliances.owner[device]] += day.appliances.cycles.p_kw[k].max()
    return most


TERMS: tuple[TermOf, ...] = (
    household_balance,
    local_balance,
    rights,
    contracts,
    one_side_at_a_time,
    cycles_complete,
    one_cycle_at_a_time,
    energy_recursion,
    energy_promised,
    charge_or_discharge,
    first_step_decided,
    above_tangents,
)
