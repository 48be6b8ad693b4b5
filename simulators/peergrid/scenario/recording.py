"""Which outputs of a run are recorded, and connecting them to the recorder."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from peergrid.scenario.starters import is_own

if TYPE_CHECKING:
    from peergrid.scenario.wiring import Wired

MESSAGES = ("flexibility", "state")
FORECAST = "_forecast"


def connect_recorder(wired: "Wired", params: Mapping[str, Any]) -> None:
    """Start the recorder and send it every useful output of every entity.

    Parameters
    ----------
    wired
        The World with everything else in it.
    params
        Parameters of the recorder's simulator and, under ``create``, of its entity.
    """
    given = dict(params)
    create = given.pop("create", {})
    _, factory = wired.start("recorder", **given)
    recorder = factory.Recorder(**create)
    record = wired.setup.scenario.record
    for sid, roots in wired.roots.items():
        if sid not in wired.parts or wired.parts[sid] in ("recorder", "progress"):
            continue
        for entity in everything(roots):
            names = recorded(wired, sid, entity.type)
            if names:
                wired.world.connect(entity, recorder, *names)
        own = is_own(wired.setup.scenario, wired.parts[sid])
        if record.checkpoint_hours and own:
            wired.world.connect(wired.sims[sid].Checkpoint(), recorder, "state")


def everything(roots: Iterable[Any]) -> Iterator[Any]:
    """Entities with all their descendants."""
    for entity in roots:
        yield entity
        yield from everything(entity.children)


def recorded(wired: "Wired", sid: str, model: str) -> list[str]:
    """Names of the attributes to record of a model: ours by the table, all that a foreign one has.

    A foreign model does not say which attributes are outputs; what it is fed is not taken.
    """
    offered = wired.sims[sid].meta["models"][model]["attrs"]
    wanted = wired.setup.scenario.record.attributes
    if is_own(wired.setup.scenario, wired.parts[sid]):
        names = [name for name in outputs_of(model) if name in offered]
    else:
        names = [name for name in offered if (sid, model, name) not in wired.fed]
    names = [name for name in names if _is_series(name)]
    return names if wanted == "all" else [name for name in names if name in (*wanted, "events")]


def _is_series(name: str) -> bool:
    return name not in MESSAGES and FORECAST not in name


def outputs_of(model: str) -> tuple[str, ...]:
    """Outputs of a model of peergrid by the attribute table; empty for a foreign one."""
    table = importlib.import_module("peergrid.cosim.attributes")
    names: tuple[str, ...] = table.outputs_of(model) if model in table.MODELS else ()
    return names
