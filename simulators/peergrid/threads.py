"""One thread for the linear algebra of an iteration: its matrices are too small to share.

A BLAS that wakes its threads for matrices of a few hundred rows loses more than it gains, and
loses badly when other processes want the same cores (co-simulations, sweeps).
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """While entered, BLAS uses one thread; what it used before comes back after."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
