"""Flexible loads: they move their consumption within the local day as their set-points ask."""

from collections.abc import Mapping
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import DeviceSimulator, Floats, Quantity, stacked, take
from peergrid.devices import flexible_load
from peergrid.devices.flexible_load import Days, FlexibleLoads
from peergrid.units import mw_from_kw

PARAMS = {
    "p_rated_kw": Quantity(),
    "p_max_over_rated": Quantity(low=1.0, default=2.0),
    "discomfort_eur_per_mw2h": Quantity(default=0.0),
    "cut_cost_eur_per_mwh": Quantity(default=0.0),
    "tan_phi": Quantity(low=-np.inf, default=0.0),
}
"""Creation parameters, besides ``name``."""


class FlexibleLoadSimulator(DeviceSimulator):
    """Entities ``FlexibleLoad-<i>``.

    A local day lasts from midnight to midnight, whenever the run starts: before its first step a
    load has drawn its rated power since midnight.
    """

    models = ("FlexibleLoad",)

    def set_up_own(self) -> None:
        """Start without entities."""
        self._params: list[dict[str, float]] = []
        self._e_kwh = np.zeros(0)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one load from the parameters of :data:`PARAMS` and ``name``."""
        name = params.pop("name", None)
        taken = take(f"{self.sid}.FlexibleLoad-{index}", params, PARAMS)
        self._params.append(taken)
        rated = stacked(self._params, "p_rated_kw")
        discomfort = stacked(self._params, "discomfort_eur_per_mw2h")
        self._loads = FlexibleLoads(
            p_rated_kw=rated,
            p_max_kw=rated * stacked(self._params, "p_max_over_rated"),
            discomfort_eur_per_kw2h=mw_from_kw(mw_from_kw(discomfort)),
            tan_phi=stacked(self._params, "tan_phi"),
        )
        self._cut_eur_per_kwh = mw_from_kw(stacked(self._params, "cut_cost_eur_per_mwh"))
        today, _ = self.calendar.local_day(0)
        self._e_kwh = rated * (-today * self.dt_h)
        eid = self.add(model, index, name)
        info = {"name": name or eid, "p_rated_kw": taken["p_rated_kw"]}
        return {"eid": eid, "extra_info": info}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        now, ahead = self._days(index, 1), self._days(index + 1, self.calendar.horizon)
        if now.first[0] == index:
            self._e_kwh = np.zeros_like(self._e_kwh)
        quota = self._loads.p_rated_kw * now.length_h(self.dt_h)[0]
        p_kw = flexible_load.follow(
            self._loads,
            quota - self._e_kwh,
            self.kw(inputs, "P_set[MW]"),
            self.room(inputs),
            after_h=float(now.after_h(self.dt_h)[0]),
            dt_h=self.dt_h,
        )
        self._e_kwh = self._e_kwh - p_kw * self.dt_h
        ends = ahead.first[0] == index + 1
        missed = flexible_load.missed_kwh(quota - self._e_kwh) * ends
        sent = flexible_load.messages(
            self._loads,
            self._e_kwh * (not ends),
            ahead,
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
            dt_h=self.dt_h,
        )
        return self._outputs_of(p_kw, missed, sent)

    def internal_state(self) -> dict[str, Any]:
        """Energies drawn on the day in progress [kWh]."""
        return {"e_kwh": self._e_kwh.tolist()}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""
        self._e_kwh = np.array(state["e_kwh"], dtype=np.float64)

    def _days(self, index: int, steps: int) -> Days:
        """The local days of some steps."""
        numbers = range(index, index + steps)
        first, end = np.array([self.calendar.local_day(k) for k in numbers], dtype=np.int64).T
        return Days(step=np.array(numbers, dtype=np.int64), first=first, end=end)

    def _outputs_of(self, p_kw: Floats, missed: Floats, sent: list[Any]) -> Outputs:
        columns = (
            plain(mw_from_kw(0.0 - p_kw)),
            plain(mw_from_kw(self._loads.tan_phi * (0.0 - p_kw))),
            plain(mw_from_kw(self._e_kwh)),
            plain(mw_from_kw(missed)),
            plain(missed * self._cut_eur_per_kwh),
        )
        names = ("P[MW]", "Q[MVar]", "E[MWh]", "unserved[MWh]", "cut_cost[EUR]", "flexibility")
        rows = zip(self.rows, *columns, sent, strict=True)
        return {eid: dict(zip(names, values, strict=True)) for eid, *values in rows}


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(FlexibleLoadSimulator())


if __name__ == "__main__":
    main()
