"""Whether storages would charge and discharge at once: a check after the clearing.

The clearing lets a storage charge and discharge in the same step, as every convex market model
does; it then burns energy through its losses. That never pays at positive prices, and a wear cost
keeps it from paying at slightly negative ones, but nothing forbids it. Here each storage solves
its private problem once more at the prices it is paid, with a binary variable per step that
forbids it, by HiGHS (Q. Huangfu and J. Hall, Mathematical Programming Computation 10(1), 2018,
doi 10.1007/s12532-017-0130-5); when the two agree is discussed by K. Garifi et al., "Convex
relaxation of grid-connected energy storage system models with complementarity constraints in DC
OPF", IEEE Trans. Smart Grid 11(5), 2020. The data stay with the storage: it tells two values and a
power.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from peergrid.errors import DataError, SolverError
from peergrid.market.agents import Agents

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Exclusivity:
    """What forbidding simultaneous charge and discharge costs S storages.

    Parameters
    ----------
    resource
        ``(S,)`` which resource each storage is.
    relaxed_eur
        ``(S,)`` least of cost minus revenue where both at once is allowed.
    exclusive_eur
        ``(S,)`` the same where it is forbidden. There always is such a schedule if there is one
        at all: one mode alone reaches every change of energy that both together do.
    simultaneous_kw
        ``(S,)`` largest simultaneous charge and discharge without which the net power of the
        relaxed answer cannot be followed.
    """

    resource: Indices
    relaxed_eur: Floats
    exclusive_eur: Floats
    simultaneous_kw: Floats

    @property
    def storages(self) -> int:
        """How many storages were checked."""
        return len(self.resource)

    @property
    def relative(self) -> Floats:
        """Difference of the values, ``(S,)``, relative to the value or to 1 EUR if that is more."""
        scale = np.maximum(np.abs(self.relaxed_eur), 1.0)
        return np.asarray((self.exclusive_eur - self.relaxed_eur) / scale)

    @property
    def worst_relative(self) -> float:
        """Largest relative difference of the values."""
        return float(np.abs(self.relative).max(initial=0.0))

    @property
    def worst_simultaneous_kw(self) -> float:
        """Largest simultaneous charge and discharge [kW]."""
        return float(self.simultaneous_kw.max(initial=0.0))


def check_exclusivity(agents: Agents, paid_eur_per_kwh: Floats) -> Exclusivity:
    """Each storage's private problem at given prices, relaxed and with exclusive modes.

    Quadratic costs and discomfort enter the problem with binaries as their tangent at the relaxed
    answer. The tangent leaves the relaxed value as it is and lies below the costs, so the
    difference that is reported is then a lower bound of the true one; with linear costs it is
    exact.

    Parameters
    ----------
    agents
        All resources, R of them.
    paid_eur_per_kwh
        ``(R, T)`` what an injection of each resource is paid: of a clearing,
        ``clearing.price_eur_per_kwh[problem.owner]``.

    Raises
    ------
    DataError
        If the prices have another shape.
    SolverError
        If HiGHS ends without an answer.
    """
    if paid_eur_per_kwh.shape != agents.shape:
        raise DataError(
            "check_exclusivity", "paid_eur_per_kwh", paid_eur_per_kwh.shape, f"shape {agents.shape}"
        )
    agents, rows = agents.without_reactive(), agents.stores
    if len(rows) == 0:
        return Exclusivity(
            resource=rows, relaxed_eur=_none(), exclusive_eur=_none(), simultaneous_kw=_none()
        )
    priced = replace(agents, linear_eur_per_kwh=agents.linear_eur_per_kwh - paid_eur_per_kwh)
    answer = priced.propose(np.zeros(agents.shape), np.zeros(len(paid_eur_per_kwh)))
    slope, constant = _tangent(priced, answer)
    exclusive = [_exclusive(priced, s, slope[rows[s]]) for s in range(len(rows))]
    return Exclusivity(
        resource=rows,
        relaxed_eur=agents.best_value(paid_eur_per_kwh)[rows],
        exclusive_eur=np.array(exclusive) + constant[rows],
        simultaneous_kw=np.nan_to_num(agents.burning_kw(answer)).max(axis=1, initial=0.0),
    )


def _tangent(priced: Agents, at_kw: Floats) -> tuple[Floats, Floats]:
    """Slope ``(R, T)`` [EUR/kWh] and constant ``(R,)`` [EUR] of the costs' tangent."""
    quadratic = priced.quadratic_eur_per_kw2h[:, None]
    discomfort = priced.discomfort_eur_per_kw2h[:, None]
    off = at_kw - priced.p_ref_kw
    curved = quadratic * at_kw**2 + discomfort * off**2
    bend = 2.0 * (quadratic * at_kw + discomfort * off)
    constant = priced.dt_h * (curved - bend * at_kw).sum(axis=1)
    return priced.linear_eur_per_kwh + bend, constant


def _exclusive(priced: Agents, s: int, slope: Floats) -> float:
    """Least cost of storage ``s`` [EUR] that never charges and discharges at once.

    Variables are charge, discharge, energy and whether it charges, T of each; the slope ``(T,)``
    [EUR/kWh] is that of its cost minus revenue.
    """
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = (_part_of(p, s) for p in priced.storage)
    steps, dt_h, wear = len(slope), priced.dt_h, priced.wear_eur_per_kwh[priced.stores[s]]
    one, nothing = sp.eye_array(steps), sp.csr_array((steps, steps))
    recursion = one - keep * sp.eye_array(steps, k=-1)
    start = -demand
    start[0] += keep * e_now
    energy = [sp.diags_array(-dt_h * eta_c), sp.diags_array(dt_h / eta_d), recursion, nothing]
    charging = [one, nothing, nothing, sp.diags_array(-box[1])]
    discharging = [nothing, one, nothing, sp.diags_array(box[3])]
    rows = sp.block_array([energy, charging, discharging], format="csc")
    free = np.full(steps, -np.inf)
    found = milp(
        dt_h * np.concatenate([wear - slope, wear + slope, np.zeros(2 * steps)]),
        integrality=np.repeat([0, 0, 0, 1], steps),
        bounds=Bounds(
            np.concatenate([box[0], box[2], e_lo, np.zeros(steps)]),
            np.concatenate([box[1], box[3], e_hi, np.ones(steps)]),
        ),
        constraints=LinearConstraint(
            rows,
            np.concatenate([start, free, free]),
            np.concatenate([start, np.zeros(steps), box[3]]),
        ),
        options={"mip_rel_gap": 1e-9},
    )
    return float(_solved(found).fun)


def _part_of(column: Floats, s: int) -> Any:
    """Storage ``s`` of one of the columns of ``Agents.storage``."""
    return column[:, s] if column.ndim == 3 else column[s]


def _solved(found: Any) -> Any:
    if not found.success:
        raise SolverError(f"HiGHS: {found.message}")
    return found


def _none() -> Floats:
    return np.empty(0)
