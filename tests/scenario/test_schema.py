"""Reading scenario files: defaults, changes, and one clear line for what is wrong."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from peergrid.errors import DataError
from peergrid.scenario.load import load_scenario, parse_scenario
from peergrid.scenario.schema import Scenario

DAY = Path("scenarios/ieee33_day.toml")


def test_an_empty_file_is_a_scenario() -> None:
    scenario = parse_scenario("")
    assert (scenario.network.case, scenario.hours, scenario.market.mechanism) == (
        "ieee33",
        24,
        "p2p",
    )


def test_the_day_of_the_repository() -> None:
    day = load_scenario(DAY)
    assert day.pv[0].buses == [2, 6, 9, 14, 17, 18, 19, 20, 23, 26, 32]
    assert len(day.ev[0].buses) == 21
    assert (day.ev[0].e_max_kwh, day.ev[0].p_max_kw) == (40, 11)
    assert [len(table.buses) for table in (*day.battery, *day.wind, *day.generator)] == [3, 2, 1]


def test_the_template_of_init_is_the_day() -> None:
    template = Path("simulators/peergrid/cli/scenario.toml")
    assert load_scenario(template).model_dump(exclude={"name"}) == load_scenario(DAY).model_dump(
        exclude={"name"}
    )


def test_the_day_fits_its_json_schema() -> None:
    schema = Scenario.model_json_schema()
    document = json.loads(load_scenario(DAY).model_dump_json(exclude_none=True))
    Draft202012Validator(schema).validate(document)


def test_changes_replace_the_file_and_none_does_not() -> None:
    scenario = parse_scenario("hours = 5\nseed = 3", hours=7, seed=None)
    assert (scenario.hours, scenario.seed) == (7, 3)


def test_a_toml_date_is_a_start() -> None:
    assert parse_scenario("start = 2016-01-14").start == "2016-01-14"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hours = 1.5", "hours = 1.5: allowed: a whole number"),
        ("hourz = 1", "hourz = 1: allowed: one of appliance, battery"),
        ("[weather]\nsorce = 1", "weather.sorce = 1: allowed: one of altitude_m"),
        ("[[pv]]\nbuses = [2]\nkwp = -1", "pv[0].kwp = -1: allowed: above 0"),
        ("[[pv]]\nbuses = [2, 3]\nkwp = [1, -1]", "pv[0].kwp[1] = -1: allowed: above 0"),
        ("[[pv]]\nbuses = [2]\nkwp = [1, 2]", "pv[0].kwp = [1.0, 2.0]: allowed: one number"),
        ("[[pv]]\nbuses = [2]", "pv[0].kwp = None: allowed: a value"),
        ("[[pv]]\nbuses = [2]\nkwp = nan", "pv[0].kwp = nan: allowed: a finite number"),
        ("[network]\nv_min_pu = 1.2", "network.v_min_pu = 1.2: allowed: below v_max_pu = 1.1"),
        ("[market]\nmechanism = 'x'", "market.mechanism = 'x': allowed: 'p2p', 'st"),
        ("[plant]\nswap_meters = [[1]]", "plant.swap_meters[0] = [1]: allowed: at least 2"),
        ("[simulators]\ngrid = {}", "simulators.grid = {}: allowed: exactly one of python"),
        ("[simulators]\ngrid = {python = 'a'}", "simulators.grid.python = 'a': allowed: module"),
        ("[simulators]\ngrid = {connect = 'a'}", "simulators.grid.connect = 'a': allowed: host"),
        ("name = '../x'", "name = '../x': allowed: text like"),
        ("hours =", "TOML = 'Invalid value"),
    ],
)
def test_one_line_names_field_value_and_what_is_allowed(text: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_scenario(text, where="day.toml")
    line = str(caught.value)
    assert line.startswith(f"day.toml: {wanted}")
    assert "\n" not in line


def test_only_this_machine_unless_allowed() -> None:
    text = "[simulators]\ngrid = {{connect = '{}'{}}}"
    assert parse_scenario(text.format("127.0.0.1:5678", "")).simulators.grid is not None
    with pytest.raises(DataError, match="allow_remote"):
        parse_scenario(text.format("192.0.2.7:5678", ""))
    far = parse_scenario(text.format("192.0.2.7:5678", ", allow_remote = true"))
    assert far.simulators.grid is not None
    assert far.simulators.grid.is_remote


def test_the_nearest_key_is_suggested() -> None:
    with pytest.raises(DataError, match=r"\(meant soc_min\?\)"):
        parse_scenario("[[ev]]\nbuses = [3]\nsoc_minn = 1")
