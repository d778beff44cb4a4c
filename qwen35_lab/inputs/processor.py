"""Text, images and videos -> the tensors the model takes, as the checkpoint's own processor makes them.

In a text a picture is one placeholder token, `<|vision_start|><|image_pad|><|vision_end|>`; here it becomes as many as
the picture has cells, and a video a row of time stamps and frames, between the placeholder's own start and end. Images
go through transformers' PIL image processor, videos through video.py: torchvision, which transformers' other processors
need, is never imported.

Reference: `Qwen3VLProcessor` in transformers, which Qwen3.5's checkpoints name.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ..config import VisionConfig
from ..errors import CheckpointError, InputError
from .reading import as_films, as_images, as_videos
from .video import Clip, VideoSettings, film_text, make_clip

TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}


class Processor:
    """Call it as you would call transformers' `AutoProcessor`; the result goes into the model: `model(**result)`.

    Attributes: `tokenizer`, `image_processor`, `video_settings`, and the four tokens that stand for pictures in a text.
    """

    def __init__(self, tokenizer: Any, image_processor: Any, video_settings: VideoSettings):
        self.tokenizer, self.image_processor, self.video_settings = tokenizer, image_processor, video_settings
        named = {name: getattr(tokenizer, name, None) or usual for name, usual in TOKENS.items()}
        self.image_token, self.video_token = named["image_token"], named["video_token"]
        self.vision_start_token, self.vision_end_token = named["vision_start_token"], named["vision_end_token"]
        self.image_token_id, self.video_token_id = (
            tokenizer.convert_tokens_to_ids(token) for token in (self.image_token, self.video_token)
        )

    @classmethod
    def of(cls, folder: Path | None, tokenizer: Any, vision: VisionConfig) -> "Processor":
        """The processor of a checkpoint folder; without one, or where files are missing, by the tower's own sizes."""
        return cls(tokenizer, _image_processor(folder, vision), VideoSettings.of(_video_words(folder), vision))

    def __call__(
        self, images: Any = None, text: str | Sequence[str] | None = None, videos: Any = None, *,
        video_metadata: Any = None, do_sample_frames: bool = True, fps: float | None = None,
        num_frames: int | None = None, return_tensors: str | None = None, **tokenizing: Any,
    ) -> Any:  # fmt: skip
        """A `BatchFeature` with input_ids, attention_mask, mm_token_type_ids, pixel_values, image_grid_thw,
        pixel_values_videos and video_grid_thw: those that there are.

        Args:
            images: paths, PIL images or arrays, in the order of their placeholders over all texts.
            text: one or several, with a placeholder for every picture.
            videos: paths, arrays [frame, row, column, 3], or lists of frames.
            video_metadata: one mapping for each video; its `fps` is the rate at which the frames were taken.
            do_sample_frames: False looks at every frame; then `frames_indices` in the metadata may say which they were.
            fps, num_frames: how many frames to look at, in a second or in all.
            tokenizing: for the tokenizer: padding, padding_side, truncation, …
        Raises:
            InputError: pictures that cannot be read, or that are not as many as their placeholders.
        """
        from transformers import BatchFeature

        texts = None if text is None else [text] if isinstance(text, str) else list(text)
        stills = [] if images is None else as_images(images)
        seen = self._images(stills) if stills else {}
        sampling = {"sample": do_sample_frames, "rate": fps, "count": num_frames}
        clips = [] if videos is None else self._clips(videos, _listed(video_metadata), sampling)
        if texts is not None:
            sizes = seen.get("image_grid_thw", [])
            texts = self.expand(texts, [tuple(int(n) for n in grid) for grid in sizes], clips)
        moving = {}
        if clips:
            moving["pixel_values_videos"] = torch.cat([clip.pixels for clip in clips])
            moving["video_grid_thw"] = torch.tensor([clip.grid for clip in clips])
        words = {} if texts is None else self._tokens(texts, tokenizing)
        if not (words or seen or moving):
            raise InputError("There is nothing to process; pass a text, images or videos.")
        return BatchFeature({**words, **seen, **moving}, tensor_type=return_tensors)

    def expand(self, texts: Sequence[str], images: Sequence[tuple[int, ...]], clips: Sequence[Clip]) -> list[str]:
        """Texts with a placeholder for every cell of a picture, and the times of a video's frames."""
        cell = self.image_processor.merge_size**2
        whole = {
            self.image_token: [self.image_token * (t * h * w // cell) for t, h, w in images],
            self.video_token: [self._film(clip) for clip in clips],
        }
        for token, name in ((self.image_token, "image"), (self.video_token, "video")):
            count, places = len(whole[token]), sum(text.count(token) for text in texts)
            if places != count:
                raise InputError(
                    f"The text has {places} places {token} and there are {count} {name}s; put one for each "
                    f"{name} where it belongs: {self.vision_start_token}{token}{self.vision_end_token}."
                )
        coming = {token: iter(made) for token, made in whole.items()}
        pattern = "|".join(re.escape(token) for token in whole)
        return [re.sub(pattern, lambda match: next(coming[match[0]]), text) for text in texts]

    def with_places(self, text: str, images: Any, videos: Any) -> str:
        """A text that does not say where its pictures belong gets them at its beginning."""
        for token, given, listed in ((self.video_token, videos, as_videos), (self.image_token, images, as_images)):
            if given is not None and token not in text:
                text = f"{self.vision_start_token}{token}{self.vision_end_token}" * len(listed(given)) + text
        return text

    def _film(self, clip: Clip) -> str:
        cells = clip.grid[1] * clip.grid[2] // self.video_settings.merge_size**2
        frame = self.vision_start_token + self.video_token * cells + self.vision_end_token
        return film_text(clip.seconds, frame)

    def _images(self, stills: list[Any]) -> dict[str, Any]:
        try:
            made = self.image_processor(stills, return_tensors="pt")
        except (ValueError, TypeError) as error:  # too long and thin, no pixels, not a picture
            raise InputError(f"An image cannot be used: {str(error).splitlines()[0]}; pass another one.") from error
        return {name: made[name] for name in ("pixel_values", "image_grid_thw")}

    def _clips(self, videos: Any, metadata: list[Mapping[str, Any]] | None, sampling: dict[str, Any]) -> list[Clip]:
        films = as_films(videos, None if metadata is None else [each.get("fps") for each in metadata])
        indices = [each.get("frames_indices") for each in metadata or [{}] * len(films)]
        return [
            make_clip(frames, rate, self.video_settings, indices=where, **sampling)
            for (frames, rate), where in zip(films, indices, strict=True)
        ]

    def _tokens(self, texts: list[str], tokenizing: dict[str, Any]) -> dict[str, Any]:
        words = dict(self.tokenizer(texts, **{"return_token_type_ids": False, **tokenizing}))
        kinds = {self.image_token_id: 1, self.video_token_id: 2}
        words["mm_token_type_ids"] = [[kinds.get(int(n), 0) for n in row] for row in words["input_ids"]]
        return words

    def decode(self, *args: Any, **kwargs: Any) -> str:
        return self.tokenizer.decode(*args, **kwargs)

    def batch_decode(self, *args: Any, **kwargs: Any) -> list[str]:
        return self.tokenizer.batch_decode(*args, **kwargs)


def _listed(metadata: Any) -> list[Any] | None:
    """Mappings, or transformers' `VideoMetadata`, which can be asked like them."""
    if metadata is None:
        return None
    found = list(metadata) if isinstance(metadata, list | tuple) else [metadata]
    if not all(hasattr(each, "get") for each in found):
        raise InputError('video_metadata is a list of {"fps": …}, one for each video; pass that, or leave it out.')
    return found


def _image_processor(folder: Path | None, vision: VisionConfig) -> Any:
    from transformers import AutoImageProcessor, Qwen2VLImageProcessorPil

    if folder is not None and any(
        (folder / name).exists() for name in ("preprocessor_config.json", "processor_config.json")
    ):
        try:
            return AutoImageProcessor.from_pretrained(folder, backend="pil")
        except Exception as error:  # a file that is damaged or of another kind shows itself in many ways
            reason = str(error).strip().split("\n")[0]
            raise CheckpointError(
                f"The image processor of {folder} cannot be read ({reason}); download preprocessor_config.json again."
            ) from error
    cell = (vision.patch_size * vision.spatial_merge_size) ** 2  # 64 to 16,384 tokens an image, as published
    return Qwen2VLImageProcessorPil(
        patch_size=vision.patch_size, temporal_patch_size=vision.temporal_patch_size,
        merge_size=vision.spatial_merge_size, size={"shortest_edge": 64 * cell, "longest_edge": 16_384 * cell},
        image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip


def _video_words(folder: Path | None) -> Mapping[str, Any] | None:
    """What a folder says about videos, in the order in which transformers looks: a newer file holds both processors."""
    if folder is None:
        return None
    for name in ("processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"):
        path = folder / name
        if not path.exists():
            continue
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            raw = raw.get("video_processor") if name == "processor_config.json" else raw
        except (ValueError, AttributeError, OSError) as error:
            raise CheckpointError(f"{path} is damaged; download it again.") from error
        if raw is not None:
            return raw
    return None
