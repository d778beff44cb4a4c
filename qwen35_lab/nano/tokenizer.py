"""The nano's tokenizer: byte-level BPE learnt from the world's own text, with the family's special tokens.

It is built like the family's: Unicode's composed form (NFC) first, then the text is cut so that a token is at most one
word of letters and marks with the character before it, one digit, or one run of signs; then byte pairs. Bytes make it
complete: any text can be written, and comes back as its NFC form.

transformers takes the class for a `qwen3_5_moe` folder from its own table, `Qwen3_5Tokenizer`, whatever
tokenizer_config.json says, and that class brings its own cutting and normalising. So they must be these.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .template import pieces
from .world import KINDS, draw

CONTEXT = 4096  # tokens; what tokenizer_config.json allows, not what was trained
SIZE = 2048  # of the vocabulary, special tokens included
SAMPLES = 1500  # of each kind, to learn from

# In the family's order; they follow the byte pairs. The first ones are markup that decoding may skip, the others
# (`False`) carry meaning that a reader of answers needs.
SPECIAL: dict[str, bool] = {
    "<|endoftext|>": True, "<|im_start|>": True, "<|im_end|>": True, "<|object_ref_start|>": True,
    "<|object_ref_end|>": True, "<|box_start|>": True, "<|box_end|>": True, "<|quad_start|>": True,
    "<|quad_end|>": True, "<|vision_start|>": True, "<|vision_end|>": True, "<|vision_pad|>": True,
    "<|image_pad|>": True, "<|video_pad|>": True, "<tool_call>": False, "</tool_call>": False,
    "<|fim_prefix|>": False, "<|fim_middle|>": False, "<|fim_suffix|>": False, "<|fim_pad|>": False,
    "<|repo_name|>": False, "<|file_sep|>": False, "<tool_response>": False, "</tool_response>": False,
    "<think>": False, "</think>": False, "<|audio_start|>": True, "<|audio_end|>": True, "<tts_pad>": True,
    "<tts_text_bos>": True, "<tts_text_eod>": True, "<tts_text_bos_single>": True, "<|audio_pad|>": True,
}  # fmt: skip
END, TURN_END = "<|endoftext|>", "<|im_end|>"

# English short forms; a word of letters and marks, with one character before it that is none; one digit; signs, with
# a blank before and line breaks after; line breaks; blanks before a word's own; blanks.
CUT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@cache
def template() -> str:
    """The chat template, in Jinja; `template.pieces` is the same in Python."""
    return Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")


def train_tokenizer(size: int = SIZE, samples: int = SAMPLES, seed: int = 0) -> Any:
    """Learn the byte pairs: the same ones for the same arguments.

    Args:
        size: of the vocabulary, special tokens included; less where the text runs out of pairs.
        samples: of each kind, from the training split.
    Returns:
        What `AutoTokenizer` loads from a folder that it is saved to, chat template and all.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(CUT), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL), min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts(samples, seed), trainer)
    return _for_transformers(tokenizer)


def texts(samples: int, seed: int) -> Iterator[str]:
    """The world's text as the chat template writes it, without the special tokens."""
    import re

    special = re.compile("|".join(map(re.escape, SPECIAL)))
    for kind in KINDS:
        for index in range(samples):
            sample = draw(kind, seed, index)
            text = "".join(piece.text for piece in pieces(sample.messages, sample.tools))
            yield from (part for part in special.split(text) if part)


def _for_transformers(tokenizer: Any) -> Any:
    """With the special tokens, as the class that transformers would load it with."""
    import json

    from tokenizers import AddedToken
    from transformers.models.qwen3_5.tokenization_qwen3_5 import Qwen3_5Tokenizer

    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(model["vocab"])
    vocabulary |= {token: len(vocabulary) + n for n, token in enumerate(SPECIAL)}
    make: Any = Qwen3_5Tokenizer
    made = make(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in model["merges"]],
        eos_token=TURN_END,
        pad_token=END,
        unk_token=None,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    made.add_tokens([AddedToken(token, special=special, normalized=False) for token, special in SPECIAL.items()])
    made.chat_template = template()
    return made
