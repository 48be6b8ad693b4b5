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
        "[[ev]]\nbuses=[5]\n[[generator]]\nbuses=[5]\np_max_kw=1\n[[wind]]\nbuses=[5]\n"
        "[[flexible_load]]\nbuses=[5]\np_rated_kw=1\n[[fixed_load]]\nbuses=[5]\nseries='l.csv'\n"
        "[[building]]\nbuses=[5]\np_max_kw=3\nr_k_per_kw=8\nc_kwh_per_k=3\n"
        "[[appliance]]\nbuses=[5]\nphases_kw=[2, 1]"
    )
    devices = layout.participants[3].devices
    assert [device.part for device in devices] == [
        *("load", "load", "flexible_load", "appliance", "building"),
        *("ev", "battery", "generator", "wind", "pv"),
    ]
    assert [device.side for device in devices] == ["load"] * 5 + ["generation"] * 5


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


LISTED = "[market]\nparticipants='listed'\n[[participant]]\nbus=5\nname='dairy'\n"


def test_fixed_loads_come_after_the_nominal_ones_in_their_simulator() -> None:
    layout = layout_of("[[fixed_load]]\nbuses=[5, 6]\nseries='l.csv'\ntan_phi=[0.3, 0.4]")
    loads = layout.devices["load"]
    assert [(d.name, d.bus, d.nominal) for d in loads[10:]] == [
        ("Load-10", 12, True),
        ("Load-11", 5, False),
        ("Load-12", 6, False),
    ]
    assert loads[12].params == {"series": "l.csv", "tan_phi": 0.4, "bus": 6}
    assert len(layout.layers("load")) == 1


def test_only_listed_buses_take_part() -> None:
    layout = layout_of(
        LISTED + "[[flexible_load]]\nbuses=[5, 7]\np_rated_kw=1\n[[pv]]\nbuses=[5, 1]\nkwp=1"
    )
    sent = [participant.on_wire() for participant in layout.participants]
    assert (sent[0]["name"], sent[0]["bus"]) == ("dairy", 5)
    assert sent[0]["resources"] == [
        {"name": "FlexibleLoad-0", "side": "load"},
        {"name": "PV-0", "side": "generation"},
    ]
    assert "takes_part" not in sent[0]
    assert [(s["name"], s["takes_part"]) for s in sent[1:]] == [
        (f"background-{bus}", False) for bus in range(1, 13)
    ]
    at_5 = next(s for s in sent[1:] if s["bus"] == 5)
    assert at_5["resources"] == [{"name": "Load-3", "side": "load"}]
    at_7 = next(s for s in sent[1:] if s["bus"] == 7)
    assert [r["name"] for r in at_7["resources"]] == ["Load-5", "FlexibleLoad-1"]


def test_everybody_takes_part_by_default() -> None:
    layout = layout_of(LISTED.replace("listed", "all"))
    assert all(participant.takes_part for participant in layout.participants)
    assert not any("takes_part" in participant.on_wire() for participant in layout.participants)


@pytest.mark.parametrize(
    ("text", "field", "remedy"),
    [
        ("[market]\nparticipants='listed'", "participant = []", "one or more [[participant]]"),
        (LISTED, "participant[0].bus = 5", "a bus with a device of its own"),
        (
            LISTED + "[[participant]]\nbus=6\n[[pv]]\nbuses=[6]\nkwp=1",
            "participant[0].bus = 5",
            "own: 6",
        ),
    ],
)
def test_a_listed_bus_needs_a_device_of_its_own(text: str, field: str, remedy: str) -> None:
    with pytest.raises(DataError) as caught:
        layout_of(text)
    assert field in str(caught.value)
    assert remedy in str(caught.value)


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
