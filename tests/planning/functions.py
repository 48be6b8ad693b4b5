"""Standard functions of optimisation on the unit cube, all with the least value 0."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]


def sphere(x: Floats) -> Floats:
    return np.asarray((x**2).sum(axis=1))


def rosenbrock(x: Floats) -> Floats:
    valley = 100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2
    return np.asarray((valley + (1.0 - x[:, :-1]) ** 2).sum(axis=1))


def rastrigin(x: Floats) -> Floats:
    return np.asarray((x**2 - 10.0 * np.cos(2.0 * np.pi * x) + 10.0).sum(axis=1))


def ackley(x: Floats) -> Floats:
    far = 20.0 - 20.0 * np.exp(-0.2 * np.sqrt((x**2).mean(axis=1)))
    return np.asarray(far + np.e - np.exp(np.cos(2.0 * np.pi * x).mean(axis=1)))


def griewank(x: Floats) -> Floats:
    root = np.sqrt(np.arange(1.0, x.shape[1] + 1.0))
    return np.asarray((x**2).sum(axis=1) / 4000.0 - np.cos(x / root).prod(axis=1) + 1.0)


def schwefel(x: Floats) -> Floats:
    return np.asarray(418.982887272434 * x.shape[1] - (x * np.sin(np.sqrt(np.abs(x)))).sum(axis=1))


RANGES: dict[str, tuple[Function, float]] = {
    "sphere": (sphere, 100.0),
    "rosenbrock": (rosenbrock, 30.0),
    "rastrigin": (rastrigin, 5.12),
    "ackley": (ackley, 32.0),
    "griewank": (griewank, 600.0),
    "schwefel": (schwefel, 500.0),
}


def on_cube(name: str) -> Function:
    """The function with its customary range scaled to the unit cube."""
    function, reach = RANGES[name]
    return lambda points: function(reach * (2.0 * np.asarray(points) - 1.0))
