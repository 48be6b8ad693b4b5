"""Results as tables: CSV and parquet, one wide file or one file per model."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from peergrid.errors import DataError
from peergrid.results.reader import open_run

Source = str | Path | xr.Dataset
_UNSAFE = re.compile(r"[^\w-]")


def to_csv(source: Source, target: str | Path) -> list[Path]:
    """Export to CSV; names carry the units in brackets.

    Parameters
    ----------
    source
        A results file, or what :func:`~peergrid.results.open_run` returned.
    target
        A name that ends in ``.csv`` makes one wide file (a column per series, named
        ``sid.eid/attribute``); any other is a folder with one file per model (a row per time and
        entity).

    Returns
    -------
    The files written.
    """
    return _export(source, Path(target), ".csv", lambda t, p: t.to_csv(p, index=False))


def to_parquet(source: Source, target: str | Path) -> list[Path]:
    """Export to parquet, as :func:`to_csv` does (``.parquet``); needs pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(
            target,
            "pyarrow",
            "missing",
            "an installed pyarrow: pip install mosaik-peergrid[parquet]",
        )
    return _export(
        source,
        Path(target),
        ".parquet",
        lambda t, p: t.to_parquet(p, engine="pyarrow", index=False),
    )


def wide_table(data: xr.Dataset) -> pd.DataFrame:
    """One row per time, one column per series; the items of lists are numbered ``#0``, ``#1``."""
    columns: dict[str, Any] = {"time": data["time"].values}
    for variable in data.data_vars.values():
        header = header_of(variable)
        for position, full_id in enumerate(data[_model(variable)].values):
            for suffix, values in _items(variable.values[:, position]):
                columns[f"{full_id}/{header}{suffix}"] = values
    return pd.DataFrame(columns)


def model_table(data: xr.Dataset, model: str) -> pd.DataFrame:
    """One row per time and entity of a model, one column per attribute."""
    chosen = [v for v in data.data_vars.values() if _model(v) == model]
    if not chosen:
        raise DataError("results", "model", model, "a model the file has series of")
    entities = data[model].values
    times = data["time"].values
    columns: dict[str, Any] = {
        "time": times.repeat(len(entities)),
        "entity": list(entities) * len(times),
    }
    for variable in chosen:
        header = header_of(variable)
        flat = variable.values.reshape(len(times) * len(entities), *variable.shape[2:])
        columns.update({header + suffix: values for suffix, values in _items(flat)})
    return pd.DataFrame(columns)


def header_of(variable: xr.DataArray) -> str:
    """Name of a column: the attribute, with its unit if the name does not say it."""
    attr = _attr(variable)
    unit = variable.attrs.get("units", "")
    return attr if not unit or attr.endswith("]") else f"{attr}[{unit}]"


def models_of(data: xr.Dataset) -> list[str]:
    """Models that a results dataset has series of."""
    return sorted({_model(variable) for variable in data.data_vars.values()})


def _model(variable: xr.DataArray) -> str:
    return str(variable.dims[1])


def _attr(variable: xr.DataArray) -> str:
    return str(variable.name).removeprefix(f"{_model(variable)}.")


def _items(values: Any) -> Iterator[tuple[str, Any]]:
    if values.ndim == 1:
        yield "", values
    else:
        for item in range(values.shape[1]):
            yield f"#{item}", values[:, item]


def _export(
    source: Source, target: Path, suffix: str, save: Callable[[pd.DataFrame, Path], Any]
) -> list[Path]:
    data = source if isinstance(source, xr.Dataset) else open_run(source)
    written: list[Path] = []
    try:
        if target.suffix == suffix:
            save(wide_table(data), target)
            return [target]
        target.mkdir(parents=True, exist_ok=True)
        for model in models_of(data):
            path = target / f"{_UNSAFE.sub('_', model)}{suffix}"
            save(model_table(data, model), path)
            written.append(path)
    except OSError as error:
        raise DataError(target, "file", str(error), "a place to write to") from error
    return written
