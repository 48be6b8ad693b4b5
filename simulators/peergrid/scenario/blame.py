"""Errors while simulators start: which line of the scenario they come from."""

from types import TracebackType

from mosaik.exceptions import ScenarioError, SimulationError
from mosaik_api_v3.connection import RemoteException

from peergrid.errors import DataError, PeergridError
from peergrid.scenario.setup import Setup
from peergrid.scenario.starters import SIMULATORS, is_own, override_of

_NOT_STARTED = (ScenarioError, SimulationError, RemoteException, OSError, TimeoutError)


class Blame:
    """Say in one line which part of a scenario could not be started or created.

    Whatever a foreign part raises is its own affair and becomes one line too; an unexpected error
    of our own simulators keeps its traceback.

    Parameters
    ----------
    setup
        The scenario.
    part
        The part that is being started.
    """

    def __init__(self, setup: Setup, part: str) -> None:
        self._setup = setup
        self._part = part

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or isinstance(error, PeergridError):
            return
        foreign = isinstance(error, Exception) and not is_own(self._setup.scenario, self._part)
        if not foreign and not isinstance(error, _NOT_STARTED):
            return
        override = override_of(self._setup.scenario, self._part)
        given = SIMULATORS[self._part][1]
        if override is not None:
            given = override.python or override.cmd or override.connect or given
        reason = f"{type(error).__name__}: {error}"
        if isinstance(error, RemoteException):
            reason = f"{error.remote_type}: {error.remote_msg}"
        where, field = self._setup.file.name, f"simulators.{self._part}"
        allowed = f"a simulator that starts and creates its entities ({reason})"
        raise DataError(where, field, given, allowed) from error
