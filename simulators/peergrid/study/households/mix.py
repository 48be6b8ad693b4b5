"""Where energy comes from, and who trades it with whom.

The rule: in every step and scenario, each household's sources (retailer, neighbours, PV, storage)
go to all its uses (own use, charging, sales) pro rata; and each seller's sales go to all buyers pro
rata to what they buy. Which kilowatt-hour went where has no cost and no meaning in physics, so
another rule would be as good; this one needs no order of preference, and shares add up to 1.
"""

import numpy as np
from numpy.typing import NDArray

from peergrid.study.households.flows import Flows

Floats = NDArray[np.float64]
SOURCES = ("grid", "pv", "storage", "p2p")
SALES_EVENING_H = (15.0, 24.0)
"""Hours of the larger of the two published periods of trade."""


def sources_kw(flows: Flows) -> Floats:
    """What each household draws from each of ``SOURCES``, ``(4, N, S, T)``."""
    found = (flows.buy_kw, flows.pv_kw, flows.storage_out_kw, flows.buy_local_kw)
    return np.maximum(np.stack(found), 0.0)


def attributed_kwh(flows: Flows, use_kw: Floats) -> Floats:
    """Energy of a use ``(N, S, T)`` by its source, ``(4, N)``: pro rata in each step."""
    sources = sources_kw(flows)
    share = ratio(use_kw, sources.sum(axis=0))
    return flows.energy_kwh(sources * share)


def mix_of_clients(flows: Flows) -> Floats:
    """Shares of the sources in what each household uses itself, ``(4, N)``.

    What charges a storage counts when it comes out again; trips and losses of storages do not
    count.
    """
    used = attributed_kwh(flows, flows.used_kw)
    return ratio(used, used.sum(axis=0))


def mix(flows: Flows) -> dict[str, float]:
    """The same for all households together."""
    return _shares(attributed_kwh(flows, flows.used_kw))


def charged_from(flows: Flows) -> dict[str, float]:
    """Shares of the sources in what charges storages."""
    return _shares(attributed_kwh(flows, flows.storage_in_kw))


def sold_from(flows: Flows) -> dict[str, float]:
    """Shares of the sources in what is sold to neighbours in the evening, 15 to 24 h."""
    evening = flows.hours(*SALES_EVENING_H)
    return _shares(attributed_kwh(flows, flows.paired[0] * evening))


def trade_matrix_kwh(flows: Flows) -> Floats:
    """Expected energy from seller (row) to buyer (column), ``(N, N)``: pro rata in each step."""
    sold, bought = flows.paired
    weight = flows.dt_h * flows.probability[:, None] * np.ones(sold.shape[1:])
    per_kwh = ratio(weight, sold.sum(axis=0))
    return np.asarray(np.einsum("ist,jst,st->ij", sold, bought, per_kwh))


def ratio(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, 0 where there is no whole."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    return np.asarray(np.divide(part, whole, out=np.zeros(shape), where=whole > 0.0))


def _shares(by_source_kwh: Floats) -> dict[str, float]:
    """Shares of the sources of ``(4, N)`` energies; NaN of nothing."""
    total = by_source_kwh.sum()
    found = by_source_kwh.sum(axis=1) / total if total > 0.0 else np.full(len(SOURCES), np.nan)
    return dict(zip(SOURCES, map(float, found), strict=True))
