"""Figures of merit of a run, from its recorded series alone.

Every figure whose series are not in the file is None, so any file can be summarised.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from peergrid.results.reader import open_events, open_run
from peergrid.units import SECONDS_PER_HOUR, hours, kw_from_mw

Floats = NDArray[np.float64]
GENERATION = ("PV", "WindTurbine", "Generator", "Battery")
FLEXIBLE_LOADS = ("FlexibleLoad", "Appliance", "Building")
OVERLOAD_TOLERANCE_PCT = 1e-6
BAND_TOLERANCE_PU = 1e-9
ALL_LOADING_PCT = 100.0


class Run:
    """Access to the series of a run: arrays by ``Model.attribute``, None when absent.

    Parameters
    ----------
    data
        What :func:`~peergrid.results.open_run` returned.
    """

    def __init__(self, data: xr.Dataset) -> None:
        self.data = data
        step_s = self.limit("step_s")
        self.step_h = hours(step_s if step_s is not None and step_s > 0 else SECONDS_PER_HOUR)

    def get(self, name: str) -> Floats | None:
        """Values of a variable, shape (time, entity); None without any finite value."""
        if name not in self.data:
            return None
        values = np.asarray(self.data[name].values, dtype=np.float64)
        return values if values.ndim == 2 and np.isfinite(values).any() else None

    def by_step(self, name: str) -> Floats | None:
        """Sum over entities, shape (time,); NaN in steps where nobody said anything."""
        values = self.get(name)
        return None if values is None else _sum_known(values)

    def total(self, name: str) -> float | None:
        """Sum over time and entities."""
        values = self.get(name)
        return None if values is None else float(np.nansum(values))

    def energy_kwh(self, name: str, part: str = "net") -> float | None:
        """Energy of a power in MW: ``net``, or only its ``positive`` or ``negative`` part."""
        values = self.get(name)
        return None if values is None else _energy_kwh(values, self.step_h, part)

    def limit(self, name: str) -> float | None:
        """A number among the root attributes."""
        value = self.data.attrs.get(name)
        return float(value) if isinstance(value, int | float) else None


def summary(source: str | Path | xr.Dataset, events: pd.DataFrame | None = None) -> dict[str, Any]:
    """Figures of a run as plain JSON-ready values; None for what the file cannot tell.

    Parameters
    ----------
    source
        A results file, or what :func:`~peergrid.results.open_run` returned.
    events
        Its events, when ``source`` is a dataset.

    Returns
    -------
    ``status``, ``hours``, counts, energies [kWh], money [EUR], voltages [pu], consistency of the
    records, and ``participants``, a list of one mapping each.
    """
    if not isinstance(source, xr.Dataset):
        events = open_events(source)
        source = open_run(source)
    run = Run(source)
    rows = source.sizes.get("time", 0)
    figures: dict[str, Any] = {
        "status": source.attrs.get("status"),
        "hours": rows * run.step_h,
        **_events_part(events),
        **_money_part(run),
        **_energy_part(run),
        **_grid_part(run),
        **_market_part(run),
        "ev_departures": _count(run.total("EV.departures")),
        "ev_departures_met": _count(run.total("EV.departures_met")),
        "max_power_balance_error_kw": power_balance_error_kw(run),
        "max_bus_balance_error_kw": bus_balance_error_kw(run),
        "payment_imbalance_eur": payment_imbalance_eur(run),
        "participants": participants(run),
    }
    return {name: _plain(value) for name, value in figures.items()}


def _events_part(events: pd.DataFrame | None) -> dict[str, Any]:
    if events is None:
        return {"events": None, "curtailment_events": None}
    curtailed = sum("curtail" in what.lower() for what in events["what"])
    return {"events": len(events), "curtailment_events": curtailed}


def _money_part(run: Run) -> dict[str, Any]:
    return {
        "savings_eur": run.total("Participant.saving[EUR]"),
        "cost_eur": run.total("Participant.cost[EUR]"),
        "retailer_bill_eur": run.total("Market.retailer_bill[EUR]"),
        "network_fees_eur": run.total("Market.network_fees[EUR]"),
        "operator_cost_eur": run.total("Market.operator_cost[EUR]"),
    }


def _energy_part(run: Run) -> dict[str, Any]:
    traded = run.energy_kwh("Market.traded[MW]")
    if traded is None:
        traded = run.energy_kwh("Participant.traded[MW]", "positive")
    return {
        "loss_kwh": run.energy_kwh("Grid.P_loss[MW]"),
        "loss_kvarh": run.energy_kwh("Grid.Q_loss[MVar]"),
        "traded_kwh": traded,
        "import_kwh": run.energy_kwh("ExternalGrid.P[MW]", "positive"),
        "export_kwh": run.energy_kwh("ExternalGrid.P[MW]", "negative"),
        "retail_import_kwh": run.energy_kwh("Participant.import[MW]"),
        "retail_export_kwh": run.energy_kwh("Participant.export[MW]"),
    }


def _grid_part(run: Run) -> dict[str, Any]:
    voltages = run.get("Bus.Vm[pu]")
    converged = run.get("Grid.converged")
    return {
        "vm_min_pu": None if voltages is None else float(np.nanmin(voltages)),
        "vm_max_pu": None if voltages is None else float(np.nanmax(voltages)),
        "voltage_violations": voltage_violations(run),
        "overloads": overloads(run),
        "max_loading_pct": _max_loading(run),
        "nonconverged_hours": None if converged is None else int((converged == 0).sum()),
    }


def _market_part(run: Run) -> dict[str, Any]:
    status = run.get("Market.status")
    failed = None if status is None else int((np.nan_to_num(status) != 0).sum())
    return {
        "unconverged_clearings": failed,
        "envelope_breaches": _count(run.total("Market.breaches")),
        "envelope_breaches_promised": run.total("Market.breaches_promised"),
        "envelope_use": _mean(run.get("Participant.envelope_use")),
        "binding_rows": _count(run.total("Market.binding_rows")),
        "linear_gap_pu": _most(run.get("Market.linear_gap[pu]")),
        "corner_violation_pu": _most(run.get("Market.corner_violation[pu]")),
    }


def _mean(values: Any) -> float | None:
    """Mean of what is known; None where nothing is."""
    if values is None or not np.isfinite(values).any():
        return None
    return float(np.nanmean(values))


def _most(values: Any) -> float | None:
    """Largest of what is known; None where nothing is."""
    if values is None or not np.isfinite(values).any():
        return None
    return float(np.nanmax(values))


def voltage_violations(run: Run) -> int | None:
    """Bus-steps outside the band that the root attributes ``v_min_pu, v_max_pu`` give."""
    voltages = run.get("Bus.Vm[pu]")
    low, high = run.limit("v_min_pu"), run.limit("v_max_pu")
    if voltages is None or (low is None and high is None):
        return None
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    below, above = voltages < low - BAND_TOLERANCE_PU, voltages > high + BAND_TOLERANCE_PU
    return int((below | above).sum())


def overloads(run: Run) -> int | None:
    """Line- and transformer-steps above the root attribute ``max_loading_percent`` (or 100 %)."""
    found = [v for v in map(run.get, ("Line.loading[%]", "Trafo.loading[%]")) if v is not None]
    limit = run.limit("max_loading_percent")
    limit = ALL_LOADING_PCT if limit is None else limit
    return sum(int((v > limit + OVERLOAD_TOLERANCE_PCT).sum()) for v in found) if found else None


def _max_loading(run: Run) -> float | None:
    found = [v for v in map(run.get, ("Line.loading[%]", "Trafo.loading[%]")) if v is not None]
    return max(float(np.nanmax(v)) for v in found) if found else None


def power_balance_error_kw(run: Run) -> float | None:
    """Largest gap between the feeder head and all devices with the losses [kW].

    ``ExternalGrid.P - (sum load - sum generation + Grid.P_loss)`` over the steps in which head
    and losses are known; vehicles count one by one, or by fleet when only fleets were recorded.
    """
    head, losses = run.by_step("ExternalGrid.P[MW]"), run.by_step("Grid.P_loss[MW]")
    loads = run.by_step("Load.P[MW]")
    if head is None or losses is None or loads is None:
        return None
    vehicles = "EV" if run.get("EV.P[MW]") is not None else "EVFleet"
    net = np.nan_to_num(loads)
    for model in (*FLEXIBLE_LOADS, *GENERATION, vehicles):
        power = run.by_step(f"{model}.P[MW]")
        if power is not None:
            sign = 1.0 if model in FLEXIBLE_LOADS else -1.0
            net = net + sign * np.nan_to_num(power)
    return _largest_kw(head - net - losses)


def bus_balance_error_kw(run: Run) -> float | None:
    """Largest gap between the feeder head and the buses with the losses [kW].

    Grids report the power of the slack bus in one of two ways: its load alone (then head = buses
    + losses) or net of what the head supplies (then buses + losses = 0). The one that fits counts.
    """
    head, losses = run.by_step("ExternalGrid.P[MW]"), run.by_step("Grid.P_loss[MW]")
    buses = run.by_step("Bus.P[MW]")
    if head is None or losses is None or buses is None:
        return None
    gaps = (_largest_kw(head - buses - losses), _largest_kw(buses + losses))
    return min((gap for gap in gaps if gap is not None), default=None)


def payment_imbalance_eur(run: Run) -> float | None:
    """Largest gap in any step between what is paid and what is received [EUR].

    Participants and the operator (losses) pay; the retailer and the network (fees) receive.
    """
    paid = run.by_step("Participant.cost[EUR]")
    bill = run.by_step("Market.retailer_bill[EUR]")
    if paid is None or bill is None:
        return None
    gap = paid - bill
    for name, sign in (("Market.operator_cost[EUR]", 1.0), ("Market.network_fees[EUR]", -1.0)):
        other = run.by_step(name)
        if other is not None:
            gap = gap + sign * np.nan_to_num(other)
    return float(np.nanmax(np.abs(gap))) if np.isfinite(gap).any() else None


def participants(run: Run) -> list[dict[str, Any]]:
    """One mapping per participant: id, name, bus, energies [kWh], cost and saving [EUR].

    Names and buses come from the root attribute ``participants``, a JSON list of mappings with
    ``id``, ``name`` and ``bus``. Metered energy is the cleared position plus the imbalance.
    """
    if "Participant" not in run.data.coords:
        return []
    known = _labels(run.data.attrs.get("participants"))
    table = []
    for position, full_id in enumerate(map(str, run.data["Participant"].values)):
        label = known.get(full_id, {})
        cleared = _column(run, "P[MW]", position)
        deviation = _column(run, "imbalance[MW]", position)
        metered = cleared
        if cleared is not None and deviation is not None:
            metered = cleared + np.nan_to_num(deviation)
        traded = _column(run, "traded[MW]", position)
        entry = {
            "id": full_id,
            "name": label.get("name", full_id),
            "bus": label.get("bus"),
            "energy_in_kwh": _energy_or_none(metered, run.step_h, "negative"),
            "energy_out_kwh": _energy_or_none(metered, run.step_h, "positive"),
            "bought_kwh": _energy_or_none(traded, run.step_h, "negative"),
            "sold_kwh": _energy_or_none(traded, run.step_h, "positive"),
            "cost_eur": _sum_or_none(_column(run, "cost[EUR]", position)),
            "saving_eur": _sum_or_none(_column(run, "saving[EUR]", position)),
        }
        table.append({name: _plain(value) for name, value in entry.items()})
    return table


def _labels(text: Any) -> dict[str, Mapping[str, Any]]:
    try:
        entries = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return {}
    if not isinstance(entries, list):
        return {}
    return {str(e.get("id")): e for e in entries if isinstance(e, dict)}


def _column(run: Run, attr: str, position: int) -> Floats | None:
    values = run.get(f"Participant.{attr}")
    if values is None or not np.isfinite(values[:, position]).any():
        return None
    return values[:, position]


def _sum_known(values: Floats) -> Floats:
    """Sum over axis 1; NaN where all are NaN."""
    known = np.isfinite(values).any(axis=1)
    return np.where(known, np.nansum(values, axis=1), np.nan)


def _energy_kwh(p_mw: Floats, step_h: float, part: str) -> float:
    known = np.nan_to_num(p_mw)
    signed = {
        "net": known,
        "positive": np.maximum(known, 0.0),
        "negative": np.maximum(-known, 0.0),
    }[part]
    return float(kw_from_mw(float(signed.sum())) * step_h)


def _energy_or_none(p_mw: Floats | None, step_h: float, part: str) -> float | None:
    return None if p_mw is None else _energy_kwh(p_mw, step_h, part)


def _sum_or_none(values: Floats | None) -> float | None:
    return None if values is None else float(np.nansum(values))


def _largest_kw(gap_mw: Floats) -> float | None:
    known = gap_mw[np.isfinite(gap_mw)]
    return float(kw_from_mw(float(np.abs(known).max()))) if known.size else None


def _count(value: float | None) -> int | None:
    return None if value is None else round(value)


def _plain(value: Any) -> Any:
    """A JSON-ready value: numpy scalars as Python's, numbers that are not finite as None."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
