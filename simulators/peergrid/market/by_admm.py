"""One clearing: a problem, its coupling blocks, the iteration, and the result in market words."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.market import admm
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.certificate import lower_bound_eur
from peergrid.market.participant import Agents

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """What is to be cleared: N participants with R flexible resources over T steps.

    Parameters
    ----------
    agents
        The resources' private problems.
    owner
        ``(R,)`` participant of each resource.
    pool
        ``(N,)`` retail account of each participant; neighbours trade inside a pool.
    firm_kw
        ``(N, T)`` injection that nobody can change.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(T,)``.
    box_min_kw, box_max_kw
        ``(N, T)`` envelopes; infinite where there is none.
    """

    agents: Agents
    owner: Indices
    pool: Indices
    firm_kw: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    box_min_kw: Floats
    box_max_kw: Floats

    @property
    def dt_h(self) -> float:
        """Step length [h]."""
        return self.agents.dt_h


@dataclass(frozen=True, kw_only=True, eq=False)
class Warm:
    """Where the next clearing starts: schedule ``(R, T)`` and prices by resource, pool and box."""

    schedule_kw: Floats
    price_eur_per_kwh: Floats

    def shifted(self) -> "Warm":
        """One step later; the last step is repeated."""
        return Warm(
            schedule_kw=_shift(self.schedule_kw), price_eur_per_kwh=_shift(self.price_eur_per_kwh)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Clearing:
    """Result of a clearing.

    Parameters
    ----------
    schedule_kw
        ``(R, T)`` injection of each resource.
    position_kw
        ``(N, T)`` injection of each participant, fixed part included.
    import_kw
        ``(G, T)`` import of each pool.
    theta_eur_per_kwh
        ``(G, T)`` marginal price of each pool, between feed-in tariff and import price.
    price_eur_per_kwh
        ``(N, T)`` marginal price at each participant: energy plus congestion.
    congestion_eur_per_kwh
        ``(N, T)`` its congestion part (zero where the envelope does not bind).
    status, iterations, primal_kw, dual_eur_per_kwh, history
        How the iteration ended.
    box_violation_kw
        By how much the schedule leaves an envelope at most; everything else holds exactly, for
        agents propose what they can do and the retailer covers the rest.
    objective_eur, lower_bound_eur
        Cost of the schedule and a bound no schedule can undercut.
    """

    schedule_kw: Floats
    position_kw: Floats
    import_kw: Floats
    theta_eur_per_kwh: Floats
    price_eur_per_kwh: Floats
    congestion_eur_per_kwh: Floats
    status: admm.Status
    iterations: int
    primal_kw: float
    dual_eur_per_kwh: float
    history: tuple[float, ...]
    objective_eur: float
    lower_bound_eur: float
    box_violation_kw: float
    warm: Warm

    @property
    def gap(self) -> float:
        """Distance of cost and bound, relative to the cost."""
        return (self.objective_eur - self.lower_bound_eur) / max(abs(self.objective_eur), 1.0)


def clear(
    problem: Problem, settings: admm.Settings | None = None, warm: Warm | None = None
) -> Clearing:
    """Clear the market by ADMM.

    Parameters
    ----------
    problem
        What is to be cleared.
    settings
        Of the iteration.
    warm
        Start from here if its shape fits, else from the reference schedule at import prices.
    """
    settings = settings or admm.Settings()
    folded = fold_boxes(problem)
    agents, dt_h = folded.agents, folded.dt_h
    coupling = admm.build_coupling(agents.size_kw, coupling_blocks(folded), settings, dt_h)

    def certified(state: admm.State) -> bool:
        return _is_certified(_result(folded, coupling, state, admm.Status.RUNNING), settings)

    state, status = admm.solve(
        _start(folded, coupling, warm),
        agents.propose,
        coupling,
        settings,
        dt_h,
        certified=certified,
    )
    return _with_private_congestion(problem, folded, _result(folded, coupling, state, status))


def fold_boxes(problem: Problem) -> Problem:
    """Turn the box of a participant with one flexible resource into limits of that resource.

    It is the same problem with fewer couplings; the participant keeps its own box, privately.
    """
    alone = np.bincount(problem.owner, minlength=len(problem.pool)) == 1
    single = alone[problem.owner][:, None]
    low = np.where(single, (problem.box_min_kw - problem.firm_kw)[problem.owner], -np.inf)
    high = np.where(single, (problem.box_max_kw - problem.firm_kw)[problem.owner], np.inf)
    return replace(
        problem,
        agents=problem.agents.within(low, high),
        box_min_kw=np.where(alone[:, None], -np.inf, problem.box_min_kw),
        box_max_kw=np.where(alone[:, None], np.inf, problem.box_max_kw),
    )


def _with_private_congestion(problem: Problem, folded: Problem, found: "Clearing") -> "Clearing":
    """Congestion prices of boxes that were folded into a resource's limits.

    What one more kWh of envelope is worth to the resource: the pool's price less its marginal
    cost. A storage's marginal cost is the value of its energy, which it keeps to itself: zero here.
    """
    agents, price = problem.agents, found.theta_eur_per_kwh[problem.pool][problem.owner]
    p_kw = found.schedule_kw
    marginal = (
        agents.linear_eur_per_kwh
        + 2.0 * agents.quadratic_eur_per_kw2h[:, None] * p_kw
        + 2.0 * agents.discomfort_eur_per_kw2h[:, None] * (p_kw - agents.p_ref_kw)
    )
    high, low = folded.agents.p_max_kw, folded.agents.p_min_kw
    at_high = (high < agents.p_max_kw - 1e-6) & (p_kw >= high - 1e-6)
    at_low = (low > agents.p_min_kw + 1e-6) & (p_kw <= low + 1e-6)
    worth = np.where(at_high, -np.maximum(price - marginal, 0.0), 0.0)
    worth += np.where(at_low, np.maximum(marginal - price, 0.0), 0.0)
    worth[agents.stores] = 0.0
    congestion = found.congestion_eur_per_kwh.copy()
    np.add.at(congestion, problem.owner, worth)
    return replace(
        found,
        congestion_eur_per_kwh=congestion,
        price_eur_per_kwh=found.theta_eur_per_kwh[problem.pool] + congestion,
    )


def _is_certified(clearing: "Clearing", settings: admm.Settings) -> bool:
    return (
        abs(clearing.gap) <= settings.tolerance_gap
        and clearing.box_violation_kw <= settings.tolerance_kw
    )


def coupling_blocks(problem: Problem) -> tuple[RetailBalance, EnvelopeBoxes]:
    """Balance of each pool, and the boxes of the participants that have flexible resources."""
    resources = len(problem.owner)
    pools = int(problem.pool.max()) + 1
    size = problem.agents.size_kw
    member = np.zeros((len(problem.pool), resources))
    member[problem.owner, np.arange(resources)] = 1.0
    of_pool = np.zeros((pools, len(problem.pool)))
    of_pool[problem.pool, np.arange(len(problem.pool))] = 1.0
    firm_size = np.abs(problem.firm_kw).max(axis=1, initial=0.0)
    balance = RetailBalance(
        rows=-of_pool @ member,
        offset_kw=-of_pool @ problem.firm_kw,
        price_import_eur_per_kwh=problem.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=problem.price_feed_in_eur_per_kwh,
        dt_h=problem.dt_h,
        size_kw=np.maximum(of_pool @ (member @ size + firm_size), 1.0),
    )
    limited = np.isfinite(problem.box_min_kw).any(axis=1) | np.isfinite(problem.box_max_kw).any(
        axis=1
    )
    flexible = (member.sum(axis=1) > 0) & limited
    boxes = EnvelopeBoxes(
        rows=member[flexible],
        offset_kw=problem.firm_kw[flexible],
        p_min_kw=problem.box_min_kw[flexible],
        p_max_kw=problem.box_max_kw[flexible],
        size_kw=np.maximum((member @ size)[flexible], 0.1),
    )
    return balance, boxes


def _start(problem: Problem, coupling: admm.Coupling, warm: Warm | None) -> admm.State:
    """Warm start, or the reference schedule with everyone priced at the import price."""
    shape = (len(coupling.weight), problem.firm_kw.shape[1])
    if warm is not None and warm.price_eur_per_kwh.shape == shape:
        schedule, price = warm.schedule_kw, warm.price_eur_per_kwh
    else:
        schedule = np.clip(
            problem.agents.p_ref_kw, problem.agents.p_min_kw, problem.agents.p_max_kw
        )
        price = np.zeros(shape)
        priced = len(problem.owner) + int(problem.pool.max()) + 1
        price[:priced] = problem.price_import_eur_per_kwh
    return admm.start(coupling, schedule, price, problem.dt_h)


def _result(
    problem: Problem, coupling: admm.Coupling, state: admm.State, status: admm.Status
) -> Clearing:
    """Translate the last iterate: agents' own proposals are the schedule, so each can follow it."""
    balance, boxes = coupling_blocks(problem)
    resources, pools = len(problem.owner), len(balance.rows)
    price = admm.prices(state, coupling, problem.dt_h)
    schedule = state.proposal[:resources]
    theta = price[resources : resources + pools]
    congestion = np.zeros_like(problem.firm_kw)
    in_box = _rows_owner(boxes.rows, problem.owner)
    congestion[in_box] = -price[resources + pools :]
    position = problem.firm_kw.copy()
    np.add.at(position, problem.owner, schedule)
    imports = balance.rows @ schedule + balance.offset_kw
    objective = float(problem.agents.cost(schedule).sum()) + balance.cost(imports)
    return Clearing(
        schedule_kw=schedule,
        position_kw=position,
        import_kw=imports,
        theta_eur_per_kwh=theta,
        price_eur_per_kwh=theta[problem.pool] + congestion,
        congestion_eur_per_kwh=congestion,
        status=status,
        iterations=state.iteration,
        primal_kw=state.primal_kw,
        dual_eur_per_kwh=state.dual_eur_per_kwh,
        history=state.history,
        objective_eur=objective,
        lower_bound_eur=lower_bound_eur(
            problem.agents, balance, boxes, theta, price[resources + pools :], problem.dt_h
        ),
        box_violation_kw=boxes.violation_kw(boxes.rows @ schedule + boxes.offset_kw),
        warm=Warm(schedule_kw=schedule, price_eur_per_kwh=price),
    )


def _rows_owner(rows: Floats, owner: Indices) -> Indices:
    """Participant of each box row (each has at least one resource)."""
    return owner[np.argmax(rows, axis=1)] if len(rows) else np.empty(0, dtype=np.int64)


def _shift(values: Floats) -> Floats:
    return np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
