"""The two cases of five communities: their data, their keys, and a day of them."""

import importlib.util
import runpy
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.network.library import resolve_network
from peergrid.results import open_run, summary
from peergrid.scenario.load import parse_scenario
from peergrid.scenario.run import prepare, run
from peergrid.scenario.setup import Setup

SCENARIOS = Path("scenarios").resolve()
NAMES = ("ieee69_dfe", "ieee33_doe")
DATA = tomllib.loads((SCENARIOS / "ieee69_dfe" / "communities.toml").read_text(encoding="utf-8"))
BOTH = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def tool() -> Any:
    """The script that wrote the series."""
    path = Path("tools/build_communities.py").resolve()
    spec = importlib.util.spec_from_file_location("build_communities", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def communities(name: str) -> list[dict[str, Any]]:
    """The communities of a case, powers in MW."""
    if name == "ieee69_dfe":
        return [dict(community) for community in DATA["community"]]
    other = DATA["ieee33"]
    scale = other["scale"]
    return [
        {
            "bus": bus,
            "load": scale * load,
            "flexible": scale * flexible,
            "pv": scale * c["pv"],
            "wind": scale * c["wind"],
            "generator": {**c["generator"], "p": scale * c["generator"]["p"]},
            "battery": {part: scale * value for part, value in c["battery"].items()},
        }
        for c, bus, load, flexible in zip(
            DATA["community"], other["buses"], other["load"], other["flexible"], strict=True
        )
    ]


def params(setup: Setup, part: str, names: tuple[str, ...]) -> dict[int, list[float]]:
    """Some creation parameters of the devices of a part, by bus."""
    return {
        device.bus: [device.params[name] for name in names]
        for device in setup.layout.devices[part]
        if not device.nominal
    }


def kw(values: dict[int, list[float]]) -> dict[int, Any]:
    return {bus: pytest.approx(row) for bus, row in values.items()}


# -- the data ------------------------------------------------------------------------------------


def test_the_series_are_rebuilt_to_the_bit(tool: Any, tmp_path: Path) -> None:
    written = tool.build(tmp_path)
    for name in NAMES:
        found = {path.name for path in (SCENARIOS / name).glob("*.csv")}
        assert {path.name for path in written if path.parent.name == name} == found
    for path in written:
        assert path.read_bytes() == (SCENARIOS / path.parent.name / path.name).read_bytes()


@BOTH
def test_the_devices_are_those_of_the_data_set(name: str) -> None:
    setup, found = prepare(SCENARIOS / f"{name}.toml"), communities(name)
    wanted = {c["bus"]: [1000.0 * c["flexible"]] for c in found}
    assert params(setup, "flexible_load", ("p_rated_kw",)) == kw(wanted)
    assert params(setup, "pv", ("kwp",)) == kw({c["bus"]: [1000.0 * c["pv"]] for c in found})
    wanted = {c["bus"]: [1000.0 * c["wind"]] for c in found if c["wind"]}
    assert params(setup, "wind", ("rated_kw",)) == kw(wanted)
    wanted = {
        c["bus"]: [1000.0 * g["p"], g["b"], g["a"] / 2] for c in found for g in [c["generator"]]
    }
    keys = ("p_max_kw", "cost_eur_per_mwh", "cost_quadratic_eur_per_mw2h")
    assert params(setup, "generator", keys) == kw(wanted)
    wanted = {c["bus"]: [1000.0 * c["battery"][part] for part in "pe"] for c in found}
    assert params(setup, "battery", ("p_max_kw", "e_max_kwh")) == kw(wanted)
    assert not setup.layout.needs_weather


@BOTH
def test_what_all_communities_have_in_common(name: str) -> None:
    setup, common = prepare(SCENARIOS / f"{name}.toml"), DATA["common"]
    scenario, network, prices = setup.scenario, DATA["network"], DATA["prices"]
    inverter, machine, sigma = common["inverter_q"], common["generator_q"], DATA["uncertainty"]
    for table, kind in ((scenario.pv[0], "pv"), (scenario.wind[0], "wind")):
        assert (table.q_share, table.sigma_share) == (inverter["share"], sigma[f"sigma_{kind}"])
        assert table.q_cost_eur_per_mvarh == inverter["cost"]
        assert table.q_cost_quadratic_eur_per_mvar2h == inverter["quadratic"]
    generator = scenario.generator[0]
    assert (generator.q_up_share, generator.q_down_share) == (machine["up"], machine["down"])
    assert generator.q_cost_eur_per_mvarh == machine["cost"]
    fixed, moved, battery = scenario.fixed_load[0], scenario.flexible_load[0], common["battery"]
    assert fixed.tan_phi == moved.tan_phi == common["tan_phi"]
    assert fixed.sigma_share == sigma["sigma_load"]
    assert moved.discomfort_eur_per_mw2h == common["flexible"]["discomfort"]
    for key in ("eta_charge", "eta_discharge", "soc_start", "soc_end", "soc_min"):
        assert getattr(scenario.battery[0], key) == battery[key]
    assert (scenario.network.v_min_pu, scenario.network.v_max_pu) == (0.9, 1.1)
    assert scenario.network.slack_vm_pu == network["slack_pu"]
    assert scenario.prices.feed_in_floor_eur_per_mwh == prices["sell"]
    assert scenario.envelopes.confidence == sigma["confidence"]


@BOTH
def test_contracts_are_what_is_installed(name: str) -> None:
    setup = prepare(SCENARIOS / f"{name}.toml")
    rights = {table.bus: table for table in setup.scenario.participant}
    for c in communities(name):
        most = c["pv"] + c["wind"] + c["generator"]["p"] + c["battery"]["p"]
        least = c["load"] + c["flexible"] + c["battery"]["p"]
        assert rights[c["bus"]].export_limit_kw == pytest.approx(1000.0 * most)
        assert rights[c["bus"]].import_limit_kw == pytest.approx(1000.0 * least)


@BOTH
def test_prices_of_every_hour(name: str) -> None:
    table = pd.read_csv(SCENARIOS / name / "prices.csv", index_col="time")
    assert table["price [EUR/MWh]"].tolist() == 4 * DATA["prices"]["buy"]


def losses_mwh(name: str, loads_mw: Any) -> float:
    """Losses of 24 hours by pandapower's own power flow; ``loads_mw(hour)``: (bus, P, Q)."""
    net = resolve_network(name.partition("_")[0])
    lost = 0.0
    for hour in range(24):
        net.load = net.load.iloc[:0]
        for bus, p_mw, q_mvar in loads_mw(hour):
            pp.create_load(net, bus, p_mw=p_mw, q_mvar=q_mvar)
        pp.runpp(net)
        lost += float(net.res_line.pl_mw.sum())
    return lost


@BOTH
def test_the_files_carry_the_same_base_load_as_the_data_set(name: str) -> None:
    """Feeder and fixed loads of the communities, from the files and from the data set."""
    net = resolve_network(name.partition("_")[0])
    nominal = net.load.groupby("bus")[["p_mw", "q_mvar"]].sum()
    own = DATA["ieee33"] if name == "ieee33_doe" else DATA["network"]
    profile = [
        round(own["load_profile_scale"] * share, 4) for share in DATA["network"]["load_profile"]
    ]
    tan_phi, shape = DATA["common"]["tan_phi"], DATA["common"]["load_profile"]
    files = [
        pd.read_csv(SCENARIOS / name / file, index_col="time").iloc[24:48] / 1000.0
        for file in ("load.csv", "fixed_load.csv")
    ]

    def direct(hour: int) -> Any:
        for bus, row in nominal.iterrows():
            yield bus, profile[hour] * row.p_mw, profile[hour] * row.q_mvar
        for c in communities(name):
            yield c["bus"], c["load"] * shape[hour], tan_phi * c["load"] * shape[hour]

    def written(hour: int) -> Any:
        for k, table in enumerate(files):
            for column, p_mw in table.iloc[hour].items():
                bus = int(str(column).removeprefix("bus_").removesuffix(" [kW]"))
                ratio = tan_phi if k else nominal.q_mvar[bus] / nominal.p_mw[bus]
                yield bus, p_mw, ratio * p_mw

    lost = losses_mwh(name, written)
    assert lost == pytest.approx(losses_mwh(name, direct), rel=1e-9)
    assert lost == pytest.approx({"ieee69_dfe": 3.858, "ieee33_doe": 3.452}[name], abs=0.001)


# -- the runs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the 33-bus case."""
    folder = tmp_path_factory.mktemp("communities")
    return run(SCENARIOS / "ieee33_doe.toml", folder / "day.h5").path


def test_the_day_is_as_it_should_be(day: Path) -> None:
    found = summary(day)
    assert (found["status"], found["nonconverged_hours"]) == ("complete", 0)
    assert found["unconverged_clearings"] == 0
    assert found["voltage_violations"] == 0
    assert found["envelope_breaches"] == 0
    assert found["payment_imbalance_eur"] < 1e-6
    assert found["max_power_balance_error_kw"] < 1e-3


def test_every_flexible_load_has_its_day(day: Path) -> None:
    data = open_run(day)
    rated = np.array([1000.0 * c["flexible"] for c in communities("ieee33_doe")])
    assert 1000.0 * data["FlexibleLoad.E[MWh]"].values[-1] == pytest.approx(24.0 * rated)
    assert not data["FlexibleLoad.unserved[MWh]"].values.any()
    power = 1000.0 * data["FlexibleLoad.P[MW]"].values
    assert power.min() >= 0.0
    assert np.all(power <= 2.0 * rated + 1e-9)
    assert power.std() > 0.0, "the market moved it"


@BOTH
def test_the_script_says_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = open_run(run(SCENARIOS / f"{name}.toml", tmp_path / "toml.h5").path)
    runpy.run_path(str(SCENARIOS / f"{name}.py"))
    theirs = open_run(f"{name}.h5")
    assert set(theirs.data_vars) == set(ours.data_vars)
    assert all(theirs[attribute].identical(ours[attribute]) for attribute in theirs.data_vars)


# -- the keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[market]\nparticipants = 'some'", "market.participants = 'some': allowed: 'all' or"),
        ("[[fixed_load]]\nbuses = [2]", "fixed_load[0].series = None: allowed: a value"),
        (
            "[[fixed_load]]\nbuses = [2, 2]\nseries = 'x.csv'",
            "fixed_load[0].buses = [2, 2]: allowed: each bus once",
        ),
        ("[[fixed_load]]\nbuses = [2]\nseries = 'x.csv'\nsigma_share = -1", "sigma_share = -1"),
        ("[[flexible_load]]\nbuses = [2]", "flexible_load[0].p_rated_kw = None: allowed: a value"),
        ("[[flexible_load]]\nbuses = [2]\np_rated_kw = 0", "p_rated_kw = 0: allowed: above 0"),
        (
            "[[flexible_load]]\nbuses = [2]\np_rated_kw = 1\np_max_over_rated = 0.5",
            "p_max_over_rated = 0.5: allowed: 1 or more",
        ),
        (
            "[[wind]]\nbuses = [2]\nseries = 'x.csv'",
            "wind[0].rated_kw = None: allowed: the rated power",
        ),
        (
            "[[wind]]\nbuses = [2]\nrated_kw = 9",
            "wind[0].rated_kw = 9.0: allowed: only with series",
        ),
        (
            "[[wind]]\nbuses = [2]\nrated_kw = 9\nseries = 'x.csv'\ncount = 2",
            "wind[0].count = 2: allowed: only without series",
        ),
        (
            "[[wind]]\nbuses = [2, 2]\nrated_kw = 9\nseries = 'x.csv'",
            "wind[0].buses = [2, 2]: allowed: each",
        ),
        ("[[pv]]\nbuses = [2]\nkwp = 1\nq_share = -0.1", "pv[0].q_share = -0.1: allowed: 0 or"),
        (
            "[[generator]]\nbuses = [2]\np_max_kw = 1\nq_up_share = [0.1, 0.2]",
            "generator[0].q_up_share = [0.1, 0.2]: allowed: one number",
        ),
        (
            "[[battery]]\nbuses = [2]\ne_max_kwh = 1\np_max_kw = 1\nwear_rise_eur_per_mwh = -1",
            "battery[0].wear_rise_eur_per_mwh = -1: allowed: 0 or more",
        ),
    ],
)
def test_bad_keys(text: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_scenario(text, where="day.toml")
    assert wanted in str(caught.value)


HEADER = "time,bus_6 [kW],bus_7 [kW]"
ROWS = [
    f"{stamp:%Y-%m-%dT%H:%M},5,3"
    for stamp in pd.date_range("2016-06-29T00:00", "2016-07-03T23:00", freq="h")
]
WIND = "[[wind]]\nbuses = [6, 7]\nrated_kw = [4, 9]\nseries = 'power.csv'\n"
FIXED = "[[fixed_load]]\nbuses = [6, 7]\nseries = 'power.csv'\n"


@pytest.mark.parametrize(
    ("table", "header", "rows", "wanted"),
    [
        (
            WIND,
            HEADER,
            ROWS,
            "bus_6 at 2016-06-29T21:00Z = 5.0: allowed: 0 to the 4 kW of rated_kw",
        ),
        (WIND, HEADER.replace("6", "8"), ROWS, "header = 'bus_8': allowed: bus_N of the plants"),
        (FIXED, HEADER.replace("6", "8"), ROWS, "header = 'bus_8': allowed: bus_N of the"),
        (FIXED, HEADER, ROWS[:30], "power.csv: time = '"),
        (
            FIXED,
            HEADER,
            [row.replace(",5", ",-5") for row in ROWS],
            "= -5.0: allowed: 0 or more kW",
        ),
        (FIXED, None, [], "file = "),
    ],
)
def test_bad_series(
    tmp_path: Path, table: str, header: str | None, rows: list[str], wanted: str
) -> None:
    if header is not None:
        (tmp_path / "power.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    file = tmp_path / "small.toml"
    file.write_text("hours = 3\n[network]\ncase = 'ieee12'\n" + table, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        prepare(file)
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_absent_is_not_told(tmp_path: Path) -> None:
    """Somebody else's devices need not know the words for what is not asked of them."""
    more = "[[pv]]\nbuses=[5]\nkwp=1\n[[wind]]\nbuses=[5]\n[[generator]]\nbuses=[5]\np_max_kw=1\n"
    more += "[[battery]]\nbuses=[5]\ne_max_kwh=1\np_max_kw=1\n"
    assets = parse_scenario(more).assets()
    found = {part: set(tables[0].params(0)) for part, tables in assets.items()}
    assert found["pv"] == {"kwp", "tilt_deg", "azimuth_deg"}
    assert found["wind"] == {"turbine", "count", "hub_height_m"}
    kinds = {"p_max_kw", "p_min_kw", "cost_eur_per_mwh", "cost_quadratic_eur_per_mw2h"}
    assert found["generator"] == kinds
    assert not {"wear_rise_eur_per_mwh", "soc_end"} & found["battery"]
