"""Small scenario files for the tests."""

from pathlib import Path

from tests.scenario.stub_market import MARKET

TEXT = """
name = "small"
hours = 3
[network]
case = "ieee12"
[[pv]]
buses = [3, 5]
kwp = [50, 20]
[[ev]]
buses = [4, 5]
[[battery]]
buses = [5]
e_max_kwh = 20
p_max_kw = 10
"""


def write(folder: Path, *, more: str = "", market: bool = True, drop: str = "") -> Path:
    """A scenario of the 12-bus feeder; ``more`` is appended, the line ``drop`` left out."""
    text = "\n".join(line for line in TEXT.splitlines() if line != drop or not drop)
    if market:
        more += f"\n[simulators]\nmarket = {MARKET}\n" if "[simulators]" not in more else ""
        more = more.replace("MARKET", MARKET)
    path = folder / "small.toml"
    path.write_text(text + "\n" + more, encoding="utf-8")
    return path
