"""Every kind of bad input: one clear line on stderr, exit status 2, no output file."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import pandapower
import pytest

from peergrid.network.library import to_pandapower
from tests.cli.conftest import Command
from tests.scenario.small import write

Case = tuple[str, str]


@pytest.fixture
def refused(peergrid: Command, tmp_path: Path) -> Callable[..., None]:
    """Run a bad scenario and look at what is left of it."""

    def look(scenario: Path, *wanted: str) -> None:
        out = tmp_path / "out" / "run.h5"
        for arguments in (["run", scenario, "--out", out, "--quiet"], ["check", scenario]):
            result = peergrid(*arguments)
            assert result.code == 2
            assert result.out == ""
            assert result.err.startswith("peergrid: ")
            assert result.err.count("\n") == 1
            assert "Traceback" not in result.err
            for text in wanted:
                assert text in result.err
        assert not out.parent.exists()

    return look


SCENARIOS: dict[str, Case] = {
    "unknown bus": (
        "[[pv]]\nbuses = [2, 13]\nkwp = 5",
        "small.toml: pv[1].buses[1] = 13: allowed: a bus of ieee12: 1 to 12",
    ),
    "negative capacity": (
        "[[battery]]\nbuses = [3]\ne_max_kwh = -1\np_max_kw = 5",
        "small.toml: battery[1].e_max_kwh = -1: allowed: above 0",
    ),
    "unknown key": (
        "[weather]\nsorce = 'try2010:4'",
        "small.toml: weather.sorce = 'try2010:4': allowed: one of ",
    ),
    "unknown source": (
        "[prices]\nwholesale = 'nl-day-ahed'",
        "small.toml: prices.wholesale = 'nl-day-ahed': allowed: nl-day-ahead",
    ),
    "unknown turbine": (
        "[[wind]]\nbuses = [3]\nturbine = 'Enercon'",
        "small.toml: wind[0].turbine = 'Enercon': allowed: Skystream3.7",
    ),
    "unknown region": (
        "[weather]\nsource = 'try2010:99'",
        "small.toml: weather.source = 'try2010:99': allowed: ",
    ),
    "feed-in above import, strict": (
        "[prices]\nstrict = true\nfeed_in_floor_eur_per_mwh = 900.0",
        "feed-in price at 2016-06-29T21:00Z = 900.0: allowed: at most the import price",
    ),
    "a command that cannot connect": (
        "[simulators]\ngrid = { cmd = 'peergrid-grid' }",
        "a command line with %(addr)s",
    ),
    "a forecast setting": (
        "[forecast.settings]\n'sun.rho' = 0.5",
        "= 0.5: allowed: pv., wind. or load.",
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_files(name: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    more, wanted = SCENARIOS[name]
    refused(write(tmp_path, more=more), wanted)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (
            "v_min_pu = 1.1\nv_max_pu = 0.9",
            "small.toml: network.v_min_pu = 1.1: allowed: below v_max_pu = 0.9",
        ),
        (
            "slack_vm_pu = 1.2",
            "small.toml: network.slack_vm_pu = 1.2: allowed: a voltage that leaves bus 2 inside",
        ),
    ],
)
def test_infeasible_envelope(
    limits: str, wanted: str, tmp_path: Path, refused: Callable[..., None]
) -> None:
    path = write(tmp_path)
    text = path.read_text(encoding="utf-8").replace("[network]", f"[network]\n{limits}")
    path.write_text(text, encoding="utf-8")
    refused(path, wanted)


def _with_network(tmp_path: Path, change: Callable[[pandapower.pandapowerNet], None]) -> Path:
    net = to_pandapower("ieee12")
    change(net)
    pandapower.to_json(net, str(tmp_path / "net.json"))
    path = write(tmp_path)
    text = path.read_text(encoding="utf-8").replace('"ieee12"', '"net.json"')
    path.write_text(text, encoding="utf-8")
    return path


def _ring(net: pandapower.pandapowerNet) -> None:
    pandapower.create_line_from_parameters(net, 3, 12, 1.0, 0.1, 0.1, 0.0, 0.1)


def _island(net: pandapower.pandapowerNet) -> None:
    net.line.loc[4, "in_service"] = False


def _generator(net: pandapower.pandapowerNet) -> None:
    pandapower.create_gen(net, 5, p_mw=0.01)


def _hole(net: pandapower.pandapowerNet) -> None:
    net.line.loc[2, "r_ohm_per_km"] = float("nan")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (_ring, "small.toml: network.case = 'net.json': net.json: the network is meshed (loop: "),
        (_island, "small.toml: network.case = 'net.json': net.json: bus 6 is islanded and load"),
        (_generator, "net.json: gen 0 cannot be represented; replace it by an sgen"),
        (_hole, "net.json: line 2 r_ohm_per_km = nan: allowed: a finite number"),
    ],
)
def test_networks(
    change: Callable[[pandapower.pandapowerNet], None],
    wanted: str,
    tmp_path: Path,
    refused: Callable[..., None],
) -> None:
    refused(_with_network(tmp_path, change), wanted)


def test_network_that_is_no_network(tmp_path: Path, refused: Callable[..., None]) -> None:
    path = _with_network(tmp_path, _ring)
    (tmp_path / "net.json").write_text("{", encoding="utf-8")
    refused(path, "net.json: contents = ")
    (tmp_path / "net.json").unlink()
    refused(path, "net.json: file = ")


def _prices(rows: list[str], header: str = "time,price [EUR/MWh]") -> str:
    return "\n".join([header, *rows]) + "\n"


def _stamp(hour: int, suffix: str = "Z") -> str:
    at = datetime(2016, 6, 29, 21) + timedelta(hours=hour)
    return f"{at:%Y-%m-%dT%H:%M}{suffix}"


WHOLE = [f"{_stamp(hour)},30" for hour in range(60)]
SERIES: dict[str, Case] = {
    "nan in a series": (
        _prices([*WHOLE[:5], f"{_stamp(5)},nan", *WHOLE[6:]]),
        "prices.csv: price at 2016-06-30T02:00Z (line 7) = ",
    ),
    "series too short": (_prices(WHOLE[:20]), "prices.csv: time = '2016-06-29T21:00Z to "),
    "gap in the stamps": (_prices([*WHOLE[:5], *WHOLE[6:]]), "prices.csv: time"),
    "time-zone gap": (
        _prices([*WHOLE[:5], f"{_stamp(5, '')},30", *WHOLE[6:]]),
        "prices.csv: time, line 7 = '2016-06-30T02:00': allowed: an offset in every row",
    ),
    "unit gap": (
        _prices(WHOLE, header="time,price [ct/kWh]"),
        "prices.csv: price = '[ct/kWh]': allowed: the unit [EUR/MWh]",
    ),
    "no unit": (
        _prices(WHOLE, header="time,price"),
        "prices.csv: header = 'price': allowed: 'name [unit]'",
    ),
}


@pytest.mark.parametrize("name", SERIES)
def test_series(name: str, tmp_path: Path, refused: Callable[..., None]) -> None:
    text, wanted = SERIES[name]
    (tmp_path / "prices.csv").write_text(text, encoding="utf-8")
    refused(write(tmp_path, more="[prices]\nwholesale = 'prices.csv'"), wanted)


def test_a_good_series_is_accepted(peergrid: Command, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(_prices(WHOLE), encoding="utf-8")
    path = write(tmp_path, more="[prices]\nwholesale = 'prices.csv'")
    assert peergrid("check", path).code == 0


def test_span_beyond_the_data(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    result = peergrid("run", write(tmp_path), "--start", "2017-05-01", "--out", out)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "small.toml: load.source" in result.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("start", "wanted"),
    [
        ("yesterday", "small.toml: start = 'yesterday': allowed: an ISO date"),
        ("2016-03-27T02:30", "small.toml: start = '2016-03-27T02:30': allowed: a time that exists"),
        ("2016-06-30T00:30", "a full hour of UTC"),
    ],
)
def test_starts(start: str, wanted: str, peergrid: Command, tmp_path: Path) -> None:
    result = peergrid("run", write(tmp_path), "--start", start, "--out", tmp_path / "run.h5")
    assert result.code == 2
    assert wanted in result.err


def test_trip_that_the_battery_cannot_serve(tmp_path: Path, refused: Callable[..., None]) -> None:
    rows = "ev,date,depart_h,return_h,km,energy_kwh\n0,2016-06-30,8,18,300,54\n"
    (tmp_path / "tours.csv").write_text(rows, encoding="utf-8")
    refused(
        write(tmp_path, more="[[ev]]\nbuses = [7]\ntours = 'tours.csv'"),
        "tours.csv: energy_kwh of vehicle 0 on 2016-06-30 = 54.0: allowed: at most the battery's",
    )


def test_cycle_longer_than_its_window(peergrid: Command, tmp_path: Path) -> None:
    cycle = {"p_kw": [1.0, 0.5, 1.0], "earliest": 1, "latest": 3, "count": 1}
    zeros = [0.0] * 6
    message = {"kind": "PPBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": zeros, "p_max_kw": zeros}
    path = tmp_path / "washer.json"
    path.write_text(json.dumps({**message, "profiles": [cycle]}), encoding="utf-8")
    result = peergrid("check", path)
    assert result.code == 2
    assert result.err == (
        "peergrid: washer.json: profiles[0]: count times cycle = '1 x 3 steps': "
        "allowed: at most the 2 steps between earliest and latest\n"
    )


@pytest.fixture
def good(peergrid: Command, tmp_path: Path) -> Path:
    """Results of a run."""
    out = tmp_path / "good.h5"
    assert peergrid("run", write(tmp_path), "--out", out, "--quiet").code == 0
    return out


@pytest.mark.parametrize("kind", ["truncated", "foreign", "text", "missing"])
def test_results_files(kind: str, peergrid: Command, good: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.h5"
    if kind == "truncated":
        data = good.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif kind == "foreign":
        with h5py.File(path, "w") as file:
            file["weights"] = [1.0, 2.0]
    elif kind == "text":
        path.write_text("time,price\n", encoding="utf-8")
    before = path.read_bytes() if path.exists() else None
    scenario = write(tmp_path)
    for arguments in (
        ["summary", path],
        ["summary", good, "--against", path],
        ["export", path, "--csv"],
        ["run", scenario, "--resume", "--out", path, "--quiet"],
    ):
        result = peergrid(*arguments)
        assert result.code == 2
        assert result.err.startswith(f"peergrid: {path}: ")
        assert result.err.count("\n") == 1
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_simulator_elsewhere_needs_to_be_allowed(
    tmp_path: Path, refused: Callable[..., None]
) -> None:
    more = "[simulators]\nmarket = MARKET\ngrid = { connect = '192.0.2.7:5678' }"
    refused(write(tmp_path, more=more), "simulators.grid.connect = '192.0.2.7:5678'")
