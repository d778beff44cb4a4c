"""Videos against what transformers' own processor made of them, its functions that need no torchvision, and by hand."""

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs.make_golden import GOLDEN, PUBLISHED, picked
from inputs.seeing import frames, picture
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor, smart_resize

from qwen35_lab.config import VisionConfig
from qwen35_lab.errors import InputError
from qwen35_lab.inputs import VideoSettings
from qwen35_lab.inputs.reading import as_films, as_images, read_video
from qwen35_lab.inputs.video import make_clip, patchify, sample_frames, timestamps, video_size

VISION = VisionConfig(1, 16, 16, 2, 16)
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"]
GREY = 1.01 / 127.5  # one step of a byte, which another processor's rounding may cost


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_clips_are_those_of_transformers(case: dict) -> None:
    settings = VideoSettings.of(
        PUBLISHED | {"size": case["size"], "cap_pixels_per_frame": case["cap_pixels_per_frame"]}, VISION
    )
    call = case["call"]
    clip = make_clip(
        frames(*case["clip"]), case["fps"], settings, sample=call.get("do_sample_frames", True),
        rate=call.get("fps"), count=call.get("num_frames"),
    )  # fmt: skip
    answer = case["answer"]
    assert list(clip.grid) == answer["grid"]
    assert clip.seconds == pytest.approx(answer["seconds"], abs=1e-6)
    assert clip.pixels.shape == (math.prod(clip.grid), 3 * 2 * 16 * 16)
    values = clip.pixels.flatten()
    torch.testing.assert_close(values[picked(len(values))], torch.tensor(answer["pixels"]), atol=GREY, rtol=0)
    assert float(values.double().mean()) == pytest.approx(answer["mean"], abs=1e-3)


@settings(max_examples=300)
@given(st.integers(2, 800), st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([16, 28, 32]), st.booleans())
def test_sizes_are_those_of_transformers(count: int, height: int, width: int, factor: int, small: bool) -> None:
    budget = VideoSettings(patch_size=factor // 2, longest_edge=500_000 if small else 25_165_824)
    limits = {"min_pixels": budget.shortest_edge, "max_pixels": budget.longest_edge}
    try:
        expected = smart_resize(count, height, width, factor=factor, **limits)
    except ValueError:
        with pytest.raises(InputError, match="200 times"):
            video_size(count, height, width, budget)
        return
    assert video_size(count, height, width, budget) == expected


@settings(max_examples=300)
@given(st.integers(2, 200), st.integers(32, 999), st.integers(32, 999), st.sampled_from([4096, 100_000, 900_000]))
def test_a_cap_shares_the_budget_as_in_transformers(count: int, height: int, width: int, least: int) -> None:
    budget = VideoSettings(shortest_edge=least, longest_edge=3_000_000, cap_pixels_per_frame=True)
    names = ("patch_size", "merge_size", "temporal_patch_size", "cap_pixels_per_frame", "max_video_tokens")
    theirs = SimpleNamespace(size={"shortest_edge": least, "longest_edge": 3_000_000})
    vars(theirs).update({name: getattr(budget, name) for name in names})
    rows, columns = video_size(count, height, width, budget)
    patches = -(-count // 2) * (rows // 16) * (columns // 16)
    assert patches == Qwen3VLVideoProcessor.get_num_of_video_patches(theirs, count, height, width)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=30).map(sorted), st.sampled_from([1, 23.976, 24, 30]))
def test_times_are_those_of_transformers(chosen: list[int], fps: float) -> None:
    assert timestamps(chosen, fps) == Qwen3VLProcessor._calculate_timestamps(None, list(chosen), fps)


@pytest.mark.parametrize(
    ("total", "fps", "expected"),
    [
        (1, 30, [0]),
        (3, 30, [0, 1, 2]),  # not more than there are
        (30, 30, [0, 10, 19, 29]),  # a second, but at least four
        (300, 30, [round(i * 299 / 19) for i in range(20)]),  # ten seconds, two a second
        (100_000, 1, [round(i * 99_999 / 767) for i in range(768)]),  # at most 768
    ],
)
def test_two_frames_a_second_are_looked_at_within_limits(total: int, fps: float, expected: list[int]) -> None:
    assert sample_frames(total, fps, VideoSettings()) == expected


def test_patches_by_hand() -> None:
    """One number at a time: frame pair, cell, row and column in the cell, channel, frame, pixel."""
    settings = VideoSettings(patch_size=3, temporal_patch_size=2, merge_size=2)
    video = torch.randn(3, 3, 12, 18)
    found, grid = patchify(video, settings)
    assert grid == (2, 4, 6)
    whole = torch.cat((video, video[-1:]))
    rows = []
    for t in range(2):
        for cell_row in range(2):
            for cell_column in range(3):
                for a in range(2):
                    for b in range(2):
                        y, x = 3 * (2 * cell_row + a), 3 * (2 * cell_column + b)
                        patch = whole[2 * t : 2 * t + 2, :, y : y + 3, x : x + 3]  # frame, channel, row, column
                        rows.append(patch.transpose(0, 1).flatten())
    assert torch.equal(found, torch.stack(rows))


def test_a_still_is_a_video_of_two_equal_frames() -> None:
    """The image processor's patches, which are transformers' own, have the video's layout."""
    image = picture(64, 96)
    size = {"shortest_edge": 4096, "longest_edge": 10**7}
    still = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, size=size)
    expected = still([image], return_tensors="pt")
    clip = make_clip(np.stack([np.asarray(image)] * 2), 2, VideoSettings(), sample=False)
    assert [list(clip.grid)] == expected["image_grid_thw"].tolist()
    torch.testing.assert_close(clip.pixels, expected["pixel_values"], atol=1e-6, rtol=0)


def test_frames_come_in_any_form() -> None:
    video = frames(6, 40, 50)
    whole = make_clip(video, 2, VideoSettings())
    forms = [
        video.transpose(0, 3, 1, 2), torch.tensor(video), list(video), [picture for picture in map(_image, video)],
    ]  # fmt: skip
    for form in forms:
        ((found, fps),) = as_films(form)
        assert fps is None
        assert torch.equal(make_clip(found, 2, VideoSettings()).pixels, whole.pixels)
    assert len(as_films([list(video), video, [list(video)]])) == 3
    assert len(as_films(np.stack([video, video]))) == 2
    grey = make_clip(video[..., :1], 2, VideoSettings()).pixels
    assert torch.equal(grey, make_clip(video[..., :1].repeat(3, -1), 2, VideoSettings()).pixels)


def _image(frame: np.ndarray) -> object:
    from PIL import Image

    return Image.fromarray(frame)


def test_a_video_file_is_read_with_its_rate(tmp_path) -> None:
    import av

    video, path = frames(12, 48, 64), tmp_path / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=6)
        stream.width, stream.height, stream.bit_rate = 64, 48, 4_000_000
        for frame in video:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())
    found, fps = read_video(path)
    assert (found.shape, fps) == (video.shape, 6.0)
    assert np.abs(found.astype(int) - video).mean() < 40, "compressed, but the same pictures"
    ((again, rate),) = as_films(path)
    assert np.array_equal(again, found) and rate == 6.0


def test_what_cannot_be_read_is_refused(tmp_path, monkeypatch) -> None:
    (tmp_path / "no.mp4").write_text("no video")
    (tmp_path / "no.png").write_text("no picture")
    refused = [
        (lambda: read_video(tmp_path / "no.mp4"), "cannot be read as a video"),
        (lambda: read_video(tmp_path / "missing.mp4"), "cannot be read as a video"),
        (lambda: as_images(tmp_path / "no.png"), "cannot be read as an image"),
        (lambda: as_images(12), "not a int"),
        (lambda: as_films([]), "A video is a path"),
        (lambda: as_films(frames(4, 8, 8), [1, 2]), "1 videos and the metadata of 2"),
        (lambda: make_clip(np.zeros((4, 8, 8, 2)), 1, VideoSettings()), "this one is"),
        (lambda: make_clip(frames(1, 32, 32), 1, VideoSettings()), "pass a single frame as an image"),
        (lambda: make_clip(frames(4, 8, 8), 1, VideoSettings(), rate=1, count=2), "pass one of them"),
        (lambda: make_clip(frames(4, 8, 8), 0.0, VideoSettings(), count=4), "positive numbers"),
        (lambda: make_clip(frames(4, 8, 8), 0.0, VideoSettings()), "positive numbers"),
        (lambda: make_clip(frames(4, 8, 8), math.nan, VideoSettings()), "positive numbers"),
        (lambda: make_clip(frames(4, 8, 8), 1, VideoSettings(), rate=-1), "-1 frames of a video .* positive numbers"),
        (lambda: make_clip(frames(4, 8, 8), 1, VideoSettings(), rate=math.nan), "positive numbers"),
        (lambda: make_clip(frames(4, 8, 8), 1, VideoSettings(), count=2.5), "a whole one as num_frames"),
        (lambda: make_clip(frames(4, 0, 8), 1, VideoSettings()), r"this one is \[4, 3, 0, 8\]"),
        (lambda: make_clip(frames(4, 8, 8) / 255, 1, VideoSettings()), "multiply them by 255"),
        (lambda: make_clip(frames(4, 8, 8).astype(int) * 257, 1, VideoSettings()), "to 50372; scale them"),
        (lambda: make_clip(np.full((4, 8, 8, 3), np.nan), 1, VideoSettings()), "from nan to nan"),
        (lambda: as_films([frames(1, 8, 8)[0], frames(1, 8, 9)[0]]), r"of one shape, .*\(8, 8, 3\) and \(8, 9, 3\)"),
        (lambda: make_clip(frames(4, 8, 8), 1, VideoSettings(), sample=False, indices=[1]), "1 indices"),
    ]
    for call, words in refused:
        with pytest.raises(InputError, match=words):
            call()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="needs PyAV"):
        read_video(tmp_path / "no.mp4")
