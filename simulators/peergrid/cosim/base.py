"""What every simulator of peergrid shares: steps, inputs, outputs, state and restore."""

import copy
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import mosaik_api_v3

from peergrid.cosim.attributes import build_meta
from peergrid.errors import DataError, ModelError

Inputs = Mapping[str, Mapping[str, Mapping[str, Any]]]
Outputs = dict[str, dict[str, Any]]
CHECKPOINT = "Checkpoint-0"


class Simulator(mosaik_api_v3.Simulator):
    """A time-based mosaik simulator whose core is called once a step.

    Subclasses say which ``models`` of the attribute table they offer and implement
    ``set_up`` (simulator parameters), ``make`` (create one entity), ``advance`` (one step:
    decoded inputs in, outputs by entity out), ``internal_state`` and ``set_internal_state``.
    """

    models: ClassVar[tuple[str, ...]] = ()
    extra_methods: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        meta: Any = build_meta(self.models, extra_methods=self.extra_methods)
        super().__init__(meta)  # type: ignore[no-untyped-call]
        self.sid = ""
        self.step_s = 3600.0
        self._step_units = 3600
        self._steps_done = 0
        self._outputs: Outputs = {}
        self._count: dict[str, int] = {}
        self._restore: Mapping[str, Any] | None = None

    # -- what mosaik calls ---------------------------------------------------------------------

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        step_size: float = 3600.0,
        restore: Mapping[str, Any] | None = None,
        **sim_params: Any,
    ) -> Any:
        """Take the simulator's parameters.

        Parameters
        ----------
        sid
            The simulator's id in the scenario.
        time_resolution
            Seconds per unit of mosaik time.
        step_size
            Step length [s].
        restore
            A state that :meth:`state` returned: the first step restores it and nothing else.
        **sim_params
            See the simulator's ``set_up``.
        """
        self.sid = sid
        self.step_s = float(step_size)
        units = self.step_s / time_resolution
        if not (math.isfinite(units) and units >= 1 and abs(units - round(units)) < 1e-9):
            raise DataError(
                sid, "step_size", step_size, f"a multiple of time_resolution = {time_resolution} s"
            )
        self._step_units = round(units)
        self._restore = restore
        try:
            self.set_up(**sim_params)
        except TypeError as error:
            raise DataError(sid, "sim_params", sorted(sim_params), str(error)) from error
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> Any:
        """Create ``num`` entities ``Model-<idx>`` of a model."""
        if model == "Checkpoint":
            return [{"eid": CHECKPOINT, "type": "Checkpoint", "rel": []}]
        if model not in self.models or not self.meta["models"][model]["public"]:
            raise ModelError(f"{self.sid}: cannot create {model!r}; models: {self.models}")
        created = []
        for _ in range(num):
            index = self._count.get(model, 0)
            self._count[model] = index + 1
            created.append({"type": model, "rel": [], **self.make(model, index, **model_params)})
        return created

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        """Advance by one step; mosaik time ``time`` is the start of the step."""
        if self._restore is not None:
            self.restore(self._restore)
            self._restore = None
            return self._steps_done * self._step_units
        index = time // self._step_units
        self._outputs = self.advance(index, inputs)
        self._steps_done = index + 1
        return int(time) + self._step_units

    def get_data(self, outputs: Any) -> Any:
        """Fresh dictionaries of the requested outputs, plain Python values."""
        data: Outputs = {}
        for eid, names in outputs.items():
            if eid == CHECKPOINT:
                data[eid] = {"state": self.state()}
            else:
                own = self._outputs.get(eid, {})
                data[eid] = {name: copy.copy(own.get(name)) for name in names}
        return data

    # -- state ---------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything needed to go on from here, as plain JSON-ready data."""
        # Outputs are made anew each step and never changed afterwards: no deep copy is needed.
        return {
            "steps_done": self._steps_done,
            "outputs": {eid: dict(values) for eid, values in self._outputs.items()},
            "internal": self.internal_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what :meth:`state` returned; the entities must already be created."""
        self._steps_done = int(state["steps_done"])
        self._outputs = {eid: dict(values) for eid, values in state["outputs"].items()}
        self.set_internal_state(state["internal"])

    # -- for subclasses ------------------------------------------------------------------------

    def set_up(self, **params: Any) -> None:
        """Take the simulator's own parameters; unknown ones are an error of the subclass."""
        if params:
            raise DataError(self.sid, "sim_params", sorted(params), "no parameters")

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """Create one entity: at least ``eid``; ``children``, ``rel``, ``extra_info`` if any."""
        raise ModelError(f"{self.sid}: model {model!r} has no entities")

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Compute the step ``index`` (counted from 0) and return all outputs by entity."""
        raise ModelError(f"{self.sid}: no step")

    def internal_state(self) -> dict[str, Any]:
        """Plain data beyond the last outputs; nothing by default."""
        return {}

    def set_internal_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`internal_state`."""


def total(inputs: Inputs, eid: str, name: str) -> float | None:
    """Sum of what all sources sent to one attribute; None when nobody said anything.

    Sources are taken in sorted order and added with :func:`math.fsum`, so the result does not
    depend on the order of ``connect``. None and NaN count as silence.

    >>> total({"Bus-1": {"P_load[MW]": {"B": 0.25, "A": 0.5, "C": None}}}, "Bus-1", "P_load[MW]")
    0.75
    """
    values = present(inputs, eid, name)
    return math.fsum(values) if values else None


def present(inputs: Inputs, eid: str, name: str) -> list[float]:
    """Numbers that arrived at an attribute, in order of their source."""
    sources = inputs.get(eid, {}).get(name, {})
    found = (sources[source] for source in sorted(sources))
    return [
        float(value) for value in found if isinstance(value, int | float) and math.isfinite(value)
    ]


def last(inputs: Inputs, eid: str, name: str) -> Any:
    """The value of the first source (sorted) that said something, of any type; else None."""
    sources = inputs.get(eid, {}).get(name, {})
    return next((sources[s] for s in sorted(sources) if sources[s] is not None), None)


def plain(values: Iterable[float]) -> list[float]:
    """A list of Python floats, as the wire needs them."""
    return [float(value) for value in values]
