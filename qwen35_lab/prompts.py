"""What a person asks -> token ids and the tensors of pictures, by the checkpoint's own tokenizer and processor."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from .config import ModelConfig
from .errors import CheckpointError, InputError
from .generate import Sampling
from .inputs import Conversation, Processor, write_chat
from .inputs.answer import THINK
from .inputs.chat import Message
from .locate import find_folder
from .model import TextModel
from .presets import Presets, find_presets
from .provenance import Provenance

PICTURES = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
FEW_WORDS = 100  # of a vocabulary that an error lists whole
LAST = 8  # tokens of a prompt, more than enough to hold <think> and what follows it
Prompt = str | Sequence[str] | Sequence[int] | Sequence[Message] | Tensor


def is_chat(prompt: Any) -> TypeGuard[Sequence[Message]]:
    """Whether a prompt is chat messages."""
    return isinstance(prompt, list | tuple) and bool(prompt) and all(isinstance(m, Mapping) for m in prompt)


def load_tokenizer(name: str | os.PathLike[str], revision: str | None = None, *, endpoint: str | None = None) -> Any:
    """The tokenizer of a checkpoint alone, by transformers: of one we ship ("nano"), a folder, or a Hub id.

    Of a Hub id everything but the weights is downloaded; revision and endpoint as in `load`.

    Raises:
        CheckpointError: nothing by that name, or no tokenizer in it.
    """
    return read_tokenizer(find_folder(name, revision, weights=False, endpoint=endpoint)[0])


def read_tokenizer(folder: Path) -> Any:
    if not (folder / "tokenizer_config.json").exists():
        raise CheckpointError(f"{folder} holds no tokenizer; pass token ids instead of text.")
    from transformers import AutoTokenizer  # slow to import, so only when it is needed

    try:
        return AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # a file that is missing, cut off or of another kind shows itself in many ways
        reason = str(error).strip().split("\n")[0]
        raise CheckpointError(
            f"The tokenizer of {folder} cannot be read ({reason}); download it again, or pass token ids."
        ) from error


class Reader:
    """The part of a `Qwen` that reads prompts."""

    model: TextModel
    config: ModelConfig
    folder: Path | None
    provenance: Provenance

    @property
    def device(self) -> torch.device:
        return self.model.embed_tokens.weight.device

    @cached_property
    def tokenizer(self) -> Any:
        """The checkpoint's own tokenizer, by transformers. Raises `CheckpointError` if the folder has none."""
        if self.folder is None:
            raise CheckpointError("A model with random weights has no tokenizer; pass token ids instead of text.")
        return read_tokenizer(self.folder)

    @cached_property
    def processor(self) -> Processor:
        """Text, images and videos -> the tensors the model takes: `qwen.model(**qwen.processor(text=…, images=…,
        return_tensors="pt"))`, as transformers' own processor would make them.

        Raises:
            CheckpointError: the folder has no tokenizer. InputError: the model has no eyes.
        """
        if self.config.vision is None:
            raise InputError("This model has no eyes, so that there is no processor; use qwen.tokenizer.")
        return Processor.of(self.folder, self.tokenizer, self.config.vision)

    def look(self, prompt: str | Sequence[str], images: Any = None, videos: Any = None) -> dict[str, Tensor]:
        """Text with pictures as the model's arguments, on its device, several texts padded on the left.

        Args:
            images, videos: in the order of their placeholders; a single text without any has them at its beginning.
        """
        text = self.processor.with_places(prompt, images, videos) if isinstance(prompt, str) else list(prompt)
        made = self.processor(
            text=text, images=images, videos=videos, padding=True, padding_side="left", return_tensors="pt"
        )
        return {name: value.to(self.device) for name, value in made.items()}

    def encode(self, prompt: Prompt, images: Any = None, videos: Any = None) -> Tensor:
        """One prompt, text or ids, as ids [1, token] on the model's device; pictures as their placeholders."""
        return self._encode(prompt, images, videos)[0]

    def arguments(self, prompt: Prompt, images: Any = None, videos: Any = None) -> dict[str, Tensor]:
        """One prompt as the model's arguments, its pictures too: `qwen.model(**qwen.arguments(prompt))`."""
        ids, pictures = self._encode(prompt, images, videos)
        return {"input_ids": ids, **pictures}

    def _encode(self, prompt: Prompt, images: Any, videos: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids [1, token], and the tensors of the pictures among them."""
        if is_chat(prompt):
            return self._read(write_chat(self.tokenizer, prompt, images=images, videos=videos))
        if images is None and videos is None:
            made: dict[str, Any] = dict(prompt) if isinstance(prompt, Mapping) else {}  # a processor's
            seen = {name: made[name] for name in PICTURES if made.get(name) is not None}
            if seen and self.config.vision is None:
                raise InputError("This model has no eyes; leave out the pictures, or load a checkpoint with vision.")
            return self._ids(prompt), {name: torch.as_tensor(value).to(self.device) for name, value in seen.items()}
        if not isinstance(prompt, str):
            raise InputError("Pictures go with a text or with messages; pass one, or use qwen.processor's tensors.")
        made = self.look(prompt, images, videos)
        return made["input_ids"], {name: made[name] for name in PICTURES if name in made}

    def _ids(self, prompt: Prompt) -> Tensor:
        if isinstance(prompt, str):
            ids = self._words(prompt)
        elif isinstance(prompt, Mapping):  # what a tokenizer returns
            return self._ids(prompt.get("input_ids", ()))
        else:
            to_list = getattr(prompt, "tolist", None)  # of a tensor or an array
            ids = to_list() if to_list else list(prompt)
            ids = ids if isinstance(ids, list) else [ids]
            ids = ids[0] if len(ids) == 1 and isinstance(ids[0], list) else ids
        if not ids:
            raise InputError("The prompt is empty; pass at least one token.")
        if not all(isinstance(n, int) for n in ids):
            raise InputError("A prompt is a text, chat messages, or whole numbers (token ids) in one dimension.")
        return torch.tensor([ids], device=self.device)

    def _read(self, chat: Conversation) -> tuple[Tensor, dict[str, Tensor]]:
        """Ids [1, token] of a conversation, and the tensors of the pictures in it."""
        if chat.images is None and chat.videos is None:
            return torch.tensor([self._words(chat.text, add_special_tokens=False)], device=self.device), {}
        made = self.look([chat.text], chat.images, chat.videos)
        return made["input_ids"], {name: made[name] for name in PICTURES if name in made}

    def _words(self, text: str, **tokenizing: Any) -> list[int]:
        ids = self.tokenizer(text, **tokenizing)["input_ids"]
        self._refuse_unknown_words(text, ids, tokenizing)
        return ids

    def _refuse_unknown_words(self, prompt: str, ids: Sequence[int], tokenizing: Mapping[str, Any]) -> None:
        """Tokenizers with a fixed list of words put one token for all others: say so instead of answering nonsense."""
        if (unknown := self.tokenizer.unk_token_id) is None or unknown not in ids:
            return
        spans = self.tokenizer(prompt, return_offsets_mapping=True, **tokenizing)["offset_mapping"]
        words = [prompt[start:end] for n, (start, end) in zip(ids, spans, strict=True) if n == unknown]
        words = [word for word in words if word != self.tokenizer.unk_token]  # the token itself, spelled out
        if words:
            raise InputError(f"The word {words[0]!r} is not in this model's vocabulary; {self._instead_of(words[0])}.")

    def _instead_of(self, word: str) -> str:
        """What to write in place of a word that the tokenizer does not know."""
        places, special = self.tokenizer.get_vocab(), set(self.tokenizer.all_special_tokens)
        known = sorted(places.keys() - special, key=places.__getitem__)
        near = difflib.get_close_matches(word, known, n=1)
        listed = " ".join(known) if len(known) <= FEW_WORDS else "qwen.tokenizer.get_vocab() lists them"
        return f"{f'did you mean {near[0]!r}? Else ' if near else ''}use words that it knows: {listed}"

    def token_text(self, token: int) -> str:
        """The text of one token; its id in angle brackets if there is no tokenizer."""
        try:
            return self.tokenizer.decode([token])
        except CheckpointError:
            return f"<{token}>"

    @cached_property
    def presets(self) -> Presets:
        """What the makers of this checkpoint advise for choosing tokens. Print it; `preset="general"` takes it."""
        return find_presets(self.provenance.name, self.folder)

    def _chosen(self, sampling: Mapping[str, Any], ids: Tensor, pictures: Mapping[str, Tensor]) -> Sampling:
        """How the tokens after a prompt are chosen: by what is given by hand, then by a preset, then greedily."""
        by_hand = {name: value for name, value in sampling.items() if name != "preset"}
        if (use := sampling.get("preset")) is None:
            return Sampling.of(by_hand)
        thinking = False
        with suppress(CheckpointError):  # ids can be continued without a tokenizer
            thinking = self.tokenizer.decode(ids[0, -LAST:].tolist()).rstrip().endswith(THINK)
        return Sampling.of(self.presets.choose(use, thinking, bool(pictures)) | by_hand)

    @cached_property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end an answer: of the generation config, the tokenizer and the config, together."""
        stops = set(self.config.text.eos_token_id)
        if self.folder and (path := self.folder / "generation_config.json").exists():
            try:
                eos = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
            except (ValueError, AttributeError, OSError) as error:
                raise CheckpointError(f"{path} is damaged; delete it or download it again.") from error
            stops |= set(eos if isinstance(eos, list) else [eos])
        with suppress(CheckpointError):  # ids can be generated without a tokenizer
            stops.add(self.tokenizer.eos_token_id)
        return tuple(sorted(n for n in stops if isinstance(n, int)))
