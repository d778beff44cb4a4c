"""A nano of a few steps becomes a folder that transformers loads, and that answers the same there."""

import json
import math
from dataclasses import replace

import pytest
import torch
from tiny_nano import TINY

import qwen35_lab as lab
from qwen35_lab import cli, nano
from qwen35_lab.nano.experts import expert_loads
from qwen35_lab.nano.marks import MARKS
from qwen35_lab.nano.publish import card, publish, score_folder
from qwen35_lab.nano.score import Asked, Scores, answer, recall_curve, score
from qwen35_lab.nano.shape import PRESETS
from qwen35_lab.nano.train import Diet, Run
from qwen35_lab.training import Recipe

TOKENS = 24


@pytest.fixture(scope="module")
def run(tokenizer, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("qwen35_lab.nano.train.train_tokenizer", lambda: tokenizer)
        patched.setitem(PRESETS, "tiny", TINY)
        made = Run(
            tmp_path_factory.mktemp("run"), "tiny", 5, diet=Diet(1, 300),
            recipe=Recipe(3, every=100, stacked=True), probe_rows=0, tower=None,
        )  # fmt: skip
        made.train(progress=False, saved=publish)
    return made


def pictured() -> nano.world.Sample:
    return next(s for n in range(99) if len((s := nano.world.draw("shapes", 0, n, "test")).images) == 1)


# ------------------------------------------------------------------------- transformers


@pytest.fixture(scope="module")
def theirs(run):
    from transformers import AutoModelForImageTextToText

    model, report = AutoModelForImageTextToText.from_pretrained(run.folder / "model", output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"]
    assert all(name.startswith("mtp.") for name in report["unexpected_keys"])
    return model.eval()


@torch.inference_mode()
def test_transformers_continues_a_text_as_we_do(run, theirs):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run.folder / "model")
    sample = nano.world.draw("facts", 0, 0, "test")
    prompt = sample.prompt(sample.questions[0])
    text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == nano.render_prompt(sample, sample.questions[0], run.tokenizer).ids.tolist()
    said = theirs.generate(ids, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None)[0, ids.shape[1] :]
    ours = lab.load(run.folder / "model")
    mine = torch.cat(list(lab.generate.decode(ours.model, ids, max_new_tokens=TOKENS)))
    assert mine.tolist() == said.tolist() and len(mine) == TOKENS


@torch.inference_mode()
def test_transformers_sees_a_picture_as_we_do(run, theirs):
    from transformers import AutoImageProcessor

    eyes = AutoImageProcessor.from_pretrained(run.folder / "model", backend="pil")
    sample = pictured()
    question = sample.questions[0]
    document = nano.render_prompt(sample, question, run.tokenizer)
    seen = eyes(sample.images, return_tensors="pt")
    assert seen["image_grid_thw"].tolist() == [list(grid) for grid in document.image_grids]
    mine = nano.as_floats(torch.from_numpy(document.image_patches[0]))
    torch.testing.assert_close(seen["pixel_values"], mine, atol=1e-6, rtol=0)

    ids = torch.from_numpy(document.ids)[None]
    shown = {"pixel_values": seen["pixel_values"], "image_grid_thw": seen["image_grid_thw"]}
    kinds = torch.from_numpy(document.modality)[None].int()
    said = theirs.generate(
        input_ids=ids, **shown, mm_token_type_ids=kinds, max_new_tokens=TOKENS, do_sample=False, eos_token_id=None
    )
    ours = lab.load(run.folder / "model")
    mine = torch.cat(list(lab.generate.decode(ours.model, ids, max_new_tokens=TOKENS, pictures=shown)))
    assert mine.tolist() == said[0, ids.shape[1] :].tolist()
    expected = theirs(input_ids=ids, **shown, mm_token_type_ids=kinds).logits
    torch.testing.assert_close(ours.model(ids, **shown).logits, expected, atol=1e-4, rtol=1e-4)
    inverted = ours.model(ids, **shown | {"pixel_values": -shown["pixel_values"]}).logits
    assert (inverted - expected).abs().max() > 1e-2, "what is in the picture does not matter"


# ------------------------------------------------------------------------- ours


@torch.inference_mode()
def test_the_folder_holds_all_weights_and_loads_here(run):
    qwen = lab.load(run.folder / "model")
    for (name, mine), (_, kept) in zip(run.model.named_parameters(), qwen.model.named_parameters(), strict=True):
        assert torch.equal(mine, kept), name
    assert qwen.model.mtp is not None
    assert set(qwen.stop_ids) == {run.tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>")}
    assert {p.name for p in qwen.folder.iterdir()} >= {
        "config.json", "generation_config.json", "preprocessor_config.json", "video_preprocessor_config.json",
        "model.safetensors", "tokenizer.json", "chat_template.jinja", "README.md",
    }  # fmt: skip
    card = (qwen.folder / "README.md").read_text()
    assert "--preset tiny --seed 5 --steps 3 " in card and "not been scored" in card
    assert f"{run.history.tokens:,} tokens" in card
    assert "| arithmetic | 8 | 15 |" in card and "from step 5,866 on" in card


@pytest.mark.parametrize("kind", nano.world.SEEING_KINDS)
def test_the_processor_of_the_folder_leaves_the_world_s_sizes_alone(run, kind):
    qwen = lab.load(run.folder / "model")
    for index in range(20):
        sample = nano.world.draw(kind, 1, index)
        document = nano.render(sample, run.tokenizer)
        if sample.images:
            grids = qwen.processor(images=sample.images, return_tensors="pt")["image_grid_thw"]
            assert [tuple(grid) for grid in grids.tolist()] == document.image_grids
        if sample.clips:
            how = {"video_metadata": [{"fps": 2.0}] * len(sample.clips), "return_tensors": "pt"}
            grids = qwen.processor(videos=sample.clips, **how)["video_grid_thw"]
            assert [tuple(grid) for grid in grids.tolist()] == document.clip_grids


# ------------------------------------------------------------------------- scores


def test_answers_in_a_batch_are_those_one_by_one(run):
    samples = [nano.world.draw(kind, 0, n, "test") for kind in ("shapes", "clips", "facts") for n in range(2)]
    prompts = [(sample, question) for sample in samples for question in sample.questions[:1]]
    together = answer(run.model, run.tokenizer, prompts)
    alone = [answer(run.model, run.tokenizer, [prompt])[0] for prompt in prompts]
    lengths = [min(len(a.said), len(b.said)) for a, b in zip(together, alone)]
    assert [a.said[:n] for a, n in zip(together, lengths)] == [b.said[:n] for b, n in zip(alone, lengths)]
    assert {a.verdict for a in together} <= {"right", "wrong", "malformed"}


def test_a_model_that_knows_the_answer_is_right(run, monkeypatch):
    """The decoder is replaced by one that says what the sample says, and for every second prompt something else."""
    sample = nano.world.draw("facts", 0, 0, "test")
    questions = [(sample, question) for question in sample.questions]
    ids = [run.tokenizer(f"{q.answer}<|im_end|>")["input_ids"] for _, q in questions]
    ids[0] = run.tokenizer("1<|im_end|>")["input_ids"]
    width = max(map(len, ids))
    rows = torch.tensor([row + [row[-1]] * (width - len(row)) for row in ids])
    monkeypatch.setattr("qwen35_lab.nano.score.decode", lambda *a, **k: iter(rows.T))
    verdicts = [a.verdict for a in answer(run.model, run.tokenizer, questions)]
    assert verdicts == ["wrong", *["right"] * (len(questions) - 1)]
    monkeypatch.setattr("qwen35_lab.nano.score.decode", lambda *a, **k: iter(rows.T[:1]))
    assert "right" not in [a.verdict for a in answer(run.model, run.tokenizer, questions) if len(ids[0]) > 1]


def test_scores_say_what_was_asked_and_who_answers(run, capsys):
    found = score(run.qwen(), 3, kinds=("shapes", "story"), drafted=1, progress=False)
    assert {mark.name: found.of(mark).total() for mark in MARKS if mark.kind in ("shapes", "story")} == {
        "shape": 3, "colour": 3, "count": 3, "position": 3, "stories told": 3,
    }  # fmt: skip
    assert set(found.loads) == {f"layers.{n}.ffn" for n in range(4)} | {"mtp.layers.0.ffn"}
    for kinds in found.loads.values():
        assert all(math.isclose(sum(share), 1) and len(share) == 4 for share in kinds.values())
    assert set(found.per_forward) == {"shapes", "story"} and all(n >= 1 for n in found.per_forward.values())
    assert found.separations.keys() == found.loads.keys() and not found.recall
    again = expert_loads(run.model, run.tokenizer, ("story",)).shares()
    assert again["layers.2.ffn"]["story"] == found.loads["layers.2.ffn"]["story"]


@pytest.mark.parametrize("kind", ["facts", "shapes"])
def test_a_model_that_says_placeholders_is_scored_too(run, kind):
    """An unripe one does: then they are tokens like all others, also among drafts."""
    qwen = run.qwen().twin()
    image = qwen.config.image_token_id
    for tap in (qwen.model.logits, qwen.model.mtp.logits):
        tap.register_forward_hook(lambda m, i, logits: logits.index_fill(-1, torch.tensor([image]), 99.0))
    found = score(qwen, 2, kinds=(kind,), drafted=1, progress=False)
    assert found.verdicts(kind)["malformed"] == found.verdicts(kind).total() and "<|image_pad|>" in found.asked[0].said
    assert found.per_forward[kind] > 3


def test_a_mark_is_reached_by_right_answers_in_the_right_form():
    calls = next(mark for mark in MARKS if mark.name == "tool calls")

    def of(**verdicts: int) -> Scores:
        answers = [verdict for verdict, n in verdicts.items() for _ in range(n)]
        others = [Asked("tools", "none", "", "malformed"), Asked("facts", "once", "", "wrong")]
        return Scores("test", [Asked("tools", "sum", "", verdict) for verdict in answers] + others)

    assert (
        of(right=9, wrong=1).reached(calls)
        and "| tool calls | 90% | 10 | 90.0% | 0.0% | reached |" in of(right=9, wrong=1).marks()
    )
    assert not of(right=8, wrong=2).reached(calls) and not of(right=99, malformed=1).reached(calls)
    assert not of().reached(calls) and "tool calls" not in of().marks()


def test_marks_are_told_apart_for_constructions_that_training_shows():
    shape = next(mark for mark in MARKS if mark.name == "shape")
    found = Scores("test", [Asked("shapes", "shape", "", "wrong")], familiar=[Asked("shapes", "shape", "", "right")])
    assert found.reached(shape, familiar=True) and not found.reached(shape)
    new, known = found.marks().split("Of constructions that training shows")
    assert "| shape | 95% | 1 | 0.0% |" in new and "| shape | 95% | 1 | 100.0% |" in known


def test_familiar_questions_are_fresh_ones_of_training_s_constructions(run, monkeypatch):
    drawn = []
    monkeypatch.setattr("qwen35_lab.nano.score.draw", lambda *a, **k: drawn.append(a) or nano.world.draw(*a, **k))
    found = score(run.qwen(), 1, kinds=("digits",), drafted=0, familiar=3, progress=False)
    assert len(found.familiar) == 3 and {a.type for a in found.familiar} <= {"digit", "number"}
    assert {a[3] for a in drawn} == {"test", "seen"}


def test_every_mark_names_questions_that_the_world_asks():
    for mark in MARKS:
        asked = {q.type for n in range(400) for q in nano.world.draw(mark.kind, 0, n, "test").questions}
        assert set(mark.types) <= asked, mark


def test_the_recall_curve_asks_at_the_distances_it_names(run, monkeypatch):
    measured: list[int] = []

    def known(model, tokenizer, prompts):
        measured.extend(question.facts["distance"] for _, question in prompts)
        return [Asked("facts", "once", "", "right" if q.facts["distance"] < 9 else "wrong") for _, q in prompts]

    monkeypatch.setattr("qwen35_lab.nano.score.answer", known)
    assert recall_curve(run.model, run.tokenizer, 3, distances=(2, 96)) == {2: 1.0, 96: 0.0}
    assert measured == [2, 2, 2, 96, 96, 96]


def test_shares_dead_experts_and_rows_of_the_table():
    asked = [Asked("facts", "once", "", verdict) for verdict in ("right", "right", "wrong", "malformed")]
    loads = {"layers.0.ffn": {"facts": [0.5, 0.48, 0.02, 0.0]}}
    found = Scores("test", asked, loads, {"facts": 1.5})
    assert found.right("facts") == 0.5 and math.isnan(found.right("story"))
    assert "|  | once | 4 | 50.0% | 25.0% | 25.0% |" in found.table()
    assert found.dead == ["layers.0.ffn: 2", "layers.0.ffn: 3"]
    assert found.busiest == 2


def test_scoring_a_run_puts_the_scores_on_its_card(run, monkeypatch):
    found = Scores("test", [Asked("facts", "once", "", "right")], {}, {"facts": 1.5})
    monkeypatch.setattr("qwen35_lab.nano.publish.score", lambda *a, **k: found)
    score_folder(run.folder, 1)
    card = (run.folder / "model/README.md").read_text()
    assert "| **facts** | all | 1 | 100.0% |" in card and "not been scored" not in card
    assert json.loads((run.folder / "scores.json").read_text())["per_forward"] == {"facts": 1.5}


# ------------------------------------------------------------------------- the command


def test_the_command_trains_and_goes_on(tokenizer, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("qwen35_lab.nano.train.train_tokenizer", lambda: tokenizer)
    monkeypatch.setitem(PRESETS, "small", TINY)
    monkeypatch.setattr("qwen35_lab.nano.train.Run._see", lambda run, progress: True)
    monkeypatch.setattr("qwen35_lab.nano.train.Probe", lambda *a: lambda model: {"facts": 0.25, "story": 0.75})
    words = ["train", "nano", "--preset", "small", "--to", str(tmp_path / "run"), "--device", "cpu"]
    assert cli.main([*words, "--steps", "2"]) == 0
    assert "finished: 2 steps" in capsys.readouterr().out
    curves = json.loads((tmp_path / "run/curves.json").read_text())
    assert curves["accuracies"] == [[2, 0.5]] and curves["splits"] == [[2, {"facts": 0.25, "story": 0.75}]]
    assert cli.main([*words, "--steps", "3"]) == 2
    assert "recipe" in capsys.readouterr().err
    for wrong in ([], ["--steps", "2", "--minutes", "1"], ["--minutes", "-1"], ["--minutes", "1", "--threads", "0"]):
        assert cli.main([*words, *wrong]) == 2
    assert cli.main(["score", "nano", str(tmp_path / "run"), "--n", "0"]) == 2


# ------------------------------------------------------------------------- the card


def test_the_card_says_how_to_do_it_again_and_on_what_it_was_done(run):
    plain = card(run.settings, run.history, 1)
    assert "--steps 3 --to FOLDER" in plain and "hours of CPU.\n" in plain
    wide = run.settings | {"diet": run.settings["diet"] | {"wide": 2, "wide_rows": 128}}
    told = card(wide, replace(run.history, machines=[(0, "cpu"), (2, "NVIDIA H100")]), 1)
    assert "--steps 3 --wide-from 2 --to FOLDER" in told and "from step 2 on 128. Of a" in told
    assert "hours of CPU: steps 0 to 2 on cpu, steps 2 to 3 on NVIDIA H100.\n" in told
