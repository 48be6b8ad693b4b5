"""From a problem to its linear coupling blocks: who trades what with whom, inside which limits."""

import numpy as np
from numpy.typing import NDArray

from peergrid.market.blocks.agreement import EnvelopeAgreement
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.blocks.losses import ChargedLosses
from peergrid.market.blocks.polygon import EnvelopePolygons
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]
LEAST_SIZE_KW = 0.1


def retail_balance(problem: Problem) -> RetailBalance:
    """Balance of each pool."""
    count = len(problem.pool)
    rows, firm = (part[:count] for part in problem.positions)
    of_pool = _of_pool(problem)
    return RetailBalance(
        rows=-of_pool @ rows,
        offset_kw=-of_pool @ firm,
        price_import_eur_per_kwh=problem.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=problem.price_feed_in_eur_per_kwh,
        dt_h=problem.dt_h,
        size_kw=np.maximum(of_pool @ _size(problem)[:count], LEAST_SIZE_KW),
    )


def exchange(problem: Problem) -> Exchange | None:
    """Bilateral trades of active power; None where trades are free."""
    if problem.fee_eur_per_kwh is None:
        return None
    count = len(problem.pool)
    rows, firm = (part[:count] for part in problem.positions)
    return Exchange(
        rows=rows,
        offset_kw=firm,
        fee_eur_per_kwh=problem.fee_eur_per_kwh,
        price_import_eur_per_kwh=problem.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=problem.price_feed_in_eur_per_kwh,
        dt_h=problem.dt_h,
        size_kw=_size(problem)[:count],
    )


def reactive_exchange(problem: Problem) -> RetailBalance | Exchange | None:
    """The same for reactive power; None where it is not traded."""
    trade, count = problem.reactive, len(problem.pool)
    if trade is None:
        return None
    rows, firm = (part[count:] for part in problem.positions)
    size = _size(problem)[count:]
    tariffs = trade.price_import_eur_per_kvarh, trade.price_feed_in_eur_per_kvarh
    if problem.fee_eur_per_kwh is None:
        of_pool = _of_pool(problem)
        return RetailBalance(
            rows=-of_pool @ rows,
            offset_kw=-of_pool @ firm,
            price_import_eur_per_kwh=tariffs[0],
            price_feed_in_eur_per_kwh=tariffs[1],
            dt_h=problem.dt_h,
            size_kw=of_pool @ size,
        )
    return Exchange(
        rows=rows,
        offset_kw=firm,
        fee_eur_per_kwh=trade.fee_share * problem.fee_eur_per_kwh,
        price_import_eur_per_kwh=tariffs[0],
        price_feed_in_eur_per_kwh=tariffs[1],
        dt_h=problem.dt_h,
        size_kw=size,
    )


def envelope_boxes(problem: Problem) -> EnvelopeBoxes:
    """Boxes of the positions that resources move and that have a limit."""
    low, high = problem.box_min_kw, problem.box_max_kw
    if problem.reactive is not None:
        low = np.vstack([low, problem.reactive.box_min_kvar])
        high = np.vstack([high, problem.reactive.box_max_kvar])
    rows, firm = problem.positions
    limited = np.isfinite(low) | np.isfinite(high)
    chosen = (rows != 0.0).any(axis=1) & limited.any(axis=1)
    return EnvelopeBoxes(
        rows=rows[chosen],
        offset_kw=firm[chosen],
        p_min_kw=low[chosen],
        p_max_kw=high[chosen],
        size_kw=_moved(problem)[chosen],
        position=np.flatnonzero(chosen),
    )


def pq_limits(problem: Problem) -> EnvelopePolygons | None:
    """Polygons of the participants whose positions resources move; None without polygons."""
    if problem.polygons is None:
        return None
    count, (rows, firm) = len(problem.pool), problem.positions
    chosen = np.flatnonzero((rows != 0.0).any(axis=1).reshape(2, count).any(axis=0))
    both = np.concatenate([chosen, count + chosen])
    size = _moved(problem).reshape(2, count).max(axis=0)[chosen]
    return EnvelopePolygons(
        rows=rows[both],
        offset_kw=firm[both],
        corners_kw=problem.polygons.p_kw[chosen],
        corners_kvar=problem.polygons.q_kvar[chosen],
        size_kw=np.concatenate([size, size]),
        participant=chosen,
    )


def envelope_agreement(problem: Problem) -> EnvelopeAgreement | None:
    """The operator's side of negotiated envelopes; None where none are negotiated."""
    if problem.agreement is None:
        return None
    count, (rows, firm) = len(problem.pool), problem.positions
    twice = np.concatenate(
        [np.tile(np.arange(first, first + count), 2) for first in range(0, len(rows), count)]
    )
    side = np.tile(np.repeat([1.0, -1.0], count), len(rows) // count)
    return EnvelopeAgreement(
        rows=rows[twice],
        offset_kw=firm[twice],
        sign=side,
        size_kw=_size(problem)[twice],
        position=twice,
        terms=problem.agreement,
    )


def charged_losses(problem: Problem) -> ChargedLosses | None:
    """The charge on losses; None without one."""
    charge = problem.losses
    if charge is None or charge.price_eur_per_kwh == 0.0 or len(charge.rows) == 0:
        return None
    rows, firm = problem.positions
    return ChargedLosses(
        rows=charge.rows @ rows,
        offset_kw=charge.rows @ firm + charge.offset,
        size_kw=np.maximum(np.abs(charge.rows) @ _size(problem), LEAST_SIZE_KW),
        cost_eur_per_kw2h=charge.price_eur_per_kwh * charge.loss_per_kw,
        dt_h=problem.dt_h,
    )


def _of_pool(problem: Problem) -> Floats:
    of_pool = np.zeros((problem.pools, len(problem.pool)))
    of_pool[problem.pool, np.arange(len(problem.pool))] = 1.0
    return of_pool


def _moved(problem: Problem) -> Floats:
    """What the resources may move each position by, ``(X,)``."""
    reach = np.abs(problem.positions[0]) @ problem.agents.row_size_kw
    return np.asarray(np.maximum(reach, LEAST_SIZE_KW))


def _size(problem: Problem) -> Floats:
    """Typical size of each position, ``(X,)``."""
    firm = np.abs(problem.positions[1]).max(axis=1, initial=0.0)
    reach = np.abs(problem.positions[0]) @ problem.agents.row_size_kw
    return np.asarray(np.maximum(reach + firm, LEAST_SIZE_KW))
