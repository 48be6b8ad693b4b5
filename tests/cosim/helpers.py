"""Simulators of the tests' own: a source that plays columns, and a sink that keeps what it gets."""

from collections.abc import Mapping
from typing import Any

import mosaik_api_v3

PYTHON_SOURCE = {"python": "tests.cosim.helpers:Source"}
PYTHON_SINK = {"python": "tests.cosim.helpers:Sink"}


class Source(mosaik_api_v3.Simulator):
    """Entities ``Column-<i>`` that play lists of values, one a step; the last one stays."""

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {"Column": {"public": True, "params": ["values"], "attrs": []}},
            }
        )
        self.columns: dict[str, Mapping[str, list[Any]]] = {}
        self.step_units = 3600
        self.index = 0

    def init(self, sid: str, time_resolution: float = 1.0, **sim_params: Any) -> Any:
        """Take ``step_size`` [s] and ``attrs``, the names of the attributes to play."""
        self.step_units = round(sim_params.get("step_size", 3600) / time_resolution)
        self.meta["models"]["Column"]["attrs"] = list(sim_params["attrs"])
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> Any:
        """One entity a time, with a list of values for each attribute."""
        eids = [f"Column-{len(self.columns) + k}" for k in range(num)]
        for eid in eids:
            self.columns[eid] = model_params["values"]
        return [{"eid": eid, "type": model} for eid in eids]

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        """Go on to the next row."""
        self.index = time // self.step_units
        return time + self.step_units

    def get_data(self, outputs: Any) -> Any:
        """The values of this row."""
        return {
            eid: {name: self._value(self.columns[eid][name]) for name in names}
            for eid, names in outputs.items()
        }

    def _value(self, column: list[Any]) -> Any:
        return column[min(self.index, len(column) - 1)]


class Sink(mosaik_api_v3.Simulator):
    """One entity ``Sink`` that keeps everything it is sent in the dictionary ``into``.

    ``into[time][source][attribute]`` is the value.
    """

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            {
                "api_version": "3.0",
                "type": "time-based",
                "models": {
                    "Sink": {"public": True, "params": ["into"], "attrs": [], "any_inputs": True}
                },
            }
        )
        self.step_units = 3600
        self.into: dict[int, dict[str, dict[str, Any]]] = {}

    def init(self, sid: str, time_resolution: float = 1.0, **sim_params: Any) -> Any:
        """Take ``step_size`` [s]."""
        self.step_units = round(sim_params.get("step_size", 3600) / time_resolution)
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> Any:
        """Take the dictionary to fill."""
        self.into = model_params["into"]
        return [{"eid": "Sink", "type": model}]

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        """Keep the inputs of this step."""
        row = self.into.setdefault(time, {})
        for attribute, sources in inputs.get("Sink", {}).items():
            for source, value in sources.items():
                row.setdefault(source, {})[attribute] = value
        return time + self.step_units

    def get_data(self, outputs: Any) -> Any:
        """A sink has no outputs."""
        return {}
