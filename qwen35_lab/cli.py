"""`qwen35-lab` on the command line."""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from . import __version__
from .errors import CheckpointError, InputError, LabError
from .jobs import commands as jobs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns 0; 1 if a notebook failed or the doctor found a problem; 2 after an error of this package; 130 after an
    interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except LabError as error:
        print(f"qwen35-lab: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # who was reading has seen enough: `… | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from what was kept.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qwen35-lab",
        description="Qwen3.5 from scratch in PyTorch, instrumented. Independent, not by the Qwen team.",
    )
    parser.add_argument("--version", action="version", version=f"qwen35-lab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    jobs.add(commands)
    train = commands.add_parser("train", help="train one of the small models that ship with this package")
    models = train.add_subparsers(title="models", required=True, metavar="MODEL")
    _add_training(models, "recall", 400, "recall with overwrites: a few minutes per seed on one CPU thread")
    _add_training(models, "microscope", 600, "the same task in one small matrix, with and without erasing")
    _add_nano(models)
    scoring = commands.add_parser("score", help="ask a model that was trained here held-out questions")
    scored = scoring.add_subparsers(title="models", required=True, metavar="MODEL")
    nano = scored.add_parser("nano", help="every kind of question, judged by the world's own rules")
    nano.add_argument("folder", type=Path, help="of a checkpoint, or of a run, whose card then gets the scores")
    nano.add_argument("--n", type=int, default=500, metavar="N", help="questions of each kind (500)")
    nano.add_argument("--split", choices=("valid", "test", "seen"), default="test", help="which samples (test)")
    nano.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads")
    nano.add_argument("--device", default="auto", help="cpu, cuda or auto")
    nano.set_defaults(run=_score_nano)
    table = commands.add_parser("taps", help="list every value of a model that has a name")
    table.add_argument("model", nargs="?", default="recall", help="a shipped model, a folder or a Hub id")
    table.add_argument("--markdown", action="store_true", help="the page docs/taps.md instead")
    table.set_defaults(run=_print_taps)
    health = commands.add_parser(
        "doctor", help="what this machine can run, and what to mend", epilog="Exit status: 1 if there is a problem."
    )
    health.add_argument("--json", action="store_true", help="the report for programs (its shape: doctor.Report)")
    health.add_argument("--hub", action="store_true", help="ask the Hub for a sign of life, too")
    health.set_defaults(run=_examine)
    judged = commands.add_parser("claims", help="list the claims of an article on Qwen3.5, each with our verdict")
    judged.add_argument("--verdict", choices=("true", "inexact", "wrong", "unverifiable"), help="only these")
    judged.add_argument("--markdown", action="store_true", help="the page docs/claims.md instead")
    judged.set_defaults(run=_print_claims)
    _add_exercises(commands)
    return parser


def _add_exercises(commands: argparse._SubParsersAction) -> None:
    exercises = commands.add_parser("exercises", help="notebooks to hand out, and how far you are")
    actions = exercises.add_subparsers(title="actions", required=True, metavar="ACTION")
    build = actions.add_parser("build", help="write the notebooks without their solutions, or with the stubs filled in")
    kinds = build.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--student", dest="kind", action="store_const", const="student", help="stubs and hints alone")
    kinds.add_argument("--solution", dest="kind", action="store_const", const="solution", help="the stubs filled in")
    build.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where they are written")
    build.add_argument("--overwrite", action="store_true", help="replace notebooks that are there")
    build.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="all in notebooks/")
    build.set_defaults(run=_build_exercises)
    page = actions.add_parser("progress", help="what you have passed, tried, and not yet")
    page.add_argument("--save", type=Path, metavar="FILE", help="write it as an HTML page instead")
    page.set_defaults(run=_show_progress)


def _examine(options: argparse.Namespace) -> int:
    from .doctor import doctor

    report = doctor(hub=options.hub)
    print(report.to_json() if options.json else report)
    return 0 if report.healthy else 1


def _build_exercises(options: argparse.Namespace) -> int:
    from .exercises.builds import build

    paths = options.notebooks or sorted(Path("notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise InputError("There is no notebook in notebooks/; pass the paths of some, or change the folder.")
    print(*build(options.kind, paths, options.to, overwrite=options.overwrite), sep="\n")
    return 0


def _show_progress(options: argparse.Namespace) -> int:
    from .exercises import progress

    print(progress().save(options.save) if options.save else progress())
    return 0


def _print_claims(options: argparse.Namespace) -> int:
    from .claims import listing, page

    print(page().rstrip("\n") if options.markdown else listing(options.verdict))
    return 0


def _print_taps(options: argparse.Namespace) -> int:
    from .analysis.tap_table import page, tap_table
    from .qwen import load

    if options.markdown:
        print(page(), end="")
    else:
        qwen = load(options.model)
        print(tap_table(qwen.model, f"(L): Gated DeltaNet, (F): gated attention. {qwen.provenance}"))
    return 0


def _add_training(models: argparse._SubParsersAction, name: str, steps: int, what: str) -> None:
    parser = models.add_parser(
        name,
        help=what,
        description=f"Train the {name} model and write the best seed as a checkpoint. "
        "Progress is kept in DIR-training: after Ctrl-C the same command goes on from there.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", "--seed", type=_seeds, default="0", metavar="N[,N…]", help="one run for each")
    add("--steps", type=int, default=steps, metavar="N", help="steps of training")
    add("--target", type=float, default=math.inf, metavar="A", help="stop at this accuracy, such as 0.99; inf: never")
    add("--out", type=Path, default=Path("runs", name), metavar="DIR", help="where the checkpoint goes")
    add("--overwrite", action="store_true", help="replace DIR if it exists")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (they change the last digits)")
    parser.set_defaults(run=_train, model=name)


def _add_nano(models: argparse._SubParsersAction) -> None:
    parser = models.add_parser(
        "nano",
        help="the small model with eyes and experts: hours on a CPU",
        description="Train the nano. FOLDER keeps the run: after Ctrl-C the same command goes on from there. "
        "FOLDER/model is what it has learnt so far, written at every saving.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--to", type=Path, required=True, metavar="FOLDER", help="where the run is kept")
    add("--minutes", type=float, metavar="M", help="of training in all; the rates fall in the last part of it")
    add("--steps", type=int, metavar="N", help="in place of --minutes: the same for every machine's speed")
    add("--longer", action="store_true", help="go back to before the rates fell, and train on")
    add("--wide-from", type=int, metavar="STEP", help="the step from which on batches are large, for a GPU")
    add("--workers", type=int, default=0, metavar="N", help="processes that prepare batches; a GPU would wait for one")
    add("--preset", choices=("small", "full"), default="full", help="about 2 or 6 million parameters")
    add("--seed", type=int, default=0, metavar="N", help="of first weights and batches")
    add("--save-minutes", type=float, default=5, metavar="M", help="between savings")
    add("--threads", type=int, default=1, metavar="N", help="CPU threads (they change the last digits)")
    add("--device", default="auto", help="cpu, cuda or auto")
    parser.set_defaults(run=_train_nano)


def _train_nano(options: argparse.Namespace) -> int:
    from .locate import find_device
    from .nano.publish import publish
    from .nano.train import MOST_STEPS, RECIPE, Diet, Run

    if (options.minutes is None) == (options.steps is None):
        raise InputError("Pass --minutes or --steps, one of the two.")
    for name in ("minutes", "save_minutes"):
        if (value := getattr(options, name)) is not None and not 0 < value < math.inf:
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; pass a number above 0.")
    _use_threads(options.threads)
    if options.workers < 0 or (options.wide_from or 0) < 0:
        raise InputError("--workers and --wide-from are numbers from 0 on.")
    open_end = options.longer or options.steps is None
    run = Run(
        options.to, options.preset, options.seed, diet=Diet(wide=options.wide_from), device=find_device(options.device),
        recipe=replace(RECIPE, steps=MOST_STEPS if open_end else options.steps), workers=options.workers,
    )  # fmt: skip
    if options.longer:
        run.longer(options.steps or 0)
    history = run.train(options.minutes, save_minutes=options.save_minutes, saved=publish)
    print(repr(history))
    print(f'What it has learnt is in {run.folder / "model"}; qwen35-lab score nano "{run.folder}" asks it.')
    if history.ended == "interrupted":
        print(f"Kept in {run.folder}; the same command goes on from there.", file=sys.stderr)
        return 130
    return 0


def _score_nano(options: argparse.Namespace) -> int:
    from .nano.publish import score_folder

    if options.n < 1:
        raise InputError(f"--n is {options.n}; pass 1 or more.")
    _use_threads(options.threads)
    print(score_folder(options.folder, options.n, options.split, options.device))
    return 0


def _use_threads(count: int) -> None:
    import torch

    if count < 1:
        raise InputError(f"--threads is {count}; pass 1 or more.")
    torch.set_num_threads(count)


def _seeds(words: str) -> list[int]:
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is not a list of whole numbers such as 0,1,2") from None


def _train(options: argparse.Namespace) -> int:
    from .recall.microscope import lessons, publish_microscope
    from .recall.model import MICROSCOPE, RECALL
    from .recall.publish import examined, publish
    from .recall.train import MOST_SEEDS, train_recall

    setup, write = (RECALL, publish) if options.model == RECALL.name else (MICROSCOPE, publish_microscope)

    out: Path = options.out.resolve()
    if out.exists() and not options.overwrite:
        raise CheckpointError(f"{out} exists; choose another folder with --out, or pass --overwrite.")
    if not (0 < options.target <= 1 or options.target == math.inf):
        raise InputError(f"--target is {options.target:g}; pass an accuracy between 0 and 1, such as 0.99.")
    if not all(0 <= seed < MOST_SEEDS for seed in options.seeds):
        raise InputError(f"--seeds is {options.seeds}; pass whole numbers between 0 and {MOST_SEEDS - 1}.")
    _use_threads(options.threads)
    recipe = replace(setup.recipe, steps=options.steps, target=options.target)
    states = out.with_name(out.name + "-training")
    runs = []
    for seed in dict.fromkeys(options.seeds):
        for name, lesson, edits in lessons(setup, recipe):
            state = states / f"seed-{seed}{name}.pt"
            qwen, history = train_recall(seed, lesson, setup=setup, edits=edits, state=state)
            print(f"seed {seed}{name}: {history!r}")
            if history.ended == "interrupted":
                print(f"Kept in {states}; the same command goes on from there.", file=sys.stderr)
                return 130
            print("Asking it about fresh texts …", flush=True)
            runs.append(examined(seed, qwen, history, setup, edits))
            print(f"seed {seed}{name}: {runs[-1].test!r} in fresh texts")
    best = write(runs, recipe, out, overwrite=options.overwrite)
    print(f'Seed {best.seed} is in {out}; load it with qwen35_lab.load("{out}"). {states} can be deleted.')
    return 0


if __name__ == "__main__":
    sys.exit(main())
