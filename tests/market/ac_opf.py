"""The clearing on the AC network as one nonlinear programme: an independent reference.

The exact branch flow equations (M. Farivar and S. Low, "Branch flow model: relaxations and
convexification", IEEE Trans. Power Systems 28(3), 2013, doi 10.1109/TPWRS.2013.2255317), with
``P^2 + Q^2 = l v`` as an equality, by IPOPT (A. Wachter and L. Biegler, Mathematical Programming
106(1), 2006, doi 10.1007/s10107-004-0559-y) through casadi. One solver that knows everything; it
shares no code with the iteration. A local optimum is all that it can promise, so it starts several
times and keeps the best.

Ideal transformers are removed by referring impedances to the root; voltages stay those of the bus.
Powers are in units of the community's size, so that all variables are about one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import NDArray

from peergrid.market.problem import Grid, Problem
from peergrid.network.adjoint import branch_state
from peergrid.network.power_flow import solve
from tests.market.nlp import Blocks, Optimum, Program

Floats = NDArray[np.float64]
V_LEAST_SQ = 0.25  # [pu^2] keeps the low-voltage solution of the branch flow equations out


@dataclass(frozen=True, kw_only=True, eq=False)
class AcOpf:
    """An optimum of R resources on n buses over T steps.

    Parameters
    ----------
    objective_eur
        Cost of the schedule, wear of energy that storages burn included.
    schedule_kw, schedule_kvar
        ``(R, T)`` injection of each resource.
    charge_kw, discharge_kw
        ``(S, T)`` of each storage; both positive where it burns.
    import_kw
        ``(T,)`` import at the feeder head, losses included.
    vm_pu
        ``(n, T)`` voltages.
    mu_eur_per_pu2, kappa_eur_per_pu2
        ``(n, T)`` multipliers of squared voltages and of squared currents [EUR/h per pu^2],
        positive at an upper limit.
    price_eur_per_kwh
        ``(n, T)`` what an injection is worth.
    success
        Whether the solver calls it optimal.
    """

    objective_eur: float
    schedule_kw: Floats
    schedule_kvar: Floats
    charge_kw: Floats
    discharge_kw: Floats
    import_kw: Floats
    vm_pu: Floats
    mu_eur_per_pu2: Floats
    kappa_eur_per_pu2: Floats
    price_eur_per_kwh: Floats
    success: bool


def solve_ac_opf(problem: Problem, schedules_kw: Iterable[Floats] = ()) -> AcOpf:
    """Best optimum found from a flat start and from each of these schedules ``(R, T)``."""
    grid = problem.grid
    if grid is None or problem.pools > 1:
        raise ValueError("the AC reference needs a grid and one pool")
    base_kw = max(float(np.abs(problem.firm_kw).sum(axis=0).max(initial=0.0)), 1.0)
    base_kw = max(base_kw, float(problem.agents.size_kw.max(initial=0.0)))
    dearest = max(float(np.abs(problem.price_import_eur_per_kwh).max()), 1e-3)
    unit_eur = base_kw * problem.dt_h * dearest
    program = Program()
    p, q = _resources(program, problem, base_kw, unit_eur), _reactive(problem)
    _participants(program, problem, p, base_kw)
    head = _retail(program, problem, base_kw, unit_eur)
    _network(program, problem, grid, (p, q, head), base_kw)
    solver = program.solver()
    starts = [_flat(problem, grid), *(_at(problem, grid, s, base_kw) for s in schedules_kw)]
    found = [program.run(solver, start) for start in starts]
    best = min(found, key=lambda one: (not one.success, one.cost))
    return _answer(problem, grid, best, (base_kw, unit_eur))


def _resources(program: Program, problem: Problem, base_kw: float, unit_eur: float) -> Any:
    """Injections ``(R, T)`` in units of the base; their private limits and costs."""
    agents, dt_h = problem.agents, problem.dt_h
    size = agents.size_kw[:, None]
    low, high = agents.p_min_kw.copy(), agents.p_max_kw.copy()
    z = program.variable("p", low / size, high / size)
    p_kw = z * np.broadcast_to(size, low.shape)
    cost = ca.sum1(ca.sum2(agents.linear_eur_per_kwh * p_kw))
    quadratic = np.broadcast_to(agents.quadratic_eur_per_kw2h[:, None], low.shape)
    discomfort = np.broadcast_to(agents.discomfort_eur_per_kw2h[:, None], low.shape)
    cost += ca.sum1(ca.sum2(quadratic * p_kw**2 + discomfort * (p_kw - agents.p_ref_kw) ** 2))
    if len(agents.stores):
        cost += _storages(program, problem, p_kw)
    program.cost += dt_h * cost / unit_eur
    return p_kw / base_kw


def _storages(program: Program, problem: Problem, p_kw: Any) -> Any:
    """Energy recursion of the storages; returns their wear [EUR/h]."""
    agents, dt_h, steps = problem.agents, problem.dt_h, problem.firm_kw.shape[1]
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = agents.storage
    size = np.broadcast_to(agents.size_kw[agents.stores, None], demand.shape)
    room = np.broadcast_to(_room_kwh(problem)[:, None], demand.shape)
    charge = size * program.variable("charge", box[0] / size, box[1] / size)
    discharge = size * program.variable("discharge", box[2] / size, box[3] / size)
    energy = room * program.variable("energy", e_lo / room, e_hi / room)
    before = ca.horzcat(ca.DM(e_now), energy[:, : steps - 1]) if steps > 1 else ca.DM(e_now)
    kept = np.broadcast_to(keep[:, None], demand.shape)
    change = dt_h * (eta_c * charge - discharge / eta_d) - demand
    program.zero("recursion", (energy - kept * before - change) / room)
    rows = agents.stores.tolist()
    program.zero("net", (p_kw[rows, :] - discharge + charge) / size)
    wear = np.broadcast_to(agents.wear_eur_per_kwh[agents.stores, None], demand.shape)
    return ca.sum1(ca.sum2(wear * (charge + discharge)))


def _reactive(problem: Problem) -> Any:
    """Reactive injections ``(R, T)``: none so far; the place for the resources' capability."""
    return ca.SX.zeros(*problem.agents.shape)


def _participants(program: Program, problem: Problem, p: Any, base_kw: float) -> None:
    """Envelopes of the participants that have one."""
    low = (problem.box_min_kw - problem.firm_kw) / base_kw
    high = (problem.box_max_kw - problem.firm_kw) / base_kw
    owns = np.bincount(problem.owner, minlength=len(problem.pool)) > 0
    rows = np.flatnonzero((np.isfinite(low) | np.isfinite(high)).any(axis=1) & owns)
    if len(rows):
        member = (problem.owner[None, :] == rows[:, None]).astype(float)
        program.between("boxes", ca.DM(member) @ p, low[rows], high[rows])


def _retail(program: Program, problem: Problem, base_kw: float, unit_eur: float) -> Any:
    """Import ``(1, T)`` as bought minus sold; exact as long as selling pays at most buying."""
    steps = problem.firm_kw.shape[1]
    low, high = np.zeros((1, steps)), np.full((1, steps), 1e3)
    bought, sold = program.variable("bought", low, high), program.variable("sold", low, high)
    bill = problem.price_import_eur_per_kwh[None, :] * bought
    bill -= problem.price_feed_in_eur_per_kwh[None, :] * sold
    program.cost += problem.dt_h * base_kw * ca.sum2(bill) / unit_eur
    return bought - sold


def _network(
    program: Program, problem: Problem, grid: Grid, powers: tuple[Any, Any, Any], base_kw: float
) -> None:
    """Exact branch flow equations of every step; limits of voltages and currents."""
    p, q, head = powers
    feeder, shape = grid.feeder, grid.background_kw.shape
    P, Q, current, v, head_q = _flows(program, grid, base_kw)
    n_sq, scale = np.abs(feeder.transformation) ** 2, _scale(grid, base_kw)
    leave, into, first, at = _incidence(problem, grid)
    r, x = (
        np.broadcast_to((z * n_sq * scale)[1:, None], P.shape) for z in (feeder.r_pu, feeder.x_pu)
    )
    # a shunt sees the voltage of its own bus: nothing to refer
    g, b = (np.broadcast_to(y[:, None] / scale, shape) for y in (feeder.g_sh_pu, feeder.b_sh_pu))
    firm_p, firm_q = (firm / base_kw for firm in _firm(problem, grid))
    arriving = into @ (P - r * current) + first @ head + at @ p + firm_p
    program.zero("active", leave @ P + g * v - arriving)
    arriving = into @ (Q - x * current) + first @ head_q + at @ q + firm_q
    program.zero("reactive", leave @ Q - b * v - arriving)
    referred = v * np.broadcast_to(n_sq[:, None], shape)
    above, below = leave.T @ referred, referred[1:, :]
    program.zero("drop", above - below - 2.0 * (r * P + x * Q) + (r**2 + x**2) * current)
    program.zero("power", P**2 + Q**2 - current * above)


def _flows(program: Program, grid: Grid, base_kw: float) -> tuple[Any, ...]:
    """Flows and squared currents of the branches, squared voltages, reactive import."""
    feeder, steps = grid.feeder, grid.background_kw.shape[1]
    wide = np.full((feeder.n_bus - 1, steps), np.inf)
    low, high = (limit.copy() for limit in grid.band_sq)
    low = np.maximum(low, V_LEAST_SQ)
    low[0] = high[0] = feeder.slack_vm_pu**2
    n_sq = np.abs(feeder.transformation) ** 2
    most = (grid.i_max_sq / n_sq / _scale(grid, base_kw) ** 2)[1:, None]
    return (
        program.variable("P", -wide, wide),
        program.variable("Q", -wide, wide),
        program.variable("l", np.zeros(wide.shape), np.broadcast_to(most, wide.shape)),
        program.variable("v", low, high),
        program.variable("head_q", np.full((1, steps), -np.inf), np.full((1, steps), np.inf)),
    )


def _incidence(problem: Problem, grid: Grid) -> tuple[Any, ...]:
    """Branches that leave and enter each bus, the root, and the resources' buses."""
    n, parent = grid.feeder.n_bus, grid.feeder.parent
    leave, into = np.zeros((n, n - 1)), np.eye(n)[:, 1:]
    leave[parent[1:], np.arange(n - 1)] = 1.0
    at = np.zeros((n, len(problem.owner)))
    at[grid.at[problem.owner], np.arange(len(problem.owner))] = 1.0
    return tuple(ca.sparsify(ca.DM(m)) for m in (leave, into, np.eye(n)[:, :1], at))


def _firm(problem: Problem, grid: Grid) -> tuple[Floats, Floats]:
    """Injections of the buses ``(n, T)`` that nobody can change."""
    p_kw, q_kvar = grid.background_kw.copy(), grid.background_kvar.copy()
    np.add.at(p_kw, grid.at, problem.firm_kw)
    np.add.at(q_kvar, grid.at, grid.firm_kvar)
    return p_kw, q_kvar


def _flat(problem: Problem, grid: Grid) -> Blocks:
    """Nothing flows, the devices at rest."""
    feeder, shape = grid.feeder, grid.background_kw.shape
    rest = np.zeros((feeder.n_bus - 1, shape[1]))
    n_sq = np.abs(feeder.transformation[:, None]) ** 2
    v = np.broadcast_to(feeder.slack_vm_pu**2 / n_sq, shape)
    return _devices(problem, problem.agents.reference_kw()) | {"P": rest, "Q": rest, "v": v}


def _at(problem: Problem, grid: Grid, schedule_kw: Floats, base_kw: float) -> Blocks:
    """The power flow under a schedule."""
    p_kw, q_kvar = _firm(problem, grid)
    np.add.at(p_kw, grid.at[problem.owner], schedule_kw)
    flow = solve(grid.feeder, p_kw, q_kvar)
    state, scale = branch_state(flow), _scale(grid, base_kw)
    head = flow.head_p_kw[None, :] / base_kw
    return _devices(problem, schedule_kw) | {
        "P": state.p[1:] / scale,
        "Q": state.q[1:] / scale,
        "l": state.l[1:] / scale**2,
        "v": flow.vm_pu**2,
        "bought": np.maximum(head, 0.0),
        "sold": np.maximum(-head, 0.0),
        "head_q": flow.head_q_kvar[None, :] / base_kw,
    }


def _devices(problem: Problem, schedule_kw: Floats) -> Blocks:
    """Start of the devices' variables at a schedule."""
    agents, dt_h = problem.agents, problem.dt_h
    size, net = agents.size_kw[agents.stores, None], schedule_kw[agents.stores]
    _, eta_c, eta_d, keep, demand, energy, _, _ = agents.storage
    charge, discharge = np.maximum(-net, 0.0), np.maximum(net, 0.0)
    path = np.empty(net.shape)
    for t in range(net.shape[1]):
        change = eta_c[:, t] * charge[:, t] - discharge[:, t] / eta_d[:, t]
        energy = path[:, t] = keep * energy + dt_h * change - demand[:, t]
    return {
        "p": schedule_kw / agents.size_kw[:, None],
        "charge": charge / size,
        "discharge": discharge / size,
        "energy": path / _room_kwh(problem)[:, None],
    }


def _room_kwh(problem: Problem) -> Floats:
    """Scale of the storages' energies, ``(S,)``."""
    return np.maximum(np.abs(problem.agents.storage[7]).max(axis=1, initial=0.0), 1.0)


def _scale(grid: Grid, base_kw: float) -> float:
    """The programme's base in units of the feeder's."""
    return base_kw / (1000.0 * grid.feeder.base_mva)


def _answer(problem: Problem, grid: Grid, found: Optimum, units: tuple[float, float]) -> AcOpf:
    """The solver's numbers in kW and EUR."""
    agents, x, (base_kw, unit_eur) = problem.agents, found.x, units
    per_hour = unit_eur / problem.dt_h
    size, none = agents.size_kw[:, None], np.zeros((0, agents.shape[1]))
    mu, kappa = found.lam_x["v"] * per_hour, np.zeros(grid.background_kw.shape)
    mu[0] = 0.0  # that of the slack's fixed voltage
    own = np.abs(grid.feeder.transformation) ** 2 * _scale(grid, base_kw) ** 2
    kappa[1:] = found.lam_x["l"] / own[1:, None] * per_hour
    return AcOpf(
        objective_eur=found.cost * unit_eur,
        schedule_kw=x["p"] * size,
        schedule_kvar=np.zeros(agents.shape),
        charge_kw=x.get("charge", none) * size[agents.stores],
        discharge_kw=x.get("discharge", none) * size[agents.stores],
        import_kw=(x["bought"] - x["sold"])[0] * base_kw,
        vm_pu=np.sqrt(x["v"]),
        mu_eur_per_pu2=mu,
        kappa_eur_per_pu2=kappa,
        price_eur_per_kwh=found.lam_g["active"] * per_hour / base_kw,
        success=found.success,
    )
