"""Text -> token ids, quickly: what stands between special tokens repeats, so it is remembered.

A special token ends whatever stands before it, so the parts can be written on their own: the ids are the tokenizer's.
"""

import re
from typing import Any
from weakref import WeakKeyDictionary

from .tokenizer import SPECIAL

MOST_REMEMBERED = 200_000  # parts, some 50 MB; then it begins again

_SPECIAL = re.compile(f"({'|'.join(map(re.escape, SPECIAL))})")
_known: WeakKeyDictionary[Any, dict[str, list[int]]] = WeakKeyDictionary()


def encode(tokenizer: Any, text: str) -> list[int]:
    """The ids of a text, as `tokenizer(text, add_special_tokens=False)` gives them."""
    known = _known.get(tokenizer)
    if known is None or len(known) > MOST_REMEMBERED:
        known = _known[tokenizer] = {}
    ids: list[int] = []
    for part in _SPECIAL.split(text):
        if part:
            found = known.get(part)
            if found is None:
                found = known[part] = tokenizer.backend_tokenizer.encode(part, add_special_tokens=False).ids
            ids += found
    return ids
