"""What must hold on every day, whatever its numbers: signs and bands of case 1 against case 0.

Points of the published case are one day's, and its data are not public; that the new devices lower
costs, evening peaks and voltage deviations is what can be tested on other days.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from peergrid.study.households.figures import Figures, plain

FALL = (-0.30, -0.10)
P2P_SHARE = (0.01, 0.04)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether something holds.

    Parameters
    ----------
    name
        Of the band.
    value
        What was found.
    holds
        Whether it is as it must be; NaN is not.
    wanted
        What it must be, in words.
    """

    name: str
    value: float
    holds: bool
    wanted: str

    def to_dict(self) -> dict[str, Any]:
        """In the words of JSON."""
        return {**vars(self), "value": plain(self.value)}


Band = Callable[[Figures, Figures], tuple[float, bool]]


def total_cost_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of total cost; it falls by 10 to 30 %."""
    return _inside(_change(before, after, "cost_eur"), FALL)


def unit_cost_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the cost per kWh; it falls by 10 to 30 %."""
    return _inside(_change(before, after, "unit_cost_eur_per_kwh"), FALL)


def evening_line_factor_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the mean loading from 18 to 22 h; it falls."""
    return _falls(_change(before, after, "line_factor_evening"))


def peak_line_factor_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the mean over lines of their highest loading; it falls."""
    return _falls(_change(before, after, "line_factor_peak"))


def evening_deviation_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the mean voltage deviation from 18 to 22 h; it falls."""
    return _falls(_change(before, after, "deviation_evening_pu"))


def peak_deviation_falls(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the mean over buses of their largest voltage deviation; it falls."""
    return _falls(_change(before, after, "deviation_peak_pu"))


def overloads_fall(before: Figures, after: Figures) -> tuple[float, bool]:
    """Change of the number of overloaded lines; it falls."""
    return _falls(float(after.overloads - before.overloads))


def neighbours_trade_little(before: Figures, after: Figures) -> tuple[float, bool]:
    """Share of neighbours in the consumption of case 1; between 1 and 4 %."""
    return _inside(after.p2p_share, P2P_SHARE)


def prosumers_pay_less(before: Figures, after: Figures) -> tuple[float, bool]:
    """Cost per kWh of prosumers against consumers in case 1; it is lower."""
    return _falls(after.prosumers_against_consumers - 1.0)


BANDS: Mapping[str, tuple[Band, str]] = {
    "total cost": (total_cost_falls, "-30 to -10 %"),
    "cost per kWh": (unit_cost_falls, "-30 to -10 %"),
    "line factor, 18 to 22 h": (evening_line_factor_falls, "falls"),
    "line factor, highest hour": (peak_line_factor_falls, "falls"),
    "voltage deviation, 18 to 22 h": (evening_deviation_falls, "falls"),
    "voltage deviation, largest": (peak_deviation_falls, "falls"),
    "overloaded lines": (overloads_fall, "fall"),
    "share of neighbours": (neighbours_trade_little, "1 to 4 %"),
    "prosumers against consumers": (prosumers_pay_less, "pay less per kWh"),
}


def judged(before: Figures, after: Figures) -> tuple[Verdict, ...]:
    """All bands of case 1 (``after``) against case 0 (``before``)."""
    found = []
    for name, (band, wanted) in BANDS.items():
        value, holds = band(before, after)
        found.append(Verdict(name=name, value=value, holds=holds, wanted=wanted))
    return tuple(found)


def _change(before: Figures, after: Figures, name: str) -> float:
    return float(getattr(after, name) / getattr(before, name) - 1.0)


def _inside(value: float, band: tuple[float, float]) -> tuple[float, bool]:
    return value, band[0] <= value <= band[1]


def _falls(value: float) -> tuple[float, bool]:
    return value, value < 0.0
