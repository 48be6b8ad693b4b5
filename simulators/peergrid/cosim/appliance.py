"""Household appliances: they run whole cycles inside a daily window as their set-points ask."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import mosaik_api_v3
import numpy as np

from peergrid.cosim.base import Inputs, Outputs, plain
from peergrid.cosim.common import DeviceSimulator, Floats, Quantity, number, take, whole_number
from peergrid.devices import appliance
from peergrid.devices.appliance import Appliances, Progress, Window
from peergrid.errors import DataError
from peergrid.inputs.span import zone
from peergrid.units import mw_from_kw

PARAMS = {
    "phase_min": Quantity(low=1e-3, default=15.0),
    "earliest_h": Quantity(high=24.0, default=0.0),
    "latest_h": Quantity(high=24.0, default=24.0),
    "habit_h": Quantity(high=24.0, optional=True),
    "homes": Quantity(low=1e-6, default=1.0),
    "tan_phi": Quantity(low=-np.inf, default=0.0),
}
"""Creation parameters: minutes of a phase; local hours of day, ``habit_h`` absent: ``earliest_h``;
homes whose appliances run in step. Besides them ``phases_kw`` (powers of the phases of a cycle),
``cycles_per_day`` and ``name``."""

OUTPUTS = ("P[MW]", "Q[MVar]", "cycles_left", "running", "flexibility")
MINUTE_S = 60.0


class ApplianceSimulator(DeviceSimulator):
    """Entities ``Appliance-<i>``.

    A day lasts from local midnight to midnight, whenever the run starts: cycles that habit would
    have begun before the first step count as done.
    """

    models = ("Appliance",)

    def set_up_own(self) -> None:
        """Start without entities."""
        self._params: list[dict[str, Any]] = []
        nothing = np.zeros(0, dtype=np.int64)
        self._progress = Progress(age=nothing, left=nothing)

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one appliance from the parameters of :data:`PARAMS` and what is named there."""
        name = params.pop("name", None)
        taken = self._taken(f"{self.sid}.Appliance-{index}", params)
        self._params.append(taken)
        self._appliances = _stacked(self._params)
        self._progress = appliance.at_start(self._appliances, self._window(0))
        eid = self.add(model, index, name)
        energy_kwh = float(taken["cycle_kw"].sum() * self.dt_h)
        return {"eid": eid, "extra_info": {"name": name or eid, "cycle_kwh": energy_kwh}}

    def _taken(self, where: str, params: dict[str, Any]) -> dict[str, Any]:
        """Checked parameters, with the powers of a cycle in steps."""
        phases = _phases(where, params.pop("phases_kw", None))
        per_day = whole_number(where, "cycles_per_day", params.pop("cycles_per_day", 1), 1)
        taken: dict[str, Any] = dict(take(where, params, PARAMS))
        earliest, latest, habit = (taken[f"{key}_h"] for key in ("earliest", "latest", "habit"))
        number(where, "latest_h", latest, earliest, 24.0)
        taken["habit_h"] = earliest
        if not np.isnan(habit):
            taken["habit_h"] = number(where, "habit_h", habit, earliest, latest)
        cycle = appliance.cycle_of(phases, taken["phase_min"] * MINUTE_S, self.step_s)
        taken |= {"cycle_kw": cycle * taken["homes"], "cycles_per_day": per_day}
        if appliance.usual_window(_stacked([taken]), self.dt_h).count[0] < per_day:
            need = f"{per_day} x {len(cycle)} steps of {self.dt_h:g} h"
            allowed = f"room for {need} after earliest_h = {earliest:g}"
            raise DataError(where, "latest_h", latest, allowed)
        return taken

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Realise one step and look ahead."""
        if not self.rows:
            return {}
        day, (first, end) = self._window(index), self.calendar.local_day(index)
        if first == index:
            self._progress = Progress(age=self._progress.age, left=day.count)
        p_kw, self._progress = appliance.follow(
            self._appliances,
            self._progress,
            day,
            index,
            self.kw(inputs, "P_set[MW]"),
            self.room(inputs),
        )
        ahead, after = self._windows(index + 1), self._progress
        if end == index + 1:
            after = Progress(age=after.age, left=ahead[0].count)
        sent = appliance.messages(
            self._appliances,
            after,
            ahead,
            first_step=index + 1,
            steps=self.calendar.horizon,
            t0_s=self.t0_s(index),
            dt_s=self.step_s,
        )
        return self._outputs_of(p_kw, sent)

    def internal_state(self) -> dict[str, Any]:
        """Steps that the cycles in progress have run, and cycles of the day that are left."""
        return {"age": self._progress.age.tolist(), "left": self._progress.left.tolist()}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""
        age, left = (np.array(state[key], dtype=np.int64) for key in ("age", "left"))
        self._progress = Progress(age=age, left=left)

    def _window(self, index: int) -> Window:
        """Windows on the local day of a step."""
        calendar, own = self.calendar, self._appliances
        local = calendar.start + timedelta(seconds=index * calendar.step_s)
        midnight = datetime.combine(
            local.astimezone(zone(calendar.tz)).date(), time(), tzinfo=zone(calendar.tz)
        )

        def at(hours: Floats) -> Floats:
            """Steps from step 0 to hours of the clock."""
            instants = [(midnight + timedelta(hours=h)).astimezone(UTC) for h in hours.tolist()]
            seconds = [(instant - calendar.start).total_seconds() for instant in instants]
            return np.array(seconds) / calendar.step_s

        return appliance.window(own, at(own.earliest_h), at(own.latest_h), at(own.habit_h))

    def _windows(self, first_step: int) -> list[Window]:
        """Windows on the local days of the horizon's steps."""
        found, step = [], first_step
        while step < first_step + self.calendar.horizon:
            found.append(self._window(step))
            _, step = self.calendar.local_day(step)
        return found

    def _outputs_of(self, p_kw: Floats, sent: list[Any]) -> Outputs:
        columns = (
            plain(mw_from_kw(0.0 - p_kw)),
            plain(mw_from_kw(self._appliances.tan_phi * (0.0 - p_kw))),
            self._progress.left.tolist(),
            (p_kw < 0.0).tolist(),
        )
        rows = zip(self.rows, *columns, sent, strict=True)
        return {eid: dict(zip(OUTPUTS, values, strict=True)) for eid, *values in rows}


def _phases(where: str, given: Any) -> list[float]:
    """The powers of a cycle's phases, or a :class:`DataError`."""
    allowed = "a list of powers, 0 or more kW, the first and the last above 0"
    if not isinstance(given, list | tuple) or not given:
        raise DataError(where, "phases_kw", given, allowed)
    phases = [number(where, f"phases_kw[{k}]", power, 0.0) for k, power in enumerate(given)]
    if not (phases[0] > 0.0 and phases[-1] > 0.0):
        raise DataError(where, "phases_kw", given, allowed)
    return phases


def _stacked(rows: list[dict[str, Any]]) -> Appliances:
    """All appliances from the parameters of each."""
    length = np.array([len(row["cycle_kw"]) for row in rows], dtype=np.int64)
    cycle_kw = np.zeros((len(rows), int(length.max())))
    for row, taken in zip(cycle_kw, rows, strict=True):
        row[: len(taken["cycle_kw"])] = taken["cycle_kw"]
    names = ("tan_phi", "earliest_h", "latest_h", "habit_h")
    return Appliances(
        cycle_kw=cycle_kw,
        length=length,
        cycles_per_day=np.array([row["cycles_per_day"] for row in rows], dtype=np.int64),
        **{name: np.array([row[name] for row in rows], dtype=np.float64) for name in names},
    )


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(ApplianceSimulator())


if __name__ == "__main__":
    main()
