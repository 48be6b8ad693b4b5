"""Random households for the stochastic programme, the laws of a plan, and the best plan by hand.

Nothing here uses the programme's own terms: balances, bills, voltages and the optimum are written
out again from the definitions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from peergrid.market.cycle_prox import Cycles
from peergrid.market.stochastic_costs import TRIFLE_EUR_PER_KWH
from peergrid.market.stochastic_plan import Plan
from peergrid.market.stochastic_problem import Appliances, Households, Plants, Stores, Wires
from peergrid.network.feeder import Feeder
from peergrid.network.linear import lindistflow
from peergrid.network.power_flow import solve
from tests.strategies import Draw, radial_feeders

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Rng = np.random.Generator
PRICES = ("usual", "equal", "negative", "free")
CLOSE = 2e-5  # kW, kWh: feasibility of HiGHS is 1e-6 and adds up


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a random day may be."""

    households: int = 5
    scenarios: int = 3
    steps: int = 8
    stores: int = 3
    appliances: int = 3
    profiles: int = 2


SMALL = Sizes(households=3, scenarios=2, steps=4, stores=1, appliances=1, profiles=1)


@st.composite
def days(draw: Draw, *, sizes: Sizes | None = None, wires: bool = True) -> Households:
    """Households that can always be served, on a feeder or without one."""
    feeder = draw(st.none() | radial_feeders(max_bus=6)) if wires else None
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return random_day(rng, feeder, sizes or Sizes())


def random_day(rng: Rng, feeder: Feeder | None, sizes: Sizes) -> Households:
    """A day from a random number generator."""
    count = int(rng.integers(1, sizes.households + 1))
    shape = int(rng.integers(1, sizes.scenarios + 1)), int(rng.integers(3, sizes.steps + 1))
    dt_h = float(rng.choice([0.25, 0.5, 1.0, 2.0]))
    unit = 1.0 if feeder is None else 20.0 * feeder.base_mva
    appliances = random_appliances(rng, count, shape[1], unit, sizes)
    plants = random_plants(rng, count, shape, unit)
    firm = unit * rng.uniform(-2.0, 0.5, (count, *shape))
    most = np.zeros(count)
    np.add.at(most, appliances.owner, drawn_at_most(appliances))
    may_buy = (rng.random(count) < 0.8) | (most > 0.0)
    probability = rng.dirichlet(np.ones(shape[0])) * 0.9 + 0.1 / shape[0]
    buy, sell = random_prices(rng, shape)
    return Households(
        names=tuple(f"w{i}" for i in range(count)),
        dt_h=dt_h,
        probability=probability / probability.sum(),
        firm_kw=firm,
        firm_kvar=firm * rng.uniform(0.0, 0.4),
        price_import_eur_per_kwh=buy,
        price_feed_in_eur_per_kwh=sell,
        fee_eur_per_kwh=float(rng.choice([0.0, 0.012, 0.05])),
        may_sell=rng.random(count) < 0.7,
        may_buy=may_buy,
        plants=plants,
        stores=random_stores(rng, count, shape, unit, dt_h, sizes),
        appliances=appliances,
        trades=bool(rng.random() < 0.85),
        export_limit_kw=limits(rng, unit * rng.uniform(0.0, 2.0, (count, shape[1]))),
        import_limit_kw=limits(
            rng, most[:, None] + unit * rng.uniform(2.0, 3.0, (count, shape[1]))
        ),
        wires=None if feeder is None else random_wires(rng, feeder, count, shape, unit),
        here_and_now=bool(rng.random() < 0.3),
    )


def limits(rng: Rng, values: Floats) -> Floats:
    """Contracts of some, none of others."""
    return np.where(rng.random(values.shape) < 0.3, values, np.inf)


def random_prices(rng: Rng, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Import price and feed-in, ``(S, T)``."""
    buy = rng.uniform(0.1, 0.4, shape)
    kind = rng.choice(PRICES)
    if kind == "equal":
        return buy, np.where(rng.random(shape) < 0.5, buy, 0.5 * buy)
    if kind == "negative":
        buy = buy - 0.25
        return buy, buy - rng.uniform(0.0, 0.05, shape)
    return buy, buy * (rng.uniform(0.1, 0.9, shape) if kind == "usual" else 0.0)


def random_plants(rng: Rng, count: int, shape: tuple[int, int], unit: float) -> Plants:
    """PV, generators that must run a little, loads that may be shed."""
    owner = rng.integers(0, count, int(rng.integers(0, count + 1)))
    kinds = rng.choice(["pv", "generator", "elastic"], len(owner), p=[0.6, 0.2, 0.2])
    size = unit * rng.uniform(0.5, 3.0, (len(owner), *shape))
    low, high = 0.0 * size, size.copy()
    low[kinds == "generator"] = 0.3 * size[kinds == "generator"]
    low[kinds == "elastic"], high[kinds == "elastic"] = -size[kinds == "elastic"], 0.0
    cost = rng.uniform(-0.02, 0.3, (len(owner), shape[1])) * (kinds != "pv")[:, None]
    return Plants(
        names=tuple(f"{kind} {k}" for k, kind in enumerate(kinds)),
        owner=owner,
        low_kw=low,
        high_kw=high,
        linear_eur_per_kwh=cost,
        tan_phi=np.where(rng.random(len(owner)) < 0.3, 0.2, 0.0),
    )


def random_stores(
    rng: Rng, count: int, shape: tuple[int, int], unit: float, dt_h: float, sizes: Sizes
) -> Stores:
    """Batteries, vehicles with tours, buildings."""
    kinds = rng.choice(["battery", "vehicle", "building"], int(rng.integers(0, sizes.stores + 1)))
    rows = [_store(rng, str(kind), shape, unit * rng.uniform(0.3, 2.0), dt_h) for kind in kinds]
    table = {
        key: np.array([row[key] for row in rows]) for key in _store(rng, "battery", shape, 1, 1)
    }
    if not rows:
        nothing = np.zeros((0, *shape))
        table = {key: nothing for key in ("in", "out", "demand", "e_min", "e_max")}
        table |= {key: nothing[:, 0] for key in ("eta_in", "eta_out", "linear")}
        table |= {key: np.zeros(0) for key in ("keep", "now", "wear", "tan_phi")}
    return Stores(
        names=tuple(f"{kind} {k}" for k, kind in enumerate(kinds)),
        owner=rng.integers(0, count, len(rows)),
        charge_kw=np.stack([0.0 * table["in"], table["in"]]),
        discharge_kw=np.stack([0.0 * table["out"], table["out"]]),
        eta_charge=table["eta_in"],
        eta_discharge=table["eta_out"],
        keep=table["keep"],
        demand_kwh=table["demand"],
        e_now_kwh=table["now"],
        e_min_kwh=table["e_min"],
        e_max_kwh=table["e_max"],
        wear_eur_per_kwh=table["wear"],
        linear_eur_per_kwh=table["linear"],
        tan_phi=table["tan_phi"],
    )


def _store(rng: Rng, kind: str, shape: tuple[int, int], size: float, dt_h: float) -> dict[str, Any]:
    """One store; a vehicle comes home at an hour of its own in each scenario."""
    _, steps = shape
    capacity = size * rng.uniform(1.0, 4.0)
    now = capacity * rng.uniform(0.4, 0.8)
    plugged, demand = np.ones(shape), np.zeros(shape)
    e_min = np.full(shape, 0.1 * capacity)
    if kind == "vehicle":
        leave = int(rng.integers(0, steps))
        back = np.minimum(leave + rng.integers(1, 4, shape[0]), steps)
        for s, end in enumerate(back):
            plugged[s, leave:end] = 0.0
            demand[s, end - 1] = 0.25 * now
        if leave:
            reach = now + 0.9 * size * leave * dt_h
            e_min[:, leave - 1] = min(rng.uniform(0.5, 1.0) * capacity, 0.99 * reach)
    elif kind == "building":
        demand = capacity * rng.uniform(0.0, 0.4 / steps, shape)
    else:
        e_min[:, -1] = 0.9 * now
    return {
        "in": size * plugged,
        "out": size
        * plugged
        * float(kind == "battery" or (kind == "vehicle" and rng.random() < 0.7)),
        "eta_in": np.full(steps, 3.0 if kind == "building" else rng.uniform(0.9, 1.0)),
        "eta_out": np.full(steps, rng.uniform(0.9, 1.0)),
        "keep": 0.98 if kind == "building" else 1.0,
        "demand": demand,
        "now": now,
        "e_min": e_min if kind != "building" else 0.0 * e_min,
        "e_max": np.full(shape, capacity),
        "wear": float(rng.choice([0.0, 0.005, 0.02])),
        "linear": np.full(steps, float(rng.choice([0.0, 0.03]))),
        "tan_phi": float(rng.choice([0.0, 0.3])) if kind == "building" else 0.0,
    }


def random_appliances(rng: Rng, count: int, steps: int, unit: float, sizes: Sizes) -> Appliances:
    """Appliances with one or more profiles, each run once or twice in its window."""
    number = int(rng.integers(0, sizes.appliances + 1))
    each = rng.integers(1, sizes.profiles + 1, number)
    rows, powers = [], []
    for _ in range(int(each.sum())):
        length = int(rng.integers(1, min(steps, 3) + 1))
        runs = int(rng.integers(1, 3)) if 2 * length <= steps else 1
        slack = int(rng.integers(0, steps - runs * length + 1))
        earliest = int(rng.integers(0, steps - runs * length - slack + 1))
        rows.append((length, earliest, earliest + runs * length + slack, runs))
        powers.append(unit * rng.uniform(0.0, 1.0, length))
    table = np.zeros((len(rows), max((len(power) for power in powers), default=1)))
    for k, power in enumerate(powers):
        table[k, : len(power)] = power
    length, earliest, latest, runs = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Appliances(
        names=tuple(f"machine {k}" for k in range(number)),
        owner=rng.integers(0, count, number),
        cycles=Cycles(
            steps=steps,
            p_kw=table,
            length=length,
            earliest=earliest,
            latest=latest,
            count=runs,
            first=np.cumsum([0, *each], dtype=np.int64),
        ),
        tan_phi=np.where(rng.random(number) < 0.5, 0.25, 0.0),
    )


def drawn_at_most(appliances: Appliances) -> Floats:
    """Largest power of each appliance, its profiles running all at once."""
    most = np.zeros(len(appliances.names))
    np.add.at(most, appliances.device_of_profile, appliances.cycles.p_kw.max(axis=1))
    return most


def random_wires(
    rng: Rng, feeder: Feeder, count: int, shape: tuple[int, int], unit: float
) -> Wires:
    """A feeder that is sometimes too weak."""
    current = unit * rng.uniform(0.5, 6.0) / (np.sqrt(3.0) * feeder.vn_kv) / 1000.0 * 1000.0
    rated = replace(feeder, i_max_ka=current / 1000.0, i_max_parent_ka=current / 1000.0)
    steps = shape[1]
    background = -0.1 * rated.p_load_kw[:, None] * rng.uniform(0.0, 1.0, (rated.n_bus, steps))
    return Wires(
        feeder=rated,
        at=rng.integers(0, rated.n_bus, count),
        background_kw=background,
        background_kvar=0.3 * background,
        expected_kw=unit * rng.uniform(-2.0, 1.0, (count, *shape)),
        expected_kvar=unit * rng.uniform(-0.5, 0.2, (count, *shape)),
        v_min_pu=float(rng.uniform(0.9, 0.99)),
        v_max_pu=float(rng.uniform(1.01, 1.1)),
        loading=float(rng.choice([0.5, 1.0])) if rng.random() < 0.8 else None,
    )


# -- the laws ------------------------------------------------------------------------------------


def check_laws(found: Plan) -> None:
    """Everything a plan promises, recomputed from its powers."""
    check_balances(found)
    check_trades(found)
    check_appliances(found)
    check_stores(found)
    check_first_stage(found)
    scale = max(1.0, float(np.abs(found.position_kw).max(initial=0.0)))
    assert abs(sum(bill(found).values()) - found.cost_eur) <= 1e-5 * scale * max(
        1.0, abs(found.cost_eur)
    ), bill(found)
    assert found.bound_eur <= found.programme_eur + 1e-7 * max(1.0, abs(found.programme_eur))


def close(day: Households) -> float:
    """What counts as equal among powers of a day [kW]."""
    sizes = (day.firm_kw, day.plants.high_kw, day.stores.charge_kw, day.appliances.cycles.p_kw)
    return CLOSE * max(1.0, *(float(np.abs(size).max(initial=0.0)) for size in sizes))


def check_balances(found: Plan) -> None:
    """Every household, scenario and step injects what its devices do."""
    day = found.day
    for i in range(len(day.names)):
        own = day.firm_kw[i].copy()
        own += found.plant_kw[day.plants.owner == i].sum(axis=0)
        mine = day.stores.owner == i
        own += (found.discharge_kw - found.charge_kw)[mine].sum(axis=0)
        own -= found.appliance_kw[day.appliances.owner == i].sum(axis=0)
        traded = found.sell_kw + found.sell_local_kw - found.buy_kw - found.buy_local_kw
        np.testing.assert_allclose(traded[i], own, atol=close(day), rtol=0)


def check_trades(found: Plan) -> None:
    """Neighbours trade with each other, rights and contracts hold, nobody does both at once."""
    day, tol = found.day, close(found.day)
    trades = found.buy_kw, found.sell_kw, found.buy_local_kw, found.sell_local_kw
    assert all((trade >= -tol).all() for trade in trades)
    local = found.sell_local_kw.sum(axis=0) - found.buy_local_kw.sum(axis=0)
    np.testing.assert_allclose(local, 0.0, atol=tol)
    if not day.trades:
        assert not found.buy_local_kw.any()
        assert not found.sell_local_kw.any()
    bought, sold = found.buy_kw + found.buy_local_kw, found.sell_kw + found.sell_local_kw
    assert np.minimum(bought, sold).max() <= tol
    least, most = unavoidable(day)
    assert (sold[~day.may_sell] <= np.maximum(least, 0.0)[~day.may_sell] + tol).all()
    assert (bought[~day.may_buy] <= np.maximum(-most, 0.0)[~day.may_buy] + tol).all()
    out, into = (
        np.broadcast_to(limit, (len(day.names), day.shape[2]))[:, None, :]
        for limit in (day.export_limit_kw, day.import_limit_kw)
    )
    granted = np.maximum(day.firm_kw, least), np.maximum(-day.firm_kw, -most)
    assert (found.position_kw <= np.maximum(out, granted[0]) + tol).all()
    assert (-found.position_kw <= np.maximum(into, granted[1]) + tol).all()
    assert (found.plant_kw >= day.plants.low_kw - tol).all()
    assert (found.plant_kw <= day.plants.high_kw + tol).all()


def unavoidable(day: Households) -> tuple[Floats, Floats]:
    """Injection with every plant at its least and at its most, ``(N, S, T)``."""
    least, most = day.firm_kw.copy(), day.firm_kw.copy()
    for v, owner in enumerate(day.plants.owner):
        least[owner] += day.plants.low_kw[v]
        most[owner] += day.plants.high_kw[v]
    return least, most


def check_appliances(found: Plan) -> None:
    """Cycles are whole, inside their window, as many as wanted, one after the other."""
    day = found.day
    appliances, cycles = day.appliances, day.appliances.cycles
    start = found.first_stage["start"].ravel()
    assert set(np.unique(start)) <= {0.0, 1.0}
    drawn = np.zeros((len(appliances.names), cycles.steps))
    runs: list[list[int]] = [[] for _ in cycles.count]
    for j in np.flatnonzero(start):
        k, t = (int(part[j]) for part in appliances.starts)
        runs[k].append(t)
    for k, begun in enumerate(runs):
        assert len(begun) == cycles.count[k]
        length = int(cycles.length[k])
        assert all(b - a >= length for a, b in pairwise(sorted(begun)))
        device = int(np.searchsorted(cycles.first, k, side="right")) - 1
        for t in begun:
            assert cycles.earliest[k] <= t <= cycles.latest[k] - length
            drawn[device, t : t + length] += cycles.p_kw[k, :length]
    np.testing.assert_allclose(found.appliance_kw, drawn, atol=1e-9)
    names = sorted(name for name, _ in found.starts)
    expected = [appliances.names[d] for d in appliances.device_of_profile]
    assert names == sorted(np.repeat(expected, cycles.count).tolist())


def check_stores(found: Plan) -> None:
    """Energy follows from power, and stays above its least or says by how much it is short."""
    day, stores, tol = found.day, found.day.stores, close(found.day)
    for b in range(len(stores.names)):
        for s in range(day.shape[1]):
            energy = float(stores.e_now_kwh[b])
            for t in range(day.shape[2]):
                into = stores.eta_charge[b, t] * found.charge_kw[b, s, t]
                out = found.discharge_kw[b, s, t] / stores.eta_discharge[b, t]
                energy = stores.keep[b] * energy + day.dt_h * (into - out)
                energy -= stores.demand_kwh[b, s, t]
                assert abs(energy - found.energy_kwh[b, s, t]) <= 10 * tol
                assert energy <= stores.e_max_kwh[b, s, t] + 10 * tol
                short = max(stores.e_min_kwh[b, s, t] - energy, 0.0)
                assert abs(short - found.short_kwh[b, s, t]) <= 10 * tol
    for power, (least, most) in (
        (found.charge_kw, stores.charge_kw),
        (found.discharge_kw, stores.discharge_kw),
    ):
        assert (power >= least - tol).all()
        assert (power <= most + tol).all()


def check_first_stage(found: Plan) -> None:
    """What is decided first is the same in all scenarios."""
    day, tol = found.day, close(found.day)
    mode = found.first_stage["mode"]
    assert set(np.unique(mode)) <= {0.0, 1.0}
    into, out = (power.max(axis=1, initial=0.0) for power in (found.charge_kw, found.discharge_kw))
    assert np.minimum(into, out).max(initial=0.0) <= tol
    for m, b in enumerate(day.stores.two_way):
        assert (into[b] <= day.stores.charge_kw[1, b].max(axis=0) * mode[m] + tol).all()
        assert (out[b] <= day.stores.discharge_kw[1, b].max(axis=0) * (1.0 - mode[m]) + tol).all()
    if day.here_and_now:
        bounds = np.concatenate([day.stores.charge_kw[..., 0], day.stores.discharge_kw[..., 0]])
        alike = (np.ptp(bounds, axis=2) < 1e-9).all(axis=0)
        for power in (found.charge_kw, found.discharge_kw):
            assert np.ptp(power[alike, :, 0], axis=1).max(initial=0.0) <= 2 * tol


def bill(found: Plan) -> dict[str, float]:
    """Expected cost by what it is for [EUR]."""
    day, stores = found.day, found.day.stores
    weight = day.probability[:, None] * day.dt_h
    net = found.discharge_kw - found.charge_kw
    parts = {
        "retail": day.price_import_eur_per_kwh * found.buy_kw
        - day.price_feed_in_eur_per_kwh * found.sell_kw,
        "fee": day.fee_eur_per_kwh * found.buy_local_kw,
        "ties": TRIFLE_EUR_PER_KWH * (found.sell_kw + found.buy_local_kw),
        "fuel": day.plants.linear_eur_per_kwh[:, None] * found.plant_kw,
        "wear": stores.wear_eur_per_kwh[:, None, None] * (found.charge_kw + found.discharge_kw),
        "owner": stores.linear_eur_per_kwh[:, None] * net,
        "short": day.shortfall_eur_per_kwh * found.short_kwh / day.dt_h,
    }
    if found.network is not None and day.wires is not None:
        squared = found.network.linear_vm_pu[1:] ** 2
        under = np.maximum(day.wires.v_min_pu**2 - squared, squared - day.wires.v_max_pu**2)
        parts["over"] = day.wires.over_eur_per_kwh * found.network.over_kw
        parts["outside"] = day.wires.outside_eur_per_pu_h / 2.0 * np.maximum(under, 0.0)
    return {name: float((weight * part).sum()) for name, part in parts.items()}


# -- the optimum by hand -------------------------------------------------------------------------


def best_cost(day: Households) -> float:
    """Least expected cost: every choice of starts and modes, each a linear programme [EUR]."""
    modes = [
        (b, t)
        for b in range(len(day.stores.names))
        if day.stores.charge_kw[1, b].any() and day.stores.discharge_kw[1, b].any()
        for t in range(day.shape[2])
    ]
    costs = []
    for starts in product(*_runs(day.appliances.cycles)):
        drawn = np.zeros((len(day.appliances.names), day.shape[2]))
        for k, begun in enumerate(starts):
            device = int(np.searchsorted(day.appliances.cycles.first, k, side="right")) - 1
            length = int(day.appliances.cycles.length[k])
            for t in begun:
                drawn[device, t : t + length] += day.appliances.cycles.p_kw[k, :length]
        for chosen in product((0.0, 1.0), repeat=len(modes)):
            costs.append(_ByHand(day, drawn, dict(zip(modes, chosen, strict=True))).cost())
    return min(costs)


def _runs(cycles: Cycles) -> Iterator[list[tuple[int, ...]]]:
    """Every way to place the runs of each profile."""
    for k, length in enumerate(cycles.length):
        places = range(int(cycles.earliest[k]), int(cycles.latest[k] - length) + 1)
        yield [
            runs
            for runs in combinations(places, int(cycles.count[k]))
            if all(b - a >= length for a, b in pairwise(runs))
        ]


class _ByHand:
    """The linear programme that is left, written cell by cell."""

    def __init__(self, day: Households, drawn: Floats, mode: dict[tuple[int, int], float]) -> None:
        self.day, self.drawn, self.mode = day, drawn, mode
        self.cost_of: list[float] = []
        self.bounds: list[tuple[float | None, float | None]] = []
        self.equal: list[tuple[dict[int, float], float]] = []
        self.at_most: list[tuple[dict[int, float], float]] = []
        self.position: dict[tuple[int, int, int], dict[int, float]] = {}
        self.q_of: dict[tuple[int, int, int], tuple[dict[int, float], float]] = {}
        self.first: dict[tuple[int, int], list[int]] = {}
        for s in range(day.shape[1]):
            energy = [None] * len(day.stores.names)
            for t in range(day.shape[2]):
                self._hour(s, t, energy)
                if day.wires is not None:
                    self._network(s, t)
        self._here_and_now()

    def cost(self) -> float:
        """Infinite where it cannot be done."""
        n = len(self.cost_of)
        tables = []
        for rows in (self.at_most, self.equal):
            table = np.zeros((len(rows), n))
            for r, (terms, _) in enumerate(rows):
                for column, value in terms.items():
                    table[r, column] += value
            tables.append((table, np.array([right for _, right in rows])))
        (a_ub, b_ub), (a_eq, b_eq) = tables
        kwargs = {"A_eq": a_eq, "b_eq": b_eq} | ({"A_ub": a_ub, "b_ub": b_ub} if len(a_ub) else {})
        found = linprog(self.cost_of, bounds=self.bounds, method="highs", **kwargs)
        assert found.status in (0, 2), found.message
        return float(found.fun) if found.status == 0 else np.inf

    def _new(self, cost: float, low: float | None, high: float | None) -> int:
        self.cost_of.append(cost)
        self.bounds.append((low, None if high is None or not np.isfinite(high) else high))
        return len(self.cost_of) - 1

    def _hour(self, s: int, t: int, energy: list[Any]) -> None:
        day = self.day
        weight = float(day.probability[s]) * day.dt_h
        buy, sell = (
            float(price[s, t])
            for price in (day.price_import_eur_per_kwh, day.price_feed_in_eur_per_kwh)
        )
        least, most = unavoidable(day)
        own: list[dict[int, float]] = [{} for _ in day.names]
        reactive: list[dict[int, float]] = [{} for _ in day.names]
        plants, stores = day.plants, day.stores
        for v, i in enumerate(plants.owner):
            price = weight * float(plants.linear_eur_per_kwh[v, t])
            column = self._new(price, float(plants.low_kw[v, s, t]), float(plants.high_kw[v, s, t]))
            own[i][column], reactive[i][column] = 1.0, float(plants.tan_phi[v])
        for b, i in enumerate(stores.owner):
            into, out = self._store(s, t, b, energy, weight)
            own[i] |= {into: -1.0, out: 1.0}
            reactive[i] |= {into: -float(stores.tan_phi[b]), out: float(stores.tan_phi[b])}
        local: dict[int, float] = {}
        for i in range(len(day.names)):
            bought = np.inf if day.may_buy[i] else max(-float(most[i, s, t]), 0.0)
            sold = np.inf if day.may_sell[i] else max(float(least[i, s, t]), 0.0)
            near = 1.0 if day.trades else 0.0
            columns = [
                self._new(weight * buy, 0.0, bought),
                self._new(-weight * (sell - TRIFLE_EUR_PER_KWH), 0.0, sold),
                self._new(
                    weight * (day.fee_eur_per_kwh + TRIFLE_EUR_PER_KWH),
                    0.0,
                    bought if near else 0.0,
                ),
                self._new(0.0, 0.0, sold if near else 0.0),
            ]
            self.at_most += [
                ({columns[k]: 1.0, columns[k + 2]: 1.0}, most)
                for k, most in enumerate((bought, sold))
                if np.isfinite(most)
            ]
            traded = dict(zip(columns, (-1.0, 1.0, -1.0, 1.0), strict=True))
            local |= {columns[2]: -1.0, columns[3]: 1.0}
            self.position[i, s, t] = traded
            mine = np.flatnonzero(day.appliances.owner == i)
            load = float(self.drawn[mine, t].sum())
            right = float(day.firm_kw[i, s, t]) - load
            self.equal.append((traded | {c: -value for c, value in own[i].items()}, right))
            q_load = float((self.drawn[mine, t] * day.appliances.tan_phi[mine]).sum())
            self.q_of[i, s, t] = reactive[i], float(day.firm_kvar[i, s, t]) - q_load
            self._contract(i, s, t, float(least[i, s, t]), float(most[i, s, t]))
        self.equal.append((local, 0.0))

    def _contract(self, i: int, s: int, t: int, least: float, most: float) -> None:
        traded, shape = self.position[i, s, t], (len(self.day.names), self.day.shape[2])
        out = float(np.broadcast_to(self.day.export_limit_kw, shape)[i, t])
        into = float(np.broadcast_to(self.day.import_limit_kw, shape)[i, t])
        firm = float(self.day.firm_kw[i, s, t])
        if np.isfinite(out):
            self.at_most.append((traded, max(out, least, firm)))
        if np.isfinite(into):
            self.at_most.append(
                ({c: -value for c, value in traded.items()}, max(into, -most, -firm))
            )

    def _store(self, s: int, t: int, b: int, energy: list[Any], weight: float) -> tuple[int, int]:
        day, stores = self.day, self.day.stores
        mode = self.mode.get((b, t))
        wear, linear = float(stores.wear_eur_per_kwh[b]), float(stores.linear_eur_per_kwh[b, t])
        high_in, high_out = (
            float(stores.charge_kw[1, b, s, t]),
            float(stores.discharge_kw[1, b, s, t]),
        )
        if mode is not None:
            high_in, high_out = high_in * mode, high_out * (1.0 - mode)
        into = self._new(weight * (wear - linear), float(stores.charge_kw[0, b, s, t]), high_in)
        out = self._new(weight * (wear + linear), float(stores.discharge_kw[0, b, s, t]), high_out)
        held = self._new(0.0, 0.0, float(stores.e_max_kwh[b, s, t]))
        short = self._new(weight / day.dt_h * day.shortfall_eur_per_kwh, 0.0, None)
        row = {
            held: 1.0,
            into: -day.dt_h * float(stores.eta_charge[b, t]),
            out: day.dt_h / float(stores.eta_discharge[b, t]),
        }
        right = -float(stores.demand_kwh[b, s, t])
        if energy[b] is None:
            right += float(stores.keep[b] * stores.e_now_kwh[b])
        else:
            row[energy[b]] = -float(stores.keep[b])
        self.equal.append((row, right))
        self.at_most.append(({held: -1.0, short: -1.0}, -float(stores.e_min_kwh[b, s, t])))
        energy[b] = held
        if t == 0:
            self.first.setdefault((b, 0), []).append(into)
            self.first.setdefault((b, 1), []).append(out)
        return into, out

    def _here_and_now(self) -> None:
        if not self.day.here_and_now:
            return
        stores = self.day.stores
        for (b, _), columns in self.first.items():
            limits = (stores.charge_kw[:, b, :, 0], stores.discharge_kw[:, b, :, 0])
            if all(np.ptp(limit, axis=1).max() < 1e-9 for limit in limits):
                self.equal += [({columns[0]: 1.0, other: -1.0}, 0.0) for other in columns[1:]]

    def _network(self, s: int, t: int) -> None:
        """Voltages by the matrices of the linear model, flows by paths, both corrected."""
        day, wires = self.day, self.day.wires
        assert wires is not None
        feeder, model = wires.feeder, lindistflow(wires.feeder)
        p0, q0 = wires.background_kw[:, t].copy(), wires.background_kvar[:, t].copy()
        np.add.at(p0, wires.at, wires.expected_kw[:, s, t])
        np.add.at(q0, wires.at, wires.expected_kvar[:, s, t])
        flow = solve(feeder, p0[:, None], q0[:, None])
        weight = float(day.probability[s]) * day.dt_h
        for n in range(1, feeder.n_bus):
            squared: dict[int, float] = {}
            at_rest = float(flow.vm_pu[n, 0] ** 2)
            at_rest += float(model.R[n] @ (wires.background_kw[:, t] - p0))
            at_rest += float(model.X[n] @ (wires.background_kvar[:, t] - q0))
            through: dict[int, float] = {}
            lost = float(flow.p_branch_kw[n, 0] + model.D[n] @ p0)
            base = -float(model.D[n] @ wires.background_kw[:, t]) + lost
            for i, bus in enumerate(wires.at):
                terms, fixed = self.q_of[i, s, t]
                at_rest += float(model.X[n, bus]) * fixed
                for column, value in terms.items():
                    squared[column] = squared.get(column, 0.0) + float(model.X[n, bus]) * value
                for column, value in self.position[i, s, t].items():
                    squared[column] = squared.get(column, 0.0) + float(model.R[n, bus]) * value
                    through[column] = -float(model.D[n, bus]) * value
            outside = self._new(weight * wires.outside_eur_per_pu_h / 2.0, 0.0, None)
            self._soft(squared, outside, at_rest, wires.v_min_pu**2, wires.v_max_pu**2)
            if wires.loading is not None:
                parent = int(feeder.parent[n])
                kv = float(flow.vm_pu[parent, 0] * feeder.vn_kv[parent])
                kva = wires.loading * np.sqrt(3.0) * kv * float(feeder.i_max_parent_ka[n]) * 1e3
                most = np.sqrt(max(kva**2 - float(flow.q_branch_kvar[n, 0]) ** 2, 0.0))
                over = self._new(weight * wires.over_eur_per_kwh, 0.0, None)
                self._soft(through, over, base, -most, most)

    def _soft(
        self, terms: dict[int, float], slack: int, base: float, low: float, high: float
    ) -> None:
        self.at_most.append((terms | {slack: -1.0}, high - base))
        self.at_most.append(({c: -value for c, value in terms.items()} | {slack: -1.0}, base - low))


def choices(day: Households) -> int:
    """Linear programmes that :func:`best_cost` would solve."""
    starts = [len(ways) for ways in _runs(day.appliances.cycles)]
    return int(np.prod([*starts, 2 ** (len(day.stores.two_way) * day.shape[2])], dtype=np.float64))


def one_home(
    *,
    firm_kw: Sequence[Sequence[float]] = ((0.0, 0.0, 0.0),),
    buy: Sequence[float] = (0.3, 0.2, 0.1),
    sell: Sequence[float] = (0.05, 0.05, 0.05),
    **parts: Any,
) -> Households:
    """One household with ``(S, T)`` of firm power and nothing else; more by name."""
    firm = np.array([firm_kw], dtype=np.float64)
    _, scenarios, steps = firm.shape
    rng, shape = np.random.default_rng(0), (scenarios, steps)
    none = Sizes(stores=0, appliances=0)
    empty = random_plants(rng, 1, shape, 1.0)
    nobody = np.zeros(0, dtype=np.int64)
    given: dict[str, Any] = {
        "names": ("home",),
        "dt_h": 1.0,
        "probability": np.full(scenarios, 1.0 / scenarios),
        "firm_kw": firm,
        "firm_kvar": 0.0 * firm,
        "price_import_eur_per_kwh": np.tile(np.array(buy), (scenarios, 1)),
        "price_feed_in_eur_per_kwh": np.tile(np.array(sell), (scenarios, 1)),
        "fee_eur_per_kwh": 0.012,
        "may_sell": np.ones(1, dtype=bool),
        "may_buy": np.ones(1, dtype=bool),
        "plants": replace(
            empty,
            names=(),
            owner=nobody,
            low_kw=np.zeros((0, *shape)),
            high_kw=np.zeros((0, *shape)),
            linear_eur_per_kwh=np.zeros((0, steps)),
            tan_phi=np.zeros(0),
        ),
        "stores": random_stores(rng, 1, shape, 1.0, 1.0, none),
        "appliances": random_appliances(rng, 1, steps, 1.0, none),
    }
    return Households(**(given | parts))
