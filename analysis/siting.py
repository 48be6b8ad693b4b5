"""Put plans of sites, sizes and operation beside the paper that the case is from, and draw them.

``python analysis/siting.py [PLANS.h5 ...] [--seeds N] [--budget N] [--out FOLDER] [--json]``

Files are made by ``peergrid plan scenarios/ieee12_siting.toml --method all --variant both
--seeds 10 --objective cost --out cost.h5``, and another with ``--objective traded``. Without files
both are made first, which takes minutes.

The paper: B. Stalin, "Optimized Integeration of Distributed Energy Resources for P2P Energy Trading
in Distribution Networks using the Cos", IJERST 4(1), 2026. Files of other cases are read as well;
their tables are without the paper's figures.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from siting_made import Campaign, make
from siting_numbers import numbers
from siting_plans import Study, plain, read_studies
from siting_replay import replay_beside, replayed
from siting_tables import tables

from peergrid.errors import DataError, PeergridError

WIDE = 168  # columns where the output is no terminal
FOLDER = Path("runs/siting")


def found_of(studies: Sequence[Study], replay: Path | None) -> dict[str, Any]:
    """Everything that is printed, runs of the chosen plans with it where there are any."""
    found = numbers(studies)
    for study in studies:
        path = replay_beside(study)
        run = None
        if replay is not None and study is studies[0]:
            run = replayed(study, replay)
        elif path is not None:
            try:
                run = replayed(study, path)
            except DataError as error:
                print(f"siting: left out: {error}", file=sys.stderr)
        found["objectives"][study.objective]["replay"] = plain(run)
    return found


def show(console: Console, found: Mapping[str, Any]) -> None:
    """Print all tables and notes."""
    for table in tables(found):
        console.print(table)
        console.print()
    paper = found["paper"] or {"slips": [], "ill_posed": ""}
    for note in filter(None, (paper["ill_posed"], *paper["slips"], *found["notes"])):
        console.print(f"- {note}")


def write(studies: Sequence[Study], found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Tables, numbers and pictures into a folder, which is made if need be."""
    from siting_pictures import draw  # matplotlib is an extra

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "tables.txt", folder / "siting.json"]
    with paths[0].open("w", encoding="utf-8") as file:
        show(Console(file=file, width=WIDE, highlight=False, markup=False), found)
    paths[1].write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return [*paths, *draw(studies, folder)]


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("files", nargs="*", type=Path, metavar="PLANS.h5", help="one of each objective at most")
    add("--seeds", type=int, default=10, help="of each search, where files are made (10)")
    add("--budget", type=int, help="evaluations of each search, where files are made")
    add("--out", type=Path, metavar="FOLDER", help=f"tables, pictures, files made ({FOLDER})")
    add("--replay", type=Path, metavar="RUN.h5", help="run of the first file's chosen plan")
    add("--json", action="store_true", help="print everything as one JSON object")
    return parser.parse_args(arguments)


def main() -> None:
    """Read the files of plans, or make them; print, and draw where a folder is given or made."""
    given = parsed()
    folder = given.out if given.out is not None or given.files else FOLDER
    try:
        files = given.files or make(
            Campaign(seeds=given.seeds, budget=given.budget, folder=folder or FOLDER)
        )
        studies = read_studies(files)
        if given.replay is not None and studies[0].path != files[0]:
            studies.reverse()
        found = found_of(studies, given.replay)
        if given.json:
            print(json.dumps(found, indent=2, allow_nan=False))
        else:
            width = None if sys.stdout.isatty() else WIDE
            show(Console(width=width, highlight=False, markup=False), found)
        if folder is not None:
            for path in write(studies, found, folder):
                print(path, file=sys.stderr)
    except (PeergridError, OSError) as error:
        print(f"siting: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
