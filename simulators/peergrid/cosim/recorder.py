"""mosaik adapter of the recorder: whatever is connected to it goes into an HDF5 file."""

import math
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import mosaik_api_v3

from peergrid import __version__
from peergrid.cosim.attributes import lag_steps_of
from peergrid.cosim.base import Inputs, Outputs, Simulator
from peergrid.cosim.wire import unit_of
from peergrid.errors import DataError
from peergrid.results.layout import SeriesInfo, info_from_names
from peergrid.results.writer import RunFile, RunHeader
from peergrid.units import SECONDS_PER_HOUR

EID = "Recorder-0"
NOT_SERIES = ("state", "events")


class RecorderSimulator(Simulator):
    """Records every attribute connected to its one entity, and flushes every step.

    Numbers, booleans and lists of numbers become series under the full id of their source;
    ``events`` (lists of mappings ``who``, ``what``, ``value``) go to the table of events and
    ``state`` (of Checkpoint entities) to the states for resume.
    """

    models: ClassVar[tuple[str, ...]] = ("Recorder",)

    def set_up(
        self,
        *,
        start: str = "1970-01-01T00:00+00:00",
        warmup_steps: int = 0,
        hours: float | None = None,
        root: Mapping[str, Any] | None = None,
        state_every: int = 24,
        **params: Any,
    ) -> None:
        """Take the parameters of the file.

        Parameters
        ----------
        start
            Instant of mosaik time 0, ISO; without an offset it is UTC.
        warmup_steps
            Steps before the first row; they are not recorded.
        hours
            Simulated time to report [h]: later steps only deliver what describes earlier ones.
            Without it every step is a row.
        root
            Root attributes: scenario text, seed, versions, limits.
        state_every
            Steps between two recorded states; the last row always has one.
        **params
            No others.
        """
        if params:
            known = "start, warmup_steps, hours, root, state_every, step_size"
            raise DataError(self.sid, "sim_params", sorted(params), known)
        self._warmup = _whole(self.sid, "warmup_steps", warmup_steps, least=0)
        self._state_every = _whole(self.sid, "state_every", state_every, least=1)
        self._rows: int | None = None
        if hours is not None:
            rows = hours * SECONDS_PER_HOUR / self.step_s
            if not math.isfinite(rows) or rows < 1 or abs(rows - round(rows)) > 1e-9:
                raise DataError(
                    self.sid, "hours", hours, f"a whole number of steps of {self.step_s:g} s"
                )
            self._rows = round(rows)
        first = _instant(self.sid, start) + timedelta(seconds=self._warmup * self.step_s)
        self._header = RunHeader(
            start=first.isoformat(),
            step_s=self.step_s,
            rows=self._rows,
            attrs={"peergrid_version": __version__, **(root or {})},
        )
        self._file: RunFile | None = None
        self._path = ""
        self._overwrite = False
        self._only: frozenset[str] | None = None
        self._types: dict[str, str] = {}

    def make(
        self,
        model: str,
        index: int,
        *,
        filename: str = "run.h5",
        attributes: Collection[str] | None = None,
        overwrite: bool = False,
        **params: Any,
    ) -> dict[str, Any]:
        """Name the file; it is opened when the scenario is wired.

        Parameters
        ----------
        model, index
            ``Recorder`` and 0: one per simulator.
        filename
            The file.
        attributes
            Names of the attributes to record; without it all that is connected.
        overwrite
            Whether a file that exists may be replaced.
        **params
            No others.
        """
        if params or index:
            what = sorted(params) or "a second Recorder"
            raise DataError(self.sid, model, what, "one Recorder: filename, attributes, overwrite")
        resumes = self._restore is not None
        if not resumes and not overwrite and Path(filename).exists():
            raise DataError(filename, "file", "exists", "a new file, or overwrite")
        if resumes and not Path(filename).is_file():
            raise DataError(filename, "file", "missing", "the results file to go on with")
        self._path = str(filename)
        self._overwrite = overwrite
        self._only = None if attributes is None else frozenset(attributes)
        return {"eid": EID}

    def setup_done(self) -> Any:
        """Ask mosaik who is connected to whom, open the file and write the relations."""
        if not self._path:
            return
        own = f"{self.sid}.{EID}"
        neighbours: dict[str, list[str]] = {}
        frontier = [own]
        while frontier:
            found = yield self.mosaik.get_related_entities(frontier)
            for node, others in found.items():
                neighbours[node] = sorted(others)
                self._types.update({other: str(spec["type"]) for other, spec in others.items()})
            frontier = sorted(set(self._types) - set(neighbours))
        neighbours.pop(own, None)
        self._file = self._open()
        self._file.write_relations(
            {node: [o for o in others if o != own] for node, others in neighbours.items()}
        )

    def _open(self) -> RunFile:
        if self._restore is None:
            return RunFile.create(
                self._path, self._header, describe=self.describe, overwrite=self._overwrite
            )
        row = max(0, int(self._restore["steps_done"]) - self._warmup)
        return RunFile.append(self._path, row, describe=self.describe)

    def describe(self, full_id: str, attr: str) -> SeriesInfo:
        """Model, unit and lag of a series: the entity's type is known from mosaik."""
        model = self._types.get(full_id) or info_from_names(full_id, attr).model
        return SeriesInfo(model=model, unit=unit_of(attr), lag_steps=lag_steps_of(model, attr))

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Write one step."""
        row = index - self._warmup
        if self._file is None or row < 0:
            return {}
        received = inputs.get(EID, {})
        values = {
            attr: by_source
            for attr, by_source in received.items()
            if attr not in NOT_SERIES and (self._only is None or attr in self._only)
        }
        states = received.get("state", {}) if self._state_due(row) else {}
        self._file.write(
            row,
            values,
            events=[*_events(received.get("events", {})), *_failures(received)],
            states={
                full_id.partition(".")[0]: state
                for full_id, state in sorted(states.items())
                if state is not None
            },
        )
        if self._rows is not None and row >= self._rows:
            self.finalize()
        return {}

    def _state_due(self, row: int) -> bool:
        if self._rows is not None and row >= self._rows - 1:
            return row == self._rows - 1
        return (row + 1) % self._state_every == 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after ``steps_done`` steps; the recorder has no other state."""
        self._steps_done = int(state["steps_done"])

    def finalize(self) -> None:
        """Close the file; its status becomes ``complete`` only if all rows were written."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _events(by_source: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Events of all sources, in order of the source; who is the source unless it says so."""
    for source in sorted(by_source):
        for event in by_source[source] or ():
            known = event if isinstance(event, Mapping) else {"what": event}
            yield {"who": source, **known}


def _failures(received: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """An event for every grid whose power flow found no solution in this step."""
    for source, converged in sorted(received.get("converged", {}).items()):
        if converged is not None and not converged:
            yield {"who": source, "what": "the power flow did not converge: no voltages"}


def _instant(sid: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DataError(sid, "start", text, "an ISO time, such as 2016-06-30T00:00Z") from error
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _whole(sid: str, name: str, value: Any, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DataError(sid, name, value, f"a whole number, at least {least}")
    return value


def main() -> None:
    """Serve the simulator to a mosaik that started it or is connected to."""
    mosaik_api_v3.start_simulation(RecorderSimulator())


if __name__ == "__main__":
    main()
