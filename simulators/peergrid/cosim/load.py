"""Fixed loads of buses: measured, standard or user-given profiles, and how well they are forecast.

A load has a nominal power, which the source of the profiles turns into a series, or a ``series``
of its own. ``scale`` belongs to the nominal loads, so forecasts know it; ``load_scale`` multiplies
what is realised behind the forecast's back. Set-points are taken and have no effect.
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
from peergrid.errors import DataError
from peergrid.inputs.loads import BusLoads, bus_loads, measured_loads
from peergrid.inputs.span import Span
from peergrid.units import mw_from_kw

PARAMS = {
    "p_nom_kw": Quantity(default=0.0),
    "q_nom_kvar": Quantity(low=-math.inf, default=0.0),
    "sigma_share": Quantity(optional=True),
}
"""Creation parameters, besides ``bus`` and ``name``: nominal load, and the standard deviation that
is stated of the forecast, as a share of it (absent: the forecast model's)."""
MEASURED = {
    "tan_phi": Quantity(low=-math.inf, default=0.0),
    "sigma_share": Quantity(optional=True),
}
"""Those of a load with a ``series``, a CSV file whose column ``bus`` names."""


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
            On every nominal load, forecasts included.
        load_scale
            On what is realised only.
        """
        self._source = source
        self._scale = number(self.sid, "scale", scale, 0.0)
        self._load_scale = number(self.sid, "load_scale", load_scale, 0.0)
        self._params: list[dict[str, float]] = []
        self._buses: list[int] = []
        self._series: list[str | None] = []
        self._blocks = Blocks(self.calendar, self._load)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create the load of a bus; ``bus`` names its profile (its own number if absent)."""
        name, bus = params.pop("name", None), params.pop("bus", None)
        series = params.pop("series", None)
        where = f"{self.sid}.Load-{index}"
        bus = whole_number(where, "bus", index if bus is None else bus, 0)
        taken = self._nominal(where, params) if series is None else self._own(where, params, series)
        self._params.append(taken)
        self._buses.append(bus)
        self._series.append(series)
        eid = self.add(model, index, name)
        info = {
            field: value for field, value in taken.items() if field in ("p_nom_kw", "q_nom_kvar")
        }
        return {"eid": eid, "extra_info": {"name": name or eid, "bus": bus, **info}}

    def _nominal(self, where: str, params: dict[str, Any]) -> dict[str, float]:
        """Parameters of a load whose profile comes from the source."""
        taken = take(where, params, PARAMS)
        p_nom, q_nom = taken["p_nom_kw"], taken["q_nom_kvar"]
        return {**taken, "scale": self._scale, "tan_phi": q_nom / p_nom if p_nom > 0.0 else 0.0}

    def _own(self, where: str, params: dict[str, Any], series: Any) -> dict[str, float]:
        """Parameters of a load with its own series."""
        if not isinstance(series, str):
            raise DataError(where, "series", series, "a .csv file")
        return {**take(where, params, MEASURED), "p_nom_kw": 0.0, "q_nom_kvar": 0.0, "scale": 1.0}

    def setup_done(self) -> None:
        """Make the profiles now, so that bad data stops the scenario before it runs."""
        if self.rows:
            self._blocks.at(0)

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        loads, now = self._blocks.at(index)
        scale = stacked(self._params, "scale") * self._load_scale
        p_kw, q_kvar = loads.p_kw[:, now] * scale, loads.q_kvar[:, now] * scale
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
        scale = stacked(self._params, "scale")
        p_true, q_true = (kw[:, ahead] * scale[:, None] for kw in (loads.p_kw, loads.q_kvar))
        mean, homes = loads.mean_kw * scale, loads.n_homes.astype(np.float64)
        p_kw = self.forecast.forecast(
            "load",
            p_true,
            mean,
            calendar.epoch_s(index),
            entities=self.names,
            n_homes=homes,
            step_s=calendar.step_s,
        )
        sigma = self.forecast.sigma("load", calendar.lead_h(index), homes[:, None]) * mean[:, None]
        stated = stacked(self._params, "sigma_share")[:, None]
        sigma = np.where(np.isnan(stated), sigma, stated * p_kw)
        ratio = stacked(self._params, "tan_phi")
        return p_kw, load.reactive_forecast(q_true, p_true, p_kw, ratio), sigma

    def _load(self, span: Span, _block: int) -> BusLoads:
        """Profiles of all loads: those of the source, and each series of its own."""
        groups = {
            series: [row for row, own in enumerate(self._series) if own == series]
            for series in dict.fromkeys(self._series)
        }
        found = [self._read(series, rows, span) for series, rows in groups.items()]
        order = np.argsort(np.concatenate([np.array(rows) for rows in groups.values()]))
        return BusLoads(
            p_kw=np.concatenate([loads.p_kw for loads in found])[order],
            q_kvar=np.concatenate([loads.q_kvar for loads in found])[order],
            n_homes=np.concatenate([loads.n_homes for loads in found])[order],
            mean_kw=np.concatenate([loads.mean_kw for loads in found])[order],
            source=", ".join(loads.source for loads in found),
        )

    def _read(self, series: str | None, rows: list[int], span: Span) -> BusLoads:
        chosen, buses = [self._params[row] for row in rows], [self._buses[row] for row in rows]
        if series is not None:
            tan_phi = stacked(chosen, "tan_phi")
            return measured_loads(
                series, span, buses=buses, tan_phi=tan_phi, base_dir=self.base_dir
            )
        return bus_loads(
            self._source,
            stacked(chosen, "p_nom_kw"),
            stacked(chosen, "q_nom_kvar"),
            span,
            seed=self.seed,
            bus_ids=buses,
            base_dir=self.base_dir,
        )


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(LoadSimulator())


if __name__ == "__main__":
    main()
