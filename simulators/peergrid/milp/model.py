"""A mixed-integer linear programme: blocks of variables, terms and costs; and its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.milp.affine import Block
from peergrid.milp.algebra import Algebra, Constraint, Expression

Floats = NDArray[np.float64]
Variables = Mapping[str, Expression]
Term = Callable[[Variables, Algebra], Sequence[Constraint]]
Cost = Callable[[Variables, Algebra], Expression]


class TimeLimitError(SolverError):
    """The time was too short for any solution."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When the solver stops.

    Parameters
    ----------
    gap
        Distance of the best solution from the bound, relative.
    time_limit_s
        Seconds after which the best solution so far is taken.
    threads
        Of the solver.
    restarts
        Whether presolve may begin anew at the root once columns are fixed.
    """

    gap: float = 1e-3
    time_limit_s: float = 600.0
    threads: int = 1
    restarts: bool = True

    def reached(self, cost: float, bound: float) -> bool:
        """Whether a cost is near enough to a bound."""
        return relative_gap(cost, bound) <= self.gap

    @property
    def options(self) -> dict[str, Any]:
        """The same in the words of HiGHS."""
        return {
            "output_flag": False,
            "mip_rel_gap": self.gap,
            "time_limit": self.time_limit_s,
            "threads": self.threads,
            "mip_allow_restart": self.restarts,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """What is to be solved: terms give constraints between the blocks, costs add up."""

    blocks: Mapping[str, Block]
    terms: Sequence[Term]
    costs: Sequence[Cost]

    @property
    def binaries(self) -> int:
        """Number of whole-number variables that are not given."""
        free = (np.sum(b.lower < b.upper) for b in self.blocks.values() if b.integer)
        return int(sum(free))

    def by_block(self, flat: Floats) -> dict[str, Floats]:
        """Values of all columns, block by block."""
        sizes = [block.lower.size for block in self.blocks.values()]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        pairs = zip(self.blocks.items(), parts, strict=True)
        return {name: part.reshape(block.shape) for (name, block), part in pairs}

    def fixed(self, values: Mapping[str, Floats]) -> "Model":
        """The same model with some blocks given."""
        given = {name: self.blocks[name].fixed(found) for name, found in values.items()}
        return replace(self, blocks={**self.blocks, **given})


def relative_gap(cost: float, bound: float) -> float:
    """Distance of a cost from a bound below it, relative to the cost."""
    return max(cost - bound, 0.0) / max(abs(cost), 1e-9)


def within(block: Block, values: Floats) -> Floats:
    """Values inside their bounds to the bit, and whole where they must be."""
    found = np.clip(values, block.lower, block.upper)
    return np.asarray(np.round(found) if block.integer else found)


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What the solver found.

    Parameters
    ----------
    values
        Of each block, in its shape.
    objective_eur, bound_eur
        Cost of the solution, and what no solution can undercut.
    is_optimal
        Whether the gap asked for was reached; False: the time limit came first.
    columns, rows, binaries
        Size of the programme.
    build_s, solve_s
        Seconds.
    """

    values: Mapping[str, Floats]
    objective_eur: float
    bound_eur: float
    is_optimal: bool
    columns: int
    rows: int
    binaries: int
    build_s: float
    solve_s: float

    @property
    def gap(self) -> float:
        """Distance of cost and bound, relative to the cost."""
        return relative_gap(self.objective_eur, self.bound_eur)
