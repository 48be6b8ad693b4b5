"""Placing devices: participants, layers, and the order behind a connection point."""

import pytest

from peergrid.errors import DataError
from peergrid.network.library import resolve_network
from peergrid.scenario.layout import Layout, lay_out
from peergrid.scenario.load import parse_scenario

CASE = "[network]\ncase = 'ieee12'\n"


def layout_of(text: str) -> Layout:
    return lay_out(parse_scenario(CASE + text), resolve_network("ieee12"))


def test_every_bus_with_a_load_is_a_participant() -> None:
    layout = layout_of("")
    assert [participant.bus for participant in layout.participants] == list(range(2, 13))
    assert not layout.needs_weather
    total = sum(load.params["p_nom_kw"] for load in layout.devices["load"])
    assert total == pytest.approx(435.0)


def test_a_device_makes_the_feeder_head_a_participant() -> None:
    layout = layout_of("[[generator]]\nbuses = [1]\np_max_kw = 5")
    assert [device.name for device in layout.participants[0].devices] == ["Generator-0"]


def test_devices_act_in_a_fixed_order() -> None:
    layout = layout_of(
        "[[pv]]\nbuses=[5]\nkwp=1\n[[battery]]\nbuses=[5]\ne_max_kwh=1\np_max_kw=1\n"
        "[[ev]]\nbuses=[5]\n[[generator]]\nbuses=[5]\np_max_kw=1\n[[wind]]\nbuses=[5]"
    )
    parts = [device.part for device in layout.participants[3].devices]
    assert parts == ["load", "ev", "battery", "generator", "wind", "pv"]


def test_several_of_a_kind_at_a_bus_live_in_different_simulators() -> None:
    layout = layout_of("[[ev]]\nbuses=[5, 5, 6]\n[[ev]]\nbuses=[5]")
    layers = layout.layers("ev")
    assert [[device.name for device in layer] for layer in layers] == [
        ["EV-0", "EV-2"],
        ["EV-1"],
        ["EV-3"],
    ]


def test_rights_of_a_participant_go_to_the_market() -> None:
    layout = layout_of("[[participant]]\nbus=5\nname='dairy'\nmay_sell=false\nimport_limit_kw=9")
    sent = layout.participants[3].on_wire()
    assert (sent["name"], sent["may_sell"], sent["import_limit_kw"]) == ("dairy", False, 9)
    assert sent["resources"] == [{"name": "Load-3", "side": "load"}]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[[pv]]\nbuses=[3, 99]\nkwp=1", "pv[0].buses[1] = 99"),
        ("[[participant]]\nbus=0", "participant[0].bus = 0"),
        ("[[participant]]\nbus=1", "participant[0].bus = 1"),
        ("[[participant]]\nbus=2\n[[participant]]\nbus=2", "participant[1].bus = 2"),
        ("[plant]\nswap_meters=[[3, 77]]", "plant.swap_meters[0] = 77"),
    ],
)
def test_a_bus_that_is_not_there(text: str, field: str) -> None:
    with pytest.raises(DataError) as caught:
        layout_of(text)
    assert field in str(caught.value)
