"""A run with the market that stops on the way and goes on is the run that never stopped."""

from pathlib import Path

import pytest

from peergrid.results import open_events, open_run
from peergrid.scenario.guard import RunError
from peergrid.scenario.run import prepare, run
from tests.scenario.small import write


class StopError(Exception):
    """Raised by a callback to end a run."""


def test_a_stopped_run_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    setup = prepare(write(tmp_path, market=False, more="[record]\ncheckpoint_hours = 2"), hours=8)
    run(setup, tmp_path / "whole.h5")

    def stop(steps: int) -> None:
        if steps == 5:
            raise StopError

    with pytest.raises(RunError, match="StopError"):
        run(setup, tmp_path / "split.h5", progress=stop)
    seen: list[int] = []
    run(setup, tmp_path / "split.h5", progress=seen.append, resume=True)
    assert 0 < seen[0] <= 5
    whole, split = open_run(tmp_path / "whole.h5"), open_run(tmp_path / "split.h5")
    assert set(whole.data_vars) == set(split.data_vars)
    assert "Market.theta[EUR/MWh]" in whole.data_vars
    assert all(whole[name].identical(split[name]) for name in whole.data_vars)
    assert open_events(tmp_path / "whole.h5").equals(open_events(tmp_path / "split.h5"))
