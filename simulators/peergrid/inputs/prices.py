"""Wholesale prices and the retail tariff that turns them into import and feed-in prices."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.series import read_series
from peergrid.inputs.span import DEFAULT_TZ, Span, positions, resample
from peergrid.inputs.tables import packaged

NL_DAY_AHEAD = "nl-day-ahead"
_FIRST = datetime(2015, 1, 1, tzinfo=UTC)
_YEARS = range(2015, 2023)
_SOURCE = "Dutch day-ahead prices 2015-2022, ENTSO-E (inferred: by way of Ember, CC-BY-4.0)"


@dataclass(frozen=True, kw_only=True)
class Tariff:
    """What a retailer makes of the wholesale price [EUR/MWh].

    The defaults are assumptions, not a published tariff: 150 EUR/MWh for grid fees, taxes and
    levies on every MWh imported, no fee on feed-in, and at least 40 EUR/MWh for feed-in.
    """

    retail_adder_eur_per_mwh: float = 150.0
    feed_in_fee_eur_per_mwh: float = 0.0
    feed_in_floor_eur_per_mwh: float = 40.0

    def __post_init__(self) -> None:
        for name in ("retail_adder", "feed_in_fee", "feed_in_floor"):
            field = f"{name}_eur_per_mwh"
            if not np.isfinite(getattr(self, field)):
                raise DataError("tariff", field, getattr(self, field), "a finite number")

    def apply(self, wholesale: NDArray[np.float64]) -> "Prices":
        """Prices of importing and feeding in, for wholesale prices [EUR/MWh] of shape (T,).

        import = wholesale + adder; feed-in = max(wholesale - fee, floor), and where that exceeds
        the import price (the grid would pay for power it sells back) the smaller one holds.

        >>> prices = Tariff().apply(np.array([30.0, 60.0, -200.0]))
        >>> prices.feed_in_eur_per_mwh.tolist(), prices.feed_in_capped.tolist()
        ([40.0, 60.0, -50.0], [False, False, True])
        """
        price_import = wholesale + self.retail_adder_eur_per_mwh
        offered = np.maximum(
            wholesale - self.feed_in_fee_eur_per_mwh, self.feed_in_floor_eur_per_mwh
        )
        return Prices(
            wholesale_eur_per_mwh=wholesale,
            import_eur_per_mwh=price_import,
            feed_in_eur_per_mwh=np.minimum(offered, price_import),
            feed_in_offered_eur_per_mwh=offered,
            feed_in_capped=offered > price_import,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """Prices of a span [EUR/MWh], each of shape (T,).

    ``feed_in_eur_per_mwh`` is the effective price, never above the import price;
    ``feed_in_capped`` marks the steps where the offered one was.
    """

    wholesale_eur_per_mwh: NDArray[np.float64]
    import_eur_per_mwh: NDArray[np.float64]
    feed_in_eur_per_mwh: NDArray[np.float64]
    feed_in_offered_eur_per_mwh: NDArray[np.float64]
    feed_in_capped: NDArray[np.bool_]
    source: str = ""


def load_prices(
    spec: str,
    span: Span,
    *,
    tariff: Tariff | None = None,
    base_dir: str | Path = ".",
    tz: str | None = None,
) -> Prices:
    """Prices of a span.

    Parameters
    ----------
    spec
        ``nl-day-ahead`` (the span's own dates, 2015 to 2022), ``nl-day-ahead:2022`` (that year
        laid on the span's calendar, same weekday and local hour, see :func:`lay_year`), or a CSV
        file with the column ``price [EUR/MWh]``.
    span
        The steps wanted; longer steps get the mean price, shorter ones the hour's price.
    tariff
        The retailer's tariff; the default one if absent.
    base_dir
        Folder that a relative file name starts from.
    tz
        Zone of stamps without an offset in the CSV file.
    """
    name, _, year = spec.partition(":")
    if name == NL_DAY_AHEAD:
        wholesale, source = _day_ahead(spec, year, span), f"{_SOURCE}, {spec}"
    elif Path(spec).suffix in {".csv", ".gz"}:
        path = Path(base_dir) / spec
        wholesale = read_series(path, units={"price": "EUR/MWh"}, span=span, tz=tz)["price"]
        source = spec
    else:
        allowed = "nl-day-ahead, nl-day-ahead:2015 to :2022, or a .csv file"
        raise DataError("prices", "source", spec, allowed)
    prices = (tariff or Tariff()).apply(wholesale)
    return Prices(**{**prices.__dict__, "source": source})


_RULES = ("retail_adder_eur_per_mwh", "feed_in_fee_eur_per_mwh", "feed_in_floor_eur_per_mwh")


def prices_of(table: Mapping[str, Any], span: Span, *, base_dir: str | Path = ".") -> Prices:
    """Prices of a span from a table of tariff keys, as a scenario's ``[prices]`` has them.

    Parameters
    ----------
    table
        ``wholesale``, the keys of :class:`Tariff` and ``timezone``, all with defaults; ``strict``
        is left to the market.
    span, base_dir
        See :func:`load_prices`.
    """
    unknown = sorted(set(table) - {"wholesale", "timezone", "strict", *_RULES})
    if unknown:
        allowed = f"wholesale, timezone, strict, {', '.join(_RULES)}"
        raise DataError("tariff", "keys", unknown, allowed)
    tariff = Tariff(**{key: table[key] for key in _RULES if key in table})
    tz = str(table.get("timezone", DEFAULT_TZ))
    spec = str(table.get("wholesale", NL_DAY_AHEAD))
    return load_prices(spec, span, tariff=tariff, base_dir=base_dir, tz=tz)


def _day_ahead(spec: str, year: str, span: Span) -> NDArray[np.float64]:
    table = _nl_day_ahead()
    if not year:
        return resample(table[positions(span, _FIRST, len(table), spec)], span)
    if not year.isdigit() or int(year) not in _YEARS:
        raise DataError("prices", "year", year, "2015 to 2022")
    return resample(table[lay_year(span, int(year))], span)


def lay_year(span: Span, year: int) -> NDArray[np.intp]:
    """Rows of the price table that lay another year on the hours of a span.

    Each local hour gets the price of the same local hour and weekday of ``year``, at most four
    days from the same date; the days that fall off the ends of 2015-2022 come from a week inside.

    Returns
    -------
    Row numbers, shape (hours_total,).
    """
    local = span.hourly_index.tz_convert(DEFAULT_TZ).tz_localize(None)
    summer = (local - span.hourly_index.tz_localize(None)) > pd.Timedelta(hours=1)
    own = local[0].year
    days = (pd.Timestamp(year, 1, 1) - pd.Timestamp(own, 1, 1)).days
    shifted = local + pd.Timedelta(days=7 * round(days / 7))
    utc = shifted.tz_localize(
        DEFAULT_TZ, ambiguous=np.asarray(summer), nonexistent="shift_forward"
    ).tz_convert("UTC")
    rows = ((utc - pd.Timestamp(_FIRST)) // pd.Timedelta(hours=1)).to_numpy(dtype=np.intp)
    n = len(_nl_day_ahead())
    week = 168
    rows = np.where(rows < 0, rows % week, rows)
    return np.where(rows >= n, n - week + (rows - n) % week, rows)


@functools.cache
def _nl_day_ahead() -> NDArray[np.float64]:
    """Hourly prices 2015-2022 in UTC [EUR/MWh], shape (70128,), read-only."""
    table = packaged("nl_day_ahead", "prices_2015_2022.csv.gz")
    values = table["price [EUR/MWh]"].to_numpy(dtype=np.float64, copy=True)
    values.flags.writeable = False
    return values
