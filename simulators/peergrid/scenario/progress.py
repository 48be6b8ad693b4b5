"""A simulator that tells the caller which step the run has reached."""

from collections.abc import Callable
from typing import Any

import mosaik_api_v3

META: dict[str, Any] = {
    "api_version": "3.0",
    "type": "time-based",
    "models": {"Progress": {"public": True, "params": [], "attrs": [], "any_inputs": True}},
}


class Progress(mosaik_api_v3.Simulator):
    """Calls a function with the number of steps done, after the simulators it listens to."""

    def __init__(self) -> None:
        super().__init__(META)  # type: ignore[no-untyped-call]
        self._step_size = 1
        self._skip_to = 0
        self._callback: Callable[[int], None] | None = None

    def init(
        self,
        sid: str,
        time_resolution: float = 1.0,
        step_size: int = 3600,
        callback: Callable[[int], None] | None = None,
        skip_to: int = 0,
        **sim_params: Any,
    ) -> Any:
        """Take the step [units of mosaik time], the function, and the step a resumed run is at."""
        self._step_size = step_size
        self._callback = callback
        self._skip_to = skip_to
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> Any:
        """Create the entity that the others are connected to."""
        return [{"eid": f"Progress-{k}", "type": model, "rel": []} for k in range(num)]

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        """Report the step that has just been computed."""
        if time == 0 and self._skip_to:
            return self._skip_to * self._step_size
        if self._callback is not None:
            self._callback(time // self._step_size + 1)
        return time + self._step_size

    def get_data(self, outputs: Any) -> Any:
        """Nothing: it only listens."""
        return {}
