"""The recorder in a real mosaik World: next to mosaik-hdf5, lags, warm-up, events, resume."""

import gc
import importlib.metadata
import importlib.util
import math
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import mosaik
import mosaik_api_v3
import numpy as np
import pytest

from peergrid.cosim.recorder import RecorderSimulator
from peergrid.errors import DataError
from peergrid.results import open_events, open_run, read_state

HOUR = 3600
BUS = b"Player.Bus-0"
NEW = sys.version_info >= (3, 12)
OFFICIAL = "mosaik_components.hdf5:Simulator" if NEW else "mosaik_hdf5:MosaikHdf5"
START = "2016-06-29T23:00+00:00"
MARKET = ["iterations", "residual_history", "retailer_bill[EUR]", "status", "events"]
MODELS = {
    "Bus": ["Vm[pu]", "price[EUR/MWh]", "n", "on"],
    "Market": MARKET,
    "Checkpoint": ["state"],
}


class Player(mosaik_api_v3.Simulator):
    """Entities ``Model-<i>`` whose values are known functions of the step."""

    def __init__(self) -> None:
        models = {
            name: {"public": True, "params": [], "attrs": attrs} for name, attrs in MODELS.items()
        }
        super().__init__(  # type: ignore[no-untyped-call]
            {"api_version": "3.0", "type": "time-based", "models": models}
        )
        self.skip_to = 0
        self.stop_at = math.inf
        self.index = 0
        self.count = 0

    def init(self, sid: str, time_resolution: float = 1.0, **sim_params: Any) -> Any:
        """Take ``skip_to`` (resume: steps done) and ``stop_at`` (step that fails)."""
        self.skip_to = sim_params.get("skip_to", 0)
        self.stop_at = sim_params.get("stop_at", math.inf)
        return self.meta

    def create(self, num: int, model: str, **model_params: Any) -> Any:
        """Numbered entities."""
        self.count += num
        numbers = range(self.count - num, self.count)
        first = f"{model}-{numbers[0]}"
        return [
            {"eid": f"{model}-{i}", "type": model, "rel": [first] if i > numbers[0] else []}
            for i in numbers
        ]

    def step(self, time: int, inputs: Any, max_advance: int) -> int:
        """On resume the first step only jumps."""
        if time == 0 and self.skip_to:
            self.index = self.skip_to - 1
            return self.skip_to * HOUR
        self.index = time // HOUR
        if self.index >= self.stop_at:
            raise RuntimeError("the player broke")
        return time + HOUR

    def get_data(self, outputs: Any) -> Any:
        """What was asked for."""
        return {
            eid: {name: value_of(eid, name, self.index) for name in names}
            for eid, names in outputs.items()
        }


def value_of(eid: str, name: str, k: int) -> Any:
    """Value of an attribute in step ``k``."""
    number = int(eid.split("-")[1])
    odd = {"who": "Ben", "what": "odd step", "value": k}
    return {
        "Vm[pu]": 1.0 - number / 100 - k / 1000,
        "price[EUR/MWh]": 30.0 + k,
        "n": k,
        "on": k % 2 == 0,
        "iterations": None if k == 2 else 10 + k,
        "residual_history": [0.5**i for i in range(k % 5)],
        "retailer_bill[EUR]": None if k == 0 else float(k - 1),
        "status": math.nan if k == 3 else 0,
        "events": [odd, {"what": "no name"}] if k % 2 else [],
        "state": {"steps_done": k + 1},
    }[name]


def run(
    path: Path,
    steps: int,
    *,
    player: Mapping[str, Any] | None = None,
    recorder: Mapping[str, Any] | None = None,
    create: Mapping[str, Any] | None = None,
    official: Path | None = None,
    remote: bool = False,
) -> None:
    """Run a World of two buses, a market with its checkpoint, and the recorder."""
    here = {"python": "peergrid.cosim.recorder:RecorderSimulator"}
    there = {
        "cmd": f"{sys.executable} -m peergrid.cosim.recorder %(addr)s",
        "auto_terminate": False,
    }
    config: Any = {
        "Player": {"python": f"{__name__}:Player"},
        "Recorder": there if remote else here,
        "Official": {"python": OFFICIAL},
    }
    with mosaik.World(config, cache=False, skip_greetings=True) as world:
        players = world.start("Player", sim_id="Player", step_size=HOUR, **(player or {}))
        record = world.start("Recorder", sim_id="Recorder", start=START, **(recorder or {}))
        sink = record.Recorder(filename=str(path), **(create or {}))
        buses, market = players.Bus.create(2), players.Market()
        for bus in buses:
            world.connect(bus, sink, *MODELS["Bus"])
        world.connect(market, sink, *MARKET)
        world.connect(players.Checkpoint(), sink, "state")
        if official is not None:
            database = world.start("Official", step_size=HOUR, duration=steps * HOUR)
            other = database.Database(filename=str(official))
            for bus in buses:
                world.connect(bus, other, *MODELS["Bus"])
        world.run(until=steps * HOUR, print_progress=False)


def contents(path: Path) -> dict[str, bytes]:
    """Every dataset but the states (they come in either of two slots), as bytes."""
    found: dict[str, bytes] = {}
    with h5py.File(path) as file:

        def take(name: str, member: Any) -> None:
            if isinstance(member, h5py.Dataset) and not name.startswith("State"):
                found[name] = member[()].tobytes()

        file.visititems(take)
    return found


def relations(file: Any, node: str) -> set[tuple[bytes, bytes]]:
    """Neighbours of an entity but for the recorders, of which each leaves out itself."""
    pairs = map(tuple, file["Relations"][node][:].tolist())
    return {pair for pair in pairs if b"Player." in pair[0]}


def test_api_is_what_mosaik_expects() -> None:
    simulator = RecorderSimulator()
    assert mosaik_api_v3.check_api_compliance(simulator)  # type: ignore[no-untyped-call]
    assert simulator.meta["models"]["Recorder"]["any_inputs"]


@pytest.fixture
def old_setuptools(monkeypatch: pytest.MonkeyPatch) -> None:
    """What mosaik-hdf5 0.4 (Python 3.11) imports by way of simpy and setuptools has dropped."""
    if importlib.util.find_spec("pkg_resources") is None:
        stand_in: Any = types.ModuleType("pkg_resources")
        stand_in.get_distribution = importlib.metadata.distribution
        monkeypatch.setitem(sys.modules, "pkg_resources", stand_in)


@pytest.mark.usefixtures("old_setuptools")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_same_numbers_as_mosaik_hdf5_in_the_same_world(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    run(ours, 5, recorder={"hours": 5}, official=theirs)
    gc.collect()
    with h5py.File(ours) as mine, h5py.File(theirs) as other:
        assert sorted(other["Series"]) == ["Player.Bus-0", "Player.Bus-1"]
        for full_id in other["Series"]:
            for attr in MODELS["Bus"]:
                expected = other["Series"][full_id][attr][:]
                np.testing.assert_array_equal(mine["Series"][full_id][attr][:], expected)
        for node in ("Player.Bus-0", "Player.Bus-1", "Player.Market-2"):
            assert relations(mine, node) == relations(other, node)
        assert relations(mine, "Player.Bus-1") == {(b"/Relations/" + BUS, b"/Series/" + BUS)}
        assert mine["Series/Player.Bus-0/price[EUR/MWh]"].attrs["unit"] == "EUR/MWh"
    left, right = open_run(ours), open_run(theirs)
    np.testing.assert_array_equal(left["Bus.Vm[pu]"].values, right["Bus.Vm[pu]"].values)


def test_warm_up_lag_and_closing_step(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run(path, 6, recorder={"warmup_steps": 1, "hours": 4, "root": {"seed": 5}})
    data = open_run(path)
    assert (data.attrs["status"], data.attrs["rows"], data.attrs["seed"]) == ("complete", 4, 5)
    assert str(data["time"].values[0]).startswith("2016-06-30T00:00")
    np.testing.assert_array_equal(data["Bus.n"].values[:, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(data["Market.retailer_bill[EUR]"].values[:, 0], [1, 2, 3, 4])
    np.testing.assert_array_equal(data["Market.iterations"].values[:, 0], [11, np.nan, 13, 14])
    np.testing.assert_array_equal(data["Market.status"].values[:, 0], [0, 0, np.nan, 0])
    assert data["Market.residual_history"].shape == (4, 1, 4)
    np.testing.assert_array_equal(data["Bus.on"].values[:, 1], [0, 1, 0, 1])
    events = open_events(path)
    assert list(events["who"]) == ["Ben", "Player.Market-2"] * 3
    assert str(events["time"].iloc[0]) == "2016-06-30 00:00:00"
    assert read_state(path) == (4, {"Player": {"steps_done": 5}})


def test_only_chosen_attributes(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run(path, 2, recorder={"hours": 2}, create={"attributes": ["Vm[pu]"]})
    assert list(open_run(path).data_vars) == ["Bus.Vm[pu]"]
    assert len(open_events(path)) == 2


@pytest.mark.parametrize("stop", [3, 8])
def test_a_run_that_breaks_and_is_resumed_equals_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    settings = {"warmup_steps": 1, "hours": 10, "state_every": 1}
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    run(whole, 12, recorder=settings)
    with pytest.raises(RuntimeError, match="the player broke"):
        run(broken, 12, recorder=settings, player={"stop_at": stop})
    assert open_run(broken).attrs["status"] == "running"
    row, states = read_state(broken)
    assert states["Player"]["steps_done"] == row + 1
    again = {**settings, "restore": {"steps_done": row + 1}}
    run(broken, 12, recorder=again, player={"skip_to": row + 1})
    assert contents(whole) == contents(broken)
    assert open_run(broken).attrs["status"] == "complete"
    assert read_state(whole) == read_state(broken)


def test_a_recorder_of_its_own_process_writes_the_same_file(tmp_path: Path) -> None:
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    run(here, 4, recorder={"hours": 3})
    run(there, 4, recorder={"hours": 3}, remote=True)
    assert contents(here) == contents(there)


def test_what_cannot_be_recorded_is_refused_before_any_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    bad: list[dict[str, Any]] = [
        {"hours": 0},
        {"hours": 1.5},
        {"hours": math.nan},
        {"warmup_steps": -1},
        {"state_every": 0},
        {"color": "red"},
    ]
    for settings in bad:
        with pytest.raises(DataError, match=next(iter(settings))):
            run(path, 2, recorder=settings)
    with pytest.raises(DataError, match="ISO"):
        RecorderSimulator().init("R", start="soon")
    with pytest.raises(DataError, match="missing"):
        run(path, 2, recorder={"restore": {"steps_done": 1}})
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(DataError, match="exists"):
        run(path, 2)
    assert path.read_text() == "precious"
    run(path, 2, create={"overwrite": True})
    assert open_run(path).attrs["status"] == "closed"


def test_one_recorder_per_simulator(tmp_path: Path) -> None:
    simulator = RecorderSimulator()
    simulator.init("R")
    simulator.create(1, "Recorder", filename=str(tmp_path / "a.h5"))
    with pytest.raises(DataError, match="one Recorder"):
        simulator.create(1, "Recorder", filename=str(tmp_path / "b.h5"))
