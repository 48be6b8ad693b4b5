"""What a plan says: powers and trades by scenario, and the network under it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.market.stochastic_network import exact, voltage_sq, wires_of
from peergrid.market.stochastic_problem import Households
from peergrid.milp.algebra import Sparse
from peergrid.milp.model import Answer, relative_gap

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkCheck:
    """The feeder under a plan, by the exact power flow.

    Parameters
    ----------
    vm_pu
        ``(n, S, T)`` voltages; NaN where the power flow does not converge.
    loading
        ``(n, S, T)`` of the branch that feeds each bus, against its rating.
    linear_vm_pu
        ``(n, S, T)`` voltages by the linear rows.
    over_kw, outside_pu
        ``(n, S, T)`` by how much the linear flow exceeds a rating, and the linear voltage leaves
        the band: both are priced.
    """

    vm_pu: Floats
    loading: Floats
    linear_vm_pu: Floats
    over_kw: Floats
    outside_pu: Floats

    @property
    def gap_pu(self) -> float:
        """Largest distance of linear from exact voltages."""
        return float(np.nanmax(np.abs(self.vm_pu - self.linear_vm_pu), initial=0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A plan for N households; powers are ``(..., S, T)`` [kW].

    Parameters
    ----------
    day
        What was planned.
    first_stage
        ``start`` ``(J, 1)`` and ``mode`` ``(M, T)``, as :func:`peergrid.market.stochastic.plan`
        takes them.
    buy_kw, sell_kw
        Trade with the retailer, ``(N, S, T)``.
    buy_local_kw, sell_local_kw
        Trade with neighbours, ``(N, S, T)``.
    plant_kw, charge_kw, discharge_kw
        Of the plants ``(V, S, T)`` and stores ``(B, S, T)``.
    energy_kwh, short_kwh
        At the end of each step, and what it is short of its least, ``(B, S, T)``.
    appliance_kw
        Consumption of the appliances, ``(A, T)``: the same in every scenario.
    cost_eur
        Expected cost, penalties included, and a trifle on trades
        (:func:`peergrid.market.stochastic_costs.nothing_twice`).
    programme_eur, bound_eur
        The same of the programme before its network rows were corrected, and what no plan of that
        programme can undercut.
    columns, rows, binaries
        Size of the programme.
    build_s, solve_s
        Seconds.
    is_optimal
        Whether the gap asked for was reached in time.
    network
        The feeder under the plan; None without one.
    """

    day: Households
    first_stage: dict[str, Floats]
    buy_kw: Floats
    sell_kw: Floats
    buy_local_kw: Floats
    sell_local_kw: Floats
    plant_kw: Floats
    charge_kw: Floats
    discharge_kw: Floats
    energy_kwh: Floats
    short_kwh: Floats
    appliance_kw: Floats
    cost_eur: float
    programme_eur: float
    bound_eur: float
    columns: int
    rows: int
    binaries: int
    build_s: float
    solve_s: float
    is_optimal: bool
    network: NetworkCheck | None = None

    @property
    def gap(self) -> float:
        """Distance of the programme's cost and its bound, relative to the cost."""
        return relative_gap(self.programme_eur, self.bound_eur)

    @property
    def position_kw(self) -> Floats:
        """Injection of each household, ``(N, S, T)``."""
        return self.sell_kw + self.sell_local_kw - self.buy_kw - self.buy_local_kw

    @property
    def position_kvar(self) -> Floats:
        """Reactive injection of each household, ``(N, S, T)``."""
        day = self.day
        q_kvar = day.firm_kvar.copy()
        net = self.discharge_kw - self.charge_kw
        np.add.at(q_kvar, day.plants.owner, day.plants.tan_phi[:, None, None] * self.plant_kw)
        np.add.at(q_kvar, day.stores.owner, day.stores.tan_phi[:, None, None] * net)
        drawn = day.appliances.tan_phi[:, None] * self.appliance_kw
        np.subtract.at(q_kvar, day.appliances.owner, drawn[:, None, :])
        return q_kvar

    @property
    def starts(self) -> tuple[tuple[str, int], ...]:
        """Name of each appliance and the step of each of its starts."""
        profile, first = self.day.appliances.starts
        chosen = np.flatnonzero(self.first_stage["start"].ravel() > 0.5)
        device = self.day.appliances.device_of_profile
        names = self.day.appliances.names
        return tuple((names[device[profile[j]]], int(first[j])) for j in chosen)


def plan_of(day: Households, answer: Answer) -> Plan:
    """Read an answer."""
    _, scenarios, steps = day.shape
    powers: dict[str, Any] = {
        field: answer.values[name].reshape(-1, scenarios, steps)
        for field, name in (
            ("buy_kw", "buy"),
            ("sell_kw", "sell"),
            ("buy_local_kw", "buy_local"),
            ("sell_local_kw", "sell_local"),
            ("plant_kw", "plant"),
            ("charge_kw", "charge"),
            ("discharge_kw", "discharge"),
            ("energy_kwh", "energy"),
            ("short_kwh", "short"),
        )
    }
    found = Plan(
        day=day,
        first_stage={name: answer.values[name] for name in ("start", "mode")},
        **powers,
        appliance_kw=day.appliances.drawn_kw(answer.values["start"]),
        cost_eur=answer.objective_eur,
        programme_eur=answer.objective_eur,
        bound_eur=answer.bound_eur,
        columns=answer.columns,
        rows=answer.rows,
        binaries=answer.binaries,
        build_s=answer.build_s,
        solve_s=answer.solve_s,
        is_optimal=answer.is_optimal,
    )
    return found if day.wires is None else replace(found, network=_checked(found, answer))


def _checked(found: Plan, answer: Answer) -> NetworkCheck:
    day = found.day
    _, scenarios, steps = day.shape
    shape = (-1, scenarios, steps)
    flow = exact(day, day.flat(found.position_kw), day.flat(found.position_kvar))
    linear = np.sqrt(np.maximum(voltage_sq(day, answer.values, Sparse()), 0.0))
    wires = wires_of(day)
    outside = np.maximum(np.maximum(linear - wires.v_max_pu, wires.v_min_pu - linear), 0.0)
    outside[0] = 0.0
    return NetworkCheck(
        vm_pu=flow.vm_pu.reshape(shape),
        loading=flow.loading.reshape(shape),
        linear_vm_pu=linear.reshape(shape),
        over_kw=answer.values["over"].reshape(shape),
        outside_pu=outside.reshape(shape),
    )
