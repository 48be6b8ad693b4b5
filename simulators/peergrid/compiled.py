"""How inner loops are compiled: once, kept on disk, with numpy's rules for division by zero.

What is kept is found again as long as the function's own file has not changed, so a compiled
function must not call one of *another* file: it would go on with what that one once was.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# sums may be reordered and fused; NaN and infinity keep their meaning, by which divergence is seen
_REORDERED = {"reassoc", "contract", "arcp", "nsz"}


def compiled(function: Function) -> Function:
    """Compile; results are those of the same operations in the same order."""
    made: Function = numba.njit(cache=True, error_model="numpy")(function)
    return made


def vectorised(function: Function) -> Function:
    """Compile for vector units; sums may be reordered, so last digits depend on the machine."""
    made: Function = numba.njit(cache=True, error_model="numpy", fastmath=_REORDERED)(function)
    return made
