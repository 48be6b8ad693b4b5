"""What terms of a model may do with expressions, whichever back end they are written for."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from peergrid.milp.affine import Affine, Block, columns_of

Expression = Any
"""Of :class:`peergrid.milp.affine.Affine` or of cvxpy: a table of affine expressions."""

Constraint = Any
"""What comparing expressions gives."""


class Algebra(Protocol):
    """Operations besides ``+``, ``-``, ``matrix @ x``, ``x[rows]``, ``x[:, columns]``, ``<=``."""

    def columns(self, blocks: Mapping[str, Block]) -> Mapping[str, Expression]:
        """Variables as expressions."""

    def weigh(self, weights: ArrayLike, expression: Expression) -> Expression:
        """Each entry times its weight."""

    def reshape(self, expression: Expression, shape: tuple[int, int]) -> Expression:
        """The same entries, row by row, in another shape."""


class Sparse:
    """Expressions are sparse rows; see :mod:`peergrid.milp.affine`."""

    def columns(self, blocks: Mapping[str, Block]) -> Mapping[str, Affine]:
        """Variables as expressions."""
        return columns_of(blocks)

    def weigh(self, weights: ArrayLike, expression: Expression) -> Expression:
        """Each entry times its weight; what is known already is an array."""
        if isinstance(expression, Affine):
            return expression.weighed(weights)
        return np.multiply(weights, expression)

    def reshape(self, expression: Affine, shape: tuple[int, int]) -> Affine:
        """The same entries, row by row, in another shape."""
        return expression.reshaped(shape)


class Cvxpy:
    """Expressions are those of cvxpy; blocks without entries, which it refuses, are arrays."""

    def columns(self, blocks: Mapping[str, Block]) -> Mapping[str, Any]:
        """Variables as expressions, with their bounds."""
        import cvxpy

        return {
            name: cvxpy.Variable(
                block.shape, integer=block.integer, bounds=[block.lower, block.upper], name=name
            )
            if block.lower.size
            else block.lower
            for name, block in blocks.items()
        }

    def weigh(self, weights: ArrayLike, expression: Any) -> Any:
        """Each entry times its weight; what is known already is an array."""
        import cvxpy

        known = isinstance(expression, np.ndarray)
        return np.multiply(weights, expression) if known else cvxpy.multiply(weights, expression)

    def reshape(self, expression: Any, shape: tuple[int, int]) -> Any:
        """The same entries, row by row, in another shape."""
        import cvxpy

        known = isinstance(expression, np.ndarray)
        return expression.reshape(shape) if known else cvxpy.reshape(expression, shape, order="C")
