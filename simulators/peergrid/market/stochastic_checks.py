"""Demands that nothing can meet, named: household, device, hour."""

import numpy as np

from peergrid.errors import DataError
from peergrid.market.stochastic_problem import Households
from peergrid.market.stochastic_reach import reach

TOLERANCE_KWH = 1e-6


def check(day: Households) -> None:
    """Refuse a day on which a promised energy cannot be reached even without other demands.

    Where a scenario alone (a late arrival) keeps a storage from its least energy, the plan falls
    short there and says so; refused is what fails in every scenario. Windows of cycles are checked
    when a message is read (:mod:`peergrid.devices.flexibility`).

    Raises
    ------
    DataError
        Naming household, device and hour.
    """
    found = reach(day)
    for kind, nearest, bound, sign in (
        ("e_min_kwh", found.most, day.stores.e_min_kwh, 1.0),
        ("e_max_kwh", found.least, day.stores.e_max_kwh, -1.0),
    ):
        missed = (sign * (bound - nearest) > TOLERANCE_KWH * np.maximum(np.abs(bound), 1.0)).all(
            axis=1
        )
        if missed.any():
            b, t = np.argwhere(missed)[0]
            what = "at most" if sign > 0 else "at least"
            held = nearest[b, :, t].max() if sign > 0 else nearest[b, :, t].min()
            raise DataError(
                f"household {day.names[day.stores.owner[b]]}, {day.stores.names[b]}, "
                f"end of step {t + 1} of {day.shape[2]} ({(t + 1) * day.dt_h:g} h from the start)",
                kind,
                round(float(bound[b, :, t].min() if sign > 0 else bound[b, :, t].max()), 6),
                f"{what} {held:.6g} kWh: more cannot be reached"
                if sign > 0
                else f"{what} {held:.6g} kWh: less cannot be reached",
            )
