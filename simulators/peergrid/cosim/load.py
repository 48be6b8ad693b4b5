"""Fixed loads of buses: measured, standard or user-given profiles, and how well they are forecast.

``scale`` belongs to the nominal loads, so forecasts know it; ``load_scale`` multiplies what is
realised behind the forecast's back. Set-points are taken and have no effect.
"""

import math
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import (
    Blocks,
    DeviceSimulator,
    Floats,
    Quantity,
    number,
    stacked,
    take,
    whole_number,
)
from peergrid.devices import load
from peergrid.inputs.loads import BusLoads, bus_loads
from peergrid.inputs.span import Span
from peergrid.units import mw_from_kw

PARAMS = {
    "p_nom_kw": Quantity(default=0.0),
    "q_nom_kvar": Quantity(low=-math.inf, default=0.0),
}
"""Creation parameters, besides ``bus`` and ``name``: nominal load."""


class LoadSimulator(DeviceSimulator):
    """Entities ``Load-<i>``; all profiles are made at once, when the set-up of the world ends."""

    models = ("Load",)

    def set_up_own(
        self, *, source: str = "simbench", scale: float = 1.0, load_scale: float = 1.0
    ) -> None:
        """Take the source of the profiles.

        Parameters
        ----------
        source
            ``simbench``, ``bdew`` or a CSV file; see :func:`peergrid.inputs.loads.bus_loads`.
        scale
            On every load, forecasts included.
        load_scale
            On what is realised only.
        """
        self._source = source
        self._scale = number(self.sid, "scale", scale, 0.0)
        self._load_scale = number(self.sid, "load_scale", load_scale, 0.0)
        self._params: list[dict[str, float]] = []
        self._buses: list[int] = []
        self._blocks = Blocks(self.calendar, self._load)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create the load of a bus; ``bus`` names its profile (its own number if absent)."""
        name, bus = params.pop("name", None), params.pop("bus", None)
        where = f"{self.sid}.Load-{index}"
        bus = whole_number(where, "bus", index if bus is None else bus, 0)
        taken = take(where, params, PARAMS)
        self._params.append(taken)
        self._buses.append(bus)
        eid = self.add(model, index, name)
        return {"eid": eid, "extra_info": {"name": name or eid, "bus": bus, **taken}}

    def setup_done(self) -> None:
        """Make the profiles now, so that bad data stops the scenario before it runs."""
        if self.rows:
            self._blocks.at(0)

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        loads, now = self._blocks.at(index)
        p_kw = loads.p_kw[:, now] * (self._scale * self._load_scale)
        q_kvar = loads.q_kvar[:, now] * (self._scale * self._load_scale)
        p_ahead, q_ahead, sigma = self._forecast(loads, now, index)
        sent = load.messages(p_ahead, q_ahead, sigma, t0_s=self.t0_s(index), dt_s=self.step_s)
        rows = zip(self.rows, plain(mw_from_kw(p_kw)), plain(mw_from_kw(q_kvar)), sent, strict=True)
        return {
            eid: {"P[MW]": p, "Q[MVar]": q, "flexibility": message} for eid, p, q, message in rows
        }

    def _forecast(self, loads: BusLoads, now: int, index: int) -> tuple[Floats, Floats, Floats]:
        """Expected P [kW] and Q [kvar] and the standard deviation of P, ``(n, H)`` each."""
        calendar = self.calendar
        ahead = slice(now + 1, now + 1 + calendar.horizon)
        p_true, q_true = loads.p_kw[:, ahead] * self._scale, loads.q_kvar[:, ahead] * self._scale
        mean, homes = loads.mean_kw * self._scale, loads.n_homes.astype(np.float64)
        p_kw = self.forecast.forecast(
            "load",
            p_true,
            mean,
            calendar.epoch_s(index),
            entities=self.names,
            n_homes=homes,
            step_s=calendar.step_s,
        )
        sigma = self.forecast.sigma("load", calendar.lead_h(index), homes[:, None])
        p_nom = stacked(self._params, "p_nom_kw")
        ratio = stacked(self._params, "q_nom_kvar") / np.where(p_nom > 0.0, p_nom, np.inf)
        return p_kw, load.reactive_forecast(q_true, p_true, p_kw, ratio), sigma * mean[:, None]

    def _load(self, span: Span, _block: int) -> BusLoads:
        return bus_loads(
            self._source,
            stacked(self._params, "p_nom_kw"),
            stacked(self._params, "q_nom_kvar"),
            span,
            seed=self.seed,
            bus_ids=self._buses,
            base_dir=self.base_dir,
        )


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(LoadSimulator())


if __name__ == "__main__":
    main()
