"""Fleets of electric vehicles: ``EVFleet-<i>`` with one child ``EV-<j>`` per vehicle.

A vehicle follows its own ``P_set[MW]``; vehicles without one share what the fleet's leaves over;
without either they charge at once. Whatever is asked, each vehicle keeps the energy its departures
need, and inside that the envelope of its connection point. Trips are known to the vehicle, times
and energies, without error; trip noise is not modelled. Connect either the fleet or its vehicles to
the market, not both: they are the same power.

A vehicle may bid a share of the import price: that much a kWh charged is worth to it, and so much
it asks for one discharged. It reads the prices itself, from the ``tariff`` it was created with
(keys of a scenario's ``[prices]``); prices that reach the market on the wire it does not hear.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import mosaik_api_v3
import numpy as np
import pandas as pd

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import (
    Blocks,
    DeviceSimulator,
    Floats,
    Quantity,
    column,
    number,
    stacked,
    take,
    whole_number,
)
from peergrid.devices import ev, fleet
from peergrid.errors import DataError
from peergrid.inputs.prices import prices_of
from peergrid.inputs.span import Span
from peergrid.inputs.tours import read_tours, sample_tours
from peergrid.inputs.trip_hours import tours_to_hours
from peergrid.units import kw_from_mw, mw_from_kw

PARAMS = {
    "e_max_kwh": Quantity(low=1e-6, default=40.0),
    "p_max_kw": Quantity(low=1e-6, default=11.0),
    "eta_charge": Quantity(low=1e-3, high=1.0, default=0.95),
    "eta_discharge": Quantity(low=1e-3, high=1.0, default=0.95),
    "soc_start": Quantity(high=1.0, default=0.6),
    "soc_min": Quantity(high=1.0, default=0.2),
    "soc_departure": Quantity(high=1.0, default=0.9),
    "wear_eur_per_mwh": Quantity(default=5.0),
    "wear_rise_eur_per_mwh": Quantity(default=10.0),
    "bid_share_of_import": Quantity(high=1.0, default=0.0),
}
"""Creation parameters, besides ``num_ev``, ``v2g``, ``tours``, ``tariff`` and ``name``; ``soc_*``
are shares."""

_LEAST_BLOCK_H = 31 * 24
_LOOK_H = 7 * 24  # trips behind the horizon that what is required may go back to


class EVFleetSimulator(DeviceSimulator):
    """Vehicles of all fleets in one set of arrays; their tours from a CSV file or sampled."""

    models = ("EVFleet", "EV")

    def set_up_own(self) -> None:
        """Start without entities."""
        longest = max(self.calendar.hours, _LEAST_BLOCK_H)
        calendar = replace(self.calendar, hours=longest)
        self._blocks = Blocks(calendar, self._trips, extra_h=_LOOK_H)
        self._prices = Blocks(self.calendar, self._bids)
        self._tariffs: list[Mapping[str, Any]] = []
        self._params: list[dict[str, float]] = []
        self._fleets: dict[str, int] = {}
        self._first = np.zeros(1, dtype=np.intp)
        self._sources: list[tuple[pd.DataFrame | None, str | None]] = []
        self._state = ev.State(e_kwh=np.zeros(0), full_kwh=np.zeros(0))

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create a fleet of ``num_ev`` equal vehicles; ``v2g``: they may discharge.

        ``tariff`` says which prices ``bid_share_of_import`` is a share of.
        """
        where = f"{self.sid}.EVFleet-{index}"
        name, tours = params.pop("name", None), params.pop("tours", None)
        num_ev = whole_number(where, "num_ev", params.pop("num_ev", 1), 1)
        tariff = params.pop("tariff", None) or {}
        if not isinstance(tariff, Mapping):
            raise DataError(where, "tariff", tariff, "a table of prices")
        v2g = params.pop("v2g", True)
        if not isinstance(v2g, bool):
            raise DataError(where, "v2g", v2g, "true or false")
        taken = take(where, params, PARAMS)
        soc = number(where, "soc_start", taken.pop("soc_start"), 0.0, 1.0)
        self._sources.append((self._read(tours, num_ev, taken["e_max_kwh"]), name))
        self._tariffs.append(tariff)
        eid = f"{model}-{index}"
        self._fleets[eid] = index
        vehicles = [self.add("EV", len(self.rows), None) for _ in range(num_ev)]
        self._params += [{**taken, "v2g": float(v2g)}] * num_ev
        self._first = np.append(self._first, len(self.rows))
        self._vehicles = self._stack()
        e_kwh = soc * stacked(self._params[-num_ev:], "e_max_kwh")
        e_all = np.concatenate([self._state.e_kwh, e_kwh])
        self._state = ev.State(e_kwh=e_all, full_kwh=e_all.copy())
        info = {
            **{key: taken[key] for key in ("e_max_kwh", "p_max_kw")},
            "e_start_kwh": float(e_kwh[0]),
            "soc_start_percent": 100.0 * soc,
            "v2g": v2g,
        }
        children = [
            {"eid": child, "type": "EV", "rel": [], "extra_info": dict(info)} for child in vehicles
        ]
        fleet_info = {"name": name or eid, "num_ev": num_ev, **info}
        return {"eid": eid, "children": children, "extra_info": fleet_info}

    def setup_done(self) -> None:
        """Place tours and prices now, so that bad data stops the scenario before it runs."""
        if self.rows:
            self._blocks.at(0)
            self._prices.at(0)

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        trips, now = self._blocks.at(index)
        here = trips.window(now, 2)
        low, high = self.room(inputs).within(
            *ev.power_range(self._vehicles, self._state.e_kwh, here, self.dt_h)
        )
        asked = kw_from_mw(column(inputs, self._fleets, "P_set[MW]"))
        p_kw = ev.setpoints(low, high, self.kw(inputs, "P_set[MW]"), asked, self._first)
        self._state, done = ev.follow(self._vehicles, self._state, here, p_kw, self.dt_h)
        own, summed = fleet.messages(
            self._vehicles,
            self._wear,
            self._state.e_kwh,
            trips.window(now + 1, self.calendar.horizon),
            self._first,
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
            dt_h=self.dt_h,
            rise_eur_per_kwh=self._rise,
            bid_eur_per_kwh=self._bid(index),
        )
        return self._of_vehicles(done, here, own) | self._of_fleets(done, here, summed)

    def internal_state(self) -> dict[str, Any]:
        """Energies of the vehicles [kWh]."""
        return {"e_kwh": self._state.e_kwh.tolist(), "full_kwh": self._state.full_kwh.tolist()}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""
        self._state = ev.State(
            e_kwh=np.array(state["e_kwh"], dtype=np.float64),
            full_kwh=np.array(state["full_kwh"], dtype=np.float64),
        )

    # -- encode --------------------------------------------------------------------------------

    def _of_vehicles(self, done: ev.Step, here: ev.Itinerary, sent: list[Any]) -> Outputs:
        columns = {
            "P[MW]": plain(mw_from_kw(done.p_kw)),
            "E[MWh]": plain(mw_from_kw(self._state.e_kwh)),
            "SoC[%]": plain(100.0 * self._state.e_kwh / self._vehicles.capacity_kwh),
            "plugged": here.plugged[:, 0].astype(int).tolist(),
            "departures": done.departs.astype(int).tolist(),
            "departures_met": done.met.astype(int).tolist(),
            "flexibility": sent,
        }
        rows = zip(*columns.values(), strict=True)
        return {
            eid: dict(zip(columns, row, strict=True))
            for eid, row in zip(self.rows, rows, strict=True)
        }

    def _of_fleets(self, done: ev.Step, here: ev.Itinerary, sent: list[Any]) -> Outputs:
        begin = self._first[:-1]
        columns = {
            "P[MW]": plain(mw_from_kw(np.add.reduceat(done.p_kw, begin))),
            "E[MWh]": plain(mw_from_kw(np.add.reduceat(self._state.e_kwh, begin))),
            "n_plugged": np.add.reduceat(here.plugged[:, 0].astype(int), begin).tolist(),
            "flexibility": sent,
        }
        rows = zip(*columns.values(), strict=True)
        return {
            eid: dict(zip(columns, row, strict=True))
            for eid, row in zip(self._fleets, rows, strict=True)
        }

    # -- bids ----------------------------------------------------------------------------------

    def _bid(self, index: int) -> Floats:
        """Bids of the vehicles for the horizon after a step, ``(n, H)`` [EUR/kWh]."""
        bids, now = self._prices.at(index)
        ahead = bids[:, now + 1 : now + 1 + self.calendar.horizon]
        return np.asarray(np.repeat(ahead, np.diff(self._first), axis=0))

    def _bids(self, span: Span, _block: int) -> Floats:
        """Bids of the fleets in a block, ``(f, T)`` [EUR/kWh]; zeros need no prices."""
        bids = np.zeros((len(self._fleets), span.n_total))
        for fleet_row, tariff in enumerate(self._tariffs):
            share = self._params[int(self._first[fleet_row])]["bid_share_of_import"]
            if share > 0.0:
                found = prices_of(tariff, span, base_dir=self.base_dir)
                bids[fleet_row] = mw_from_kw(share * found.import_eur_per_mwh)
        return bids

    # -- trips ---------------------------------------------------------------------------------

    def _stack(self) -> ev.Vehicles:
        given = {name: stacked(self._params, name) for name in self._params[0]}
        self._wear: Floats = mw_from_kw(given["wear_eur_per_mwh"])
        self._rise: Floats = mw_from_kw(given["wear_rise_eur_per_mwh"])
        return ev.Vehicles(
            capacity_kwh=given["e_max_kwh"],
            p_max_kw=given["p_max_kw"],
            eta_charge=given["eta_charge"],
            eta_discharge=given["eta_discharge"],
            soc_min=given["soc_min"],
            soc_departure=given["soc_departure"],
            v2g=given["v2g"] > 0.0,
        )

    def _read(self, tours: Any, num_ev: int, capacity_kwh: float) -> pd.DataFrame | None:
        """Tours of a CSV file, which the battery must be able to serve; None: sample them."""
        if tours is None:
            return None
        path = Path(self.base_dir) / str(tours)
        table = read_tours(path, n_ev=num_ev)
        beyond = table[table["energy_kwh"] > capacity_kwh]
        if not beyond.empty:
            tour = beyond.iloc[0]
            field = f"energy_kwh of vehicle {tour['ev']} on {tour['date']}"
            allowed = f"at most the battery's {capacity_kwh:g} kWh"
            raise DataError(path, field, float(tour["energy_kwh"]), allowed)
        return table

    def _trips(self, span: Span, block: int) -> ev.Itinerary:
        """Trips of all vehicles in a block."""
        plugged, demand = [], []
        for rows, table in self._tours(span):
            found = tours_to_hours(table, span, rows.stop - rows.start)
            used = found.demand_kwh
            if block == 0:
                used = ev.without_running_tours(found.plugged, found.departs, used)
            plugged.append(found.plugged)
            demand.append(used)
        return ev.itinerary(self._vehicles, np.vstack(plugged), np.vstack(demand), self.dt_h)

    def _tours(self, span: Span) -> Iterator[tuple[slice, pd.DataFrame]]:
        """Rows and tours of each fleet; sampled ones are cut to what a full battery serves.

        A named fleet has tours of its own, the same in whichever simulator it lives; vehicles of
        the others have the tours of their number.
        """
        first = span.index[0].tz_convert(span.tz).date() - timedelta(days=1)
        days = pd.date_range(first, span.index[-1].tz_convert(span.tz).date(), freq="D")
        unnamed = any(table is None and name is None for table, name in self._sources)
        common = sample_tours(len(self.rows) if unnamed else 0, days, seed=self.seed)
        for k, (table, name) in enumerate(self._sources):
            rows = slice(int(self._first[k]), int(self._first[k + 1]))
            if table is not None:
                yield rows, table
                continue
            if name is None:
                mine = common[(common["ev"] >= rows.start) & (common["ev"] < rows.stop)]
                tours = mine.assign(ev=mine["ev"] - rows.start)
            else:
                seed = self.seed + (zlib.crc32(name.encode()) << 32)
                tours = sample_tours(rows.stop - rows.start, days, seed=seed)
            spec = self._params[rows.start]
            most = spec["e_max_kwh"] * (1.0 - spec["soc_min"])
            yield rows, tours.assign(energy_kwh=np.minimum(tours["energy_kwh"], most))


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(EVFleetSimulator())


if __name__ == "__main__":
    main()
