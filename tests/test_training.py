"""Training lowers the loss, can be interrupted and resumed without a trace, and is the same twice."""

import math
import os
import signal
import threading
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qwen35_lab import recall
from qwen35_lab.config import ModelConfig
from qwen35_lab.errors import CheckpointError, InputError, LabError
from qwen35_lab.model import TextModel
from qwen35_lab.model.init import initialise
from qwen35_lab.recall.model import CONFIG
from qwen35_lab.training import Recipe, make_optimisers, train

TINY = CONFIG | {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "linear_key_head_dim": 16,
    "linear_value_head_dim": 16, "head_dim": 16, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
EASY = recall.Difficulty((2, 2), (2, 4), (2, 3))


def tiny(seed: int = 0) -> TextModel:
    return initialise(TextModel(ModelConfig.from_dict(TINY).text), seed)


def loss_of(model: TextModel, seed: int = 0, size: int = 8) -> Callable[[int], Tensor]:
    return lambda step: recall.answer_loss(model, recall.batch(size, seed * 1000 + step, EASY))


def accuracy_of(model: TextModel) -> Callable[[], float]:
    return lambda: recall.score(model, EASY, 64, recall.VALIDATION).accuracy


def weights(model: TextModel) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def interrupting(loss: Callable[[int], Tensor], at: int, times: int = 1) -> Callable[[int], Tensor]:
    """The same loss; in step `at` somebody presses Ctrl-C."""

    def pressed(step: int) -> Tensor:
        if step == at:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return loss(step)

    return pressed


# ------------------------------------------------------------------------- it learns


def test_a_tiny_model_learns_easy_recall_in_seconds():
    model = tiny()
    untrained = accuracy_of(model)()
    recipe = Recipe(200, muon_rate=2e-2, adamw_rate=6e-3, decay=0.5)
    history = train(model, loss_of(model, size=32), recipe, accuracy_of(model), progress=False)
    assert untrained < 0.3
    assert sum(history.losses[-10:]) < 0.3 * sum(history.losses[:10])
    assert recall.score(model, EASY, 256).accuracy >= 0.85
    assert history.seconds > 0 and history.cpu_seconds > 0


@pytest.mark.slow
def test_the_recall_model_learns_in_about_a_minute():
    """At full size, until 99 %: 175 to 300 steps on every seed tried."""
    qwen, history = recall.train_recall(7, progress=False)
    assert history.ended == "target reached" and history.steps <= 400
    assert recall.score(qwen.model, texts=512).accuracy > 0.97
    assert qwen.generate("cat red . dog blue . cat green . ? cat", max_new_tokens=9) == "green"


# ------------------------------------------------------------------------- the same twice


def test_two_runs_are_equal_and_another_seed_is_not():
    def run(seed: int) -> Tensor:
        model = tiny(seed)
        train(model, loss_of(model, seed), Recipe(6), progress=False)
        return weights(model)

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_an_interrupted_run_resumes_as_if_nothing_had_been(tmp_path):
    whole = tiny()
    expected = train(whole, loss_of(whole), Recipe(9, every=4), accuracy_of(whole), progress=False)

    state = tmp_path / "run" / "state.pt"
    first = tiny()
    left = train(
        first, interrupting(loss_of(first), at=5), Recipe(9, every=4), accuracy_of(first),
        state=state, progress=False,
    )  # fmt: skip
    assert (left.ended, left.steps) == ("interrupted", 6)
    assert left.losses == expected.losses[:6]
    assert first(recall.batch(1, 0).inputs).logits.isfinite().all() and not first.training
    assert [p.name for p in state.parent.iterdir()] == ["state.pt"], "nothing half-written is left"

    second = tiny(seed=3)  # whatever it starts from is replaced
    history = train(second, loss_of(second), Recipe(9, every=4), accuracy_of(second), state=state, progress=False)
    assert torch.equal(weights(second), weights(whole))
    assert (history.ended, history.losses, history.accuracies) == (
        "finished", expected.losses, expected.accuracies,
    )  # fmt: skip

    again = train(second, loss_of(second), Recipe(9, every=4), state=state, progress=False)
    assert again.steps == 9, "a finished run is not trained further"


# ------------------------------------------------------------------------- interrupts


def test_a_second_interrupt_stops_at_once_and_python_has_its_handler_back():
    before = signal.getsignal(signal.SIGINT)
    model = tiny()
    with pytest.raises(KeyboardInterrupt):
        train(model, interrupting(loss_of(model), at=2, times=2), Recipe(5), progress=False)
    assert signal.getsignal(signal.SIGINT) is before


def test_it_also_trains_outside_the_main_thread():
    model, done = tiny(), []
    run = threading.Thread(target=lambda: done.append(train(model, loss_of(model), Recipe(2), progress=False)))
    run.start()
    run.join()
    assert done[0].ended == "finished"


# ------------------------------------------------------------------------- what goes wrong


def test_a_state_of_other_settings_or_another_model_is_refused(tmp_path):
    state = tmp_path / "state.pt"
    model = tiny()
    train(model, loss_of(model), Recipe(2), state=state, progress=False)
    with pytest.raises(CheckpointError, match="steps"):
        train(model, loss_of(model), Recipe(3), state=state, progress=False)
    other = initialise(TextModel(recall.config().text))
    with pytest.raises(CheckpointError, match="another model"):
        train(other, loss_of(other), Recipe(2), state=state, progress=False)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        train(model, loss_of(model), Recipe(2), state=state, progress=False)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    model = tiny()
    with pytest.raises(CheckpointError, match="could not be written"):
        train(model, loss_of(model), Recipe(1), state=tmp_path / "file" / "state.pt", progress=False)


def test_a_loss_that_is_no_number_is_an_error():
    model = tiny()
    with pytest.raises(LabError, match="nan at step 1"):
        train(model, lambda step: weights(model).sum() * math.nan, Recipe(3), progress=False)


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_a_recipe_without_steps_is_refused(steps):
    with pytest.raises(InputError, match="steps"):
        Recipe(steps)


def test_a_seed_beyond_the_training_texts_is_refused():
    with pytest.raises(InputError, match="seed"):
        recall.train_recall(10**6)


# ------------------------------------------------------------------------- the recipe


@given(steps=st.integers(1, 2000), warmup=st.integers(0, 50), decay=st.floats(0, 1))
def test_rates_rise_stay_and_fall(steps, warmup, decay):
    rates = [Recipe(steps, warmup=warmup, decay=decay).rate(step) for step in range(steps)]
    peak = rates.index(max(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_every_parameter_has_one_optimiser():
    model = tiny()
    muon, adamw = make_optimisers(model, Recipe(1))
    names = {id(p): n for n, p in model.named_parameters()}
    of_muon = [names[id(p)] for group in muon.param_groups for p in group["params"]]
    of_adamw = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert sorted(of_muon + of_adamw) == sorted(names.values())
    assert {n.split(".")[-2] for n in of_muon} == {
        "in_proj_qkv", "in_proj_z", "out_proj", "q_proj", "k_proj", "v_proj", "o_proj",
        "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
