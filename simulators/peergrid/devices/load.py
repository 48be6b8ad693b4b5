"""Fixed loads: what they draw is given; their message says how well it is known."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose

Floats = NDArray[np.float64]


def reactive_forecast(
    q_kvar: Floats, p_kw: Floats, p_forecast_kw: Floats, q_per_p: Floats
) -> Floats:
    """Reactive forecast with the same relative error as the active one, ``(n, H)`` [kvar].

    Where nothing is drawn in truth the nominal ratio ``q_per_p`` ``(n,)`` serves; a load without
    any active power keeps its true reactive one.

    >>> reactive_forecast(*(np.array([[v]]) for v in (1.0, 4.0, 8.0)), np.array([0.5])).tolist()
    [[2.0]]
    """
    drawing = p_kw > 1e-9
    scaled = q_kvar * (p_forecast_kw / np.where(drawing, p_kw, 1.0))
    idle = np.where(p_forecast_kw > 0.0, p_forecast_kw * q_per_p[:, None], q_kvar)
    return np.where(drawing, scaled, idle)


def messages(
    p_forecast_kw: Floats,
    q_forecast_kvar: Floats,
    sigma_kw: Floats,
    *,
    t0_s: float,
    dt_s: float,
) -> list[dict[str, Any]]:
    """Flexibility of fixed loads: none, only what is expected of them.

    Parameters
    ----------
    p_forecast_kw, q_forecast_kvar
        Expected consumption, load positive, ``(n, H)``; the message has injection positive.
    sigma_kw
        Standard deviation of ``p_forecast_kw``, ``(n, H)``.
    t0_s, dt_s
        Start of the first step described [s], step length [s].
    """
    p_rows, q_rows = (0.0 - p_forecast_kw).tolist(), (0.0 - q_forecast_kvar).tolist()
    return [
        compose(
            kind="PEBC",
            t0_s=t0_s,
            dt_s=dt_s,
            p_min_kw=list(p_row),
            p_max_kw=list(p_row),
            p_ref_kw=p_row,
            q_ref_kvar=q_row,
            sigma_kw=sigma,
        )
        for p_row, q_row, sigma in zip(p_rows, q_rows, sigma_kw.tolist(), strict=True)
    ]
