"""One model, two back ends; both end in HiGHS."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.milp.model import Answer, Limits, Model

Floats = NDArray[np.float64]
BackEnd = Literal["sparse", "cvxpy"]
BACK_ENDS: tuple[BackEnd, ...] = ("sparse", "cvxpy")


def solve(
    model: Model,
    limits: Limits,
    *,
    back_end: BackEnd = "sparse",
    start: Mapping[str, Floats] | None = None,
) -> Answer:
    """Solve a model.

    Parameters
    ----------
    model
        What to solve.
    limits
        When to stop.
    back_end
        ``sparse``: rows are built here and given to HiGHS; ``cvxpy``: the same terms as
        expressions of cvxpy.
    start
        Values to start from, by block; ``cvxpy`` does without.

    Raises
    ------
    SolverError
        If there is no solution, or none was found in time.
    """
    if back_end not in BACK_ENDS:
        raise DataError("stochastic", "back_end", back_end, ", ".join(BACK_ENDS))
    if back_end == "sparse":
        from peergrid.milp.by_highs import solve_directly

        return solve_directly(model, limits, start)
    from peergrid.milp.by_cvxpy import solve_by_cvxpy  # cvxpy takes a second to import

    return solve_by_cvxpy(model, limits)
