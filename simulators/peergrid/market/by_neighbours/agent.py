"""One agent of the clearing by neighbours: its problem compiled once, and its answers."""

import warnings
from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError, ModelError, SolverError
from peergrid.market.by_neighbours.bus import Bus, Units
from peergrid.market.by_neighbours.problem import Model, Told, Unknowns
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]
SOLVERS = ("CLARABEL", "ECOS")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What an agent's solver found.

    ``shared`` rows ``(rows, T)``, squared ``voltage`` ``(T,)``, injections of its ``plants`` and
    ``stores`` ``(R_n, T)``, all in units; its own ``cost`` per hour (resources and retail), and
    what one more unit of active and reactive injection at its bus is worth, ``(T,)``.
    """

    shared: Floats
    voltage: Floats
    plants: Floats
    stores: Floats
    cost: float
    price: Floats
    reactive_price: Floats


class Agent:
    """One agent with its problem, compiled once and solved for ever new parameters.

    Raises
    ------
    ModelError
        If the problem cannot be compiled once (it is not DPP).
    """

    def __init__(self, problem: Problem, bus: Bus, units: Units, solver: str) -> None:
        steps = problem.firm_kw.shape[1]
        self.bus, self.solvers = bus, preferred(solver)
        self._told, self._unknown = Told.of(bus, steps), Unknowns.of(bus, steps)
        model = Model(problem=problem, bus=bus, units=units, unknown=self._unknown, told=self._told)
        self._balances = model.balances()
        self._own = model.own_cost()
        objective = cp.Minimize(self._own + model.augmented() + model.beyond_cost())
        self._programme = cp.Problem(objective, [*self._balances, *model.limits()])
        if not self._programme.is_dcp(dpp=True):
            raise ModelError(f"bus row {bus.row}: its problem cannot be compiled once (not DPP)")

    def answer(self, pull: Floats, rho: float, v_parent: Floats) -> Answer:
        """Optimum of (17) for a pull ``(rows, T)``, a penalty and the parent's ``(T,)`` voltage.

        Raises
        ------
        SolverError
            If no solver finds one.
        """
        told, u = self._told, self._unknown
        told.pull.value, told.rho.value, told.v_parent.value = pull, rho, v_parent[None, :]
        self._solve()
        worth = [-np.ravel(balance.dual_value) for balance in self._balances]
        own = not self.bus.is_root
        return Answer(
            shared=u.shared.value,
            voltage=u.voltage.value[0] if own else v_parent,
            plants=_value(u.plants),
            stores=_value(u.discharge) - _value(u.charge),
            cost=float(self._own.value),
            price=worth[0] + worth[1] if own else worth[0],
            reactive_price=worth[2] if own else np.zeros_like(v_parent),
        )

    def _solve(self) -> None:
        ended = "not tried"
        for solver in self.solvers:
            try:
                with warnings.catch_warnings():  # an inaccurate answer is one iterate of many
                    warnings.filterwarnings("ignore", message="Solution may be inaccurate")
                    self._programme.solve(solver=solver)
            except cp.SolverError as error:
                ended = str(error)
                continue
            ended = self._programme.status
            if ended in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
                return
        raise SolverError(f"bus row {self.bus.row}: {', '.join(self.solvers)} ended with {ended}")


def preferred(solver: str) -> tuple[str, ...]:
    """The solver asked for, and one that takes over where it gives up.

    Raises
    ------
    DataError
        If it is not installed.
    """
    installed = cp.installed_solvers()
    if solver not in installed:
        raise DataError("neighbours", "solver", solver, f"one of {', '.join(installed)}")
    return (solver, *(other for other in SOLVERS if other in installed and other != solver))


def _value(rows: Any) -> Floats:
    """Values of a variable, or the empty array that stands for none."""
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.value, dtype=np.float64)
