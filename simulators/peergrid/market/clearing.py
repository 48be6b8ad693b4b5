"""One problem, several ways to clear it, behind one call."""

from dataclasses import replace
from typing import Literal

from peergrid.errors import DataError
from peergrid.market.admm import Settings
from peergrid.market.by_admm import clear_by_admm
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing, Warm

Method = Literal["admm", "central"]
NetworkKind = Literal["none", "envelope", "agreement", "ac", "branch-flow"]
Certificate = Literal["dual", "central", "off"]
CERTIFICATES: tuple[Certificate, ...] = ("dual", "central", "off")
WAYS: dict[Method, tuple[NetworkKind, ...]] = {
    "admm": ("none", "envelope", "agreement", "ac", "branch-flow"),
    "central": ("none", "envelope", "agreement", "branch-flow"),
}


# residuals of the published ADMM, unless others are asked for
NEIGHBOURS_KW = 0.1
NEIGHBOURS_EUR_PER_KWH = 2e-5


def clear(
    problem: Problem,
    settings: Settings | None = None,
    warm: Warm | None = None,
    *,
    method: Method = "admm",
    network: NetworkKind = "envelope",
    certificate: Certificate = "dual",
    solver: str | None = None,
) -> Clearing:
    """Clear the market.

    Parameters
    ----------
    problem
        What is to be cleared.
    settings
        Of the iteration.
    warm
        Where the iteration starts, if its shape fits.
    method
        ``admm``: agents keep their data and answer prices; ``central``: one solver knows it all.
    network
        ``none``: neither envelopes nor grid; ``envelope``: the boxes of the problem;
        ``agreement``: also envelopes negotiated with the operator (joint DFE); ``ac``: boxes
        and the exact AC network (ADMM only); ``branch-flow``: boxes and the relaxed branch flow
        model, centrally as a second-order cone programme, by ADMM as published, between
        neighbouring buses (slow: a baseline, see :mod:`peergrid.market.by_neighbours`).
    certificate
        Where the lower bound comes from: ``dual`` from the agents' reported dual values and the
        network's own, ``central`` from a central solver that knows everything, ``off`` no bound.
    solver
        Of the central programme; by default ECOS for small and Clarabel for large cones, Clarabel
        for linear and quadratic programmes.

    Returns
    -------
    Clearing
        Not converging is its status, not an error.

    Raises
    ------
    DataError
        If the problem or the combination of method and network cannot be cleared.
    ModelError
        If a resource has no schedule that it could follow.
    SolverError
        If the power flow or a central solver finds no solution.
    """
    if method not in WAYS:
        raise DataError("clear", "method", method, ", ".join(WAYS))
    if network not in WAYS[method]:
        raise DataError("clear", "network", network, f"{', '.join(WAYS[method])} with {method}")
    if certificate not in CERTIFICATES:
        raise DataError("clear", "certificate", certificate, ", ".join(CERTIFICATES))
    if solver is not None and method == "admm" and certificate != "central":
        raise DataError("clear", "solver", solver, "none: the ADMM solves its problems itself")
    if network == "none":
        problem = problem.without_boxes()
    if network == "agreement":
        if problem.agreement is None:
            raise DataError("clear", "problem.agreement", None, "an Agreement to negotiate")
    else:
        problem = replace(problem, agreement=None)
    if network in ("none", "envelope", "agreement"):
        problem = replace(problem, grid=None)
    elif problem.grid is None:
        raise DataError("clear", "problem.grid", None, f"a Grid, to clear with network = {network}")
    if method == "central":
        return _centrally(problem, solver)
    if network == "branch-flow":
        return _by_neighbours(problem, settings or Settings())
    found = clear_by_admm(problem, settings or Settings(), certify=certificate == "dual", warm=warm)
    if certificate == "central":
        return replace(found, lower_bound_eur=_centrally(problem, solver).lower_bound_eur)
    return found


def _centrally(problem: Problem, solver: str | None) -> Clearing:
    from peergrid.market.central import clear_centrally  # cvxpy takes a second to import

    return clear_centrally(problem, solver)


def _by_neighbours(problem: Problem, settings: Settings) -> Clearing:
    from peergrid.market.by_neighbours import NeighbourSettings, clear_by_neighbours  # cvxpy too

    return clear_by_neighbours(
        problem,
        NeighbourSettings(
            tolerance_kw=settings.tolerance_kw or NEIGHBOURS_KW,
            tolerance_eur_per_kwh=settings.tolerance_eur_per_kwh or NEIGHBOURS_EUR_PER_KWH,
            tolerance_pu=settings.tolerance_pu,
            max_iterations=settings.max_iterations,
        ),
    )
