"""The microscope is small enough to see, needs its erase term, and does what its table says."""

import re

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab import recall
from qwen35_lab.cli import main
from qwen35_lab.paths import data_path
from qwen35_lab.recall import microscope
from qwen35_lab.training import Recipe

FOLDERS = sorted(path.parent for path in data_path().glob("microscope*/model.safetensors"))
FRESH = recall.TEST + 100_000  # batches that neither training, nor the choice of the seed, nor the card has seen
TASK = recall.MICROSCOPE.difficulty
ROUNDING = 0.005  # the same questions on another machine: a few answers may tip over


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def qwen(request) -> lab.Qwen:
    return lab.load(request.param.name)


def card(qwen: lab.Qwen) -> str:
    assert qwen.folder
    return " ".join((qwen.folder / "README.md").read_text(encoding="utf-8").split())


def stated(qwen: lab.Qwen) -> dict:
    """What the table says of this folder's seed."""
    (seed,) = re.findall(r"This folder holds seed (\d+)", card(qwen))
    (run,) = (run for run in recall.measured() if run["erase"] and run["seed"] == int(seed))
    return run


# ------------------------------------------------------------------------- every shipped seed


def test_three_seeds_ship_and_all_that_were_trained_are_in_the_table():
    assert len(FOLDERS) >= 3
    for erase in (True, False):
        assert len({run["seed"] for run in recall.measured() if run["erase"] is erase}) == len(FOLDERS)


def test_it_is_one_layer_with_one_memory(qwen):
    trace = qwen.trace("cat red . dog blue . ? cat", record=["layers.*.mixer.state"])
    (state,) = trace.tensors.values()
    assert state.shape == (len(trace.tokens), 1, 12, 12)
    assert qwen.provenance.kind == "TINY"
    assert (qwen.folder / "model.safetensors").stat().st_size < 150_000


def test_it_is_as_good_as_its_table_says(qwen):
    expected = stated(qwen)
    fresh = recall.score(qwen.model, TASK, 1024, FRESH)
    assert fresh.accuracy >= 0.99 and fresh.among(fresh.overwritten) >= 0.985
    assert abs(fresh.accuracy - expected["accuracy"]) < 0.01
    (none,) = recall.erase_dial(qwen, (0.0,), texts=microscope.DIAL_TEXTS).values()
    (crowded,) = recall.capacity(qwen, (16,), texts=2 * microscope.DIAL_TEXTS).values()
    assert abs(none.accuracy - expected["erase_dial"][0]["accuracy"]) < ROUNDING
    assert abs(none.among(none.overwritten) - expected["erase_dial"][0]["overwritten"]) < ROUNDING
    assert abs(crowded.accuracy - expected["capacity"][16]) < ROUNDING


def test_erase_term_is_needed_for_overwrite(qwen):
    dial = recall.erase_dial(qwen, (0.0, 0.5, 1.0), seed=FRESH)
    none, half, full = (dial[factor] for factor in (0.0, 0.5, 1.0))
    assert none.accuracy < half.accuracy < full.accuracy
    assert full.among(full.overwritten) - none.among(none.overwritten) > 0.45
    assert full.among(~full.overwritten) - none.among(~none.overwritten) < 0.2


def test_capacity_falls_with_the_keys(qwen):
    known = recall.capacity(qwen, (2, 8, 16), seed=FRESH)
    accuracies = [score.accuracy for score in known.values()]
    assert accuracies[0] > 0.98 and accuracies[0] > accuracies[1] > accuracies[2] and accuracies[2] < 0.85


def test_decay_hardly_matters_on_short_texts(qwen):
    scores = [score.accuracy for score in recall.decay_dial(qwen, seed=FRESH).values()]
    assert max(scores) - min(scores) < 0.02


@pytest.fixture
def hf(qwen):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(qwen.folder).eval()


def test_transformers_says_the_same(qwen, hf):
    ids = recall.batch(8, FRESH, TASK).inputs
    with torch.inference_mode():
        assert (hf(ids).logits - qwen.model(ids).logits).abs().max() < 1e-4
    prompt = qwen.encode("cat red . dog blue . cat green . ? cat")
    theirs = hf.generate(prompt, max_new_tokens=9)[0, prompt.shape[1] :]
    assert theirs.tolist() == qwen.generate(prompt, max_new_tokens=9).tolist()


def test_it_answers_and_stops(qwen):
    assert qwen.generate("cat red . dog blue . cat green . ? cat", max_new_tokens=9) == "green"


def test_the_card_says_that_it_is_ours_and_how_it_was_made(qwen):
    text = card(qwen)
    assert "not an official" in text and "qwen35-lab train microscope --seeds" in text
    succeeded, of = map(int, re.findall(r"(\d+) of (\d+) seeds reach", text)[0])
    assert succeeded == of == len(FOLDERS)
    run = stated(qwen)
    assert f"| {run['seed']} | {run['steps']} |" in text and f"{run['accuracy']:.2%}" in text


def test_without_the_erase_term_a_seed_errs_ten_times_as_often():
    """From the same first weights, on the same texts, in as many steps."""
    runs = {(run["seed"], run["erase"]): run for run in recall.measured()}
    for seed in {seed for seed, _ in runs}:
        full, without = runs[seed, True], runs[seed, False]
        assert 1 - without["accuracy"] > 10 * (1 - full["accuracy"])
        assert without["steps"] == full["steps"]


# ------------------------------------------------------------------------- the tools


def test_a_dial_at_one_changes_no_answer():
    qwen = lab.load("microscope")
    plain = recall.score(qwen.model, TASK, 64, FRESH)
    for dial in (recall.erase_dial, recall.decay_dial):
        assert torch.equal(dial(qwen, (1.0,), texts=64, seed=FRESH)[1.0].right, plain.right)
    assert not any(tap.wanted for _, tap in lab.taps(qwen.model)), "no hook is left behind"


def test_a_memory_is_not_made_to_grow():
    with pytest.raises(lab.InputError, match="grow"):
        recall.decay_dial(lab.load("microscope"), (-1.0,))


def test_edits_hold_during_training_and_are_gone_afterwards():
    def learnt(edits) -> lab.Qwen:
        return recall.train_recall(0, Recipe(2), setup=recall.MICROSCOPE, edits=edits, progress=False)[0]

    plain, unerased, same = learnt(()), learnt(recall.NO_ERASE), learnt([lab.edit("layers.*.mixer.erase").scale(1)])
    weight = "layers.0.mixer.in_proj_qkv.weight"
    assert torch.equal(plain.model.state_dict()[weight], same.model.state_dict()[weight])
    assert not torch.equal(plain.model.state_dict()[weight], unerased.model.state_dict()[weight])
    assert not any(tap.wanted for _, tap in lab.taps(unerased.model))
    assert "erase" in unerased.provenance.name and "erase" not in plain.provenance.name


def test_one_command_writes_every_seed_and_the_table(tmp_path, monkeypatch):
    def quickly(dial):
        return lambda qwen, texts: dial(qwen, (2,), texts=1)

    for dial in (recall.erase_dial, recall.decay_dial, recall.capacity):
        monkeypatch.setattr(microscope, dial.__name__, quickly(dial))
    out = tmp_path / "microscope"
    assert main(["train", "microscope", "--seeds", "0,1", "--steps", "2", "--out", str(out)]) == 0
    folders = sorted(path.parent for path in tmp_path.glob("*/model.safetensors"))
    assert len(folders) == 2 and folders[0] == out and re.fullmatch(r"microscope-seed[01]", folders[1].name)
    assert all(lab.load(folder).tokenizer for folder in folders)
    assert str(tmp_path) not in (out / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(microscope, "data_path", lambda *parts: tmp_path.joinpath(*parts))
    runs = recall.measured()
    assert [(run["seed"], run["erase"], run["steps"]) for run in runs] == [
        (0, True, 2), (0, False, 2), (1, True, 2), (1, False, 2),
    ]  # fmt: skip
    assert list(runs[0]["capacity"]) == [2] and list(runs[0]["erase_dial"]) == [2.0]
