"""Measured power of plants, and prices from a scenario's table."""

from pathlib import Path

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.inputs.plants import check_columns, plant_power
from peergrid.inputs.prices import load_prices, prices_of
from peergrid.inputs.span import Span, parse_start

SPAN = Span(start=parse_start("2016-06-30"), hours=4)
KWP = np.array([10.0, 5.0])


def written(folder: Path, values: str = "1,2") -> None:
    rows = [f"2016-06-30T{k // 2:02d}:{30 * (k % 2):02d},{k},{values}" for k in range(8)]
    header = "time,bus_3 [kW],bus_4 [kW],bus_5 [kW]"
    (folder / "pv.csv").write_text("\n".join([header, *rows]), encoding="utf-8")


def test_each_plant_has_its_column_and_half_hours_are_averaged(tmp_path: Path) -> None:
    written(tmp_path)
    power = plant_power("pv.csv", SPAN, buses=[3, 5], kwp=KWP, base_dir=tmp_path)
    assert power.tolist() == [[0.5, 2.5, 4.5, 6.5], [2.0] * 4]


def test_a_column_that_nobody_reads_is_refused_when_asked(tmp_path: Path) -> None:
    written(tmp_path)
    check_columns("pv.csv", buses=[3, 4, 5], tz=SPAN.tz, base_dir=tmp_path)
    with pytest.raises(DataError, match="bus_4"):
        check_columns("pv.csv", buses=[3, 5], tz=SPAN.tz, base_dir=tmp_path)


@pytest.mark.parametrize(
    ("values", "match"), [("1,-2", "bus_5 at"), ("1,6", "0 to the 5 kW"), ("1,", "bus_5 at")]
)
def test_impossible_power_is_refused(tmp_path: Path, values: str, match: str) -> None:
    written(tmp_path, values)
    with pytest.raises(DataError, match=match):
        plant_power("pv.csv", SPAN, buses=[3, 5], kwp=KWP, base_dir=tmp_path)


def test_prices_of_a_table_are_those_of_the_tariff() -> None:
    found = prices_of({"retail_adder_eur_per_mwh": 7.0, "strict": True}, SPAN)
    plain = load_prices("nl-day-ahead", SPAN)
    np.testing.assert_array_equal(found.import_eur_per_mwh, plain.wholesale_eur_per_mwh + 7.0)
    with pytest.raises(DataError, match="adder"):
        prices_of({"adder": 7.0}, SPAN)
