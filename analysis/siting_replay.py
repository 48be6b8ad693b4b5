"""The run of a plan in the loop, beside the plan."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from siting_plans import Study

from peergrid.errors import DataError
from peergrid.results import open_run, summary
from peergrid.units import kw_from_mw

HEAD = "ExternalGrid.P[MW]"
STORED = ("Battery.E[MWh]", "EVFleet.E[MWh]")
COMPARED = ("import_kwh", "export_kwh", "loss_kwh", "traded_kwh", "vm_min_pu", "vm_max_pu")
COUNTED = ("ev_departures", "ev_departures_met", "envelope_breaches")


def replay_beside(study: Study) -> Path | None:
    """The run of a study's chosen plan where the command leaves it, if it is there."""
    path = study.path.with_name(f"{study.path.stem}_replay{study.path.suffix}")
    return path if path.is_file() else None


def replayed(study: Study, path: Path) -> dict[str, Any]:
    """Figures of the chosen plan beside those of its run.

    Raises
    ------
    DataError
        If the file is no run of the plan's steps.
    """
    run, found = open_run(path), summary(path)
    steps = study.plans.sizes["step"]
    if run.sizes.get("time", 0) != steps or run["time"].values[0] != study.plans["time"].values[0]:
        allowed = f"{steps} from {study.plans['time'].values[0]}, a run of the plan in {study.path}"
        raise DataError(path, "steps", run.sizes.get("time", 0), allowed)
    row = _chosen(study)
    plan = {name: float(study.plans[name].values[row]) for name in COMPARED}
    loading, left = found["max_loading_pct"], study.plans["energy_kwh"].values[row, :, -1]
    names = {"plan": str(study.plans["plan"].values[row]), "file": str(path)}
    return {
        **names,
        "planned": {
            **plan,
            "max_loading": float(study.plans["max_loading"].values[row]),
            "energy_cost_eur": float(study.plans["energy_cost_eur"].values[row]),
            "stored_end_kwh": float(np.nansum(left)),
            **dict.fromkeys(COUNTED),
        },
        "operated": {
            **{name: found[name] for name in (*COMPARED, *COUNTED)},
            "max_loading": None if loading is None else loading / 100.0,
            "energy_cost_eur": _energy_cost_eur(study, run),
            "stored_end_kwh": _stored_end_kwh(run),
        },
    }


def _chosen(study: Study) -> int:
    """Row of the plan whose scenario the command wrote."""
    rows = np.flatnonzero(study.plans["plan"].values == str(study.plans.attrs.get("chosen")))
    if len(rows):
        return int(rows[0])
    if study.best is None:
        raise DataError(study.path, "chosen", None, "a file with a plan that keeps all limits")
    return study.best


def _energy_cost_eur(study: Study, run: xr.Dataset) -> float | None:
    """Cost of what crossed the feeder head, at the plan's prices."""
    if HEAD not in run:
        return None
    head_kw = kw_from_mw(np.asarray(run[HEAD].values, dtype=np.float64).sum(axis=1))
    prices = study.plans["price_import_eur_per_kwh"], study.plans["price_feed_in_eur_per_kwh"]
    bill = (
        np.maximum(head_kw, 0.0) @ prices[0].values - np.maximum(-head_kw, 0.0) @ prices[1].values
    )
    return float(bill * study.dt_h)


def _stored_end_kwh(run: xr.Dataset) -> float:
    """Left in batteries and vehicles."""
    left = (np.nansum(run[name].values[-1]) for name in STORED if name in run)
    return kw_from_mw(float(sum(left)))
