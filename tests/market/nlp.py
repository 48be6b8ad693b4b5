"""A nonlinear programme of named blocks, solved by IPOPT through casadi."""

from dataclasses import dataclass, field
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Blocks = dict[str, Floats]
OPTIONS = {
    "print_time": False,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.tol": 1e-9,
    "ipopt.constr_viol_tol": 1e-10,
    "ipopt.bound_relax_factor": 1e-10,
    "ipopt.max_iter": 500,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Optimum:
    """What the solver ends with: variables, multipliers of their limits and of the equations."""

    cost: float
    x: Blocks
    lam_x: Blocks
    lam_g: Blocks
    success: bool


@dataclass(kw_only=True, eq=False)
class Program:
    """A nonlinear programme in the making: named blocks of variables and equations."""

    x: dict[str, Any] = field(default_factory=dict)
    low: dict[str, Floats] = field(default_factory=dict)
    high: dict[str, Floats] = field(default_factory=dict)
    g: dict[str, Any] = field(default_factory=dict)
    g_low: dict[str, Floats] = field(default_factory=dict)
    g_high: dict[str, Floats] = field(default_factory=dict)
    cost: Any = 0.0

    def variable(self, name: str, low: Floats, high: Floats) -> Any:
        """A block of variables between limits of its shape."""
        self.low[name], self.high[name] = low, np.maximum(low, high)
        self.x[name] = ca.SX.sym(name, *low.shape)
        return self.x[name]

    def between(self, name: str, value: Any, low: Floats, high: Floats) -> None:
        """A block of expressions kept between limits of its shape."""
        self.g[name], self.g_low[name], self.g_high[name] = value, low, high

    def zero(self, name: str, value: Any) -> None:
        """A block of equations ``value = 0``."""
        nothing = np.zeros(value.shape)
        self.between(name, value, nothing, nothing)

    def solver(self) -> Any:
        problem = {"x": _stack(self.x), "g": _stack(self.g), "f": self.cost}
        return ca.nlpsol("programme", "ipopt", problem, OPTIONS)

    def run(self, solver: Any, start: Blocks) -> Optimum:
        """Solve from one start; blocks without one start at zero."""
        first = {k: start.get(k, np.zeros(low.shape)) for k, low in self.low.items()}
        result = solver(
            x0=_flatten(first),
            lbx=_flatten(self.low),
            ubx=_flatten(self.high),
            lbg=_flatten(self.g_low),
            ubg=_flatten(self.g_high),
        )
        return Optimum(
            cost=float(result["f"]),
            x=_split(result["x"], self.x),
            lam_x=_split(result["lam_x"], self.x),
            lam_g=_split(result["lam_g"], self.g),
            success=solver.stats()["success"],
        )


def _stack(blocks: dict[str, Any]) -> Any:
    return ca.vertcat(*(ca.vec(ca.densify(block)) for block in blocks.values()))


def _flatten(blocks: Blocks) -> Floats:
    return np.concatenate([np.ravel(block, order="F") for block in blocks.values()])


def _split(values: Any, blocks: dict[str, Any]) -> Blocks:
    """Column vector back to blocks of these shapes."""
    column, split, at = np.asarray(values).ravel(), {}, 0
    for name, block in blocks.items():
        size = block.shape[0] * block.shape[1]
        split[name] = column[at : at + size].reshape(block.shape, order="F")
        at += size
    return split
