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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 2 after an error of this package, or 130 after an interrupt."""
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
    train = commands.add_parser("train", help="train one of the small models that ship with this package")
    models = train.add_subparsers(title="models", required=True, metavar="MODEL")
    _add_training(models, "recall", 400, "recall with overwrites: a few minutes per seed on one CPU thread")
    _add_training(models, "microscope", 600, "the same task in one small matrix, with and without erasing")
    table = commands.add_parser("taps", help="list every value of a model that has a name")
    table.add_argument("model", nargs="?", default="recall", help="a shipped model, a folder or a Hub id")
    table.add_argument("--markdown", action="store_true", help="the page docs/taps.md instead")
    table.set_defaults(run=_print_taps)
    return parser


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


def _seeds(words: str) -> list[int]:
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is not a list of whole numbers such as 0,1,2") from None


def _train(options: argparse.Namespace) -> int:
    import torch

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
    if options.threads < 1:
        raise InputError(f"--threads is {options.threads}; pass 1 or more.")
    torch.set_num_threads(options.threads)
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
