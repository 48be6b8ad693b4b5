"""What plants behind an inverter have in common: curtailment and their message."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.site import Room

Floats = NDArray[np.float64]

KVA_PER_KW = 1.1
"""Apparent power of an inverter over the plant's rated active power (assumed)."""


def curtailed(available_kw: Floats, p_set_kw: Floats, room: Room) -> Floats:
    """Injection of plants that can only be held back, ``(n,)`` [kW].

    Parameters
    ----------
    available_kw
        What sun or wind offer, ``(n,)``.
    p_set_kw
        Upper limits, ``(n,)``; NaN: run free.
    room
        What the connection points leave.

    Examples
    --------
    >>> free = Room(low_kw=np.full(2, -np.inf), high_kw=np.full(2, np.inf))
    >>> curtailed(np.array([5.0, 5.0]), np.array([np.nan, 3.0]), free).tolist()
    [5.0, 3.0]
    """
    limit = np.minimum(np.where(np.isnan(p_set_kw), np.inf, p_set_kw), room.high_kw)
    return np.asarray(np.minimum(available_kw, np.maximum(limit, 0.0)))


def messages(
    forecast_kw: Floats,
    sigma_kw: Floats,
    offers: Sequence[Mapping[str, object]],
    *,
    t0_s: float,
    dt_s: float,
) -> list[dict[str, Any] | None]:
    """Flexibility of curtailable plants: anything from zero to the forecast.

    Parameters
    ----------
    forecast_kw, sigma_kw
        Expected output and its standard deviation, ``(n, H)``; a plant with NaN has no message.
    offers
        Part ``q`` of each message.
    t0_s, dt_s
        Start of the first step described [s], step length [s].
    """
    known = [not math.isnan(total) for total in forecast_kw.sum(axis=1).tolist()]
    sigmas = sigma_kw.tolist()
    zeros = [0.0] * forecast_kw.shape[1]
    return [
        compose(
            kind="PEBC",
            t0_s=t0_s,
            dt_s=dt_s,
            p_min_kw=list(zeros),
            p_max_kw=row,
            p_ref_kw=list(row),
            sigma_kw=sigmas[i],
            q=offers[i],
        )
        if known[i]
        else None
        for i, row in enumerate(forecast_kw.tolist())
    ]
