"""The part of a `Qwen` that is watched while it runs, and changed."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from . import capture
from .edits import AnyEdit, edited, edits_of
from .errors import InputError
from .estimate import TraceSize, estimate, refuse_what_does_not_fit, seen_only
from .generate import Sampling, check_length, decode
from .interrupt import whole_stack
from .model import mtp_logits
from .model.taps import listen
from .passes import Passes, in_force
from .prompts import Prompt, Reader
from .provenance import Provenance
from .trace import Step, Trace


class Watched(Reader):
    provenance: Provenance

    @torch.inference_mode(False)  # what is kept may go into computations with gradients,
    @torch.no_grad()  # which this one is not
    def trace(
        self, prompt: Prompt, record: str | Iterable[str] = "*", edits: AnyEdit | Iterable[AnyEdit] = (), *,
        images: Any = None, videos: Any = None, max_new_tokens: int = 0, **sampling: Any,
    ) -> Trace:  # fmt: skip
        """Run once and keep the values of the taps that match `record`.

        Args:
            prompt: a text, token ids, or chat messages.
            record: globs; one that ends in `*` matches no lazy tap (docs/taps.md says which are). Patterns that begin
                with "mtp" run the MTP head too, over the whole text: one slot less than there are tokens.
            edits: what to change on the way, see `lab.edit` and `lab.routing`; recorded is what came of it. Those
                of an enclosing `with qwen.edited(…)` act too, and the provenance names them all.
            images, videos: as in `generate`.
            max_new_tokens: go on for so many tokens, with the cache. Then the trace has the prompt's tokens and one
                more row for each step (the last new token is chosen, but no longer read), and `trace.steps`.
            sampling: of the new tokens, as in `generate`; greedy if nothing is given.
        Raises:
            InputError: a pattern that matches nothing, an edit that does not fit or that no token of this run reaches,
                a setting that there is not, or a run that takes more memory than is free (see `trace_size`).
        """
        (ids, pictures), heard = self._encode(prompt, images, videos), capture.chosen(self.model, record)
        edits = edits_of(edits)
        chosen = self._sampling(ids, pictures, max_new_tokens, sampling)
        mtp = self._asks_the_head(heard, bool(pictures), max_new_tokens)
        counts = self._counts(pictures)
        refuse_what_does_not_fit(self.model, heard, ids.shape[1], edits, max_new_tokens, **counts)
        with edited(self.model, edits), capture.record(self.model, heard) as values:
            in_words = tuple(str(each) for each in in_force(self.model))
            every = self.model.logits.wanted  # else only the scores that the next token is chosen by are formed
            if max_new_tokens:
                ids, steps = self._steps(ids, pictures, max_new_tokens, chosen, every)
            else:
                out, steps = self.model(ids, logits_to_keep=0 if every else 1, **pictures), ()
                if mtp:
                    mtp_logits(self.model, out.hidden, ids, positions=out.positions, embedded=out.embedded)
        axes = {name: heard[name].axes for name in values}
        tensors = {name: capture.joined(values.pop(name), name, axes[name])[0] for name in list(values)}
        provenance = replace(self.provenance, edits=in_words, sampling=str(chosen) if max_new_tokens else "")
        texts = {i: self.token_text(i) for i in set(ids[0].tolist())}
        tokens = [texts[i] for i in ids[0].tolist()]
        return Trace(tokens, ids[0], tensors, {n: axes[n][1:] for n in tensors}, provenance, steps)

    def _asks_the_head(self, heard: Iterable[str], pictures: bool, new: int) -> bool:
        """Whether values of the MTP head shall be recorded. Raises `InputError` for what this run does not make."""
        names = list(heard)
        if names and not pictures and all(map(seen_only, names)):
            raise InputError(f"{names[0]} is made of pictures, and there are none; pass images=… or videos=….")
        mtp = any(name.startswith("mtp.") for name in names)
        if mtp and new:
            raise InputError("The MTP head is traced over a given text; leave out max_new_tokens, or the mtp taps.")
        return mtp

    def _sampling(self, ids: Tensor, pictures: Mapping[str, Tensor], new: int, settings: Mapping[str, Any]) -> Sampling:
        """How a trace chooses its tokens, if it shall have any. Raises `InputError` for what does not go together."""
        found = self._chosen(settings, ids, pictures)
        check_length(self.model, ids.shape[1] if new else 0, new)
        if settings and not new:
            raise InputError(f"{next(iter(settings))} is about new tokens, and there are none; pass max_new_tokens=….")
        return found

    def _counts(self, pictures: Mapping[str, Tensor]) -> dict[str, int]:
        """How many patches and cells the pictures have."""
        patches = sum(len(value) for name, value in pictures.items() if name.startswith("pixel_values"))
        merge = self.config.vision.spatial_merge_size if self.config.vision else 1
        return {"patches": patches, "cells": patches // merge**2}

    def _steps(
        self, ids: Tensor, pictures: Mapping[str, Tensor], new: int, sampling: Sampling, every: bool
    ) -> tuple[Tensor, tuple[Step, ...]]:
        """Generate; returns the tokens that were read, [1, token], and what was said before each new one."""
        last: list[Tensor] = []
        with whole_stack() as stack:
            listen(
                stack, self.model.logits, lambda module, inputs, value: last.__setitem__(slice(None), [value[0, -1]])
            )
            rows = []
            for token in decode(
                self.model, ids, max_new_tokens=new, sampling=sampling, stop_ids=self.stop_ids, every_logit=every,
                pictures=pictures,
            ):  # fmt: skip
                p = last[0].double().log_softmax(-1)
                n = int(token)
                rank, entropy = int((p > p[n]).sum()), -float((p.exp() * p).nansum())
                position = ids.shape[1] + len(rows)
                rows.append(Step(position, n, self.token_text(n), float(p[n].exp()), rank, entropy))
        read = [step.id for step in rows[:-1]]
        return torch.cat((ids, ids.new_tensor([read])), dim=1), tuple(rows)

    def edited(self, *edits: AnyEdit) -> AbstractContextManager[Passes]:
        """Inside the block the model runs with these edits, in their order; afterwards it is as before, bit for bit.

            with qwen.edited(lab.edit("layers.0.mixer.erase").scale(0)):
                qwen.generate(…)

        They act in the thread that opens the block, and in no other.

        Raises:
            InputError: an edit that does not fit; at the end of the block, one that met none of its places.
        """
        return edited(self.model, edits)

    def trace_size(
        self, prompt: Prompt, record: str | Iterable[str] = "*", edits: AnyEdit | Iterable[AnyEdit] = (), *,
        images: Any = None, videos: Any = None, max_new_tokens: int = 0,
    ) -> TraceSize:  # fmt: skip
        """Bytes that `trace` would keep, by tap name, and with `.peak` the most it takes at one time, beyond the
        weights; nothing is run. An answer may stop early, and then takes less."""
        ids, pictures = self._encode(prompt, images, videos)
        self._sampling(ids, {}, max_new_tokens, {})
        record, counts = capture.listed(record), self._counts(pictures)
        return estimate(self.model, record, ids.shape[1], edits_of(edits), max_new_tokens, **counts)
