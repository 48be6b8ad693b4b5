"""Running to the end, stopping on the way, and going on."""

from pathlib import Path

import pytest

from peergrid.errors import DataError
from peergrid.results import open_run
from peergrid.scenario import starters
from peergrid.scenario.guard import RunError
from peergrid.scenario.run import prepare, run
from tests.scenario.small import write

FAILING = "tests.scenario.stub_market"
GENERATOR = "[[generator]]\nbuses = [6]\np_max_kw = 5\n[simulators]\nmarket = MARKET\ngenerator = "


@pytest.fixture
def own_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub stands where peergrid's own market would be: it can be resumed."""
    where = ("Market", "tests.scenario.stub_market:StubMarket")
    monkeypatch.setitem(starters.SIMULATORS, "market", where)


def test_progress_counts_reported_steps(tmp_path: Path) -> None:
    seen: list[int] = []
    report = run(write(tmp_path), tmp_path / "deep" / "run.h5", progress=seen.append)
    assert (report.steps, report.status, report.path.name) == (3, "complete", "run.h5")
    assert seen == [0, 1, 2, 3, 4]


def test_a_run_replaces_the_file_of_the_one_before(tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    out.write_text("not HDF5", encoding="utf-8")
    run(write(tmp_path), out)
    assert open_run(out).attrs["status"] == "complete"


@pytest.mark.parametrize(
    "how",
    [
        f"{{ python = '{FAILING}:FailingGenerator' }}",
        f"{{ cmd = '%(python)s -m {FAILING} %(addr)s' }}",
    ],
)
def test_a_simulator_that_fails_marks_the_file(tmp_path: Path, how: str) -> None:
    out = tmp_path / "run.h5"
    setup = prepare(write(tmp_path, more=GENERATOR + how), hours=8)
    with pytest.raises(RunError, match=r"run.h5: failed: .*the fuel ran out"):
        run(setup, out)
    data = open_run(out)
    assert str(data.attrs["status"]).startswith("failed: ")
    assert data.sizes["time"] == 4


class StopError(Exception):
    """Raised by a callback to end a run."""


@pytest.mark.usefixtures("own_stub")
def test_resuming_gives_the_same_file(tmp_path: Path) -> None:
    path = write(tmp_path, market=False, more="[record]\ncheckpoint_hours = 3")
    setup = prepare(path, hours=12)
    run(setup, tmp_path / "whole.h5")

    def stop(steps: int) -> None:
        if steps == 8:
            raise StopError

    with pytest.raises(RunError, match="StopError"):
        run(setup, tmp_path / "split.h5", progress=stop)
    seen: list[int] = []
    run(setup, tmp_path / "split.h5", progress=seen.append, resume=True)
    assert seen[0] == 7
    whole, split = open_run(tmp_path / "whole.h5"), open_run(tmp_path / "split.h5")
    assert set(whole.data_vars) == set(split.data_vars)
    assert all(whole[name].identical(split[name]) for name in whole.data_vars)


@pytest.mark.usefixtures("own_stub")
def test_resuming_what_is_complete_does_nothing(tmp_path: Path) -> None:
    setup = prepare(write(tmp_path, market=False))
    run(setup, tmp_path / "run.h5")
    seen: list[int] = []
    assert run(setup, tmp_path / "run.h5", progress=seen.append, resume=True).steps == 3
    assert seen == []


@pytest.mark.usefixtures("own_stub")
def test_only_the_same_scenario_is_resumed(tmp_path: Path) -> None:
    path = write(tmp_path, market=False)
    run(prepare(path), tmp_path / "run.h5")
    with pytest.raises(DataError, match="same scenario"):
        run(prepare(path, seed=2), tmp_path / "run.h5", resume=True)
    with pytest.raises(DataError, match="missing"):
        run(prepare(path), tmp_path / "other.h5", resume=True)


def test_a_foreign_simulator_cannot_be_resumed(tmp_path: Path) -> None:
    run(write(tmp_path), tmp_path / "run.h5")
    with pytest.raises(DataError, match=r"\['market'\]"):
        run(write(tmp_path), tmp_path / "run.h5", resume=True)
