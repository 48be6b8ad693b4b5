"""Plans of sites, sizes and operation: an HDF5 file, its writer and its reader.

::

    /                 root attributes: peergrid_schema, name, start, step_s, objective, ...
    /Labels/<name>    texts along a dimension: plan, method, variant, technology, unit
    /Values/<name>    numbers, in the dimensions and units of VARIABLES
    /Texts/<name>     root attributes too long for an HDF5 attribute

The first plan is ``base``, the day without any. Powers are constant over each step; positive is
what feeds in, or what is drawn, as the name says.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.results.layout import SCHEMA_ATTR
from peergrid.results.safety import MOST_BYTES, claimed_bytes, is_numeric, opened
from peergrid.results.storage import SafeFile
from peergrid.results.tables import read_root, write_root

PLANS_SCHEMA = "plans 1"
BASE = "base"
NO_SEED = -1
LABELS, VALUES = "Labels", "Values"
MOST_SECONDS = 1e9
FIRST_YEAR, LAST_YEAR = 1700, 2200


class Variable(NamedTuple):
    """Dimensions, unit and meaning; the unit None is that of the objective."""

    dims: tuple[str, ...]
    unit: str | None
    meaning: str


_PLAN, _STEP = ("plan",), ("plan", "step")
_TECHNOLOGY = ("plan", "technology", "step")
LABEL_DIMS: Mapping[str, str] = {
    "plan": "plan",
    "method": "plan",
    "variant": "plan",
    "technology": "technology",
    "unit": "technology",
}
COORDS = ("seed", "bus")
VARIABLES: Mapping[str, Variable] = {
    "seed": Variable(_PLAN, "", "of a search; -1: none"),
    "score": Variable(_PLAN, None, "objective, minimised: cost, or minus what is traded"),
    "searched_score": Variable(
        _PLAN, None, "what a search found by itself, before sizes and powers were polished"
    ),
    "bound": Variable(_PLAN, None, "no plan has a lower score; NaN: not proven"),
    "gap": Variable(_PLAN, "1", "proven distance from the best score"),
    "budget": Variable(_PLAN, "", "evaluations allowed to a search, seconds to the programme"),
    "used": Variable(_PLAN, "", "evaluations, or programmes solved"),
    "seconds": Variable(_PLAN, "s", "wall time"),
    "cost_eur": Variable(_PLAN, "EUR", "energy, owning and wear"),
    "energy_cost_eur": Variable(_PLAN, "EUR", "import less export"),
    "owning_cost_eur": Variable(_PLAN, "EUR", "share of investment and upkeep, less revenue"),
    "wear_cost_eur": Variable(_PLAN, "EUR", "wear of storages"),
    "capex_eur": Variable(_PLAN, "EUR", "investment"),
    "traded_kwh": Variable(_PLAN, "kWh", "traded inside the community"),
    "import_kwh": Variable(_PLAN, "kWh", "drawn at the feeder head"),
    "export_kwh": Variable(_PLAN, "kWh", "fed back at the feeder head"),
    "loss_kwh": Variable(_PLAN, "kWh", "active losses"),
    "vm_min_pu": Variable(_PLAN, "pu", "lowest voltage of all steps"),
    "vm_max_pu": Variable(_PLAN, "pu", "highest voltage of all steps"),
    "max_loading": Variable(_PLAN, "1", "highest loading of all steps"),
    "ac_clean": Variable(_PLAN, "1", "whether pandapower finds all limits kept"),
    "ac_converged": Variable(_PLAN, "1", "whether pandapower solves all steps"),
    "ac_vm_min_pu": Variable(_PLAN, "pu", "lowest voltage by pandapower, the root left out"),
    "ac_vm_max_pu": Variable(_PLAN, "pu", "highest voltage by pandapower, the root left out"),
    "ac_max_loading": Variable(_PLAN, "1", "highest loading by pandapower"),
    "ac_loss_kwh": Variable(_PLAN, "kWh", "active losses by pandapower"),
    "ac_violation_pu": Variable(_PLAN, "pu", "largest excess of a voltage [pu] or loading [1]"),
    "ac_max_v_error_pu": Variable(_PLAN, "pu", "distance of our voltages from pandapower's"),
    "import_kw": Variable(_STEP, "kW", "drawn at the feeder head"),
    "export_kw": Variable(_STEP, "kW", "fed back at the feeder head"),
    "loss_kw": Variable(_STEP, "kW", "active losses"),
    "traded_kw": Variable(_STEP, "kW", "traded inside the community"),
    "vm_low_pu": Variable(_STEP, "pu", "lowest voltage"),
    "vm_high_pu": Variable(_STEP, "pu", "highest voltage"),
    "loading": Variable(_STEP, "1", "highest loading"),
    "contribution_kw": Variable(_TECHNOLOGY, "kW", "contributed to what is traded"),
    "generation_kw": Variable(_TECHNOLOGY, "kW", "fed in, discharging included"),
    "charging_kw": Variable(_TECHNOLOGY, "kW", "drawn by storages"),
    "energy_kwh": Variable(("plan", "technology", "instant"), "kWh", "in storages, before a step"),
    "vm_pu": Variable(("plan", "bus", "step"), "pu", "voltage"),
    "size": Variable(("plan", "technology", "bus"), "", "built, in the technology's unit"),
    "power_kw": Variable(("plan", "technology", "bus", "step"), "kW", "injected at each bus"),
    "trace_effort": Variable(("plan", "trace"), "", "evaluations, or seconds; NaN at the end"),
    "trace_score": Variable(("plan", "trace"), None, "best score so far; NaN at the end"),
    "bus": Variable(("bus",), "", "label of the bus"),
    "parent": Variable(("bus",), "", "row of the bus that feeds it; -1: the root"),
    "load_kw": Variable(("bus", "step"), "kW", "drawn without a plan"),
    "load_kvar": Variable(("bus", "step"), "kvar", "reactive, drawn without a plan"),
    "price_import_eur_per_kwh": Variable(("step",), "EUR/kWh", "of energy drawn"),
    "price_feed_in_eur_per_kwh": Variable(("step",), "EUR/kWh", "of energy fed back"),
    "capex_eur_per_unit": Variable(("technology",), "EUR", "investment per unit of size"),
}
_TRACE = ("trace_effort", "trace_score")


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanRecord:
    """A plan, or the day without one.

    Parameters
    ----------
    label
        What it is called; ``base`` is the day without a plan.
    method, variant, seed
        How it was found.
    values
        By name of the variable, those whose first dimension is ``plan``, that dimension left out;
        None and what is left out count as unknown.
    trace
        Effort so far and best score.
    """

    label: str
    method: str
    variant: str = ""
    seed: int | None = None
    values: Mapping[str, Any]
    trace: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanContent:
    """What a file of plans holds.

    Parameters
    ----------
    name, network, objective
        Of the case.
    start, step_s
        Start of the first step, ISO with offset, and length of a step [s].
    technologies, units
        Name, and unit of the size, of what can be built.
    values
        By name of the variable, those that are the same for all plans.
    records
        The plans, ``base`` first.
    attrs
        More root attributes: limits, the scenario's text, versions, the chosen plan.
    """

    name: str
    network: str
    objective: str
    start: str
    step_s: float
    technologies: Sequence[str]
    units: Sequence[str]
    values: Mapping[str, Any]
    records: Sequence[PlanRecord]
    attrs: Mapping[str, Any] = field(default_factory=dict)


def write_plans(path: str | Path, content: PlanContent) -> None:
    """Write a file of plans, whole or not at all; one that exists is replaced.

    Raises
    ------
    DataError
        If there is no place to write, or the content contradicts itself.
    """
    labels, values = _labels_of(content), _values_of(path, content)
    store = SafeFile(path, new=True)
    try:
        for name, value in _root_of(content).items():
            write_root(store.file, name, value)
        for name, texts in labels.items():
            store.file[f"{LABELS}/{name}"] = np.array([t.encode() for t in texts] or [], dtype="S")
        for name, array in values.items():
            store.file[f"{VALUES}/{name}"] = array
        store.close()
    except OSError as error:
        raise DataError(path, "file", str(error), "a place to write an HDF5 file") from error
    finally:
        store.abandon()


def open_plans(path: str | Path, *, max_bytes: int = MOST_BYTES) -> xr.Dataset:
    """Read a file of plans into memory.

    Parameters
    ----------
    path
        What :func:`write_plans` wrote.
    max_bytes
        Largest total size [bytes].

    Returns
    -------
    The variables of :data:`VARIABLES` with ``units`` and ``long_name``; dimensions ``plan``
    (``base`` first; coordinates ``method``, ``variant``, ``seed``), ``technology`` (``unit``),
    ``bus``, ``step`` (``time``, UTC), ``instant`` (one more than steps) and ``trace``. Attributes
    are the root attributes.

    Examples
    --------
    ``open_plans("plan.h5")["cost_eur"].sel(plan="milp")``
    """
    with opened(path) as file:
        attrs = read_root(file)
        if attrs.get(SCHEMA_ATTR) != PLANS_SCHEMA:
            allowed = f"{PLANS_SCHEMA!r}, a file that `peergrid plan` writes, or a newer peergrid"
            raise DataError(path, SCHEMA_ATTR, attrs.get(SCHEMA_ATTR), allowed)
        found = _Found(path, max_bytes)
        for name, dim in LABEL_DIMS.items():
            found.add(name, file.get(f"{LABELS}/{name}"), (dim,), text=True)
        for name, variable in VARIABLES.items():
            found.add(name, file.get(f"{VALUES}/{name}"), variable.dims)
        return _dataset(path, attrs, found)


class _Found:
    """Arrays of a file whose dimensions agree, within a number of bytes."""

    def __init__(self, path: str | Path, most_bytes: int) -> None:
        self._path = path
        self._left = most_bytes
        self._most = most_bytes
        self.sizes: dict[str, int] = {}
        self.arrays: dict[str, NDArray[Any]] = {}

    def add(self, name: str, data: Any, dims: tuple[str, ...], *, text: bool = False) -> None:
        """Read a dataset after a look at its type and shape."""
        if not isinstance(data, h5py.Dataset):
            raise DataError(self._path, name, "missing", f"numbers or texts by {', '.join(dims)}")
        is_fit = data.dtype.kind == "S" if text else is_numeric(data)
        if not is_fit or data.is_virtual or data.shape is None or len(data.shape) != len(dims):
            kind = "texts" if text else "numbers"
            raise DataError(self._path, data.name, str(data.dtype), f"{kind} by {', '.join(dims)}")
        for dim, length in zip(dims, data.shape, strict=True):
            if self.sizes.setdefault(dim, length) != length:
                allowed = f"{self.sizes[dim]} along {dim}"
                raise DataError(self._path, data.name, data.shape, allowed)
        self._left -= claimed_bytes(data)
        if self._left < 0:
            raise DataError(self._path, data.name, data.shape, f"{self._most} bytes in all")
        self.arrays[name] = _texts(data[:]) if text else np.asarray(data[:])


def _texts(raw: NDArray[Any]) -> NDArray[Any]:
    return np.array([text.decode("utf-8", "replace") for text in raw.tolist()], dtype=np.str_)


def _dataset(path: str | Path, attrs: dict[str, Any], found: _Found) -> xr.Dataset:
    score_unit = "EUR" if attrs.get("objective") == "cost" else "kWh"
    variables: dict[str, Any] = {}
    for name, (dims, unit, meaning) in VARIABLES.items():
        described = {"units": score_unit if unit is None else unit, "long_name": meaning}
        variables[name] = xr.Variable(dims, found.arrays[name], described)
    coords = {name: variables.pop(name) for name in COORDS}
    for name, dim in LABEL_DIMS.items():
        coords[name] = xr.Variable((dim,), found.arrays[name])
    steps = found.sizes["step"]
    if found.sizes["instant"] != steps + 1:
        raise DataError(path, "instant", found.sizes["instant"], f"{steps + 1}, a step more")
    coords["step"] = xr.Variable(("step",), np.arange(steps))
    coords["time"] = xr.Variable(("step",), _times(path, attrs, steps))
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _times(path: str | Path, attrs: Mapping[str, Any], steps: int) -> NDArray[Any]:
    """Start of each step, UTC without its zone."""
    start, step_s = attrs.get("start"), attrs.get("step_s")
    try:
        instant = datetime.fromisoformat(str(start))
        instant = instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant
    except (ValueError, OverflowError) as error:
        raise DataError(path, "start", start, "an ISO time") from error
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise DataError(path, "start", start, f"a year from {FIRST_YEAR} to {LAST_YEAR}")
    is_number = isinstance(step_s, int | float) and not isinstance(step_s, bool)
    if not is_number or not 0 < float(step_s or 0.0) * max(steps, 1) < MOST_SECONDS:
        raise DataError(path, "step_s", step_s, "a positive number of seconds")
    offsets = np.arange(steps) * float(step_s or 0.0) * 1e9
    return np.asarray(np.datetime64(instant, "ns") + offsets.astype("timedelta64[ns]"))


# -- what is written ---------------------------------------------------------------------------


def _root_of(content: PlanContent) -> dict[str, Any]:
    return {
        **content.attrs,
        SCHEMA_ATTR: PLANS_SCHEMA,
        "name": content.name,
        "network": content.network,
        "objective": content.objective,
        "start": content.start,
        "step_s": float(content.step_s),
    }


def _labels_of(content: PlanContent) -> dict[str, list[str]]:
    records = content.records
    return {
        "plan": [record.label for record in records],
        "method": [record.method for record in records],
        "variant": [record.variant for record in records],
        "technology": list(content.technologies),
        "unit": list(content.units),
    }


def _values_of(path: str | Path, content: PlanContent) -> dict[str, NDArray[Any]]:
    """All arrays, their dimensions checked against each other."""
    records, common = content.records, content.values
    if not records or records[0].label != BASE or not math.isfinite(content.step_s):
        raise DataError(path, "plans", [r.label for r in records], f"{BASE} first")
    sizes = {
        "plan": len(records),
        "technology": len(content.technologies),
        "bus": len(common["bus"]),
        "step": np.shape(common["load_kw"])[1],
        "trace": max(len(record.trace) for record in records),
    }
    sizes["instant"] = sizes["step"] + 1
    values: dict[str, NDArray[Any]] = {
        "seed": np.array([NO_SEED if r.seed is None else r.seed for r in records], dtype=np.int64),
        **_traces(records, sizes["trace"]),
    }
    for name, (dims, _, _) in VARIABLES.items():
        shape = tuple(sizes[dim] for dim in dims)
        if name not in values and dims[0] == "plan":
            values[name] = _stacked(path, name, records, shape)
        elif name not in values:
            values[name] = np.asarray(common[name])
        if values[name].shape != shape:
            raise DataError(path, name, values[name].shape, f"shape {shape}")
    return values


def _stacked(
    path: str | Path, name: str, records: Sequence[PlanRecord], shape: tuple[int, ...]
) -> NDArray[np.float64]:
    stacked = np.full(shape, np.nan)
    for k, record in enumerate(records):
        value = record.values.get(name)
        if value is None:
            continue
        if np.shape(value) != shape[1:]:
            raise DataError(path, name, np.shape(value), f"shape {shape[1:]}")
        stacked[k] = value
    return stacked


def _traces(records: Sequence[PlanRecord], length: int) -> dict[str, NDArray[Any]]:
    """Effort and score of all plans ``(plan, trace)``, NaN behind the end of each."""
    both = np.full((len(_TRACE), len(records), length), np.nan)
    for k, record in enumerate(records):
        if record.trace:
            both[:, k, : len(record.trace)] = np.transpose(record.trace)
    return dict(zip(_TRACE, both, strict=True))
