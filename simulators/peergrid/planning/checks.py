"""What a planning problem must not contradict, refused in one line."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError

if TYPE_CHECKING:
    from peergrid.planning.problem import Problem, Storage, Technology

Floats = NDArray[np.float64]
ROUNDING_KWH = 1e-9
WASH_TRADING = (
    "true: without it every connection point may sell and buy at once, so the traded volume "
    "grows to whatever cap is set while nothing is delivered (wash trading)"
)


def check(problem: "Problem") -> None:
    """Refuse a problem that cannot be meant.

    Raises
    ------
    DataError
        With the first thing that is wrong.
    """
    where = problem.name
    _check_objective(problem)
    _check_numbers(problem)
    _check_prices(problem)
    names = [t.name for t in problem.technologies]
    for name in names:
        if names.count(name) > 1:
            raise DataError(where, "plan: name", name, "each technology a name of its own")
    for technology in problem.technologies:
        _check_sizes(where, technology)
        _check_rows(problem, technology)
    for plant in problem.plants:
        field = f"plan.{plant.name}: power"
        _check_series(where, field, plant.available_kw, (problem.steps,))
        if plant.available_kw.min(initial=0.0) < 0.0:
            raise DataError(where, field, float(plant.available_kw.min()), "0 kW or more")
    for storage in problem.storages:
        _check_storage(problem, storage)
    least = sum(t.capex_eur * t.total_min for t in problem.technologies)
    if least > problem.budget_eur:
        allowed = f"at least {least:.0f}, what the least totals cost"
        raise DataError(where, "plan.budget_eur", problem.budget_eur, allowed)


def _check_objective(problem: "Problem") -> None:
    from peergrid.planning.problem import OBJECTIVES

    if problem.objective not in OBJECTIVES:
        raise DataError(problem.name, "plan.objective", problem.objective, ", ".join(OBJECTIVES))
    if problem.objective == "traded" and not problem.exclusive:
        raise DataError(problem.name, "plan.exclusive", False, WASH_TRADING)


def _check_numbers(problem: "Problem") -> None:
    """Limits, length of a step, and series of the feeder."""
    where = problem.name
    for field in ("dt_h", "v_min_pu", "max_loading"):
        if not 0.0 < getattr(problem, field) < np.inf:
            raise DataError(where, field, getattr(problem, field), "a positive number")
    if not problem.v_max_pu > problem.v_min_pu:
        allowed = f"above v_min_pu = {problem.v_min_pu:g}"
        raise DataError(where, "v_max_pu", problem.v_max_pu, allowed)
    if not problem.budget_eur >= 0.0:
        raise DataError(where, "plan.budget_eur", problem.budget_eur, "0 or more")
    shape = (problem.feeder.n_bus, problem.steps)
    for field in ("p_inj_kw", "q_inj_kvar"):
        _check_series(where, field, getattr(problem, field), shape)
    for field in ("price_import_eur_per_kwh", "price_feed_in_eur_per_kwh"):
        _check_series(where, field, getattr(problem, field), shape[1:])


def _check_series(where: str, field: str, values: Floats, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise DataError(where, field, f"shape {np.shape(values)}", f"shape {shape}")
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        place = ", ".join(str(int(k)) for k in bad[0])
        value = float(values[tuple(bad[0])])
        raise DataError(where, f"{field}[{place}]", value, "finite numbers")


def _check_prices(problem: "Problem") -> None:
    """Feeding in must not earn more than drawing costs: flows would have no end."""
    bought, sold = problem.price_import_eur_per_kwh, problem.price_feed_in_eur_per_kwh
    wrong = np.flatnonzero(sold > bought)
    if len(wrong):
        step = int(wrong[0])
        allowed = f"at most the import price, {bought[step]:g}"
        raise DataError(problem.name, f"feed-in price of step {step}", float(sold[step]), allowed)


def _check_sizes(where: str, technology: "Technology") -> None:
    """Refuse sizes and totals that contradict each other."""
    field = f"plan.{technology.name}"
    if technology.sites < 0:
        raise DataError(where, f"{field}.sites", technology.sites, "0 or more")
    if not 0.0 < technology.max_per_site < np.inf:
        allowed = "a positive number"
        raise DataError(where, f"{field}: largest size", technology.max_per_site, allowed)
    if technology.whole:
        for size in (technology.max_per_site, technology.total_min, technology.total_max):
            if np.isfinite(size) and size != np.round(size):
                raise DataError(where, f"{field}: size", size, "a whole number")
    if technology.total_min > technology.total_max:
        allowed = f"at most the largest total, {technology.total_max:g}"
        raise DataError(where, f"{field}: least total", technology.total_min, allowed)
    if technology.total_min > technology.largest_total:
        allowed = f"at most {technology.largest_total:g}, what its sites can hold"
        raise DataError(where, f"{field}: least total", technology.total_min, allowed)
    for name in ("total_min", "capex_eur"):
        if not 0.0 <= getattr(technology, name) < np.inf:
            raise DataError(where, f"{field}: {name}", getattr(technology, name), "0 or more")


def _check_rows(problem: "Problem", technology: "Technology") -> None:
    field, rows = f"plan.{technology.name}.buses", technology.rows
    if len(np.unique(rows)) != len(rows):
        raise DataError(problem.name, field, rows.tolist(), "each bus once")
    if len(rows) and not (rows.min() >= 0 and rows.max() < problem.feeder.n_bus):
        allowed = f"rows from 0 to {problem.feeder.n_bus - 1}"
        raise DataError(problem.name, field, rows.tolist(), allowed)


def _check_storage(problem: "Problem", storage: "Storage") -> None:
    """Series that fit, and energies that can be kept."""
    where, field = problem.name, f"plan.{storage.name}"
    for name in ("charge_kw", "discharge_kw", "demand_kwh"):
        _check_series(where, f"{field}: {name}", getattr(storage, name), (problem.steps,))
    for name in ("e_min_kwh", "e_max_kwh"):
        _check_series(where, f"{field}: {name}", getattr(storage, name), (problem.steps + 1,))
    for name in ("eta_charge", "eta_discharge"):
        if not 0.0 < getattr(storage, name) <= 1.0:
            raise DataError(where, f"{field}: {name}", getattr(storage, name), "above 0, to 1")
    if not 0.0 <= storage.wear_eur_per_kwh < np.inf:
        raise DataError(where, f"{field}: wear", storage.wear_eur_per_kwh, "0 or more")
    low, high = storage.reach(problem.dt_h)
    start = storage.e_start_kwh
    if not start <= high[0] + ROUNDING_KWH or np.any(low > high + ROUNDING_KWH):
        raise DataError(
            where, f"{field}: energy at the start", start, "what can be emptied in time"
        )
    if start < low[0] - ROUNDING_KWH:
        allowed = (
            f"{low[0] - start:.3g} kWh more per unit: charging at full power while plugged in does "
            "not reach what departures and the end of the day ask for"
        )
        raise DataError(where, f"{field}: energy at the start", start, allowed)
