"""The training loop, for every model of this package.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) moves the matrices inside the layers,
AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) everything else. Rates rise over a short warm-up, stay, and
fall linearly to zero at the end.

A run may be given an amount of time in place of a number of steps. When all but the last part of it is used up, the
number of steps is set so that the fall takes about the time that is left, and kept with the run.

The loop itself draws nothing at random. If `loss(step)` depends on the step and the model alone, two runs are
equal to the bit on one machine with one number of threads, also if one was interrupted and resumed.
"""

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm.auto import tqdm

from .errors import CheckpointError, LabError
from .files import write_file
from .interrupt import held_interrupt
from .muon import StackedMuon
from .recipe import History, Loss, Recipe

# Matrices that are not Muon's: tables of rows that stand for themselves, and maps to a few gates or experts.
NOT_MUON = ("embed_tokens", "lm_head", "pos_embed", "in_proj_a", "in_proj_b", "router", "shared_gate_proj")
STACKED = ("gate_up_proj", "down_proj", "patch_embed.weight")  # ends of names: matrices in more than two dimensions


def train(
    model: nn.Module,
    loss: Callable[[int], Tensor | Loss],
    recipe: Recipe,
    evaluate: Callable[[], float | Mapping[str, float]] | None = None,
    *,
    state: str | Path | None = None,
    progress: bool = True,
    budget: float | None = None,
    save_every: float | None = None,
    saved: Callable[[History], None] | None = None,
    until: int | None = None,
) -> History:
    """Train a model in place.

    An interrupt (Ctrl-C, or the stop button of a notebook) lets the step under way finish and returns: the
    model keeps what it has learnt. A second one stops at once.

    Args:
        loss: step -> the loss of that step's batch, a scalar with a gradient.
        evaluate: () -> accuracy, 0 to 1, or one for each kind; measured every `recipe.every` steps and after the last
            one.
        state: a file that keeps weights, optimisers and history. If it exists, training continues from there.
        progress: show a bar.
        budget: seconds for the whole run, all sessions together; it ends there if `recipe.steps` are not done before.
        save_every: seconds between savings; by default the state is saved every `recipe.every` steps. It is also saved
            when the rates are about to fall.
        saved: called after each saving.
        until: interrupt the run when so many steps are done.
    Raises:
        CheckpointError: `state` belongs to another model or recipe, or cannot be read or written.
        LabError: the loss is no longer a number.
    """
    optimisers = make_optimisers(model, recipe)
    history = History()
    if state is not None and Path(state).exists():
        history = _read_state(Path(state), model, optimisers, recipe)
    model.train()
    bar = tqdm(total=history.planned or recipe.steps, initial=history.steps, unit="step", disable=not progress)
    written = time.perf_counter()
    with bar, held_interrupt() as asked:
        while not history.ended:
            plan = replace(recipe, steps=history.planned or recipe.steps)
            speed = _advance(model, loss, optimisers, plan, history, evaluate)
            if history.steps < plan.steps and budget is not None and not history.planned:
                _plan(history, recipe, budget)
                bar.total = history.planned or bar.total
            history.ended = _ending(history, plan, asked() or history.steps == until)
            bar.set_description_str(history.ended, refresh=False)
            bar.set_postfix_str(_postfix(history, speed), refresh=False)
            bar.update()
            if state is not None and (history.ended or _is_due(history, recipe, save_every, written)):
                _write_state(Path(state), model, optimisers, recipe, history)
                written = time.perf_counter()
                if saved:
                    saved(history)
    model.eval()
    return history


def _advance(
    model: nn.Module, loss: Callable[[int], Tensor | Loss], optimisers: list[Optimizer], plan: Recipe,
    history: History, evaluate: Callable[[], float | Mapping[str, float]] | None,
) -> float:  # fmt: skip
    """A step, and an accuracy where one is due; their time is noted. Returns tokens per second."""
    clock, cpu = time.perf_counter(), time.process_time()
    tokens = _step(model, loss, optimisers, plan, history)
    if evaluate and (history.steps >= plan.steps or history.steps % plan.every == 0):
        _evaluate(model, evaluate, history)
    seconds = time.perf_counter() - clock
    history.seconds += seconds
    history.cpu_seconds += time.process_time() - cpu
    return tokens / seconds


def _ending(history: History, plan: Recipe, stopped: bool) -> str:
    """Why the run ends after this step; empty if it goes on."""
    if history.accuracies and history.accuracy >= plan.target:
        return "target reached"
    if history.steps >= plan.steps:
        return "finished"
    return "interrupted" if stopped else ""


def _is_due(history: History, recipe: Recipe, save_every: float | None, written: float) -> bool:
    """Whether the state is to be saved: it is time, or the rates begin to fall."""
    due = time.perf_counter() - written >= save_every if save_every else history.steps % recipe.every == 0
    return due or history.steps == replace(recipe, steps=history.planned or recipe.steps).full_steps


def _plan(history: History, recipe: Recipe, budget: float) -> None:
    """Once only the time for the fall is left, settle the number of steps, so that the fall begins at the next one."""
    if history.seconds >= (1 - recipe.decay) * budget:
        steps = history.steps / (1 - recipe.decay) if recipe.decay < 1 else 2 * history.steps
        history.planned = min(recipe.steps, max(history.steps + 1, round(steps)))


def _evaluate(model: nn.Module, evaluate: Callable[[], float | Mapping[str, float]], history: History) -> None:
    model.eval()
    found = evaluate()
    if isinstance(found, Mapping):
        history.splits.append((history.steps, dict(found)))
        found = sum(found.values()) / len(found)
    history.accuracies.append((history.steps, found))
    model.train()


def make_optimisers(model: nn.Module, recipe: Recipe) -> list[Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms, gates, convolutions, decays."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    inside = {n for n, p in named if p.ndim == 2 and not any(part in n.split(".") for part in NOT_MUON)}
    if recipe.stacked:
        inside |= {n for n, p in named if p.ndim > 2 and n.endswith(STACKED)}
    matrices = [p for n, p in named if n in inside]
    others = [p for n, p in named if n not in inside]
    seeing = {id(p) for n, p in named if n.startswith("vision.")} if recipe.tower_rate != 1 else set()
    found: list[Optimizer] = []
    if matrices and recipe.stacked:
        how = {"weight_decay": recipe.weight_decay, "steps": recipe.newton_schulz}
        found.append(StackedMuon(_groups(matrices, seeing, recipe.muon_rate, recipe), recipe.muon_rate, **how))
    elif matrices:
        found.append(
            torch.optim.Muon(
                matrices,
                lr=recipe.muon_rate,
                weight_decay=recipe.weight_decay,
                adjust_lr_fn="match_rms_adamw",
                ns_steps=recipe.newton_schulz,
            )
        )
    if others:
        groups = _groups(others, seeing, recipe.adamw_rate, recipe)
        found.append(torch.optim.AdamW(groups, lr=recipe.adamw_rate, weight_decay=0.0, betas=(0.9, 0.98)))
    for optimiser in found:
        for group in optimiser.param_groups:
            group["full_rate"] = group["lr"]
    return found


def _groups(parameters: Sequence[Tensor], seeing: set[int], rate: float, recipe: Recipe) -> list[dict[str, Any]]:
    """All at one rate but those of a vision tower."""
    groups = [
        {"params": [p for p in parameters if id(p) not in seeing]},
        {"params": [p for p in parameters if id(p) in seeing], "lr": rate * recipe.tower_rate},
    ]
    return [group for group in groups if group["params"]]


def _step(
    model: nn.Module,
    loss: Callable[[int], Tensor | Loss],
    optimisers: list[Optimizer],
    recipe: Recipe,
    history: History,
) -> int:
    """One update; notes the loss before it. Returns the number of tokens seen."""
    step = history.steps
    made = loss(step)
    made = made if isinstance(made, Loss) else Loss(made, {})
    total, *parts = torch.stack([t.detach().double() for t in (made.total, *made.parts.values())]).tolist()
    if not math.isfinite(total):
        raise LabError(f"The loss is {total} at step {step + 1}; lower the rates of the recipe.")
    model.zero_grad(set_to_none=True)
    made.total.backward()
    nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["full_rate"] * recipe.rate(step)
        optimiser.step()
    history.losses.append(total)
    for name, value in zip(made.parts, parts, strict=True):
        history.parts.setdefault(name, []).append(value)
    history.tokens += made.tokens
    return made.tokens


def _postfix(history: History, speed: float) -> str:
    """speed: tokens per second; 0 if the loss does not tell how many it has seen."""
    said = [f"accuracy {history.accuracy:.1%}"] if history.accuracies else []
    said.append(f"loss {history.losses[-1]:.3f}")
    said += [f"{name} {values[-1]:.3f}" for name, values in history.parts.items()]
    return ", ".join(said + ([f"{speed:,.0f} tokens/s"] if speed else []))


def _write_state(path: Path, model: nn.Module, optimisers: list[Optimizer], recipe: Recipe, history: History) -> None:
    """Everything that a run needs to go on, in one file."""
    kept = {
        "model": model.state_dict(),
        "optimisers": [o.state_dict() for o in optimisers],
        "recipe": asdict(recipe),
        "history": asdict(history),
    }
    packed = io.BytesIO()
    torch.save(kept, packed)
    with write_file(path) as beside:
        beside.write_bytes(packed.getvalue())


def _read_state(path: Path, model: nn.Module, optimisers: list[Optimizer], recipe: Recipe) -> History:
    """Bring model and optimisers to where a run was left; returns its history."""
    other = f"choose another file, or delete {path} to start over."
    device = next(model.parameters()).device
    try:
        kept: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        differing = [name for name, value in asdict(recipe).items() if kept["recipe"].get(name) != value]
        if differing:
            raise CheckpointError(f"{path} was trained with other settings ({', '.join(differing)}); {other}")
        model.load_state_dict(kept["model"])
        for optimiser, values in zip(optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(values)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file shows itself in many ways
        raise CheckpointError(f"{path} is damaged or belongs to another model ({error}); {other}") from error
    pairs = {name: [(s, a) for s, a in kept["history"][name]] for name in ("accuracies", "splits")}
    history = History(**{**kept["history"], **pairs})
    history.ended = "" if history.ended == "interrupted" else history.ended
    return history
