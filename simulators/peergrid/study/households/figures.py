"""The figures of a day of households: pure arrays in, figures out."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.study.households.flows import Flows
from peergrid.study.households.mix import (
    charged_from,
    mix,
    mix_of_clients,
    sold_from,
    trade_matrix_kwh,
)

Floats = NDArray[np.float64]
EVENING_H = (18.0, 22.0)
NOON_TRADES_H, EVENING_TRADES_H = (8.0, 14.0), (15.0, 24.0)
OVERLOADED = 1.001
"""A line above this is overloaded: a plan fills lines to their rating, and rounds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Figures:
    """What came of a day of N households, L lines, B buses and T steps, expected over scenarios.

    NaN says that there is nothing to measure.

    Parameters
    ----------
    names, lines, buses
        What rows stand for.
    probability
        ``(S,)`` of the scenarios.
    cost_eur
        Paid to the retailer and for the use of the network; no wear, no penalties.
    client_cost_eur
        ``(N,)``: retailer, trades at the middle of the retailer's two prices, half of the fee on
        either side. Adds up to ``cost_eur``.
    consumption_kwh, client_consumption_kwh
        Net import and PV used, so what storages lose and vehicles use on trips is in it.
    unit_cost_eur_per_kwh
        Cost over consumption; also of all who may sell (prosumers) and of all who may not.
    mix, client_mix
        Shares of ``grid`` (directly), ``pv``, ``storage``, ``p2p`` in what is used, overall and
        ``(4, N)``; by the rule of :mod:`peergrid.study.households.mix`.
    charged_from
        The same shares in what charges storages.
    sold_from_evening
        The same shares in what neighbours are sold from 15 to 24 h.
    p2p_share
        Bought from neighbours, of the consumption.
    trade_matrix_kwh
        ``(N, N)`` from seller (row) to buyer (column).
    bought_kw, sold_kw
        ``(N, T)`` from and to neighbours.
    p2p_noon_peak_h, p2p_evening_peak_h
        Beginning of the step with most trade, from 8 to 14 h and from 15 to 24 h.
    loading_peak
        ``(L,)`` highest expected loading of the day.
    overloads
        Lines whose ``loading_peak`` is above 1.001.
    line_factor_peak, line_factor_evening, line_factor_mean
        Mean over lines of ``loading_peak``; of the loading over 18 to 22 h; over the day.
    deviation_peak_pu, deviation_evening_pu, deviation_mean_pu
        Mean over buses of the largest expected ``|1 - V|`` of the day; of that over 18 to 22 h;
        over the day.
    vm_min_pu
        ``(B,)`` lowest expected voltage of the day.
    gap, bound_eur, linear_gap_pu
        Of a plan: proven gap, what no plan costs less than (penalties and wear included), and how
        far linear and exact voltages are apart at most.
    """

    names: tuple[str, ...]
    lines: tuple[str, ...]
    buses: tuple[str, ...]
    probability: Floats
    cost_eur: float
    client_cost_eur: Floats
    consumption_kwh: float
    client_consumption_kwh: Floats
    unit_cost_eur_per_kwh: float
    unit_cost_prosumers_eur_per_kwh: float
    unit_cost_consumers_eur_per_kwh: float
    mix: dict[str, float]
    client_mix: Floats
    charged_from: dict[str, float]
    sold_from_evening: dict[str, float]
    p2p_share: float
    trade_matrix_kwh: Floats
    bought_kw: Floats
    sold_kw: Floats
    p2p_noon_peak_h: float
    p2p_evening_peak_h: float
    loading_peak: Floats
    overloads: int
    line_factor_peak: float
    line_factor_evening: float
    line_factor_mean: float
    deviation_peak_pu: float
    deviation_evening_pu: float
    deviation_mean_pu: float
    vm_min_pu: Floats
    gap: float = float("nan")
    bound_eur: float = float("nan")
    linear_gap_pu: float = float("nan")

    @property
    def prosumers_against_consumers(self) -> float:
        """Cost per kWh of prosumers over that of consumers; NaN where there are none."""
        return self.unit_cost_prosumers_eur_per_kwh / self.unit_cost_consumers_eur_per_kwh

    def sold_share(self, name: str) -> float:
        """Share of one household, with its parts "name.1", "name.2" in all sales to neighbours."""
        sold = self.trade_matrix_kwh.sum(axis=1)
        own = [client.split(".")[0] == name for client in self.names]
        return float(sold[own].sum() / sold.sum()) if sold.sum() > 0.0 else np.nan

    def to_dict(self) -> dict[str, Any]:
        """In the words of JSON: lists, and None for what is not there."""
        return {one.name: plain(getattr(self, one.name)) for one in fields(self)}


def figures(flows: Flows) -> Figures:
    """All figures of a day."""
    cost, consumption = client_cost_eur(flows), flows.energy_kwh(flows.consumption_kw)
    sells = flows.may_sell
    sold, bought = flows.paired
    traded = flows.expected(bought).sum(axis=0)
    return Figures(
        names=flows.names,
        lines=flows.lines,
        buses=flows.buses,
        probability=flows.probability,
        cost_eur=float(cost.sum()),
        client_cost_eur=cost,
        consumption_kwh=float(consumption.sum()),
        client_consumption_kwh=consumption,
        unit_cost_eur_per_kwh=_over(cost.sum(), consumption.sum()),
        unit_cost_prosumers_eur_per_kwh=_over(cost[sells].sum(), consumption[sells].sum()),
        unit_cost_consumers_eur_per_kwh=_over(cost[~sells].sum(), consumption[~sells].sum()),
        mix=mix(flows),
        client_mix=mix_of_clients(flows),
        charged_from=charged_from(flows),
        sold_from_evening=sold_from(flows),
        p2p_share=_over(flows.energy_kwh(bought).sum(), consumption.sum()),
        trade_matrix_kwh=trade_matrix_kwh(flows),
        bought_kw=flows.expected(bought),
        sold_kw=flows.expected(sold),
        p2p_noon_peak_h=_peak_hour(flows, traded, NOON_TRADES_H),
        p2p_evening_peak_h=_peak_hour(flows, traded, EVENING_TRADES_H),
        **_of_network(flows),
    )


def client_cost_eur(flows: Flows) -> Floats:
    """What each household pays, ``(N,)``: retailer, trades at mid-market price, half of the fee."""
    retail = flows.buy_kw * flows.price_import_eur_per_kwh
    retail = retail - flows.sell_kw * flows.price_feed_in_eur_per_kwh
    sold, bought = flows.paired
    middle = (flows.price_import_eur_per_kwh + flows.price_feed_in_eur_per_kwh) / 2.0
    fees = flows.fee_eur_per_kwh / 2.0 * (bought + sold)
    return flows.energy_kwh(retail + middle * (bought - sold) + fees)


def plain(value: Any) -> Any:
    """A value in the words of JSON, which knows no NaN."""
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, np.bool_ | bool):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value


def _of_network(flows: Flows) -> dict[str, Any]:
    """The figures of lines and buses."""
    loading, evening = flows.expected(flows.loading), flows.hours(*EVENING_H)
    deviation = flows.expected(np.abs(1.0 - flows.vm_pu))
    peak = loading.max(axis=1)
    return {
        "loading_peak": peak,
        "overloads": int(np.sum(peak > OVERLOADED)),
        "line_factor_peak": float(peak.mean()),
        "line_factor_evening": float(loading[:, evening].mean()),
        "line_factor_mean": float(loading.mean()),
        "deviation_peak_pu": float(deviation.max(axis=1).mean()),
        "deviation_evening_pu": float(deviation[:, evening].mean()),
        "deviation_mean_pu": float(deviation.mean()),
        "vm_min_pu": flows.expected(flows.vm_pu).min(axis=1),
    }


def _peak_hour(flows: Flows, traded_kw: Floats, hours: tuple[float, float]) -> float:
    """Hour at which most is traded in a part of the day; NaN where nothing is."""
    inside = np.where(flows.hours(*hours), traded_kw, 0.0)
    best = int(np.argmax(inside))
    return float(flows.hour_of_day[best]) if inside[best] > 0.0 else np.nan


def _over(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0.0 else float("nan")
