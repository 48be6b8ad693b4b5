"""What can be cleared: shapes, limits and prices of a problem."""

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.market.problem import Grid, Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
CONVEX = 1e-6  # how much a polygon may be bent inwards, relative to its squared size


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
    _check_goods(problem, count, steps)
    if problem.grid is not None:
        _check_grid(problem.grid, count, steps)
        if problem.pools > 1:
            allowed = "one pool, not several: the network is cleared for one community"
            raise _refused("pools", problem.pools, allowed)


def _check_goods(problem: Problem, count: int, steps: int) -> None:
    """Refuse fees, reactive trade, agreements and loss charges that do not fit."""
    fee, trade = problem.fee_eur_per_kwh, problem.reactive
    if fee is not None:
        _check_array("fee_eur_per_kwh", fee, (count, count))
        if (fee < 0.0).any():
            raise _refused("fee_eur_per_kwh", float(fee.min()), "0 or more")
        if problem.pools > 1:
            raise _refused("fee_eur_per_kwh", "several pools", "one pool: nobody trades alone")
    if trade is not None:
        _check_array("reactive.firm_kvar", trade.firm_kvar, (count, steps))
        high, low = trade.price_import_eur_per_kvarh, trade.price_feed_in_eur_per_kvarh
        for name, price in (("import", high), ("feed_in", low)):
            _check_array(f"reactive.price_{name}_eur_per_kvarh", price, (steps,))
        if (low > high).any():
            allowed = "at most the import price"
            raise _refused("reactive.price_feed_in_eur_per_kvarh", float(low.max()), allowed)
        for name in ("box_min_kvar", "box_max_kvar"):
            _check_array(f"reactive.{name}", getattr(trade, name), (count, steps), infinite=True)
        if (trade.box_min_kvar > trade.box_max_kvar).any():
            raise _refused("reactive.box_min_kvar", "above box_max_kvar", "at most box_max_kvar")
    if problem.grid is not None and (fee is not None or trade is not None):
        field = "fee_eur_per_kwh" if fee is not None else "reactive"
        raise _refused(field, "with network = ac or branch-flow", "network none to agreement")
    _check_polygons(problem, count, steps)
    sides, places = 2 * len(problem.positions[0]), len(problem.positions[0])
    terms = problem.agreement
    if terms is not None:
        rows = terms.limit.shape[0]
        if terms.demand.shape not in ((steps, rows, sides), (1, rows, sides)):
            raise _refused("agreement.demand", terms.demand.shape, f"({steps}, J, {sides})")
        _check_array("agreement.limit", terms.limit, (rows, steps), infinite=True)
        for name in ("margin", "least", "most"):
            value = getattr(terms, name)
            _check_array(f"agreement.{name}", value, (sides, steps), infinite=name != "margin")
    if problem.losses is not None:
        sections = len(problem.losses.rows)
        _check_array("losses.rows", problem.losses.rows, (sections, places))
        _check_array("losses.offset", problem.losses.offset, (sections, steps))


def _check_polygons(problem: Problem, count: int, steps: int) -> None:
    """Refuse polygons that are not convex, not counter-clockwise, or without reactive trade."""
    limits = problem.polygons
    if limits is None:
        return
    if problem.grid is not None:
        raise _refused("polygons", "with network = ac or branch-flow", "network = envelope")
    if problem.reactive is None:
        raise _refused("polygons", "without reactive trade", "a ReactiveTrade beside them")
    p, q = limits.p_kw, limits.q_kvar
    shape = (count, p.shape[1] if p.ndim == 3 else 0, steps)
    if shape[1] == 0:
        raise _refused("polygons.p_kw", f"shape {p.shape}", f"shape ({count}, K, {steps}), K > 0")
    _check_array("polygons.p_kw", p, shape)
    _check_array("polygons.q_kvar", q, shape)
    along_p, along_q = np.roll(p, -1, axis=1) - p, np.roll(q, -1, axis=1) - q
    size = np.maximum(np.abs(p), np.abs(q)).max(axis=1)
    for k in range(shape[1]):  # every corner on the inner side of every edge
        over = along_p[:, k : k + 1] * (q - q[:, k : k + 1])
        over -= along_q[:, k : k + 1] * (p - p[:, k : k + 1])
        bent = over.min(axis=1) < -CONVEX * size**2
        if bent.any():
            i, t = np.argwhere(bent)[0].tolist()
            corners = np.stack([p[i, :, t], q[i, :, t]], axis=1).tolist()
            raise _refused(f"polygons[{i}, :, {t}]", corners, "convex, counter-clockwise")


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
