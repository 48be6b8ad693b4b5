"""The library feeders against published figures, and finding networks by name."""

import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from peergrid.errors import DataError, ModelError
from peergrid.network import library
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import LIBRARY, load_feeder, resolve_network, to_pandapower
from peergrid.network.power_flow import base_injections, solve

TOOL = Path(__file__).parents[2] / "tools" / "build_feeders.py"

# load kW, kvar; losses kW, kvar; lowest voltage pu, at bus: published figures and other programs
BASE_CASES = {
    "ieee12": (435.0, 405.0, 20.714, 8.041, 0.94335, 12),
    "ieee33": (3715.0, 2300.0, 202.677, 135.141, 0.91309, 18),
    "ieee69": (3802.1, 2694.7, 224.992, 102.158, 0.90919, 65),
    "ieee118": (22709.7, 17041.1, 1298.092, 978.736, 0.86880, 77),
}
SIZES = {
    "ieee12": (12, 11),
    "ieee33": (33, 37),
    "ieee69": (69, 68),
    "ieee118": (118, 132),
    "ieee119_branch": (11, 10),
}
BRANCH = "ieee119_branch"


@pytest.mark.parametrize("name", BASE_CASES)
def test_base_case_is_the_published_one(name: str) -> None:
    p_kw, q_kvar, loss_kw, loss_kvar, lowest, at = BASE_CASES[name]
    feeder = load_feeder(name)
    state = solve(feeder, *base_injections(feeder))
    assert round(feeder.p_load_kw.sum(), 1) == p_kw
    assert round(feeder.q_load_kvar.sum(), 1) == q_kvar
    assert round(state.loss_kw[0], 3) == loss_kw
    assert round(state.loss_kvar[0], 3) == loss_kvar
    assert round(state.vm_pu.min(), 5) == lowest
    assert feeder.bus_id[state.vm_pu[:, 0].argmin()] == at


@pytest.mark.parametrize("name", LIBRARY)
def test_pandapower_net_is_the_same_feeder(name: str) -> None:
    feeder, net = load_feeder(name), to_pandapower(name)
    assert (len(net.bus), len(net.line)) == SIZES[name]
    assert net.line.in_service.sum() == feeder.n_bus - 1
    first = 89 if name == BRANCH else 1
    assert net.bus.index.tolist() == list(range(first, first + feeder.n_bus))
    again = from_pandapower(net)
    assert again.name == feeder.name
    for column in ("bus_id", "parent", "branch_index", "rating_assumed"):
        assert np.array_equal(getattr(again, column), getattr(feeder, column))
    for column in ("r_pu", "x_pu", "p_load_kw", "q_load_kvar", "i_max_ka"):
        np.testing.assert_allclose(getattr(again, column), getattr(feeder, column), rtol=1e-12)
    pp.runpp(net, tolerance_mva=1e-9)
    state = solve(feeder, *base_injections(feeder))
    np.testing.assert_allclose(state.vm_pu[:, 0], net.res_bus.vm_pu[feeder.bus_id], atol=1e-8)


def test_assumed_ratings_leave_room_in_the_base_case() -> None:
    for name in BASE_CASES:
        feeder = load_feeder(name)
        state = solve(feeder, *base_injections(feeder))
        assert feeder.rating_assumed[1:].all()
        assert state.loading.max() <= 1.0 / 1.3 + 1e-9


def test_the_branch_is_that_of_the_whole_feeder_with_ratings_of_its_own() -> None:
    branch, whole = load_feeder(BRANCH), load_feeder("ieee118")
    assert branch.bus_id[0] == 89
    assert sorted(branch.bus_id) == list(range(89, 100))
    assert branch.slack_vm_pu == 1.0
    rows = [whole.index_of(int(label)) for label in branch.bus_id]
    for column in ("r_pu", "x_pu", "vn_kv"):
        ours, theirs = getattr(branch, column), getattr(whole, column)[rows]
        assert np.array_equal(ours[1:], theirs[1:])
    above = whole.bus_id[whole.parent[rows]]
    assert np.array_equal(branch.bus_id[branch.parent[1:]], above[1:])
    assert not branch.p_load_kw.any()
    assert not branch.q_load_kvar.any()
    assert not branch.rating_assumed.any()
    amps = {
        int(label): 1000.0 * ka for label, ka in zip(branch.bus_id, branch.i_max_ka, strict=True)
    }
    given = [18.91, 17.75, 6.86, 4.77, 2.99, 1.52, 13.40, 10.74, 9.17, 8.20]
    assert [amps[bus] for bus in range(90, 100)] == pytest.approx(given, abs=1e-12)
    assert sorted(branch.branch_index) == [-1, *range(10)]  # lines of its own file


def test_the_files_of_the_branch_are_those_the_tool_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = runpy.run_path(str(TOOL))["build_branch"]
    data = tool.__globals__["TARGET"]
    shutil.copytree(data / "ieee118", tmp_path / "ieee118")
    monkeypatch.setitem(tool.__globals__, "TARGET", tmp_path)
    tool()
    for file in ("buses.csv", "branches.csv"):
        assert (tmp_path / BRANCH / file).read_bytes() == (data / BRANCH / file).read_bytes()


def test_a_line_without_a_rating_gets_an_assumed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    read = library._read

    def halved(name: str) -> object:
        data = read(name)
        return replace(data, i_max_ka=np.where(data.r_ohm == 0.496, np.inf, data.i_max_ka))

    monkeypatch.setattr(library, "_read", halved)
    feeder = load_feeder.__wrapped__(BRANCH)
    assert feeder.bus_id[feeder.rating_assumed].tolist() == [95]
    assert feeder.i_max_ka[feeder.index_of(95)] == 0.2
    assert feeder.i_max_ka[feeder.index_of(90)] == pytest.approx(0.01891)


def test_a_changed_feeder_of_lines_becomes_a_net() -> None:
    feeder = load_feeder("ieee33").scaled_impedance(1.1).with_slack(1.02)
    again = from_pandapower(to_pandapower(feeder))
    assert again.slack_vm_pu == 1.02
    np.testing.assert_allclose(again.r_pu, feeder.r_pu, rtol=1e-12)
    assert np.array_equal(again.rating_assumed, feeder.rating_assumed)


def test_a_feeder_with_transformers_does_not_become_a_net() -> None:
    feeder = from_pandapower(resolve_network("pandapower:create_cigre_network_mv"))
    with pytest.raises(ModelError, match="feeders of lines only"):
        to_pandapower(feeder)


def test_unknown_feeder_names_those_there_are() -> None:
    with pytest.raises(DataError, match="ieee12, ieee33, ieee69, ieee118, ieee119_branch"):
        load_feeder("ieee34")


def test_networks_are_found_by_name(tmp_path: Path) -> None:
    assert len(resolve_network("ieee69").bus) == 69
    plain = resolve_network("pandapower:create_cigre_network_mv")
    assert len(plain.sgen) == 0
    assert len(resolve_network("pandapower:create_cigre_network_mv?with_der=pv_wind").sgen) == 9
    pp.to_json(plain, str(tmp_path / "grid.json"))
    loaded = resolve_network("grid.json", base_dir=tmp_path)
    assert np.array_equal(from_pandapower(loaded).r_pu, from_pandapower(plain).r_pu)


def test_simbench_networks_are_found_by_code() -> None:
    pytest.importorskip("simbench")
    assert len(resolve_network("simbench:1-LV-rural1--0-sw").bus) == 15
    with pytest.raises(DataError, match="collect_all_simbench_codes"):
        resolve_network("simbench:1-LV-moon--0-sw")


def test_missing_simbench_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simbench", None)
    with pytest.raises(DataError, match=r"pip install 'mosaik-peergrid\[simbench\]'"):
        resolve_network("simbench:1-LV-rural1--0-sw")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "ieee34",
            "one of ieee12, ieee33, ieee69, ieee118, ieee119_branch; a pandapower JSON file",
        ),
        ("", "one of ieee12"),
        ("pandapower:", "one of ieee12"),
        ("absent.json", "a readable JSON file"),
        ("pandapower:runpp", "a function of pandapower.networks that needs no argument"),
        ("pandapower:from_json", "a function of pandapower.networks"),
        ("pandapower:create_empty_network", "a function of pandapower.networks"),
        ("pandapower:__name__", "a function of pandapower.networks"),
        ("pandapower:create_cigre_network_mv?with_sun=1", "allowed: with_der"),
        ("pandapower:create_cigre_network_mv?with_der=sun", "with_der"),
    ],
)
def test_unknown_networks_are_refused_with_one_line(
    spec: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        resolve_network(spec, base_dir=tmp_path)
    assert "\n" not in str(caught.value)


def _net_json() -> str:
    return str(pp.to_json(to_pandapower("ieee12")))


def _with_object(module: str, kind: str, content: object) -> str:
    whole = json.loads(_net_json())
    whole["_object"]["extra"] = {"_module": module, "_class": kind, "_object": content}
    return json.dumps(whole)


HARMFUL = {
    "other module": _with_object("subprocess", "Popen", ["true"]),
    "function": _with_object("pandapower.file_io", "function", "to_pickle"),
    "import": _with_object("antigravity", "anything", "{}"),
    "builtin": _with_object("builtins", "eval", "1"),
    "table elsewhere": _with_object("pandas.core.frame", "DataFrame", "/etc/other.json"),
    "inside a string": _with_object(
        "pandas.core.frame",
        "DataFrame",
        '{"columns":["a"],"index":[0],"data":[[{"_module":"os","_class":"system"}]]}',
    ),
    "named twice": _net_json().replace(
        '"_module": "pandapower.auxiliary"', '"_module": "os", "_module": "pandapower.auxiliary"', 1
    ),
}


@pytest.mark.parametrize("case", HARMFUL)
def test_json_files_that_name_other_objects_are_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(HARMFUL[case], encoding="utf-8")
    with pytest.raises(DataError, match="the tables, arrays and controllers") as caught:
        resolve_network("grid.json", base_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert "antigravity" not in sys.modules


UNREADABLE = {
    "empty": b"",
    "cut off": _net_json()[:2000].encode(),
    "no JSON": b"bus,vn_kv\n1,11\n",
    "no text": b"\x89HDF\r\n\xff\xfe",
    "foreign": b'{"buses": [1, 2, 3]}',
    "list": b"[1, 2]",
    "no buses": b'{"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": {}}',
    "deep": b"[" * 100000,
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_json_files_that_are_no_network_are_refused(case: str, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_bytes(UNREADABLE[case])
    with pytest.raises(DataError, match=r"grid\.json") as caught:
        resolve_network("grid.json", base_dir=tmp_path)
    assert "\n" not in str(caught.value)
