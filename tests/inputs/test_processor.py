"""The processor against transformers' own parts, the files it reads, and the front door."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs.make_golden import PUBLISHED
from inputs.seeing import RAW, SPECIAL, frames, picture, seeing, tokenizer
from small import DENSE, small
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor

import qwen35_lab as lab
from qwen35_lab.config import ModelConfig
from qwen35_lab.inputs import Processor, VideoSettings, reading
from qwen35_lab.inputs.video import Clip, timestamps

IMAGE, VIDEO = "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return seeing()


def official(processor: Processor) -> Qwen3VLProcessor:
    """transformers' processor of text, without the video processor that it cannot have here."""
    names = ("image_token", "video_token", "vision_start_token", "vision_end_token", "image_token_id", "video_token_id")
    made = object.__new__(Qwen3VLProcessor)
    vars(made).update({name: getattr(processor, name) for name in names})
    made.tokenizer, made.image_processor = processor.tokenizer, processor.image_processor
    made.video_processor = SimpleNamespace(merge_size=processor.video_settings.merge_size, temporal_patch_size=2)
    return made


@settings(max_examples=100)
@given(st.data())
def test_texts_are_expanded_as_by_transformers(data: st.DataObject) -> None:
    processor = PROCESSOR
    pieces = st.lists(st.sampled_from(["a ", "<x> ", IMAGE, VIDEO, "<|image_pad|>"]), max_size=6).map("".join)
    texts = data.draw(st.lists(pieces, min_size=1, max_size=3))
    grid = st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 5))
    images = [data.draw(grid) for _ in range(sum(text.count("<|image_pad|>") for text in texts))]
    images = [(1, 2 * h, 2 * w) for _, h, w in images]
    clips, metadata = [], []
    for _ in range(sum(text.count("<|video_pad|>") for text in texts)):
        chosen = sorted(data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=7)))
        fps = data.draw(st.sampled_from([1.0, 23.976, 30.0]))
        _, h, w = data.draw(grid)
        frame_count = -(-len(chosen) // 2)
        clips.append(Clip(torch.zeros(0), (frame_count, 2 * h, 2 * w), timestamps(chosen, fps)))
        metadata.append(SimpleNamespace(fps=fps, frames_indices=list(chosen)))
    theirs = official(processor)
    seen = {"image_grid_thw": np.array(images).reshape(-1, 3)}
    moving = {"video_grid_thw": np.array([c.grid for c in clips]).reshape(-1, 3), "video_metadata": metadata}
    expected, _ = theirs.get_text_with_replacements(
        list(texts),
        [theirs.replace_image_token(seen, n) for n in range(len(images))],
        [theirs.replace_video_token(moving, n) for n in range(len(clips))],
    )
    ours = processor.expand(texts, images, clips)
    assert ours == expected
    made = processor._tokens(ours, {})
    assert made["input_ids"] == processor.tokenizer(expected)["input_ids"]
    assert made["mm_token_type_ids"] == theirs.create_mm_token_type_ids(made["input_ids"])


PROCESSOR = Processor.of(None, tokenizer(), ModelConfig.from_dict(RAW).vision)  # type: ignore[arg-type]


def test_pixels_are_the_image_processors_and_the_tensors_fit_the_model(qwen: lab.Qwen) -> None:
    images = [picture(30, 50), picture(200, 20, 1)]
    made = qwen.processor(
        text=[f"one {IMAGE} two", f"{VIDEO}{IMAGE} three"], images=images, videos=[frames(6, 40, 30)], padding=True,
        return_tensors="pt", video_metadata=[{"fps": 2.0}],
    )  # fmt: skip
    expected = qwen.processor.image_processor(images, return_tensors="pt")
    assert torch.equal(made["pixel_values"], expected["pixel_values"])
    assert torch.equal(made["image_grid_thw"], expected["image_grid_thw"])
    assert set(made) == {
        "input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_grid_thw", "pixel_values_videos",
        "video_grid_thw",
    }  # fmt: skip
    cells = int(made["image_grid_thw"].prod(1).sum()) // 4
    assert int((made["input_ids"] == 1).sum()) == cells
    assert "<0.2 seconds><|vision_start|><|video_pad|>" in qwen.tokenizer.decode(made["input_ids"][1])
    with torch.no_grad():
        assert qwen.model(**made).logits.shape[:2] == made["input_ids"].shape


def test_a_folder_says_how_large_pictures_may_be(qwen: lab.Qwen, tmp_path) -> None:
    folder = qwen.save(tmp_path / "model")
    size = {"shortest_edge": 2048, "longest_edge": 8192}
    words = PUBLISHED | {"patch_size": 4, "image_processor_type": "Qwen2VLImageProcessorFast"}
    (folder / "preprocessor_config.json").write_text(json.dumps(words | {"size": size}))
    film = words | {"size": {"shortest_edge": 99, "longest_edge": 9999}, "fps": 1, "max_frames": 9}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(film))
    processor = lab.load(folder).processor
    assert dict(processor.image_processor.size)["longest_edge"] == 8192
    settings = processor.video_settings
    assert (settings.shortest_edge, settings.longest_edge, settings.fps, settings.max_frames) == (99, 9999, 1, 9)
    assert type(processor.image_processor).__name__.endswith("Pil")
    again = lab.load(lab.load(folder).save(tmp_path / "again"))
    assert again.processor.video_settings == settings, "the files travel along"
    (folder / "processor_config.json").write_text(json.dumps({"video_processor": film | {"max_frames": 5}}))
    assert lab.load(folder).processor.video_settings.max_frames == 5
    (folder / "processor_config.json").write_text("{")
    with pytest.raises(lab.CheckpointError, match="processor"):
        _ = lab.load(folder).processor


def test_without_files_the_towers_sizes_and_the_published_budgets_hold(qwen: lab.Qwen) -> None:
    """64 to 16,384 tokens an image; of the published patches these are the published pixels."""
    made = Processor.of(None, tokenizer(), lab.load_config("0.8B").vision)  # type: ignore[arg-type]
    assert made.video_settings == VideoSettings()
    size = made.image_processor.size
    assert (size["shortest_edge"], size["longest_edge"]) == (65_536, 16_777_216)
    assert (qwen.processor.image_processor.patch_size, qwen.processor.video_settings.patch_size) == (4, 4)


# ---------------------------------------------------------------------- the front door


def test_generation_about_pictures_is_the_processors_input_continued(qwen: lab.Qwen) -> None:
    image, video = picture(40, 60), frames(5, 32, 48)
    one = qwen.generate(f"look {IMAGE} and {VIDEO}: ", 6, images=image, videos=video)
    assert one == "".join(qwen.stream(f"look {IMAGE} and {VIDEO}: ", 6, images=[image], videos=[video]))
    several = qwen.generate(
        [f"look {IMAGE} and {VIDEO}: ", f"{IMAGE}?"], 6, images=[image, picture(9, 9)], videos=video
    )
    assert several == [one, qwen.generate(f"{IMAGE}?", 6, images=picture(9, 9))]
    assert one != qwen.generate(f"look {IMAGE} and {VIDEO}: ", 6, images=picture(40, 60, 7), videos=video)
    assert qwen.generate("what?", 6, images=image) == qwen.generate(f"{IMAGE}what?", 6, images=image)
    ids = qwen.encode("what?", images=image)
    made = qwen.look("what?", images=image)
    assert torch.equal(ids, made["input_ids"])
    with torch.no_grad():
        trace = qwen.trace("what?", ["logits", "vision.merged"], images=image)
        torch.testing.assert_close(trace["logits"] + 0, qwen.model(**made).logits[0])
    assert trace["vision.merged"].axes == ("cell", "feature") and len(trace.tokens) == ids.shape[1]
    sizes = qwen.trace_size("what?", ["vision.*", "logits"], images=image)
    whole = qwen.trace("what?", ["vision.*", "logits"], images=image)
    assert sizes == {name: whole.tensors[name].nbytes for name in whole}


def test_a_traced_generation_sees_the_pictures_once(qwen: lab.Qwen) -> None:
    image = picture(40, 60)
    trace = qwen.trace("what?", "*", images=image, max_new_tokens=4)
    once = qwen.trace("what?", "*", images=image)
    assert "".join(step.token for step in trace.steps) == qwen.generate("what?", 4, images=image)
    assert torch.equal(trace["vision.merged"], once["vision.merged"])
    assert len(trace["embed"]) == len(once["embed"]) + 3


def test_what_cannot_be_seen_is_refused(qwen: lab.Qwen) -> None:
    image = picture(20, 20)
    blind = small(DENSE)
    blind.tokenizer = tokenizer()
    refused = [
        (lambda: qwen.processor(text=f"{IMAGE}{IMAGE}", images=image), "2 places <|image_pad|> and there are 1 images"),
        (lambda: qwen.processor(text="none", videos=frames(4, 9, 9)), "0 places <|video_pad|> and there are 1 videos"),
        (lambda: qwen.processor(), "nothing to process"),
        (lambda: qwen.processor(text=IMAGE, images=picture(1, 900)), "An image cannot be used"),
        (lambda: qwen.processor(videos=frames(4, 9, 9), video_metadata=["fps"]), "video_metadata is a list of"),
        (lambda: qwen.generate([f"{IMAGE}?", ""], images=image), "The prompt is empty"),
        (lambda: qwen.generate([5, 6], images=image), "Pictures go with a text"),
        (lambda: blind.generate("what?", images=image), "no eyes"),
        (lambda: lab.from_config(RAW).processor, "no tokenizer"),
    ]
    for call, words in refused:
        with pytest.raises(lab.LabError, match=words.replace("|", r"\|").replace("?", r"\?")):
            call()


def test_a_place_without_a_picture_is_refused_whoever_reads_it(qwen: lab.Qwen) -> None:
    for read in (
        lambda: qwen.generate(f"look {IMAGE}", 2),
        lambda: qwen.generate(["a", f"look {IMAGE}"], 2),
        lambda: qwen.trace(f"look {IMAGE}", "embed"),
        lambda: qwen.trace(f"look {IMAGE}", "embed", max_new_tokens=2),
    ):
        with pytest.raises(lab.InputError, match="hold 1 image placeholders, but no image is passed"):
            read()


def test_a_video_file_is_opened_once(qwen: lab.Qwen, monkeypatch) -> None:
    """Also where the text does not say where it belongs, so that somebody has to count."""
    opened = []
    monkeypatch.setattr(reading, "read_video", lambda path: opened.append(path) or (frames(4, 32, 32), 2.0))
    made = qwen.look("what?", videos=["a.mp4", "b.mp4"])
    assert opened == ["a.mp4", "b.mp4"] and len(made["video_grid_thw"]) == 2


def test_nothing_imports_torchvision() -> None:
    root = lab.paths.data_path().parent
    code = (
        "import sys; sys.modules['torchvision'] = None; sys.path.insert(0, 'tests');"
        "from inputs.seeing import *; seeing().generate('what?', 2, images=picture(9, 9), videos=frames(4, 9, 9))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr


def test_the_special_tokens_are_one_token_each() -> None:
    assert tokenizer()("".join(SPECIAL))["input_ids"] == [0, 1, 2, 3, 4]
