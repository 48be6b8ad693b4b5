"""A model without its whole numbers, solved again and again with some of them given."""

from collections.abc import Mapping

import highspy
import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.milp.by_highs import programme_of, solver_of
from peergrid.milp.model import Limits, Model

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Relaxed:
    """The linear relaxation, which keeps its basis: each solve goes on from the one before.

    Parameters
    ----------
    model
        The model.
    limits
        For the number of threads, and the time of each solve.
    """

    def __init__(self, model: Model, limits: Limits) -> None:
        programme = programme_of(model, relaxed=True)
        self.columns, self.rows = programme.num_col_, programme.num_row_
        self._model = model
        sizes = [block.lower.size for block in model.blocks.values()]
        self._first = dict(zip(model.blocks, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
        self._solver = solver_of(programme, limits)

    def solve(self) -> tuple[float, Mapping[str, Floats]]:
        """Cost and values; an infinite cost and no values where nothing keeps what is given."""
        self._solver.run()
        status = self._solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return np.inf, {}
        if status != highspy.HighsModelStatus.kOptimal:
            raise SolverError(f"HiGHS: {self._solver.modelStatusToString(status).lower()}")
        values = self._model.by_block(np.array(self._solver.getSolution().col_value))
        return float(self._solver.getInfo().objective_function_value), values

    def give(self, name: str, places: Indices, values: Floats | float) -> None:
        """Fix entries of a block, counted row by row."""
        given = np.broadcast_to(np.asarray(values, dtype=np.float64), places.shape)
        self._bound(name, places, given, given)

    def free(self, name: str, places: Indices) -> None:
        """Give entries of a block their own bounds back."""
        block = self._model.blocks[name]
        self._bound(name, places, block.lower.ravel()[places], block.upper.ravel()[places])

    def _bound(self, name: str, places: Indices, lower: Floats, upper: Floats) -> None:
        columns = (self._first[name] + places).astype(np.int32)
        self._solver.changeColsBounds(len(columns), columns, lower, upper)
