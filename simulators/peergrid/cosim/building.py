"""Buildings whose heat pump follows set-points inside a comfort band.

They need the outdoor temperature: without a forecast of all steps to come a building publishes no
flexibility, without the present one it goes on with the last that it heard. Before it has heard
any it says nothing and keeps its temperature.
"""

import math
from collections.abc import Mapping
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs
from peergrid.cosim.common import (
    DeviceSimulator,
    Floats,
    Quantity,
    known,
    number,
    outlook,
    stacked,
    take,
    whole_number,
)
from peergrid.devices import building
from peergrid.devices.building import Buildings
from peergrid.errors import DataError
from peergrid.units import mw_from_kw

_LEAST = 1e-6
_COLDEST_C, _HOTTEST_C = -50.0, 100.0
PARAMS = {
    "p_max_kw": Quantity(),
    "cop": Quantity(low=0.1, high=100.0, default=3.0),
    "r_k_per_kw": Quantity(low=_LEAST),
    "c_kwh_per_k": Quantity(low=_LEAST),
    "theta_min_c": Quantity(low=_COLDEST_C, high=_HOTTEST_C, default=20.0),
    "theta_max_c": Quantity(low=_COLDEST_C, high=_HOTTEST_C, default=24.0),
    "theta_start_c": Quantity(low=_COLDEST_C, high=_HOTTEST_C, optional=True),
    "theta_set_c": Quantity(low=_COLDEST_C, high=_HOTTEST_C, optional=True),
    "gains_kw": Quantity(default=0.0),
    "tan_phi": Quantity(low=-np.inf, default=0.0),
}
"""Creation parameters, besides ``mode`` (heat or cool), ``homes`` and ``name``. Power, resistance,
capacity and gains are those of one home; start and set-point are the middle of the band if absent.
"""
LEAST_STEPS = 0.25
"""Least time constant R C in steps: what forgets faster stores nothing from step to step."""

_FIELDS = (
    "p_max_kw",
    "cop",
    "r_k_per_kw",
    "c_kwh_per_k",
    "theta_min_c",
    "theta_max_c",
    "theta_set_c",
    "gains_kw",
    "tan_phi",
)


class BuildingSimulator(DeviceSimulator):
    """Entities ``Building-<i>``: ``homes`` alike homes in step, each."""

    models = ("Building",)

    def set_up_own(self) -> None:
        """Start without entities."""
        self._params: list[dict[str, float]] = []
        self._theta_c = np.zeros(0)
        self._t_out_c = np.zeros(0)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one building from the parameters of :data:`PARAMS` and what is named there."""
        where = f"{self.sid}.Building-{index}"
        name, mode = params.pop("name", None), params.pop("mode", "heat")
        if mode not in ("heat", "cool"):
            raise DataError(where, "mode", mode, "heat or cool")
        homes = whole_number(where, "homes", params.pop("homes", 1), 1)
        taken = self._checked(where, take(where, params, PARAMS))
        self._params.append({**taken, "homes": float(homes), "cools": float(mode == "cool")})
        one = {field: stacked(self._params, field) for field in _FIELDS}
        cools = stacked(self._params, "cools") > 0.0
        self._buildings = Buildings(**one, cools=cools).times(stacked(self._params, "homes"))
        self._theta_c = np.append(self._theta_c, taken["theta_start_c"])
        self._t_out_c = np.append(self._t_out_c, np.nan)
        eid = self.add(model, index, name)
        info = {"mode": mode, "homes": homes, "p_max_kw": taken["p_max_kw"] * homes}
        return {"eid": eid, "extra_info": {"name": name or eid, **info}}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        air = outlook(inputs, self.rows, "T_air[C]", self.calendar.horizon)
        self._t_out_c = np.where(np.isfinite(air[:, 0]), air[:, 0], self._t_out_c)
        p_kw, theta_c = building.follow(
            self._buildings,
            self._theta_c,
            self._t_out_c,
            self.kw(inputs, "P_set[MW]"),
            self.room(inputs),
            self.dt_h,
        )
        self._theta_c = np.where(np.isnan(theta_c), self._theta_c, theta_c)
        sent = building.messages(
            self._buildings,
            self._theta_c,
            air[:, 1:],
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
            dt_h=self.dt_h,
        )
        return self._outputs_of(p_kw, sent)

    def internal_state(self) -> dict[str, Any]:
        """Temperatures indoors, and the last heard of outdoors (None: none yet) [C]."""
        return {"theta_c": self._theta_c.tolist(), "t_out_c": known(self._t_out_c)}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""
        self._theta_c = np.array(state["theta_c"], dtype=np.float64)
        self._t_out_c = np.array(state["t_out_c"], dtype=np.float64)

    def _checked(self, where: str, taken: dict[str, float]) -> dict[str, float]:
        """Parameters that fit each other, the middle of the band where none was given."""
        low, high = taken["theta_min_c"], taken["theta_max_c"]
        if low >= high:
            raise DataError(where, "theta_min_c", low, f"below theta_max_c = {high:g}")
        for field in ("theta_start_c", "theta_set_c"):
            if math.isnan(taken[field]):
                taken[field] = 0.5 * (low + high)
        number(where, "theta_set_c", taken["theta_set_c"], low, high)
        least = LEAST_STEPS * self.dt_h / taken["r_k_per_kw"]
        if taken["c_kwh_per_k"] < least:
            allowed = f"{least:g} or more (a time constant R C of {LEAST_STEPS:g} steps)"
            raise DataError(where, "c_kwh_per_k", taken["c_kwh_per_k"], allowed)
        return taken

    def _outputs_of(self, p_kw: Floats, sent: list[Any]) -> Outputs:
        drawn = 0.0 - p_kw
        columns = (
            known(mw_from_kw(drawn)),
            known(mw_from_kw(self._buildings.tan_phi * drawn)),
            known(self._theta_c),
            known(building.discomfort_kh(self._buildings, self._theta_c, self.dt_h)),
        )
        names = ("P[MW]", "Q[MVar]", "T_in[C]", "discomfort[Kh]", "flexibility")
        rows = zip(self.rows, *columns, sent, strict=True)
        return {eid: dict(zip(names, values, strict=True)) for eid, *values in rows}


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(BuildingSimulator())


if __name__ == "__main__":
    main()
