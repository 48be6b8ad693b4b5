"""Finding a day, and the files that come with the package."""

from pathlib import Path

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.inputs.communities import read_communities
from peergrid.study.library import SHIPPED, is_shipped, load_case, shipped

SCENARIOS = Path(__file__).parent.parent.parent / "scenarios"
FILES = {
    "ieee69": SCENARIOS / "ieee69_dfe" / "communities.toml",
    "ieee33": SCENARIOS / "ieee33_doe" / "communities.toml",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_scenarios_hold_the_same_day(name: str) -> None:
    assert read_communities(FILES[name]) == shipped(name)
    assert is_shipped(str(FILES[name]), name)
    assert is_shipped(name, name)
    assert not is_shipped("random:3", name)


def test_the_33_bus_day_is_the_other_one_moved_and_scaled() -> None:
    there, here = shipped("ieee33"), shipped("ieee69")
    moved = here.ieee33
    assert moved is not None
    assert there.network.case == moved.case
    assert there.network.rise_limit_pu == moved.rise_limit_pu
    assert there.network.load_profile_scale == moved.load_profile_scale
    assert [c.bus for c in there.community] == moved.buses
    assert there.prices == here.prices
    assert there.common == here.common
    assert there.uncertainty == here.uncertainty
    for k, (own, c) in enumerate(zip(here.community, there.community, strict=True)):
        before = own.model_copy(
            update={"bus": c.bus, "load": moved.load[k], "flexible": moved.flexible[k]}
        )
        wanted = before.scaled(moved.scale)
        for field in ("load", "flexible", "pv", "wind"):
            assert getattr(c, field) == pytest.approx(getattr(wanted, field))
        assert c.generator.model_dump() == pytest.approx(wanted.generator.model_dump())
        assert c.battery.model_dump() == pytest.approx(wanted.battery.model_dump())


def test_ratings_go_to_the_lines_with_these_numbers() -> None:
    feeder = load_case("ieee33").network.feeder
    assert feeder.i_max_ka[feeder.index_of(2)] == pytest.approx(0.4)
    assert feeder.i_max_ka[feeder.index_of(6)] == pytest.approx(0.4)
    assert feeder.i_max_ka[feeder.index_of(7)] == pytest.approx(0.2)


def test_firm_load_with_its_margin_is_granted() -> None:
    case = load_case("ieee69")
    needed = -case.firm[0] + case.margin[5:10]
    assert (case.room.least[5:10] >= needed - 1e-9).all()
    assert (case.room.most >= case.room.least - 1e-9).all()
    assert np.isfinite(case.room.most).all()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("ieee70", "ieee33, ieee69"), ("random:x", "random:SEED"), ("none.toml", "readable file")],
)
def test_a_day_that_is_not_there_is_refused(name: str, wanted: str) -> None:
    with pytest.raises(DataError, match=wanted):
        load_case(name)


def test_a_bad_file_names_its_field(tmp_path: Path) -> None:
    text = FILES["ieee33"].read_text(encoding="utf-8")
    for old, new, wanted in (
        ("bus = 18", "bus = 99", "99"),
        ('"1-5" = 400', '"1-x" = 400', "current_limit_a"),
        ("sell = 30", "sale = 30", "prices.sell"),
        ("confidence = 0.95", "confidence = 1.5", "uncertainty.confidence"),
    ):
        path = tmp_path / "communities.toml"
        path.write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(DataError, match=wanted):
            load_case(str(path))
