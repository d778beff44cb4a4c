"""The part of a `Qwen` that answers: whole texts, piece by piece, several at once, with drafts or without."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .generate import Sampling, TextStream, decode
from .inputs.answer import End
from .prompts import PICTURES, Prompt, Reader, is_chat
from .speculative import Drafts, decode_speculatively, refuse_batches


class Speaker(Reader):
    def generate(
        self, prompt: Prompt, max_new_tokens: int = 128, *, images: Any = None, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> Any:  # fmt: skip
        """Continue a prompt. Returns what is new: a text for a text or a chat, a list for a list of texts, ids for ids.

        Args:
            prompt: a text, several texts (run as one batch), chat messages (see `chat`), or token ids.
            images, videos: paths, PIL images, arrays, lists of frames; where the text does not say where they belong,
                at its beginning. Frames count as 24 a second; `{"video": frames, "fps": 2}` says the rate.
            stop: the answer ends before any of these strings (and at the checkpoint's own stop tokens).
            speculative: how many tokens the MTP head drafts ahead, for one prompt at a time; a `lab.Drafts` keeps a
                record. Greedy text is the same as without, sampled text is drawn from the same distribution.
            sampling: temperature, top_k, top_p, min_p, presence_penalty, repetition_penalty, seed
                (see `Sampling`); greedy if none is given. `preset="general"` takes what the checkpoint's makers advise
                (`qwen.presets` lists it), and what is given by hand goes before it.
        Raises:
            InputError: an empty or too long prompt, an id outside the vocabulary, a setting out of range, no MTP head.
        """
        stop = (stop,) if isinstance(stop, str) else tuple(stop)
        if isinstance(prompt, str) or is_chat(prompt):
            how: dict[str, Any] = {"images": images, "videos": videos, "stop": stop, "speculative": speculative}
            return "".join(self.stream(prompt, max_new_tokens, **how, **sampling))
        if isinstance(prompt, list | tuple) and prompt and all(isinstance(p, str) for p in prompt):
            if speculative:
                refuse_batches(len(prompt))
                how = {"images": images, "videos": videos, "stop": stop, "speculative": speculative}
                return [self.generate(str(prompt[0]), max_new_tokens, **how, **sampling)]
            batch = self._batch([str(p) for p in prompt], images, videos)
            return self._generate_texts(*batch, max_new_tokens, stop, self._chosen(sampling, batch[0], batch[2]))
        if stop:
            raise InputError("Stop strings end a text, and the prompt is token ids; pass a text, or leave out stop.")
        given = self._encode(prompt, images, videos)
        chosen = self._chosen(sampling, *given)
        return torch.cat([given[0][0, :0], *self._decode(*given, max_new_tokens, chosen, speculative)])

    def stream(
        self, prompt: Prompt, max_new_tokens: int = 128, *, images: Any = None, videos: Any = None,
        stop: str | Sequence[str] = (), speculative: int | Drafts = 0, **sampling: Any,
    ) -> Iterator[str]:  # fmt: skip
        """Like `generate` for one text or chat, piece by piece as the text becomes certain."""
        text = TextStream(self.tokenizer, (stop,) if isinstance(stop, str) else stop)
        given = self._encode(prompt, images, videos)
        yield from self._text(given, text, max_new_tokens, self._chosen(sampling, *given), speculative)

    def _text(
        self, given: tuple[Tensor, dict[str, Tensor]], text: TextStream, new: int, sampling: Sampling,
        speculative: int | Drafts,
    ) -> Generator[str, None, End]:  # fmt: skip
        """The pieces of an answer; returns why it ended."""
        end: End = "length"
        for token in self._decode(*given, new, sampling, speculative):
            if int(token) in self.stop_ids:
                end = "stop"
                break
            if piece := text.push(int(token)):
                yield piece
            if text.finished:
                return "stop"
        if rest := text.close():
            yield rest
        return end

    def _decode(
        self, ids: Tensor, pictures: Mapping[str, Tensor], new: int, sampling: Sampling, speculative: int | Drafts
    ) -> Iterator[Tensor]:
        how: dict[str, Any] = {"max_new_tokens": new, "sampling": sampling, "stop_ids": self.stop_ids}
        if isinstance(speculative, int) and speculative == 0:
            return decode(self.model, ids, pictures=pictures, **how)
        return decode_speculatively(self.model, ids, pictures=pictures, speculative=speculative, **how)

    def _batch(self, prompts: list[str], images: Any, videos: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Ids and mask [batch, token], padded on the left, and the tensors of the pictures among them."""
        if images is not None or videos is not None:
            made = self.look(prompts, images, videos)
            if not made["attention_mask"].any(1).all():
                raise InputError("The prompt is empty; pass at least one token.")
            return made["input_ids"], made["attention_mask"], {name: made[name] for name in PICTURES if name in made}
        rows = [self.encode(p)[0] for p in prompts]
        longest = max(len(r) for r in rows)
        ids = torch.stack([torch.cat((r.new_zeros(longest - len(r)), r)) for r in rows])  # padding on the left
        mask = torch.stack([torch.cat((r.new_zeros(longest - len(r)), torch.ones_like(r))) for r in rows])
        return ids, mask, {}

    def _generate_texts(
        self, ids: Tensor, mask: Tensor, pictures: dict[str, Tensor], max_new_tokens: int, stop: tuple[str, ...],
        sampling: Sampling,
    ) -> list[str]:  # fmt: skip
        texts = [TextStream(self.tokenizer, stop) for _ in ids]
        pieces: list[list[str]] = [[] for _ in ids]
        done = [False] * len(ids)
        settings = {"max_new_tokens": max_new_tokens, "sampling": sampling, "stop_ids": self.stop_ids}
        steps = decode(self.model, ids, mask, pictures=pictures, **settings)
        for tokens in steps:
            for row, token in enumerate(tokens.tolist()):
                done[row] = done[row] or token in self.stop_ids
                if not done[row]:
                    pieces[row].append(texts[row].push(token))
                    done[row] = texts[row].finished
            if all(done):
                break
        return ["".join(p) + t.close() for p, t in zip(pieces, texts, strict=True)]
