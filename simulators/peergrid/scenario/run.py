"""Run a scenario file: check everything, build the World, run it, and see that it is complete."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from loguru import logger

import peergrid
from peergrid.errors import DataError
from peergrid.inputs.span import HOUR_S
from peergrid.results import open_run, read_state
from peergrid.scenario import checks
from peergrid.scenario.guard import Guard, RunError, check_complete, hearing_mosaik
from peergrid.scenario.layout import lay_out
from peergrid.scenario.load import parse_scenario, read_text
from peergrid.scenario.setup import Setup
from peergrid.scenario.starters import SIMULATORS, clock_of, is_own
from peergrid.scenario.wiring import Wired, build

__all__ = ["RunError", "RunReport", "check", "prepare", "resumed", "run"]

Progress = Callable[[int], None]
_PACKAGES = ("mosaik", "pandapower", "numpy", "h5py", "pvlib")


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """How a run ended: its file, the reported steps in it, and how long it took [s]."""

    path: Path
    steps: int
    seconds: float
    status: str = "complete"


def prepare(file: str | Path, **changes: Any) -> Setup:
    """Read a scenario and look up and check everything that it names.

    Parameters
    ----------
    file
        The TOML file.
    **changes
        Top-level keys to set instead of the file's; None leaves it.

    Raises
    ------
    PeergridError
        One line that says what is wrong where.
    """
    path = Path(file)
    text = read_text(path)
    where = path.name
    scenario = parse_scenario(text, where=where, **changes)
    with checks.naming(where, "start", scenario.start):
        clock = clock_of(scenario, where=where)
    checks.check_span(scenario, clock, where)
    net, feeder = checks.find_network(scenario, path.resolve().parent, where)
    layout = lay_out(scenario, net, where=where)
    setup = Setup(scenario=scenario, text=text, file=path, net=net, clock=clock, layout=layout)
    checks.check_envelope(setup, feeder, where)
    checks.check_swapped(setup, where)
    checks.check_inputs(setup, where)
    return setup


def check(file: str | Path) -> dict[str, Any]:
    """Check a scenario as a run would, and create everything that runs in this process.

    Returns
    -------
    What was found: name, start, hours, participants, devices by part.
    """
    setup = prepare(file)
    remote = [o for _, o in setup.scenario.simulators if o is not None and o.is_remote]
    if not remote:
        _quiet()
        build(setup).world.shutdown()
    return {
        "name": setup.scenario.name,
        "start": setup.clock.start,
        "hours": setup.scenario.hours,
        "participants": len(setup.layout.participants),
        "devices": {part: len(found) for part, found in setup.layout.devices.items() if found},
    }


def run(
    scenario: Setup | str | Path,
    out: str | Path,
    *,
    progress: Progress | None = None,
    resume: bool = False,
) -> RunReport:
    """Run a scenario to its end.

    Parameters
    ----------
    scenario
        What :func:`prepare` returned, or a TOML file.
    out
        The results file; replaced unless ``resume``.
    progress
        Called with the number of reported steps that are done.
    resume
        Go on where the results file stops; it must be of the same scenario.

    Raises
    ------
    PeergridError
        If the input is bad: nothing has been written then.
    RunError
        If the run failed or is incomplete: the file says so.
    """
    setup = scenario if isinstance(scenario, Setup) else prepare(scenario)
    path = Path(out)
    began = time.monotonic()
    first = 0
    if resume:
        setup, first = resumed(setup, path)
    heard: list[str] = []
    if first < setup.clock.reported:
        _quiet()
        wired = _started(setup, path, first)
        with hearing_mosaik() as heard, Guard(path, wired.world):
            _listen(wired, progress, first)
            wired.world.run(until=setup.clock.until, print_progress=False, shutdown=False)
    steps = check_complete(path, setup.clock.reported, heard)
    return RunReport(path=path, steps=steps, seconds=time.monotonic() - began)


def resumed(setup: Setup, path: Path) -> tuple[Setup, int]:
    """The setup with the states that a results file holds, and the first step to compute."""
    stored = open_run(path).attrs.get("scenario_json")
    if stored != effective(setup):
        allowed = "results of the same scenario, with the same seed, start and hours"
        raise DataError(path, "scenario", str(stored)[:40], allowed)
    row, states = read_state(path)
    foreign = [part for part in SIMULATORS if not is_own(setup.scenario, part)]
    if foreign:
        raise DataError(path, "--resume", foreign, "a scenario whose simulators are peergrid's")
    return replace(setup, restore=states), row


def effective(setup: Setup) -> str:
    """The scenario with all defaults and changes, as one line of JSON."""
    return json.dumps(setup.scenario.model_dump(mode="json"), sort_keys=True)


def root_attributes(setup: Setup) -> dict[str, Any]:
    """What the results file says about the run."""
    scenario = setup.scenario
    market = f"{SIMULATORS['market'][0]}-0"
    return {
        "scenario": setup.text,
        "scenario_json": effective(setup),
        "name": scenario.name,
        "seed": scenario.seed,
        "hours": scenario.hours,
        "horizon": scenario.horizon,
        "timezone": scenario.timezone,
        "network": scenario.network.case,
        "v_min_pu": scenario.network.v_min_pu,
        "v_max_pu": scenario.network.v_max_pu,
        "max_loading_percent": scenario.network.max_loading_percent,
        "participants": [
            {"id": f"{market}.Participant-{k}", "name": p.on_wire()["name"], "bus": p.bus}
            for k, p in enumerate(setup.layout.participants)
        ],
        "versions": json.dumps(versions(), sort_keys=True),
    }


def versions() -> dict[str, str]:
    """Versions of peergrid and of what its numbers depend on."""
    found = {"peergrid": peergrid.__version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _quiet() -> None:
    """mosaik logs through loguru: only its warnings are for our users."""
    logger.disable("mosaik")


def _started(setup: Setup, path: Path, first: int) -> Wired:
    """The World with its recorder; the results file is touched when all have been created."""
    wired = build(setup, recorder=recorder_params(setup, path, first))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not first:
            path.unlink(missing_ok=True)
    except OSError as error:
        wired.world.shutdown()
        raise DataError("run", "--out", str(path), f"a place to write ({error})") from error
    return wired


def recorder_params(setup: Setup, path: Path, first: int) -> Mapping[str, Any]:
    """Parameters of the recorder's simulator and, under ``create``, of its entity."""
    clock = setup.clock
    params: dict[str, Any] = {
        "start": clock.begin,
        "warmup_steps": clock.warmup,
        "hours": clock.hours,
        "root": root_attributes(setup),
        "state_every": max(1, setup.scenario.record.checkpoint_hours * HOUR_S // clock.step_s),
        "create": {"filename": str(path), "overwrite": True},
    }
    if first:
        params["restore"] = {"steps_done": clock.warmup + first}
    return params


def _listen(wired: Wired, progress: Progress | None, first: int) -> None:
    """Tell the caller of each step that the grid has computed."""
    if progress is None:
        return
    clock = wired.setup.clock
    _, factory = wired.start(
        "progress",
        callback=lambda steps: progress(steps - clock.warmup),
        skip_to=clock.warmup + first if first else 0,
    )
    bus = next(child for child in wired.grid.children if child.type == "Bus")
    wired.world.connect(bus, factory.Progress(), "Vm[pu]")
