"""What was metered in the runs of ``ieee119_case0`` to ``ieee119_case2``, in the study's words.

A run is one scenario of probability 1. Read by ``households.py``, which prints and draws it.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.results import open_run
from peergrid.study.households.clients import CASES
from peergrid.study.households.figures import Figures, client_cost_eur, figures
from peergrid.study.households.flows import Flows
from peergrid.units import hours, kw_from_mw, mw_from_kw

Floats = NDArray[np.float64]
BRANCHES = ((89, 90, 91, 92, 93, 94, 95), (91, 96, 97, 98, 99))
"""Buses from the head along the branch, and along the one that leaves it at bus 91."""
LINES = tuple(f"{a}-{b}" for branch in BRANCHES for a, b in pairwise(branch))
STORES = {"battery": "Battery", "ev": "EV"}
KNOWN_KW = 1e-6  # less is not enough to tell a price from


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """A case as it was metered, of N clients and T steps.

    Parameters
    ----------
    flows
        Energies, prices, loadings, voltages.
    figures
        Costs and trades as the market settled them, all else by the study's definitions.
    formula_eur
        ``(N,)`` what the same meters cost by tariff, mid-market price and fee, each client alone
        with its deviations.
    p2p_price_eur_per_mwh
        ``(T,)``; NaN where nobody traded.
    head_vm_pu
        ``(T,)`` voltage at bus 89.
    kept
        What else was asked for: money, stores, comfort, cycles, departures; None where there are
        none.
    """

    flows: Flows
    figures: Figures
    formula_eur: Floats
    p2p_price_eur_per_mwh: Floats
    head_vm_pu: Floats
    kept: Mapping[str, float | None]


def read_days(paths: Sequence[Path]) -> dict[int, Day]:
    """The days of all cases, from their files in that order.

    Raises
    ------
    DataError
        If a file is not the whole run of its case, or of other hours than the first.
    """
    runs = [checked(path, case) for case, path in zip(CASES, paths, strict=True)]
    for path, run in zip(paths, runs, strict=True):
        for name in ("start", "step_s", "rows"):
            if run.attrs[name] != runs[0].attrs[name]:
                allowed = f"{runs[0].attrs[name]}, as in {paths[0].name}"
                raise DataError(path, name, run.attrs[name], allowed)
    return {case: day_of(run) for case, run in zip(CASES, runs, strict=True)}


def checked(path: Path, case: int) -> xr.Dataset:
    """A results file, if it is the whole run of a case."""
    run = open_run(path)
    wanted = {"name": f"ieee119_case{case}", "status": "complete"}
    for field, value in wanted.items():
        if run.attrs.get(field) != value:
            said = f"{value}: a whole run of scenarios/ieee119_case{case}.toml"
            raise DataError(path, field, run.attrs.get(field), said)
    needed = ("Participant.trade_with[MW]", "Participant.cost[EUR]", "Line.loading[%]")
    for name in needed:
        if name not in run:
            raise DataError(path, name, "missing", "all that a run records by default")
    if run.sizes["Line"] != len(LINES):
        raise DataError(path, "Line", run.sizes["Line"], f"the {len(LINES)} lines of the branch")
    return run


def day_of(run: xr.Dataset) -> Day:
    """A case's day."""
    scenario = json.loads(str(run.attrs["scenario_json"]))
    flows = flows_of_run(run, scenario)
    cost = np.asarray(run["Participant.cost[EUR]"].values.sum(axis=0))
    matrix = flows.dt_h * np.maximum(trades_kw(run), 0.0).sum(axis=2)
    return Day(
        flows=flows,
        figures=settled(flows, cost, matrix),
        formula_eur=client_cost_eur(flows),
        p2p_price_eur_per_mwh=run["Market.p2p_price[EUR/MWh]"].values[:, 0],
        head_vm_pu=run["Bus.Vm[pu]"].values[:, 0],
        kept={**_money(run, flows), **_stores(run, scenario, flows), **_needs(run, scenario)},
    )


def flows_of_run(run: xr.Dataset, scenario: Mapping[str, Any]) -> Flows:
    """What flowed, as metered: trade with the retailer includes deviations from the plan."""
    retail = {part: _kw(run, f"Participant.{part}[MW]") for part in ("import", "export")}
    trades = trades_kw(run)
    high, low = prices_eur_per_kwh(run)
    two_way = [_by_client(run, scenario, *each) for each in STORES.items()]
    stores = sum((power for power, _ in two_way), np.zeros_like(retail["import"]))
    taken = sum((into for _, into in two_way), np.zeros_like(stores))
    traded_kw = float(np.maximum(trades, 0.0).sum())
    fees = float(run["Market.network_fees[EUR]"].values.sum())
    step_h = hours(float(run.attrs["step_s"]))
    return Flows(
        names=tuple(p["name"] for p in json.loads(run.attrs["participants"])),
        lines=LINES,
        buses=tuple(str(full_id).rpartition("-")[2] for full_id in run["Bus"].values[1:]),
        may_sell=np.array([p["may_sell"] for p in scenario["participant"]], dtype=bool),
        probability=np.ones(1),
        dt_h=step_h,
        hour_of_day=_hour_of_day(run),
        buy_kw=retail["import"][:, None],
        sell_kw=retail["export"][:, None],
        buy_local_kw=np.maximum(-trades, 0.0).sum(axis=1)[:, None],
        sell_local_kw=np.maximum(trades, 0.0).sum(axis=1)[:, None],
        pv_kw=_by_client(run, scenario, "pv", "PV")[0][:, None],
        storage_out_kw=stores[:, None],
        storage_in_kw=taken[:, None],
        loading=run["Line.loading[%]"].values.T[:, None] / 100.0,
        vm_pu=run["Bus.Vm[pu]"].values.T[1:, None],
        price_import_eur_per_kwh=high[None],
        price_feed_in_eur_per_kwh=low[None],
        fee_eur_per_kwh=fees / (step_h * traded_kw) if traded_kw > 0.0 else 0.0,
    )


def trades_kw(run: xr.Dataset) -> Floats:
    """Sold by each client to each other, bought negative, ``(N, N, T)``."""
    found = kw_from_mw(run["Participant.trade_with[MW]"].values)
    return np.asarray(np.nan_to_num(found).transpose(1, 2, 0))


def prices_eur_per_kwh(run: xr.Dataset) -> tuple[Floats, Floats]:
    """The retailer's prices of energy bought and fed in, ``(T,)``, as settled.

    What a client paid and saved is what it had paid alone, for what it drew. A price that is not
    seen so follows from the other and that between neighbours, their mean; or nobody paid it: 0.
    """
    drawn = _kw(run, "Participant.import[MW]") - _kw(run, "Participant.export[MW]")
    drawn = drawn - _kw(run, "Participant.traded[MW]")
    alone = (run["Participant.cost[EUR]"] + run["Participant.saving[EUR]"]).values.T
    step_h = hours(float(run.attrs["step_s"]))
    seen = []
    for who in (drawn > KNOWN_KW, drawn < -KNOWN_KW):
        energy, paid = (np.where(who, of, 0.0).sum(axis=0) for of in (step_h * drawn, alone))
        nothing = np.full(energy.shape, np.nan)
        seen.append(np.divide(paid, energy, out=nothing, where=energy != 0.0))
    high, low = seen
    middle = mw_from_kw(run["Market.p2p_price[EUR/MWh]"].values[:, 0])
    first, second = (
        np.where(np.isfinite(one), one, 2.0 * middle - other)
        for one, other in ((high, low), (low, high))
    )
    return np.nan_to_num(first), np.nan_to_num(second)


def settled(flows: Flows, cost_eur: Floats, matrix_kwh: Floats) -> Figures:
    """The study's figures with costs ``(N,)`` and trades ``(N, N)`` as the market settled them."""
    with warnings.catch_warnings():  # hours that are not in the run have no mean: NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        found = figures(flows)
    used, sells = found.client_consumption_kwh, flows.may_sell

    def per_kwh(who: NDArray[np.bool_]) -> float:
        return float(cost_eur[who].sum() / used[who].sum()) if who.any() else np.nan

    return replace(
        found,
        cost_eur=float(cost_eur.sum()),
        client_cost_eur=cost_eur,
        unit_cost_eur_per_kwh=per_kwh(np.ones_like(sells)),
        unit_cost_prosumers_eur_per_kwh=per_kwh(sells),
        unit_cost_consumers_eur_per_kwh=per_kwh(~sells),
        trade_matrix_kwh=matrix_kwh,
    )


# -- what else was asked for ---------------------------------------------------------------------


def _money(run: xr.Dataset, flows: Flows) -> dict[str, float | None]:
    """Who else pays, what the formula differs by, and whether payments add up [EUR]."""
    names = {
        "retailer_eur": "Market.retailer_bill[EUR]",
        "fees_eur": "Market.network_fees[EUR]",
        "operator_eur": "Market.operator_cost[EUR]",
    }
    found = {key: float(run[name].values.sum()) for key, name in names.items()}
    cost = float(run["Participant.cost[EUR]"].values.sum())
    off = cost + found["operator_eur"] - found["retailer_eur"] - found["fees_eur"]
    formula = float(client_cost_eur(flows).sum())
    return {**found, "off_eur": off, "formula_eur": formula, "formula_off_eur": formula - cost}


def _stores(run: xr.Dataset, scenario: Mapping[str, Any], flows: Flows) -> dict[str, float | None]:
    """Energy in batteries and vehicles before and after, and what refilling costs at least.

    At the lowest price of the run; negative where they ended fuller.
    """
    names = ("stored_first_kwh", "stored_last_kwh", "refill_kwh", "refill_eur")
    first, last, refill = 0.0, 0.0, 0.0
    for part, model in STORES.items():
        if f"{model}.E[MWh]" not in run:
            continue
        energy, power = (_kw(run, f"{model}.{name}") for name in ("E[MWh]", "P[MW]"))
        up, down = (_each(scenario, part, f"eta_{way}") for way in ("charge", "discharge"))
        begin = power[:, 0] * flows.dt_h
        begin = energy[:, 0] + np.where(begin > 0.0, begin / down, begin * up)
        first, last = first + float(begin.sum()), last + float(energy[:, -1].sum())
        refill += float(((begin - energy[:, -1]) / up).sum())
    if not any(f"{model}.E[MWh]" in run for model in STORES.values()):
        return dict.fromkeys(names)
    price = float(flows.price_import_eur_per_kwh.min())
    return dict(zip(names, (first, last, refill, refill * price), strict=True))


def _needs(run: xr.Dataset, scenario: Mapping[str, Any]) -> dict[str, float | None]:
    """Temperatures, comfort, cycles and departures."""
    names: tuple[str, ...] = (
        "t_in_min_c",
        "t_in_max_c",
        "t_band_min_c",
        "t_band_max_c",
        "discomfort_kh",
    )
    names += ("cycles_due", "cycles_done", "cycles_not_begun", "departures", "departures_met")
    found: dict[str, float | None] = dict.fromkeys(names)
    if "Building.T_in[C]" in run:
        inside = run["Building.T_in[C]"].values
        found["t_in_min_c"], found["t_in_max_c"] = float(inside.min()), float(inside.max())
        found["t_band_min_c"] = float(_each(scenario, "building", "theta_min_c").min())
        found["t_band_max_c"] = float(_each(scenario, "building", "theta_max_c").max())
        found["discomfort_kh"] = float(run["Building.discomfort[Kh]"].values.sum())
    if "Appliance.P[MW]" in run:
        whole = _each(scenario, "appliance", "homes") * _cycle_kwh(scenario)
        used = hours(float(run.attrs["step_s"])) * _kw(run, "Appliance.P[MW]").sum(axis=1)
        found["cycles_due"] = float(_each(scenario, "appliance", "cycles_per_day").sum())
        found["cycles_done"] = float(np.floor(used / whole + 1e-6).sum())
        found["cycles_not_begun"] = float(run["Appliance.cycles_left"].values[-1].sum())
    if "EV.departures" in run:
        for name in ("departures", "departures_met"):
            found[name] = float(run[f"EV.{name}"].values.sum())
    return found


# -- arrays --------------------------------------------------------------------------------------


def _kw(run: xr.Dataset, name: str) -> Floats:
    """An attribute in kW or kWh, ``(entity, T)``."""
    return np.asarray(kw_from_mw(run[name].values).T)


def _places(scenario: Mapping[str, Any], part: str) -> list[tuple[Mapping[str, Any], int]]:
    """Table and row of each device of a part, in the order of the file.

    The second device of a kind at a bus lives in a second simulator.
    """
    found = [(table, k) for table in scenario.get(part, []) for k in range(len(table["buses"]))]
    buses = [table["buses"][k] for table, k in found]
    layer = [buses[:at].count(bus) for at, bus in enumerate(buses)]
    return [found[at] for at in sorted(range(len(found)), key=lambda at: layer[at])]


def _each(scenario: Mapping[str, Any], part: str, key: str) -> Floats:
    """A parameter of each device of a part."""
    found = ((table[key], k) for table, k in _places(scenario, part))
    return np.array([v[k] if isinstance(v, list) else v for v, k in found], dtype=float)


def _cycle_kwh(scenario: Mapping[str, Any]) -> Floats:
    """Energy of one home's cycle, of each appliance."""
    phases = np.array([sum(table["phases_kw"]) for table, _ in _places(scenario, "appliance")])
    return phases * _each(scenario, "appliance", "phase_min") / 60.0


def _by_client(
    run: xr.Dataset, scenario: Mapping[str, Any], part: str, model: str
) -> tuple[Floats, Floats]:
    """Given and taken by a part's devices, by client, ``(N, T)`` [kW]."""
    buses = [p["bus"] for p in json.loads(run.attrs["participants"])]
    given, taken = (np.zeros((len(buses), run.sizes["time"])) for _ in range(2))
    if f"{model}.P[MW]" in run:
        power = _kw(run, f"{model}.P[MW]")
        owner = [buses.index(table["buses"][k]) for table, k in _places(scenario, part)]
        np.add.at(given, owner, np.maximum(power, 0.0))
        np.add.at(taken, owner, np.maximum(-power, 0.0))
    return given, taken


def _hour_of_day(run: xr.Dataset) -> Floats:
    """Local hour at which each row begins, ``(T,)``."""
    index = pd.DatetimeIndex(run["time"].values).tz_localize("UTC")
    local = index.tz_convert(str(run.attrs["timezone"]))
    return np.asarray(local.hour + local.minute / 60.0, dtype=np.float64)
