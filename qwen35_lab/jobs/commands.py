"""`qwen35-lab run` and `qwen35-lab sweep`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from . import parameters
from .find import ALL, Notebook, find
from .job import Job, check_models, grid

EPILOG = (
    "Runs that are finished are not run again, unless the notebook, its parameters or this package have changed: "
    "after Ctrl-C, or worse, the same command goes on. FOLDER gets an executed copy of every run and results.csv. "
    "Exit status: 1 if a notebook fails."
)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both commands to a parser."""
    run = commands.add_parser("run", help="run notebooks with other parameters", epilog=EPILOG)
    run.add_argument(
        "notebooks", nargs="+", metavar="NOTEBOOK", help=f"a number (03), a name, the path of an .ipynb, or {ALL}"
    )
    _add_options(run, "a parameter and its value; with several notebooks, for those that have it")
    run.set_defaults(run=_run)
    sweep = commands.add_parser("sweep", help="run a notebook with every combination of values", epilog=EPILOG)
    sweep.add_argument("notebook", metavar="NOTEBOOK", help="a number (03), a name, or the path of an .ipynb")
    _add_options(sweep, 'a parameter and its values: 0,1,2 or "a text, with a comma",another; the last varies fastest')
    sweep.add_argument(
        "--plot", action="append", default=[], metavar="NAME",
        help="a value to draw, by the name that it was noted or claimed with (all that was noted)",
    )  # fmt: skip
    sweep.set_defaults(run=_sweep)


def _add_options(parser: argparse.ArgumentParser, about: str) -> None:
    add = parser.add_argument
    add("-p", nargs=2, action="append", default=[], dest="given", metavar=("NAME", "VALUE"), help=about)
    add("--parameters", action="store_true", help="list what can be set, and run nothing")
    add("--to", type=Path, metavar="FOLDER", help="where results go (runs/run-03, runs/sweep-03 and so on)")
    add("--notebooks", type=Path, metavar="DIR", dest="where", help="where the notebooks are, if not in this checkout")
    add("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores (1)")
    add("--dask", metavar="ADDRESS", help="of a Dask scheduler, whose cluster runs them; takes the extra [cluster]")
    add("--again", action="store_true", help="run the finished ones again, too")


def _run(options: argparse.Namespace) -> int:
    notebooks = find(options.notebooks, options.where)
    if options.parameters:
        return _list(notebooks)
    known = list(dict.fromkeys(name for notebook in notebooks for name in notebook.parameters))
    for name, _ in options.given:
        if name not in known:
            who = f"{notebooks[0].name} has no" if len(notebooks) == 1 else "None of these notebooks has a"
            raise InputError(parameters.unknown(name, known, who))
    jobs = []
    for notebook in notebooks:
        given = [pair for pair in options.given if pair[0] in notebook.parameters]
        values = parameters.settle(notebook.parameters, given, notebook.name)
        jobs.append(Job(notebook, {name: value for name, (value,) in values.items()}))
    called = ALL if ALL in options.notebooks else notebooks[0].name[:2] if len(notebooks) == 1 else "several"
    return _work(jobs, options, Path("runs", f"run-{called}"))


def _sweep(options: argparse.Namespace) -> int:
    notebooks = find([options.notebook], options.where)
    if options.parameters:
        return _list(notebooks)
    if len(notebooks) > 1:
        raise InputError("A sweep is of one notebook; `run` takes several.")
    (notebook,) = notebooks
    values = parameters.settle(notebook.parameters, options.given, notebook.name, several=True)
    swept = [name for name, found in values.items() if len(found) > 1]
    if not swept:
        raise InputError("A sweep needs a parameter with several values, such as -p seed 0,1,2; for one, use `run`.")
    return _work(grid(notebook, values), options, Path("runs", f"sweep-{notebook.name[:2]}"), swept)


def _list(notebooks: Sequence[Notebook]) -> int:
    print("\n\n".join(repr(parameters.table(notebook.parameters, notebook.name)) for notebook in notebooks))
    return 0


def _work(jobs: Sequence[Job], options: argparse.Namespace, folder: Path, swept: Sequence[str] = ()) -> int:
    from . import results
    from .cluster import on_dask
    from .execute import on_this_machine
    from .work import work

    if options.jobs < 1:
        raise InputError(f"--jobs is {options.jobs}; pass 1 or more.")
    if len({job.file for job in jobs}) < len(jobs):
        raise InputError("Two of these notebooks have the same name; run them one after the other.")
    check_models(jobs, elsewhere=bool(options.dask))
    folder = options.to or folder
    engine = on_dask(options.dask) if options.dask else on_this_machine(options.jobs)
    outcomes = work(jobs, folder, engine, again=options.again)
    path = results.write_table(outcomes, folder)
    print(f"\n{results.table(outcomes)!r}\nTable: {path}")
    if swept and (drawn := results.figure(outcomes, swept, options.plot)) is not None:
        print(results.write_figure(drawn, outcomes, folder))
    failed = [outcome for outcome in outcomes if not outcome.done]
    if failed:
        print(f"{len(failed)} of {len(jobs)} runs failed; the first is in {failed[0].path}.", file=sys.stderr)
    else:
        print(f"Executed copy: {outcomes[0].path}" if len(outcomes) == 1 else f"Executed copies: {folder}")
    return 1 if failed else 0
