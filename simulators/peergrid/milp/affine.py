"""Affine expressions of a programme's columns, in the few operations that models are written in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Matrix = Any  # sparse or dense, as scipy and numpy have them


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """A block of variables.

    Parameters
    ----------
    lower, upper
        Bounds ``(n, m)``.
    integer
        Whether they are whole numbers.
    """

    lower: Floats
    upper: Floats
    integer: bool = False

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        upper: ArrayLike = np.inf,
        *,
        lower: ArrayLike = 0.0,
        integer: bool = False,
    ) -> "Block":
        """A block of a shape, from bounds that broadcast to it."""
        low, high = np.empty(shape), np.empty(shape)
        low[:], high[:] = lower, upper
        return cls(lower=low, upper=high, integer=integer)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.lower.shape
        return rows, columns

    def fixed(self, values: Floats) -> "Block":
        """The same variables with their values given."""
        return Block(lower=values, upper=values, integer=self.integer)


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """``lower <= matrix @ x <= upper``, what a comparison of expressions gives."""

    matrix: sparse.csr_array
    lower: Floats
    upper: Floats


class Affine:
    """``matrix @ x + constant``, arranged as a table of ``shape``.

    It has what a cvxpy expression has too: sums, products with a matrix from the left, rows and
    columns by index, comparisons. Entries of the table are rows of the matrix, row by row.
    """

    __array_ufunc__ = None  # numpy leaves `array @ expression` to us
    __slots__ = ("constant", "matrix", "shape")

    def __init__(self, matrix: sparse.csr_array, constant: Floats, shape: tuple[int, int]) -> None:
        self.matrix = matrix
        self.constant = constant
        self.shape = shape

    def __add__(self, other: Any) -> "Affine":
        if isinstance(other, Affine):
            constant = self.constant + other.constant
            return Affine(self.matrix + other.matrix, constant, self.shape)
        return Affine(self.matrix, self.constant + self._flat(other), self.shape)

    __radd__ = __add__

    def __neg__(self) -> "Affine":
        return Affine(-self.matrix, -self.constant, self.shape)

    def __sub__(self, other: Any) -> "Affine":
        return self.__add__(-other)

    def __rsub__(self, other: Any) -> "Affine":
        return (-self).__add__(other)

    def __rmatmul__(self, left: Matrix) -> "Affine":
        columns = self.shape[1]
        left = sparse.csr_array(left)
        spread = sparse.kron(left, sparse.eye_array(columns), format="csr")
        constant = (left @ self.constant.reshape(self.shape)).ravel()
        return Affine(spread @ self.matrix, constant, (left.shape[0], columns))

    def __getitem__(self, key: Any) -> "Affine":
        places = np.arange(self.shape[0] * self.shape[1]).reshape(self.shape)[key]
        flat = places.ravel()
        return Affine(self.matrix[flat], self.constant[flat], places.shape)

    def __le__(self, other: Any) -> Rows:
        less = self - other
        limit = -less.constant
        return Rows(matrix=less.matrix, lower=np.full_like(limit, -np.inf), upper=limit)

    def __ge__(self, other: Any) -> Rows:
        return (-self).__le__(-other)

    def __eq__(self, other: Any) -> Rows:  # type: ignore[override]
        less = self - other
        return Rows(matrix=less.matrix, lower=-less.constant, upper=-less.constant)

    __hash__ = None  # type: ignore[assignment]

    def weighed(self, weights: ArrayLike) -> "Affine":
        """Each entry times its weight; weights broadcast."""
        factors = self._flat(weights)
        matrix = self.matrix.copy()
        matrix.data = matrix.data * np.repeat(factors, np.diff(matrix.indptr))
        return Affine(matrix, self.constant * factors, self.shape)

    def reshaped(self, shape: tuple[int, int]) -> "Affine":
        """The same entries, row by row, in another shape."""
        return Affine(self.matrix, self.constant, shape)

    def _flat(self, values: ArrayLike) -> Floats:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), self.shape).ravel()


def columns_of(blocks: Mapping[str, Block]) -> dict[str, Affine]:
    """Each block as an expression of all columns, which follow each other block by block."""
    count = sum(block.lower.size for block in blocks.values())
    found, first = {}, 0
    for name, block in blocks.items():
        size = block.lower.size
        unit = sparse.eye_array(size, count, k=first, format="csr")
        found[name] = Affine(unit, np.zeros(size), block.shape)
        first += size
    return found
