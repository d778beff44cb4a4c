"""Video -> tensors: which frames are looked at, how large, and at what time each pair of them stands.

    sample     2 frames a second, at least 4 and at most 768, evenly from the first to the last
    resize     to multiples of a cell (32 pixels), aspect ratio kept, all frames together within a pixel budget
    patchify   two frames become one; the last frame is repeated where they are an odd number
    timestamp  of two frames: the mean of their times, written into the text as "<1.5 seconds>"

transformers' own video processor needs torchvision; this follows it number for number, and the tests hold values that
it made. Reference: `Qwen3VLVideoProcessor` and `Qwen3VLProcessor` in transformers; defaults: the published
`video_preprocessor_config.json`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..config import VisionConfig
from ..errors import InputError
from .reading import as_pixels

UNKNOWN_FPS = 24.0  # of frames that come without a frame rate, as in transformers


@dataclass(frozen=True)
class VideoSettings:
    """How videos are made ready. Edges are counts of pixels over all frames of a video."""

    patch_size: int = 16
    temporal_patch_size: int = 2
    merge_size: int = 2
    shortest_edge: int = 4_096
    longest_edge: int = 25_165_824
    image_mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: tuple[float, ...] = (0.5, 0.5, 0.5)
    fps: float = 2.0  # frames to look at in a second
    min_frames: int = 4
    max_frames: int = 768
    cap_pixels_per_frame: bool = False  # share the budget evenly, as the reference implementation qwen-vl-utils does
    max_video_tokens: int = 768  # cells per frame under that cap

    @property
    def factor(self) -> int:
        """Pixels per side of a cell."""
        return self.patch_size * self.merge_size

    @classmethod
    def of(cls, raw: Mapping[str, Any] | None, vision: VisionConfig) -> "VideoSettings":
        """From a `video_preprocessor_config.json`; what it leaves out, or all of it, by the vision tower's sizes."""
        sizes = {
            "patch_size": vision.patch_size,
            "temporal_patch_size": vision.temporal_patch_size,
            "merge_size": vision.spatial_merge_size,
        }
        cell = (vision.patch_size * vision.spatial_merge_size) ** 2
        edges: dict[str, Any] = {"shortest_edge": 4 * cell, "longest_edge": 24_576 * cell}
        raw = raw or {}
        edges |= raw.get("size") or {}
        for old, name in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge")):
            edges |= {name: raw[old]} if raw.get(old) else {}
        names = set(cls.__dataclass_fields__) - set(edges)
        known = {name: raw[name] for name in names if raw.get(name) is not None}
        known |= {name: tuple(known[name]) for name in ("image_mean", "image_std") if name in known}
        return cls(**{**sizes, **known, **{name: edges[name] for name in ("shortest_edge", "longest_edge")}})


@dataclass(frozen=True)
class Clip:
    """A video as it goes into the model."""

    pixels: Tensor  # [patch, channel · frame · row · column]
    grid: tuple[int, int, int]  # frames (pairs of them), rows, columns, in patches
    seconds: list[float]  # of every frame of the grid


def make_clip(
    frames: np.ndarray | Tensor, fps: float | None, settings: VideoSettings, *, sample: bool = True,
    rate: float | None = None, count: int | None = None, indices: Sequence[int] | None = None,
) -> Clip:  # fmt: skip
    """A whole video -> what the model sees of it.

    Args:
        frames: [frame, row, column, channel] or [frame, channel, row, column], 0 to 255.
        fps: frames per second that they were taken at; None is unknown, and taken for 24.
        sample: False looks at every frame.
        rate, count: frames to look at in a second (the settings' by default), or in all.
        indices: with sample=False, the places that the frames had in the video from which they were taken.
    """
    pictures = as_frames(frames)
    fps = UNKNOWN_FPS if fps is None else float(fps)
    chosen = list(range(len(pictures)))
    if sample:
        chosen = sample_frames(len(pictures), fps, settings, rate=rate, count=count)
    elif indices is not None and len(indices) != len(pictures):
        raise InputError(f"There are {len(pictures)} frames and {len(indices)} indices; pass one for each.")
    pictures = pictures[chosen]
    chosen = chosen if sample or indices is None else [int(index) for index in indices]
    height, width = video_size(len(pictures), pictures.shape[-2], pictures.shape[-1], settings)
    if (height, width) != tuple(pictures.shape[-2:]):
        pictures = F.interpolate(pictures, (height, width), mode="bicubic", align_corners=False, antialias=True)
    pixels, grid = patchify(normalise(pictures, settings), settings)
    return Clip(pixels, grid, timestamps(chosen, fps, settings.temporal_patch_size))


def as_frames(frames: np.ndarray | Tensor) -> Tensor:
    """[frame, channel, row, column], with three channels; bytes, or float32 from 0 to 255."""
    found = as_pixels(frames)
    # three pixels high and three wide is a guess: the channels come last, as in pictures
    if found.ndim == 4 and (found.shape[-1] == 3 or (found.shape[-1] == 1 and found.shape[1] not in (1, 3))):
        found = rearrange(found, "t h w c -> t c h w")
    if found.ndim != 4 or found.shape[1] not in (1, 3) or not found.numel():
        raise InputError(
            f"A video is frames [frame, row, column, 3] or [frame, 3, row, column]; this one is {list(found.shape)}."
        )
    return found.expand(-1, 3, -1, -1).contiguous()


def sample_frames(
    total: int, fps: float, settings: VideoSettings, *, rate: float | None = None, count: int | None = None
) -> list[int]:
    """Which frames are looked at: `rate` a second within the settings' limits, or `count` in all, evenly spread."""
    if rate is not None and count is not None:
        raise InputError("fps and num_frames both say how many frames to look at; pass one of them.")
    wanted = count if count is not None else settings.fps if rate is None else rate
    if not (0 < wanted < math.inf and 0 < fps < math.inf) or (count is not None and not isinstance(count, int)):
        raise InputError(
            f"{wanted} frames of a video with {fps:g} a second cannot be looked at; pass positive numbers, and a whole "
            "one as num_frames."
        )
    if count is None:
        count = min(max(int(total / fps * wanted), settings.min_frames), settings.max_frames, total)
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


def video_size(frames: int, height: int, width: int, settings: VideoSettings) -> tuple[int, int]:
    """Pixels to which every frame is resized: multiples of a cell, the whole video within the budget."""
    factor, pair, budget = settings.factor, settings.temporal_patch_size, settings.longest_edge
    if frames < pair:
        raise InputError(f"A video needs {pair} frames and this one has {frames}; pass a single frame as an image.")
    if settings.cap_pixels_per_frame:
        share = min(settings.max_video_tokens * factor**2, budget // frames)
        budget = max(share, int(settings.shortest_edge * 1.05)) * frames
    if height < factor or width < factor:
        scale = max(factor / height, factor / width)
        height, width = int(height * scale), int(width * scale)
    if max(height, width) / min(height, width) > 200:
        raise InputError(f"A frame of {height}×{width} pixels is more than 200 times as long as wide; cut it.")
    rows, columns = (round(side / factor) * factor for side in (height, width))
    pixels = round(frames / pair) * pair * rows * columns
    if pixels > budget:
        shrink = math.sqrt(frames * height * width / budget)
        rows, columns = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif pixels < settings.shortest_edge:
        grow = math.sqrt(settings.shortest_edge / (frames * height * width))
        rows, columns = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return rows, columns


def normalise(frames: Tensor, settings: VideoSettings) -> Tensor:
    """0 to 255 -> about −1 to 1: (x/255 − mean) / std, as float32."""
    mean, std = (torch.tensor(m)[:, None, None] * 255 for m in (settings.image_mean, settings.image_std))
    return (frames.float() - mean) / std


def patchify(frames: Tensor, settings: VideoSettings) -> tuple[Tensor, tuple[int, int, int]]:
    """[frame, channel, row, column] -> [patch, channel · frame · row · column], cell by cell, and the grid."""
    pair, side, merge = settings.temporal_patch_size, settings.patch_size, settings.merge_size
    if missing := -len(frames) % pair:
        frames = torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
    grid = len(frames) // pair, frames.shape[-2] // side, frames.shape[-1] // side
    pattern = "(t tp) c (h a p) (w b q) -> (t h w a b) (c tp p q)"
    return rearrange(frames, pattern, tp=pair, a=merge, p=side, b=merge, q=side).contiguous(), grid


def film_text(seconds: Sequence[float], frame: str) -> str:
    """What a video is in a text: every frame of the grid after its time."""
    return "".join(f"<{time:.1f} seconds>{frame}" for time in seconds)


def timestamps(chosen: Sequence[int], fps: float, pair: int = 2) -> list[float]:
    """Seconds of every frame of the grid: the mean of the first and the last of the frames that it is made of."""
    padded = [*chosen, *[chosen[-1]] * (-len(chosen) % pair)]
    times = [index / fps for index in padded]
    return [(times[i] + times[i + pair - 1]) / 2 for i in range(0, len(times), pair)]
