"""A market of somebody else that clears nothing, and a generator that fails."""

import copy
from typing import Any, ClassVar

import mosaik_api_v3

from peergrid.cosim.base import Inputs, Outputs, Simulator
from peergrid.cosim.generator import GeneratorSimulator

MARKET = '{ python = "tests.scenario.stub_market:StubMarket", params = {} }'
FAILS_AT = 5


class StubMarket(Simulator):
    """Takes what the market takes, remembers what it hears, asks for nothing."""

    models: ClassVar[tuple[str, ...]] = ("Market", "Participant", "Resource", "Meter", "Head")
    last: ClassVar["StubMarket | None"] = None

    def set_up(self, **params: Any) -> None:
        """Take anything."""

    def make(self, model: str, index: int, **params: Any) -> dict[str, Any]:
        """The entities of the wiring contract."""
        StubMarket.last = self
        self.params = params
        self.heard: list[Inputs] = []
        children = []
        count = 0
        for k, participant in enumerate(params["participants"]):
            resources = []
            for resource in participant["resources"]:
                info = {"name": resource["name"], "participant": k}
                eid = f"Resource-{count}"
                resources.append({"eid": eid, "type": "Resource", "rel": [], "extra_info": info})
                count += 1
            children.append(
                {"eid": f"Participant-{k}", "type": "Participant", "children": resources}
            )
        meters = [f"Meter-{bus}" for bus in params["settings"]["meters"]]
        children += [{"eid": eid, "type": "Meter"} for eid in meters]
        return {"eid": "Market-0", "children": [*children, {"eid": "Head", "type": "Head"}]}

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Listen."""
        self.heard.append(copy.deepcopy(inputs))
        return {"Market-0": {"status": 0}}


class FailingGenerator(GeneratorSimulator):
    """Raises in a step."""

    def advance(self, index: int, inputs: Inputs) -> Outputs:
        """Run out of fuel."""
        if index == FAILS_AT:
            raise ValueError("the fuel\nran out")
        return super().advance(index, inputs)


if __name__ == "__main__":
    mosaik_api_v3.start_simulation(FailingGenerator())
