"""Make the files that ``siting.py`` reads, by the command ``peergrid plan``."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from peergrid.errors import DataError, PeergridError

SCENARIO = Path(__file__).parent.parent / "scenarios" / "ieee12_siting.toml"
OBJECTIVES = ("traded", "cost")
COMMAND = "from peergrid.cli.main import main; main()"


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """What is planned.

    Parameters
    ----------
    scenario
        File of the case.
    seeds
        Seeds of each search.
    budget
        Evaluations of each search; None for the command's own.
    folder
        Where the files go.
    objectives
        Each a file.
    """

    scenario: Path = SCENARIO
    seeds: int = 10
    budget: int | None = None
    folder: Path = Path("runs/siting")
    objectives: tuple[str, ...] = OBJECTIVES

    def command(self, objective: str) -> list[str]:
        """The command for one objective."""
        out = self.folder / f"{objective}.h5"
        return [
            *("plan", str(self.scenario), "--method", "all", "--variant", "both"),
            *("--seeds", str(self.seeds), "--objective", objective, "--out", str(out)),
            *(() if self.budget is None else ("--budget", str(self.budget))),
            "--replay",
        ]


def make(campaign: Campaign) -> list[Path]:
    """Plan under each objective; the command shows its progress on stderr.

    Raises
    ------
    DataError
        If the command refuses.
    """
    made = []
    is_shown = sys.stderr.isatty()
    for objective in campaign.objectives:
        arguments = campaign.command(objective)
        print(f"peergrid {' '.join(arguments)}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *arguments, *(() if is_shown else ("--quiet",))],
            stdout=subprocess.DEVNULL,
            stderr=None if is_shown else subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _refused(arguments, done)
        made.append(campaign.folder / f"{objective}.h5")
    return made


def _refused(arguments: list[str], done: subprocess.CompletedProcess[str]) -> PeergridError:
    """What the command said last."""
    said = (done.stderr or "").strip().splitlines()
    if said:
        return PeergridError(said[-1])
    allowed = "a campaign that it can plan; it says why above"
    return DataError("peergrid plan", "exit status", done.returncode, allowed)
