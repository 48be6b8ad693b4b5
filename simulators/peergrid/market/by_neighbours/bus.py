"""Who the neighbours are: one agent per bus, what it knows, and what it shares with others.

Used by :mod:`peergrid.market.by_neighbours`. An agent shares rows ``(T,)`` with its neighbours: its
trade with all of them, and a copy of the flows P and Q on its own line and on its children's.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import ModelError
from peergrid.market.agents import opened
from peergrid.market.problem import Grid, Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def grid_of(problem: Problem) -> Grid:
    """The grid of a problem that the neighbours can clear.

    Raises
    ------
    ModelError
        Naming what the published model has no equation for.
    """
    grid, agents = problem.grid, opened(problem.agents)
    if grid is None:
        raise ModelError("a clearing by neighbours needs a grid")
    if grid.feeder.n_bus == 1:
        raise ModelError("a clearing by neighbours needs a branch: one bus has no neighbour")
    feeder = grid.feeder
    shunts = np.flatnonzero((feeder.g_sh_pu != 0.0) | (feeder.b_sh_pu != 0.0))
    shifted = (feeder.ratio != 1.0) | (feeder.shift_deg != 0.0)
    transformers = np.flatnonzero(shifted[1:]) + 1
    lacks = {
        "transformer ratios": (f"bus {feeder.bus_id[row]}" for row in transformers[:1]),
        "shunts": (f"bus {feeder.bus_id[row]}" for row in shunts[:1]),
        "several retail pools": (str(problem.pools) for _ in range(problem.pools > 1)),
        "cycles of appliances": (f"resource {row}" for row in agents.cycling[:1]),
        "reactive resources": (f"resource {row}" for row in agents.reactive.resource[:1]),
    }
    for what, found in lacks.items():
        for where in found:
            raise ModelError(f"{feeder.name}: the clearing by neighbours knows no {what} ({where})")
    return grid


@dataclass(frozen=True, kw_only=True)
class Units:
    """What one stands for: so much power, and such a price.

    >>> Units(power_kw=1000.0, price_eur_per_kwh=0.1).cost_eur
    100.0
    """

    power_kw: float
    price_eur_per_kwh: float

    @property
    def cost_eur(self) -> float:
        """Cost unit per hour [EUR]."""
        return self.power_kw * self.price_eur_per_kwh


@dataclass(frozen=True, kw_only=True, eq=False)
class Bus:
    """What agent n knows: its bus, its line, its participants.

    Parameters
    ----------
    row, children
        Feeder row of the bus and of the buses it feeds; row 0 is the root.
    r, x
        Series impedance of its line, such that ``r l`` is a power in units.
    v_min, v_max
        ``(T,)`` limits of its squared voltage [pu^2].
    l_max
        Limit of its line's squared current in units; infinite without.
    firm_p, firm_q
        ``(T,)`` injection that nobody can change, in units.
    plants, stores
        Its resources without and with energy, indices ``(R_n,)`` into the problem's; and those of
        the stores among all stores, ``store_at``.
    """

    row: int
    children: tuple[int, ...]
    r: float
    x: float
    v_min: Floats
    v_max: Floats
    l_max: float
    firm_p: Floats
    firm_q: Floats
    plants: Indices
    stores: Indices
    store_at: Indices

    @property
    def is_root(self) -> bool:
        """Whether no line feeds it."""
        return self.row == 0

    @property
    def rows(self) -> int:
        """Rows of ``shared``: trade, own P and Q, then P and Q of the children."""
        return 1 + 2 * (not self.is_root) + 2 * len(self.children)


def buses(problem: Problem, grid: Grid, units: Units) -> list[Bus]:
    """One agent per bus, participants or not."""
    feeder, agents = grid.feeder, opened(problem.agents)
    scale = units.power_kw / (1000.0 * feeder.base_mva)
    firm_p, firm_q = grid.firm_injections(problem.firm_kw)
    low, high = grid.band_sq
    spot = grid.at[problem.owner]
    is_store = np.isin(np.arange(len(spot)), agents.stores)
    return [
        Bus(
            row=row,
            children=feeder.children[row],
            r=float(feeder.r_pu[row] * scale),
            x=float(feeder.x_pu[row] * scale),
            v_min=low[row],
            v_max=high[row],
            l_max=float(grid.i_max_sq[row] / scale**2),
            firm_p=firm_p[row] / units.power_kw,
            firm_q=firm_q[row] / units.power_kw,
            plants=np.flatnonzero((spot == row) & ~is_store),
            stores=np.flatnonzero((spot == row) & is_store),
            store_at=np.flatnonzero(spot[agents.stores] == row),
        )
        for row in range(feeder.n_bus)
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Which of the ``(M, T)`` shared rows of all agents belong together.

    Parameters
    ----------
    of
        Rows of each agent.
    trade
        ``(n,)`` the trade of each agent.
    child, parent
        ``(F,)`` copies of the same flow, that of the line's owner and that of its parent.
    """

    of: tuple[slice, ...]
    trade: Indices
    child: Indices
    parent: Indices

    @classmethod
    def of_buses(cls, found: list[Bus]) -> "Rows":
        """Rows of agents in the order of the feeder."""
        first = np.concatenate([[0], np.cumsum([bus.rows for bus in found])])
        child, parent = [], []
        for bus in found:
            down = first[bus.row] + 1 + 2 * (not bus.is_root)
            for i, row in enumerate(bus.children):
                child += [first[row] + 1, first[row] + 2]
                parent += [down + i, down + len(bus.children) + i]
        return cls(
            of=tuple(slice(a, b) for a, b in pairwise(first)),
            trade=first[:-1],
            child=np.array(child, dtype=np.int64),
            parent=np.array(parent, dtype=np.int64),
        )

    @property
    def count(self) -> int:
        """Number of rows M."""
        return int(self.of[-1].stop)

    def agreed(self, shared: Floats) -> Floats:
        """Nearest rows that agree: trades less their mean, flows at the mean of both copies."""
        agreed = shared.copy()
        agreed[self.trade] -= shared[self.trade].mean(axis=0)
        agreed[self.child] = (shared[self.child] + shared[self.parent]) / 2.0
        agreed[self.parent] = agreed[self.child]
        return agreed

    def trade_sum(self, shared: Floats) -> Floats:
        """Sum of all trades ``(T,)``, the residual of (4)."""
        total: Floats = shared[self.trade].sum(axis=0)
        return total

    def mismatch(self, shared: Floats) -> Floats:
        """Difference of the copies ``(F, T)``, left sides of (24) and (25)."""
        apart: Floats = shared[self.child] - shared[self.parent]
        return apart
