"""The language model with eyes: what the vision tower makes of a picture stands in place of its placeholders.

A picture of h×w cells is h·w placeholder tokens in the text (`image_token_id`, or `video_token_id` for every two frames
of a video). Their embeddings are replaced by the tower's vectors, their positions are those of the grid
(positions.py); from there on they are tokens like all others. The cache remembers at which position a row goes on, for
it is no longer the number of its tokens, so that later turns may bring text or new pictures.

Argument names and meanings follow `Qwen3_5ForConditionalGeneration` in transformers.
"""

from typing import Any

import torch
from torch import Tensor

from ..config import ModelConfig
from ..errors import InputError
from .cache import Cache
from .pictures import Pictures, pictures
from .positions import IMAGE, VIDEO, mrope_positions
from .text import Output, TextModel
from .vision import VisionTower


class MultimodalModel(TextModel):
    """The language model with a vision tower: cells of pictures and films take the places that the text keeps free."""

    def __init__(self, config: ModelConfig):
        assert config.vision is not None
        super().__init__(config.text)
        self.vision_config = config.vision
        self.placeholders = {IMAGE: config.image_token_id, VIDEO: config.video_token_id}
        self.vision = VisionTower(config.vision)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
        logits_to_keep: int = 0,
        pixel_values: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Tensor | None = None,
        mm_token_type_ids: Tensor | None = None,
        embeds: Tensor | None = None,
    ) -> Output:
        """Run the model over new tokens and the pictures among them.

        Args:
            input_ids, attention_mask, cache, logits_to_keep: as in `TextModel.forward`.
            position_ids: as there. By default text is counted as there, and from the first picture on by M-RoPE.
            pixel_values: [patch, channel · frame · row · column], all images of the call one behind the other.
            image_grid_thw: [image, 3], frames, rows and columns of each, in patches.
            pixel_values_videos, video_grid_thw: the same for videos.
            mm_token_type_ids: taken because processors make it; the ids say it already.
            embeds: [batch, token, hidden], a part of what `place` returns, in place of embeddings and pictures;
                position_ids belong to it.
        Raises:
            InputError: a shape, an id or a mask that does not fit, or pictures that do not fit the placeholders.
        """
        real = self._check(input_ids, attention_mask, cache)
        past = cache.length if cache else 0
        now = None if real is None else real[:, past:]
        shown = pictures(self.vision_config, pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw)
        pictured = shown is not None or embeds is not None
        if embeds is None:
            embeds = self._embed(input_ids, now, shown, strict=position_ids is None)
        elif shown or position_ids is None or embeds.shape[:2] != input_ids.shape:
            raise InputError(
                "embeds go with position_ids for the same tokens, and without pictures; pass what place gave."
            )
        if position_ids is None and (shown or _goes_on(cache) is not None):
            position_ids = self._mrope(input_ids, now, cache, shown)
        positions = self._positions(position_ids, input_ids, past)
        before = None if cache is None else _start(cache, input_ids)
        output = self._read(self.embed(embeds), positions, real, cache, logits_to_keep)
        if cache is not None and before is not None and (pictured or _goes_on(cache) is not None):
            last = positions.amax(0) if now is None else positions.amax(0).where(now, -1)
            cache.next_position = torch.maximum(before, last.amax(1) + 1)
        return output

    def place(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, cache: Cache | None = None, **shown: Any
    ) -> tuple[Tensor, Tensor]:
        """Look at a prompt's pictures once: position_ids [3, batch, token] and embeds [batch, token, hidden].

        A prompt can then be read in pieces: `forward(ids, mask, position_ids, cache, embeds=embeds)`.

        Args:
            shown: pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw, as in `forward`.
        """
        shown.pop("mm_token_type_ids", None)
        names = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
        found = pictures(self.vision_config, *(shown.pop(name, None) for name in names))
        if shown:
            raise InputError(f"There is no argument {min(shown)!r}; pass {', '.join(names)}.")
        real = self._check(input_ids, attention_mask, cache)
        now = None if real is None else real[:, cache.length if cache else 0 :]
        embeds = self._embed(input_ids, now, found, strict=True)
        return self._mrope(input_ids, now, cache, found), embeds

    def _kinds(self, input_ids: Tensor, now: Tensor | None) -> Tensor:
        """Which tokens are placeholders of an image (1) or a video (2): [batch, token]"""
        kinds = torch.zeros_like(input_ids)
        for kind, token in self.placeholders.items():
            if token is not None:
                kinds = kinds.masked_fill(input_ids == token, kind)
        return kinds if now is None else kinds * now

    def _embed(self, input_ids: Tensor, now: Tensor | None, shown: Pictures | None, *, strict: bool) -> Tensor:
        """Embeddings [batch, token, hidden], with the pictures in their places."""
        x = self.embed_tokens(input_ids)
        if shown is None and not strict:
            return x
        kinds = self._kinds(input_ids, now)
        _check_places(kinds, shown)
        if shown is None:
            return x
        seen = self.vision(shown.pixels.to(x.device), shown.grids).to(x.dtype)
        x = x.masked_scatter((kinds == IMAGE)[..., None], seen[: shown.image_cells])
        return x.masked_scatter((kinds == VIDEO)[..., None], seen[shown.image_cells :])

    def refuse_empty_places(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> None:
        """Raises InputError if a prompt without pictures has places for them; both [batch, token]."""
        _check_places(self._kinds(input_ids, None if attention_mask is None else attention_mask.bool()), None)

    def _mrope(self, input_ids: Tensor, now: Tensor | None, cache: Cache | None, shown: Pictures | None) -> Tensor:
        images, videos = (shown.cells(shown.images), shown.cells(shown.videos)) if shown else ([], [])
        start = _start(cache, input_ids)
        return mrope_positions(self._kinds(input_ids, now), now, images, videos, start)


def _check_places(kinds: Tensor, shown: Pictures | None) -> None:
    """Raises InputError unless there are as many placeholders as the pictures have cells."""
    images = shown.image_cells if shown else 0
    videos = sum(t * h * w for t, h, w in shown.cells(shown.videos)) if shown else 0
    for kind, cells, name in ((IMAGE, images, "image"), (VIDEO, videos, "video")):
        if (count := int((kinds == kind).sum())) != cells:
            what = f"the {name}s passed make {cells:,} tokens" if cells else f"no {name} is passed"
            raise InputError(
                f"input_ids hold {count:,} {name} placeholders, but {what}; "
                "use the input_ids and the pixels of one and the same processor call."
            )


def _goes_on(cache: Cache | None) -> Tensor | None:
    return None if cache is None else cache.next_position


def _start(cache: Cache | None, input_ids: Tensor) -> Tensor:
    """The position of every row's next token: [batch]"""
    if cache is not None and cache.next_position is not None:
        return cache.next_position
    return input_ids.new_full((len(input_ids),), cache.length if cache else 0)
