"""Tours on the steps of a span: when each vehicle is plugged in, and what its trips use."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.span import Span


@dataclass(frozen=True, kw_only=True, eq=False)
class TourHours:
    """Tours of n vehicles on T steps; every array has shape (n, T).

    ``plugged``: at home for the whole step. ``demand_kwh``: energy of a tour, in the step in which
    the vehicle comes back (it is away in that step, so its battery loses this much by the step's
    end). ``departs``: the step in which a tour starts, the first one away. ``departure_kwh``: what
    the battery must hold for that tour at the start of that step.
    """

    plugged: NDArray[np.bool_]
    demand_kwh: NDArray[np.float64]
    departs: NDArray[np.bool_]
    departure_kwh: NDArray[np.float64]


def tours_to_hours(tours: pd.DataFrame, span: Span, n_ev: int) -> TourHours:
    """Tours (columns of :func:`peergrid.inputs.tours.sample_tours`) on the steps of a span.

    ``depart_h`` and ``return_h`` are read on the wall clock of ``span.tz``. A tour that began
    before the span keeps the vehicle away from step 0 and books its demand at its return; one
    that ends after the horizon books none. Back-to-back tours inside one step add up.

    Parameters
    ----------
    tours
        Checked tours, ``ev`` below ``n_ev``.
    span
        The steps wanted.
    n_ev
        Number of vehicles.
    """
    ev = tours["ev"].to_numpy(dtype=np.intp)
    if ev.size and (ev.min() < 0 or ev.max() >= n_ev):
        raise DataError("tours", "ev", int(ev.max()), f"0 to {n_ev - 1}")
    total = span.n_total
    start = _steps(tours, "depart_h", span)
    end = _steps(tours, "return_h", span)
    energy = tours["energy_kwh"].to_numpy(dtype=np.float64)
    first = np.floor(start).astype(np.intp)
    # a return on the very edge of a step leaves the next one whole at home
    last = np.maximum(np.ceil(end).astype(np.intp) - 1, first)
    away = np.zeros((n_ev, total + 1), dtype=np.int64)
    seen = (last >= 0) & (first < total)
    np.add.at(away, (ev[seen], np.clip(first[seen], 0, total)), 1)
    np.add.at(away, (ev[seen], np.clip(last[seen] + 1, 0, total)), -1)
    back, out = (last >= 0) & (last < total), (first >= 0) & (first < total)
    demand, need = np.zeros((n_ev, total)), np.zeros((n_ev, total))
    departs = np.zeros((n_ev, total), dtype=bool)
    np.add.at(demand, (ev[back], last[back]), energy[back])
    np.add.at(need, (ev[out], first[out]), energy[out])
    departs[ev[out], first[out]] = True
    return TourHours(
        plugged=away[:, :-1].cumsum(axis=1) == 0,
        demand_kwh=demand,
        departs=departs,
        departure_kwh=need,
    )


def _steps(tours: pd.DataFrame, column: str, span: Span) -> NDArray[np.float64]:
    """Instants in steps after the span's start, from local wall-clock hours; shape (tours,)."""
    hours = pd.to_timedelta(np.round(tours[column].to_numpy(dtype=float) * 3600.0), unit="s")
    wall = pd.DatetimeIndex(pd.to_datetime(tours["date"])) + hours
    first_pass = np.ones(len(wall), dtype=bool)  # the repeated hour of autumn: its first pass
    utc = wall.tz_localize(span.tz, ambiguous=first_pass, nonexistent="shift_forward")
    return np.asarray((utc - pd.Timestamp(span.start)).total_seconds()) / span.step_s
