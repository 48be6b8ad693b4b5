"""What can be cleared: shapes, limits and prices of a problem."""

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.market.problem import Grid, Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def check(problem: Problem) -> None:
    """Refuse what cannot be cleared: wash trading, shapes that do not fit, nobody there.

    Raises
    ------
    DataError
        Naming the field, its value and what is allowed.
    """
    if len(problem.pool) == 0:
        raise _refused("participants", 0, "at least one")
    count, steps = len(problem.pool), problem.firm_kw.shape[-1]
    if steps == 0:
        raise _refused("steps", 0, "at least one")
    _check_rows("pool", problem.pool, count, count)
    resources = len(problem.agents.is_foldable)
    _check_rows("owner", problem.owner, resources, count)
    _check_array("agents", problem.agents.reference_kw()[:resources], (resources, steps))
    for name in ("price_import_eur_per_kwh", "price_feed_in_eur_per_kwh"):
        price = getattr(problem, name)
        if price.shape != (steps,) or not np.isfinite(price).all():
            raise _refused(name, price, f"{steps} finite numbers")
    wash = problem.price_feed_in_eur_per_kwh > problem.price_import_eur_per_kwh
    if wash.any():
        t = int(np.argmax(wash))
        value = float(problem.price_feed_in_eur_per_kwh[t])
        most = float(problem.price_import_eur_per_kwh[t])
        allowed = f"at most the import price {most:g}, or buying in order to sell would pay"
        raise _refused(f"price_feed_in_eur_per_kwh[{t}]", value, allowed)
    _check_array("firm_kw", problem.firm_kw, (count, steps))
    low, high = problem.box_min_kw, problem.box_max_kw
    for name, box in (("box_min_kw", low), ("box_max_kw", high)):
        _check_array(name, box, (count, steps), infinite=True)
    if (low > high).any():
        i, t = np.argwhere(low > high)[0]
        allowed = f"at most box_max_kw[{i}, {t}] = {high[i, t]:g}"
        raise _refused(f"box_min_kw[{i}, {t}]", float(low[i, t]), allowed)
    if problem.grid is not None:
        _check_grid(problem.grid, count, steps)
        if problem.pools > 1:
            allowed = "one pool, not several: the network is cleared for one community"
            raise _refused("pools", problem.pools, allowed)


def _check_grid(grid: Grid, count: int, steps: int) -> None:
    """Refuse a grid that does not fit its feeder or the participants, and impossible limits."""
    buses = grid.feeder.n_bus
    _check_rows("grid.at", grid.at, count, buses)
    _check_array("grid.firm_kvar", grid.firm_kvar, (count, steps))
    for name in ("background_kw", "background_kvar"):
        _check_array(f"grid.{name}", getattr(grid, name), (buses, steps))
    limits = {"v_min_pu": (buses, steps), "v_max_pu": (buses, steps), "loading": (buses,)}
    for name, shape in limits.items():
        value = getattr(grid, name)
        if value is None:
            continue
        try:
            fits = bool((np.broadcast_to(value, shape) > 0.0).all())
        except ValueError:
            fits = False
        if not fits:
            raise _refused(f"grid.{name}", value, f"above 0, one number or shape {shape}")
    if np.any(np.asarray(grid.v_min_pu) > grid.v_max_pu):
        raise _refused("grid.v_min_pu", grid.v_min_pu, "at most grid.v_max_pu")


def _check_rows(name: str, rows: Indices, count: int, end: int) -> None:
    good = np.issubdtype(rows.dtype, np.integer) and rows.shape == (count,)
    if not good or (rows < 0).any() or (rows >= end).any():
        raise _refused(name, rows, f"{count} whole numbers from 0 to {end - 1}")


def _check_array(
    name: str, value: Floats, shape: tuple[int, ...], *, infinite: bool = False
) -> None:
    if value.shape != shape:
        raise _refused(name, f"shape {value.shape}", f"shape {shape}")
    if np.isnan(value).any() or not (infinite or np.isfinite(value).all()):
        raise _refused(name, "NaN or infinite", "no NaN" if infinite else "finite numbers")


def _refused(field: str, value: object, allowed: str) -> DataError:
    return DataError("market", field, value, allowed)
