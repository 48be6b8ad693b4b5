"""The columns of a feeder, reading pandapower nets, and what is refused."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
import pandapower.networks as pn
import pytest
from pandapower.toolbox import nets_equal

from peergrid.errors import DataError, ModelError
from peergrid.network.feeder import Feeder
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import load_feeder
from peergrid.network.power_flow import base_injections, solve


def two_lines(**changes: Any) -> Feeder:
    columns: dict[str, Any] = {
        "name": "two",
        "base_mva": 1.0,
        "bus_id": [5, 7, 9],
        "vn_kv": [20.0, 20.0, 20.0],
        "parent": [-1, 0, 1],
        "r_pu": [np.nan, 0.01, 0.02],
        "x_pu": [np.nan, 0.01, 0.02],
        "ratio": [np.nan, 1.0, 1.0],
        "shift_deg": [np.nan, 0.0, 0.0],
        "branch_kind": ("line", "line", "line"),
        "branch_index": [-1, 0, 1],
        "g_sh_pu": np.zeros(3),
        "b_sh_pu": np.zeros(3),
        "p_load_kw": [0.0, 100.0, 50.0],
        "q_load_kvar": [0.0, 10.0, 5.0],
        "slack_vm_pu": 1.0,
        "i_max_ka": [0.0, 0.4, 0.4],
        "rating_assumed": [False, False, True],
    }
    return Feeder(**(columns | changes))


def simple_net() -> pp.pandapowerNet:
    """20 kV: bus 0 - line 0 - bus 1 - line 1 - bus 2, a load at 1 and 2."""
    net = pp.create_empty_network(name="simple")
    pp.create_buses(net, 3, 20.0)
    pp.create_ext_grid(net, 0)
    for a, b in ((0, 1), (1, 2)):
        pp.create_line_from_parameters(net, a, b, 1.0, 0.3, 0.3, 200.0, 0.3)
    pp.create_load(net, 1, p_mw=0.5, q_mvar=0.1)
    pp.create_load(net, 2, p_mw=0.3, q_mvar=0.1)
    return net


def test_columns_are_frozen_and_derived_ones_follow() -> None:
    feeder = two_lines()
    with pytest.raises(ValueError, match="read-only"):
        feeder.r_pu[1] = 0.0
    assert feeder.children == ((1,), (2,), ())
    assert feeder.depth.tolist() == [0, 1, 2]
    assert feeder.z_base_ohm == pytest.approx(400.0)
    assert feeder.i_max_parent_ka.tolist() == [0.0, 0.4, 0.4]
    assert feeder.i_max_pu[1] == pytest.approx(0.4 * np.sqrt(3.0) * 20.0)
    assert feeder.index_of(9) == 2
    assert feeder.row_of_branch("line", 1) == 2
    with pytest.raises(DataError, match="line = 7: allowed: a closed line of two: 0 to 1"):
        feeder.row_of_branch("line", 7)


def test_pickled_and_copied_feeders_are_whole() -> None:
    feeder = load_feeder("ieee33")
    for twin in (pickle.loads(pickle.dumps(feeder)), copy.deepcopy(feeder)):  # noqa: S301
        assert np.array_equal(twin.r_pu, feeder.r_pu)
        assert twin.index_of(18) == feeder.index_of(18)


def test_unknown_bus_names_the_buses_there_are() -> None:
    with pytest.raises(DataError, match=r"ieee33: bus = 99: allowed: .* 1 to 33"):
        load_feeder("ieee33").index_of(99)


def test_scaled_impedance_and_slack_make_new_feeders() -> None:
    feeder = two_lines()
    weak = feeder.scaled_impedance(1.2).with_slack(1.03)
    assert weak.r_pu[1:] == pytest.approx([0.012, 0.024])
    assert weak.slack_vm_pu == 1.03
    assert feeder.r_pu[1] == 0.01
    assert feeder.slack_vm_pu == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"r_pu": [0.0, np.nan, 0.1]}, "r_pu of bus 7 = nan"),
        ({"r_pu": [0.0, -0.01, 0.1]}, "r_pu of bus 7 = -0.01: allowed: zero or positive"),
        ({"vn_kv": [20.0, 0.0, 20.0]}, "vn_kv of bus 7 = 0.0"),
        ({"parent": [-1, 2, 1]}, "parent of bus 7 = 2: allowed: a row from 0 to 0"),
        ({"parent": [0, 0, 1]}, r"parent\[0\] = 0: allowed: -1"),
        ({"bus_id": [5, 5, 9]}, "bus_id = 5: allowed: each label once"),
        ({"x_pu": [0.0, 0.1]}, "x_pu = '2 values': allowed: 3, one per bus"),
        ({"x_pu": np.zeros((3, 1))}, r"x_pu = 'array of shape \(3, 1\)'"),
        ({"p_load_kw": ["a", "b", "c"]}, "p_load_kw .* a column of numbers"),
        ({"ratio": [1.0, 0.0, 1.0]}, "ratio of bus 7 = 0.0"),
        ({"i_max_ka": [0.0, 0.0, 1.0]}, "i_max_ka of bus 7 = 0.0"),
        ({"slack_vm_pu": float("nan")}, "slack_vm_pu = nan: allowed: a positive number"),
        ({"branch_kind": ("line", "rope", "line")}, "branch_kind = 'rope'"),
        ({"bus_map": {5: 0, 8: 3}}, r"bus_map\[8\] = 3: allowed: 0 to 2"),
    ],
)
def test_bad_columns_are_refused_with_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        two_lines(**changes)
    assert "\n" not in str(caught.value)


def test_reading_a_net_leaves_it_alone() -> None:
    net = simple_net()
    before = copy.deepcopy(net)
    from_pandapower(net)
    assert nets_equal(net, before)
    assert not len(net.res_bus)


def test_fused_buses_share_a_row() -> None:
    net = simple_net()
    extra = pp.create_bus(net, 20.0, index=40)
    pp.create_switch(net, 2, extra, et="b", closed=True)
    pp.create_load(net, extra, p_mw=0.2)
    feeder = from_pandapower(net)
    assert feeder.n_bus == 3
    assert feeder.index_of(40) == feeder.index_of(2)
    assert feeder.p_load_kw[feeder.index_of(2)] == pytest.approx(500.0)


def test_open_line_end_has_a_negative_label_and_keeps_its_charging() -> None:
    net = simple_net()
    pp.create_switch(net, 2, 1, et="l", closed=False)
    net.load.drop(1, inplace=True)
    feeder = from_pandapower(net)
    assert feeder.bus_id.tolist() == [0, 1, -1]
    assert feeder.b_sh_pu[2] > 0.0
    with pytest.raises(DataError, match="bus = 2"):
        feeder.index_of(2)


def test_two_lines_side_by_side_become_one() -> None:
    net = simple_net()
    pp.create_line_from_parameters(net, 2, 1, 1.0, 0.3, 0.3, 200.0, 0.3)
    feeder = from_pandapower(net)
    row = feeder.index_of(2)
    assert feeder.r_pu[row] == pytest.approx(feeder.r_pu[1] / 2.0)
    assert feeder.i_max_ka[row] == pytest.approx(0.6)
    pp.runpp(net)
    state = solve(feeder, *base_injections(feeder))
    assert state.loading[row, 0] == pytest.approx(net.res_line.loading_percent[1] / 100, rel=1e-6)


def test_nominal_load_without_a_solution_is_still_a_feeder() -> None:
    net = simple_net()
    net.load["p_mw"] = 4000.0
    net.line["max_i_ka"] = 99999.0
    feeder = from_pandapower(net)
    assert not solve(feeder, *base_injections(feeder)).converged[0]
    assert feeder.i_max_ka[1] > 1.3 * 8000.0 / np.sqrt(3.0) / 20.0
    assert feeder.rating_assumed[1:].all()


def test_ratings_are_read_and_placeholders_replaced() -> None:
    net = simple_net()
    net.line["max_i_ka"] = [0.5, 99999.0]
    net.line["df"] = [0.8, 1.0]
    net.line["parallel"] = [2, 1]
    feeder = from_pandapower(net)
    assert feeder.i_max_ka[1:].tolist() == pytest.approx([0.8, 0.2])
    assert feeder.rating_assumed.tolist() == [False, False, True]


def _mesh(net: pp.pandapowerNet) -> None:
    pp.create_line_from_parameters(net, 2, 0, 1.0, 0.3, 0.3, 0.0, 0.3)


def _island(net: pp.pandapowerNet) -> None:
    pp.create_load(net, pp.create_bus(net, 20.0), p_mw=0.1)


def _constant_impedance(net: pp.pandapowerNet) -> None:
    net.load["const_z_p_percent"] = [0.0, 30.0]


def _no_source(net: pp.pandapowerNet) -> None:
    net.ext_grid["in_service"] = False


def _skewed_impedance(net: pp.pandapowerNet) -> None:
    pp.create_impedance(net, 2, pp.create_bus(net, 20.0), 0.1, 0.1, 1.0, rtf_pu=0.2, xtf_pu=0.1)


REFUSED: dict[str, tuple[Callable[[pp.pandapowerNet], object], str]] = {
    "gen": (lambda net: pp.create_gen(net, 2, 0.1), "gen 0 cannot be represented; replace it"),
    "second source": (lambda net: pp.create_ext_grid(net, 2), "ext_grid 0, 1 are all in service"),
    "no source": (_no_source, "no ext_grid is in service"),
    "mesh": (_mesh, r"meshed \(loop: line 0, line 1, line 2\)"),
    "island": (_island, "bus 3 is islanded and load 2 is connected to it"),
    "constant impedance": (_constant_impedance, "load 1 has const_z_p_percent = 30"),
    "dcline": (
        lambda net: pp.create_dcline(net, 1, 2, 0.1, 1.0, 0.0, 1.0, 1.0),
        "dcline 0 cannot be represented",
    ),
    "xward": (
        lambda net: pp.create_xward(net, 2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.0),
        "xward 0 cannot be represented",
    ),
    "asymmetric load": (
        lambda net: pp.create_asymmetric_load(net, 2, p_a_mw=0.1),
        "asymmetric_load 0 cannot be represented",
    ),
    "svc": (
        lambda net: pp.create_svc(net, 2, 1.0, -10.0, 1.0, 90.0),
        "svc 0 cannot be represented",
    ),
    "asymmetric impedance": (_skewed_impedance, "impedance 0 has different impedances"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_feeder_cannot_represent_is_refused_by_name(case: str) -> None:
    net = simple_net()
    change, message = REFUSED[case]
    change(net)
    with pytest.raises(ModelError, match=message) as caught:
        from_pandapower(net)
    assert str(caught.value).startswith("simple: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("line", "r_ohm_per_km", np.nan, "line 1 r_ohm_per_km = nan: allowed: a finite number"),
        ("line", "to_bus", 77, "line 1 to_bus = 77: allowed: the index of a bus"),
        ("load", "bus", 77, "load 1 bus = 77: allowed: the index of a bus"),
        ("load", "p_mw", np.nan, "load 1 p_mw = nan"),
        ("bus", "vn_kv", 0.0, "bus 1 vn_kv = 0.0: allowed: a positive number"),
        ("line", "r_ohm_per_km", -0.1, "r_pu of bus 2 = -.*: allowed: zero or positive"),
    ],
)
def test_bad_tables_are_refused_by_element(
    table: str, column: str, value: float, message: str
) -> None:
    net = simple_net()
    net[table].loc[1, column] = value
    with pytest.raises(DataError, match=message) as caught:
        from_pandapower(net)
    assert "\n" not in str(caught.value)


def test_a_line_without_impedance_is_refused() -> None:
    net = simple_net()
    net.line["length_km"] = 0.0
    with pytest.raises(ModelError, match="pandapower cannot build the network"):
        from_pandapower(net)


def test_elements_out_of_service_do_not_matter() -> None:
    net = simple_net()
    pp.create_gen(net, 2, 0.1, in_service=False)
    pp.create_load(net, pp.create_bus(net, 20.0, in_service=False), p_mw=0.1)
    pp.create_bus(net, 20.0)  # alone, without load: dropped
    assert from_pandapower(net).bus_id.tolist() == [0, 1, 2]


def test_meshed_and_unbalanced_networks_of_pandapower_are_refused() -> None:
    with pytest.raises(ModelError, match="gen"):
        from_pandapower(pn.case9())
    with pytest.raises(ModelError, match="asymmetric_load"):
        from_pandapower(pn.ieee_european_lv_asymmetric())
