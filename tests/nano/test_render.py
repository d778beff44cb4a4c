"""What the trainer gets is what the template writes, what a model sees, and weights on what the assistant says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import qwen35_lab as lab
from qwen35_lab import nano
from qwen35_lab.nano import world

SOME = [(kind, n) for kind in world.KINDS for n in range(12)]


def grown(tokenizer, sample: world.Sample, text: str) -> str:
    """The template's text with its placeholders grown by the official processor's own rule."""
    from transformers import Qwen3VLProcessor

    shapes = [np.array([1, *(n // 8 for n in picture.shape[:2])]) for picture in sample.images]
    films = [np.array([len(clip) // 2, *(n // 8 for n in clip.shape[1:3])]) for clip in sample.clips]
    own = SimpleNamespace(
        image_token="<|image_pad|>", video_token="<|video_pad|>", all_special_multimodal_tokens=["x"],
        vision_start_token="<|vision_start|>", vision_end_token="<|vision_end|>",
        image_processor=SimpleNamespace(merge_size=2),
        video_processor=SimpleNamespace(merge_size=2, temporal_patch_size=2),
    )  # fmt: skip
    own._calculate_timestamps = Qwen3VLProcessor._calculate_timestamps.__get__(own)
    films_too = {
        "video_grid_thw": films,
        "video_metadata": [SimpleNamespace(fps=2, frames_indices=list(range(len(clip)))) for clip in sample.clips],
    }
    images = [Qwen3VLProcessor.replace_image_token(own, {"image_grid_thw": shapes}, n) for n in range(len(shapes))]
    videos = [Qwen3VLProcessor.replace_video_token(own, films_too, n) for n in range(len(films))]
    (text,), _ = Qwen3VLProcessor.get_text_with_replacements(own, [text], images, videos)
    return text


@pytest.mark.parametrize("kind, n", SOME)
def test_the_ids_are_the_template_s_with_placeholders_as_the_official_processor_writes_them(tokenizer, kind, n):
    sample = world.draw(kind, 2, n)
    tools = list(sample.tools) or None
    text = tokenizer.apply_chat_template(sample.messages, tools=tools, tokenize=False)
    document = nano.render(sample, tokenizer)
    assert document.ids.tolist() == tokenizer(grown(tokenizer, sample, text))["input_ids"]
    for question in sample.questions:
        text = tokenizer.apply_chat_template(
            sample.prompt(question), tools=tools, tokenize=False, add_generation_prompt=True,
            enable_thinking=sample.thinking,
        )  # fmt: skip
        shown = replace(sample, messages=sample.prompt(question))
        prompt = nano.render_prompt(sample, question, tokenizer)
        assert prompt.ids.tolist() == tokenizer(grown(tokenizer, shown, text))["input_ids"]
        assert not prompt.weight.any() and not prompt.answer.any()


@pytest.mark.parametrize("kind", world.SEEING_KINDS)
def test_the_package_s_processor_makes_the_same_of_the_same_conversation(tokenizer, kind):
    """What the nano is asked with later is what it was trained on: ids, patches and grids."""
    from transformers import Qwen2VLImageProcessorPil

    from qwen35_lab.inputs import Processor, VideoSettings

    half = [0.5] * 3
    images = Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, image_mean=half, image_std=half, size={"shortest_edge": 256, "longest_edge": 65536}
    )  # fmt: skip
    processor = Processor(tokenizer, images, VideoSettings(8, 2, 2, shortest_edge=256))
    for n in range(8):
        sample = world.draw(kind, 2, n)
        text = tokenizer.apply_chat_template(sample.messages, tokenize=False)
        document = nano.render(sample, tokenizer)
        made = processor(
            text=text, images=list(sample.images) or None, videos=list(sample.clips) or None,
            video_metadata=[{"fps": 2}] * len(sample.clips) or None, return_tensors="pt",
        )  # fmt: skip
        assert made["input_ids"][0].tolist() == document.ids.tolist()
        assert made["mm_token_type_ids"][0].tolist() == document.modality.tolist()
        for pixels, grid, patches, grids in (
            ("pixel_values", "image_grid_thw", document.image_patches, document.image_grids),
            ("pixel_values_videos", "video_grid_thw", document.clip_patches, document.clip_grids),
        ):
            assert [tuple(row) for row in made[grid].tolist()] == grids if grids else grid not in made
            if grids:
                ours = nano.as_floats(torch.from_numpy(np.concatenate(patches)))
                assert (made[pixels] - ours).abs().max() < 1e-6


@pytest.mark.parametrize("kind, n", SOME)
def test_the_last_answer_follows_its_prompt_token_by_token(tokenizer, kind, n):
    """A model that is asked later stands where it stood in training."""
    sample = world.draw(kind, 2, n)
    document = nano.render(sample, tokenizer)
    prompt = nano.render_prompt(sample, sample.questions[-1], tokenizer)
    assert document.ids[: len(prompt)].tolist() == prompt.ids.tolist()
    assert (document.positions[:, : len(prompt)] == prompt.positions).all()
    said = tokenizer.decode(document.ids[len(prompt) :])
    last = sample.messages[-1]
    thought = f"{last.get('reasoning_content', '')}\n</think>\n\n" if sample.thinking else ""
    assert said == f"{thought}{last['content']}<|im_end|>\n"


@pytest.mark.parametrize("kind, n", SOME)
def test_weights_are_on_what_the_assistant_says_and_nowhere_else(tokenizer, kind, n):
    sample = world.draw(kind, 2, n)
    document = nano.render(sample, tokenizer)
    edges = np.flatnonzero(np.diff((document.weight > 0).astype(int), append=0)) + 1
    stretches = [tokenizer.decode(document.ids[start:stop]) for start, stop in zip(edges[::2], edges[1::2])]
    expected = []
    asks = max(n for n, message in enumerate(sample.messages) if message["role"] == "user")
    for turn, message in enumerate(sample.messages):
        if message["role"] == "assistant":
            pieces = nano.pieces(sample.messages, sample.tools, thinking=sample.thinking)
            said = "".join(p.text for p in pieces if p.turn == turn and p.part != "given")
            assert message["content"] in said and said.endswith("<|im_end|>")
            thought = message.get("reasoning_content", "")
            assert not thought or (thought in said) == (turn > asks), "the template keeps the last request's alone"
            expected.append(said)
    assert stretches == expected


def test_the_answers_can_be_found(tokenizer):
    for kind, n in SOME:
        sample = world.draw(kind, 2, n)
        document = nano.render(sample, tokenizer)
        for number, question in enumerate(sample.questions, 1):
            said = tokenizer.decode(document.ids[document.answer == number])
            assert said == question.answer or "<tool_call>" in said
            assert world.judge(sample, question, said) == "right"


def test_weights_follow_their_dials(tokenizer):
    sample = world.draw("arithmetic", 0, next(n for n in range(99) if world.draw("arithmetic", 0, n).thinking))
    ids = nano.render(sample, tokenizer).ids.tolist()
    close = ids.index(tokenizer.convert_tokens_to_ids("</think>"))
    start = ids.index(tokenizer.convert_tokens_to_ids("<think>")) + 2
    end = ids.index(tokenizer.convert_tokens_to_ids("<|im_end|>"), close)
    for power in (0.0, 0.5, 1.0):
        document = nano.render(sample, tokenizer, weights=nano.Weights(power, 0.25, 0.125))
        thought, spoken = document.weight[start : close + 2], document.weight[close + 2 : end]
        assert thought == pytest.approx(len(thought) ** -power) and spoken == pytest.approx(len(spoken) ** -power)
        assert document.weight[end] == 0.25 and document.weight[0] == 0
        assert (document.weight[1:start] == 0.125).all() and document.weight[end + 1] == 0.125
    seeing = nano.render(world.draw("shapes", 0, 0), tokenizer, weights=nano.Weights(given=1.0))
    assert (seeing.weight[seeing.modality == 1] == 0).all() and (seeing.weight[1:] > 0).sum() > 10


# ------------------------------------------------------------------------- positions and patches


@pytest.fixture(scope="module")
def official():
    """transformers' own rule for positions; it needs no weights."""
    from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5Model

    own = SimpleNamespace(config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2)))
    own.get_vision_position_ids = Qwen3_5Model.get_vision_position_ids.__get__(own)
    return Qwen3_5Model.get_rope_index.__get__(own)


@pytest.mark.parametrize("kind", ["story", *world.SEEING_KINDS])
def test_positions_are_the_official_ones(tokenizer, official, kind):
    for n in range(25):
        document = nano.render(world.draw(kind, 2, n), tokenizer)
        grids = {"image_grid_thw": document.image_grids, "video_grid_thw": document.clip_grids}
        positions, _ = official(
            torch.from_numpy(document.ids)[None], torch.from_numpy(document.modality)[None],
            **{name: torch.tensor(grid) if grid else None for name, grid in grids.items()},
        )  # fmt: skip
        assert (positions[:, 0].numpy() == document.positions).all()


@pytest.mark.parametrize("patch", [8, 16])
def test_patches_are_the_official_processor_s(patch):
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    half = [0.5, 0.5, 0.5]
    processor = Qwen2VLImageProcessorPil(patch_size=patch, image_mean=half, image_std=half, do_resize=False)
    for n in range(12):
        for picture in world.draw("shapes", 0, n).images:
            theirs = processor(picture, return_tensors="pt")
            patches, grid = nano.Patching(patch).cut(picture)
            assert theirs["image_grid_thw"].tolist() == [list(grid)]
            assert (nano.as_floats(torch.from_numpy(patches)) - theirs["pixel_values"]).abs().max() < 1e-6


def test_a_clip_s_patch_holds_two_frames_one_after_the_other():
    clip = world.draw("clips", 0, 3).clips[0]
    patches, (time, height, width) = nano.Patching().cut(clip)
    assert (time, height, width) == (len(clip) // 2, clip.shape[1] // 8, clip.shape[2] // 8)
    first = patches.reshape(time, height // 2, width // 2, 2, 2, 3, 2, 8, 8)
    for t in range(time):
        for y in range(height):
            for x in range(width):
                ours = first[t, y // 2, x // 2, y % 2, x % 2]
                theirs = clip[2 * t : 2 * t + 2, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
                assert (ours == theirs.transpose(3, 0, 1, 2)).all()
    odd, grid = nano.Patching().cut(np.concatenate([clip, clip[:1]]))
    assert grid[0] == time + 1
    last = odd.reshape(-1, 3, 2, 8, 8)[-height * width :]
    assert (last[:, :, 0] == last[:, :, 1]).all(), "a missing frame is the last one again"


def test_a_picture_that_does_not_divide_is_refused():
    with pytest.raises(lab.InputError, match="40×64 pixels does not divide into units of 16"):
        nano.Patching().cut(np.zeros((40, 64, 3), np.uint8))


# ------------------------------------------------------------------------- batches


@pytest.fixture(scope="module")
def texts(tokenizer):
    return nano.batch(tokenizer, 3, rows=6, length=512)


def test_a_batch_is_the_same_again_and_another_for_another_step(tokenizer, texts):
    again = nano.batch(tokenizer, 3, rows=6, length=512)
    other = nano.batch(tokenizer, 4, rows=6, length=512)
    for name in ("ids", "weight", "document", "answer", "modality", "position_ids", "image_patches", "clip_patches"):
        assert torch.equal(getattr(again, name), getattr(texts, name))
    assert not torch.equal(other.ids, texts.ids)
    assert not torch.equal(nano.batch(tokenizer, 3, 1, rows=6, length=512).ids, texts.ids)


def test_rows_hold_whole_documents_side_by_side(tokenizer, texts):
    assert texts.ids.shape == texts.weight.shape == texts.document.shape == (6, 512)
    assert texts.position_ids.shape == (3, 6, 512)
    pictures, films = iter(texts.image_patches.split(texts.image_grid_thw.prod(1).tolist())), 0
    for row in range(6):
        start = asked = 0
        for number, kind in enumerate(texts.kinds[row], 1):
            here = texts.document[row] == number
            stop = start + int(here.sum())
            assert here[start:stop].all()
            document = found(tokenizer, kind, texts.ids[row, start:stop])
            assert (texts.weight[row, start:stop].numpy() == document.weight).all()
            assert (texts.position_ids[:, row, start:stop].numpy() == document.positions).all()
            assert (texts.modality[row, start:stop].numpy() == document.modality).all()
            expected = np.where(document.answer > 0, document.answer + asked, 0)
            assert (texts.answer[row, start:stop].numpy() == expected).all()
            assert texts.starts[row, start:stop].tolist() == [True] + [False] * (stop - start - 1)
            for patches in document.image_patches:
                assert (next(pictures).numpy() == patches).all()
            films += len(document.clip_grids)
            start, asked = stop, asked + int(document.answer.max())
        for padding in (texts.document, texts.weight, texts.answer, texts.modality, texts.attention_mask, texts.starts):
            assert not padding[row, start:].any()
        assert (texts.ids[row, start:] == tokenizer.pad_token_id).all()
    assert next(pictures, None) is None and films == len(texts.video_grid_thw) > 0


def found(tokenizer, kind: str, ids: torch.Tensor) -> nano.Document:
    """The document, drawn again by another road than `batch`'s own."""
    for n in range(400):
        sample = world.mixed(0, 3 * 2**16 + n)
        if sample.kind == kind and (document := nano.render(sample, tokenizer)).ids.tolist() == ids.tolist():
            return document
    raise AssertionError(f"no such {kind}")


def test_placeholders_and_patches_agree(tokenizer, texts):
    assert int((texts.modality == 1).sum()) * 4 == len(texts.image_patches) == int(texts.image_grid_thw.prod(1).sum())
    assert int((texts.modality == 2).sum()) * 4 == len(texts.clip_patches) == int(texts.video_grid_thw.prod(1).sum())
    marks = tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|video_pad|>"])
    for number, mark in enumerate(marks, 1):
        assert torch.equal(texts.ids == mark, texts.modality == number)


def test_inputs_are_what_a_model_takes(texts, tokenizer):
    inputs = texts.inputs()
    assert set(inputs) == {
        "input_ids", "attention_mask", "position_ids", "pixel_values", "image_grid_thw", "pixel_values_videos",
        "video_grid_thw",
    }  # fmt: skip
    assert inputs["pixel_values"].dtype == torch.float32 and inputs["pixel_values"].shape[1] == 3 * 2 * 8 * 8
    assert -1 <= inputs["pixel_values"].min() < inputs["pixel_values"].max() <= 1
    assert texts.targets.shape == texts.weight[:, 1:].shape
    blind = nano.batch(tokenizer, 0, rows=2, length=256, mix={"json": 1})
    assert set(blind.inputs()) == {"input_ids", "attention_mask", "position_ids"}
    assert texts.to("cpu").kinds == texts.kinds


def test_rows_are_nearly_full_and_left_out_documents_are_counted(tokenizer):
    texts = nano.batch(tokenizer, 0, rows=8, length=512)
    assert (texts.document > 0).float().mean() > 0.93
    short = nano.batch(tokenizer, 0, rows=4, length=128, mix={"tools": 1, "json": 1})
    assert short.left_out["tools"] > 0 and {kind for row in short.kinds for kind in row} == {"json"}
    with pytest.raises(lab.InputError, match="No document fits a row of 20 tokens"):
        nano.batch(tokenizer, 0, rows=2, length=20)


def test_alone_every_document_has_its_own_row(tokenizer):
    texts = nano.batch(tokenizer, 0, rows=8, length=512, alone=True)
    assert all(len(row) == 1 for row in texts.kinds)
    assert texts.ids.shape[1] == texts.attention_mask.sum(1).max(), "no longer than the longest"
    assert texts.starts.sum() == 8 and texts.starts[:, 0].all()
