"""Dispatchable generators: they follow their set-point and stand still without one."""

from collections.abc import Mapping
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import DeviceSimulator, Floats, Quantity, number, stacked, take
from peergrid.devices import generator, plant
from peergrid.devices.reactive import ReactiveOffers
from peergrid.units import mw_from_kw

PARAMS = {
    "p_max_kw": Quantity(),
    "p_min_kw": Quantity(default=0.0),
    "cost_eur_per_mwh": Quantity(default=120.0),
    "cost_quadratic_eur_per_mw2h": Quantity(default=0.0),
    "q_up_share": Quantity(optional=True),
    "q_down_share": Quantity(optional=True),
    "q_cost_eur_per_mvarh": Quantity(default=0.0),
    "q_cost_quadratic_eur_per_mvar2h": Quantity(default=0.0),
}
"""Creation parameters: power while running, cost of fuel; reactive power on offer either way, as
shares of ``p_max_kw`` (one absent: none that way; both: what the rating leaves), and its cost."""


class GeneratorSimulator(DeviceSimulator):
    """Entities ``Generator-<i>``."""

    models = ("Generator",)

    def set_up_own(self) -> None:
        """Start without entities."""
        self._params: list[dict[str, float]] = []

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one generator; its fuel costs ``linear p + quadratic p^2`` EUR an hour at p MW."""
        name = params.pop("name", None)
        where = f"{self.sid}.Generator-{index}"
        taken = take(where, params, PARAMS)
        number(where, "p_min_kw", taken["p_min_kw"], 0.0, taken["p_max_kw"])
        self._params.append(taken)
        given = {field: stacked(self._params, field) for field in taken}
        self._generators = generator.Generators(
            p_min_kw=given["p_min_kw"],
            p_max_kw=given["p_max_kw"],
            cost_eur_per_kwh=mw_from_kw(given["cost_eur_per_mwh"]),
            cost_eur_per_kw2h=mw_from_kw(mw_from_kw(given["cost_quadratic_eur_per_mw2h"])),
            reactive=_offers(given),
        )
        eid = self.add(model, index, name)
        return {"eid": eid, "extra_info": {"name": name or eid, "p_max_kw": taken["p_max_kw"]}}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step."""
        if not self.rows:
            return {}
        p_kw = generator.output(self._generators, self.kw(inputs, "P_set[MW]"), self.room(inputs))
        asked = self.kw(inputs, "Q_set[MVar]")
        q_kvar = generator.reactive_output(self._generators, asked, p_kw)
        sent = generator.messages(
            self._generators,
            steps=self.calendar.horizon,
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
        )
        rows = zip(self.rows, plain(mw_from_kw(p_kw)), plain(mw_from_kw(q_kvar)), sent, strict=True)
        return {
            eid: {"P[MW]": p, "Q[MVar]": q, "flexibility": message} for eid, p, q, message in rows
        }


def _offers(given: Mapping[str, Floats]) -> ReactiveOffers:
    """Reactive power on offer from the creation parameters, ``(n,)`` each."""
    rated, up, down = given["p_max_kw"], given["q_up_share"], given["q_down_share"]
    stated = ~(np.isnan(up) & np.isnan(down))
    square = given["q_cost_quadratic_eur_per_mvar2h"]
    return ReactiveOffers(
        kva=plant.KVA_PER_KW * rated,
        q_min_kvar=np.where(stated, 0.0 - np.nan_to_num(down) * rated, np.nan),
        q_max_kvar=np.where(stated, np.nan_to_num(up) * rated, np.nan),
        cost_eur_per_kvarh=mw_from_kw(given["q_cost_eur_per_mvarh"]),
        cost_eur_per_kvar2h=mw_from_kw(mw_from_kw(square)),
    )


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(GeneratorSimulator())


if __name__ == "__main__":
    main()
