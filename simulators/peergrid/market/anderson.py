"""Safeguarded Anderson acceleration of a fixed-point iteration ``T <- T + residual(T)``.

Type II: the next point is the best combination of the last ones, by least squares on their
residuals in the norm of the penalties (H. F. Walker and P. Ni, "Anderson acceleration for fixed-
point iterations", SIAM J. Numerical Analysis 49(4), 2011, doi 10.1137/10078356X), regularised.
Safeguards: it forgets when the residual has doubled, goes back to the best point when it is
``ASTRAY``, takes the plain step where its own cancels that, and plain steps for a while where
nothing better comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESTART = 2.0  # growth of the residual at which the acceleration forgets
ASTRAY = 20.0  # growth at which it goes back to the best point
PATIENCE = 20  # steps without a better point after which plain ones are taken,
PLAIN = 5  # so many
STALLED = 0.1  # an accelerated step so much shorter than the plain one cancels it
LEAP = 100.0  # longest accelerated step, in plain ones: differences may vanish and fit anything
RIDGE = 1e-10  # relative to the trace of the normal equations


@dataclass(frozen=True, eq=False)
class Memory:
    """What is remembered of the last points.

    Parameters
    ----------
    past
        Last points (T, residual).
    least_norm
        Least norm since it forgot.
    best
        Best point (norm, T, residual).
    idle, plain
        Steps without a better point, and plain steps still to be taken.
    """

    past: tuple[tuple[Floats, Floats], ...] = ()
    least_norm: float = np.inf
    best: tuple[float, Floats, Floats] | None = None
    idle: int = 0
    plain: int = 0


def advance(
    memory: Memory, point: Floats, residual: Floats, weight: Floats, depth: int
) -> tuple[Floats, Memory]:
    """Next point after ``point``, and the memory to take along.

    Parameters
    ----------
    memory
        From the call before.
    point, residual
        ``(rows, T)``.
    weight
        ``(rows,)`` of the norm.
    depth
        Differences to remember; 0 gives the plain iteration.
    """
    norm = float(np.sqrt((weight[:, None] * residual**2).sum()))
    best, idle = memory.best, memory.idle + 1
    if best is None or norm < best[0]:
        best, idle = (norm, point, residual), 0
    if norm > ASTRAY * best[0]:
        return best[1] + best[2], Memory(plain=memory.plain)
    if memory.plain or idle >= PATIENCE:
        rest = memory.plain - 1 if memory.plain else PLAIN
        return point + residual, Memory(best=best, plain=rest)
    past, least = (*memory.past, (point, residual))[-(depth + 1) :], memory.least_norm
    if norm > RESTART * least:
        past, least = past[-1:], norm
    return _combine(past, weight), Memory(past, min(norm, least), best, idle)


def _combine(past: Sequence[tuple[Floats, Floats]], weight: Floats) -> Floats:
    """Least squares over the differences to the last point; the plain step without any."""
    point, residual = past[-1]
    if len(past) == 1:
        return point + residual
    scale = np.sqrt(weight)[:, None]
    d_point = np.stack([(point - t).ravel() for t, _ in past[:-1]])
    d_plain = np.stack([(residual - r).ravel() for _, r in past[:-1]])
    d_residual = np.stack([(scale * (residual - r)).ravel() for _, r in past[:-1]])
    gram = d_residual @ d_residual.T
    gram += np.eye(len(gram)) * (RIDGE * np.trace(gram) + 1e-300)
    gamma = np.linalg.solve(gram, d_residual @ (scale * residual).ravel())
    step = residual - (gamma @ (d_point + d_plain)).reshape(point.shape)
    length, plain = (float(np.linalg.norm(scale * part)) for part in (step, residual))
    if length < STALLED * plain:
        return point + residual
    if length > LEAP * plain:
        step = step * (LEAP * plain / length)
    return np.asarray(point + step)
