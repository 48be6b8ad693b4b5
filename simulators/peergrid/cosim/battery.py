"""Batteries: they follow their set-point as far as power, energy and connection point allow."""

from collections.abc import Mapping
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import DeviceSimulator, Quantity, number, stacked, take
from peergrid.devices import battery
from peergrid.units import mw_from_kw

PARAMS = {
    "e_max_kwh": Quantity(low=1e-6),
    "p_max_kw": Quantity(),
    "eta_charge": Quantity(low=1e-3, high=1.0, default=0.95),
    "eta_discharge": Quantity(low=1e-3, high=1.0, default=0.95),
    "soc_start": Quantity(high=1.0, default=0.5),
    "soc_min": Quantity(high=1.0, default=0.1),
    "soc_end": Quantity(high=1.0, optional=True),
    "wear_eur_per_mwh": Quantity(default=5.0),
    "wear_rise_eur_per_mwh": Quantity(default=10.0),
}
"""Creation parameters; ``soc_*`` are shares of ``e_max_kwh``, wear is per MWh either way, and at
rated power costs ``wear_rise_eur_per_mwh`` more than at a trickle."""


class BatterySimulator(DeviceSimulator):
    """Entities ``Battery-<i>``."""

    models = ("Battery",)

    def set_up_own(self) -> None:
        """Start without entities."""
        self._params: list[dict[str, float]] = []
        self._e_kwh = np.zeros(0)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one battery from the parameters of :data:`PARAMS` and ``name``."""
        name = params.pop("name", None)
        where = f"{self.sid}.Battery-{index}"
        taken = take(where, params, PARAMS)
        start = number(where, "soc_start", taken.pop("soc_start"), taken["soc_min"], 1.0)
        self._params.append(taken)
        given = {field: stacked(self._params, field) for field in taken}
        self._batteries = battery.Batteries(
            capacity_kwh=given["e_max_kwh"],
            p_max_kw=given["p_max_kw"],
            eta_charge=given["eta_charge"],
            eta_discharge=given["eta_discharge"],
            soc_min=given["soc_min"],
            soc_end=given["soc_end"],
            wear_eur_per_kwh=mw_from_kw(given["wear_eur_per_mwh"]),
            wear_rise_eur_per_kwh=mw_from_kw(given["wear_rise_eur_per_mwh"]),
        )
        e_kwh = start * taken["e_max_kwh"]
        self._e_kwh = np.append(self._e_kwh, e_kwh)
        eid = self.add(model, index, name)
        info = {
            "name": name or eid,
            "e_max_kwh": taken["e_max_kwh"],
            "p_max_kw": taken["p_max_kw"],
            "e_start_kwh": e_kwh,
            "soc_start_percent": 100.0 * start,
        }
        return {"eid": eid, "extra_info": info}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        p_kw, self._e_kwh = battery.follow(
            self._batteries,
            self._e_kwh,
            self.kw(inputs, "P_set[MW]"),
            self.room(inputs),
            self.dt_h,
        )
        sent = battery.messages(
            self._batteries,
            self._e_kwh,
            steps=self.calendar.horizon,
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
            dt_h=self.dt_h,
        )
        columns = (
            plain(mw_from_kw(p_kw)),
            plain(mw_from_kw(self._e_kwh)),
            plain(100.0 * self._e_kwh / self._batteries.capacity_kwh),
        )
        return {
            eid: {"P[MW]": p, "Q[MVar]": 0.0, "E[MWh]": e, "SoC[%]": soc, "flexibility": message}
            for eid, p, e, soc, message in zip(self.rows, *columns, sent, strict=True)
        }

    def internal_state(self) -> dict[str, Any]:
        """Stored energies [kWh]."""
        return {"e_kwh": self._e_kwh.tolist()}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""
        self._e_kwh = np.array(state["e_kwh"], dtype=np.float64)


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(BatterySimulator())


if __name__ == "__main__":
    main()
