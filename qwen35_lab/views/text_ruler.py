"""The text ruler: paste a text and see its tokens under two vocabularies, side by side, with their price.

Samples are counted once and travel with the widget, so an exported page can show all of them. A text of the reader's
own is counted in Python, as the tables are too large for a page: that needs a kernel.
"""

import json
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import traitlets

from ..analysis.languages import Sample
from ..analysis.scripts import words
from ..errors import InputError
from ..inputs.vocabularies import Vocabulary
from .text_ruler_png import draw
from .widget import LabWidget, css, encode, esm
from .words import minus, short, visible

SHOWN = 400  # tokens of a text; all are counted
LONGEST = 100_000  # characters of a text that is counted
FULL = 12  # bytes of a token that has the strongest colour
TEXTS = 1000  # that a price is for


class TextRuler(LabWidget):
    """The widget. `payload` is all it knows, as JSON; `sample` (one too many is the reader's own text), `price` and
    `window` say where it stands and can be set; `text` is the reader's own."""

    TITLE = "Text ruler"
    _esm = esm("kit", "controls", "text_ruler")
    _css = css("kit", "controls", "text_ruler")
    payload = traitlets.Unicode().tag(sync=True)
    sample = traitlets.Int(0).tag(sync=True)
    price = traitlets.Int(0).tag(sync=True)
    window = traitlets.Int(0).tag(sync=True)
    ask = traitlets.Unicode("").tag(sync=True)  # the browser's question: {count, text}
    answer = traitlets.Unicode("").tag(sync=True)  # {count, counted, error}

    def __init__(
        self, data: dict[str, Any], vocabularies: tuple[Vocabulary, Vocabulary], provenance: object, **at: int
    ):
        self._data, self._pair, self._provenance = data, vocabularies, str(provenance)
        self._lock, self._own, self._said = threading.Lock(), data["samples"][0]["counted"], 0
        super().__init__(payload=json.dumps(encode({**self.head(), **data})), **at)
        self.on_msg(lambda widget, content, buffers: widget.send({"ready": True}))  # see deck._greet

    def provenance(self) -> str:
        return self._provenance

    def count(self, text: str) -> dict[str, Any]:
        """Show a text of one's own, and return `measured()`."""
        with self._lock:
            self._own = counted(text, self._pair)
            self._said += 1
            self.answer = json.dumps({"count": self._said, "counted": self._own, "error": ""})
        self.sample = len(self._data["samples"])
        return self.measured()

    def counted(self) -> dict[str, Any]:
        """What is shown now."""
        samples = self._data["samples"]
        return samples[self.sample]["counted"] if self.sample < len(samples) else self._own

    def measured(self) -> dict[str, Any]:
        """The numbers that stand beside it."""
        now, usd, window = self.counted(), self._data["prices"][self.price]["usd"], self._data["windows"][self.window]
        old, new = (each["tokens"] for each in now["sides"])
        return {
            "tokens": (old, new), "saved": 1 - new / old, "bytes": now["bytes"], "words": now["words"],
            "usd": tuple(n * TEXTS * usd / 1e6 for n in (old, new)),
            "share": tuple(n / window["tokens"] for n in (old, new)),
        }  # fmt: skip

    def facts(self) -> list[tuple[str, str, str]]:
        """(what, old, new), as they are shown."""
        now, found, window = self.counted(), self.measured(), self._data["windows"][self.window]["tokens"]
        rows = {
            "tokens": [f"{n:,}" for n in found["tokens"]],
            "bytes a token": [short(now["bytes"] / n) for n in found["tokens"]],
            "tokens a word": [short(n / now["words"]) if now["words"] else "–" for n in found["tokens"]],
            f"{TEXTS:,} such texts": [f"${usd:.3g}" for usd in found["usd"]],
            f"of a window of {window:,}": [_percent(share) for share in found["share"]],
        }
        return [(what, old, new) for what, (old, new) in rows.items()]

    def said(self) -> str:
        """What the two counts come to."""
        (old, new), (first, second) = self.measured()["tokens"], (each["name"] for each in self._data["vocabularies"])
        change = f"{abs(1 - new / old):.0%} {'fewer' if new < old else 'more'}" if new != old else "as many"
        return f"{second} needs {new:,} tokens where {first} needs {old:,}: {change}."

    def static(self) -> bytes:
        """The present view as a PNG."""
        names = [each["name"] for each in self._data["vocabularies"]]
        return draw(self.provenance(), names, self.counted(), self.facts(), self.said(), self._data["caption"])

    def alt(self) -> str:
        """The present view in words."""
        told = "; ".join(f"{what}: {old} and {new}" for what, old, new in self.facts())
        return f"The text “{self.counted()['text'][:120]}”. {self.said()} {minus(told)}."

    @traitlets.observe("ask")
    def _answer(self, _: Any) -> None:
        """The latest question is answered; those that came while another was at work are left out."""
        with self._lock:
            question = json.loads(self.ask)
            if question["count"] == self._said:
                return
            self._said, error = question["count"], ""
            try:
                self._own = counted(question["text"], self._pair)
            except Exception as problem:  # an error of a callback would be seen nowhere: the widget shows it
                error = f"{type(problem).__name__}: {problem}"
            self.answer = json.dumps({"count": self._said, "counted": self._own, "error": error})


def _percent(share: float) -> str:
    """Two digits, and no exponent: 0.047 %, 120 %."""
    return f"{float(f'{100 * share:.2g}'):,g} %"


def counted(text: str, vocabularies: tuple[Vocabulary, ...]) -> dict[str, Any]:
    """A text with its tokens, as the widget draws them: [label, id, bytes, 1 if it is part of a character].

    Raises:
        InputError: no text, or more than `LONGEST` characters.
    """
    if not text or len(text) > LONGEST:
        raise InputError(f"The text has {len(text):,} characters; pass 1 to {LONGEST:,}.")
    text = text.encode("utf-8", errors="replace").decode()  # half of a surrogate pair has no bytes
    found, sides = words(text), []
    for each in vocabularies:
        ids = each.encode(text)
        sides.append({"tokens": len(ids), "chips": [chip(each.token(n), n) for n in ids[:SHOWN]]})
    turns = sum(unicodedata.bidirectional(c) in ("R", "AL") for c in text) > len(text) / 3
    return {
        "text": text,
        "bytes": len(text.encode()),
        "words": len(found) if found else None,
        "rtl": turns,
        "sides": sides,
    }


def chip(token: bytes, n: int) -> list[Any]:
    try:
        text, part = token.decode(), 0
    except UnicodeDecodeError:
        text, part = token.hex(" ").upper(), 1
    joined = not part and unicodedata.category(text[0])[0] == "M"  # a mark needs something to stand on
    return [("◌" if joined else "") + (text if part else visible(text)), n, len(token), part]


def text_ruler(
    old: Vocabulary, new: Vocabulary, samples: Iterable[Sample], *, prices: Mapping[str, float], priced: str,
    windows: Mapping[str, int], provenance: object, **at: int,
) -> TextRuler:  # fmt: skip
    """Measure texts under two vocabularies.

    Args:
        samples: texts to begin with.
        prices: name -> US dollars for a million tokens of input.
        priced: when and where these prices stood.
        windows: name -> tokens of context.
        at: where to begin: sample, price, window, each a place.
    Raises:
        InputError: no sample, no price or no window, or a place that there is not.
    """
    given = [{"name": each.name, "counted": counted(each.text, (old, new))} for each in samples]
    if not given or not prices or not windows:
        raise InputError("Pass at least one sample, one price and one window.")
    sizes = {"sample": len(given), "price": len(prices), "window": len(windows)}
    for name, place in at.items():
        if name not in sizes or not 0 <= place < sizes[name]:
            raise InputError(f"There is no place {place!r} of {name!r}; there are {sizes} places.")
    data = {
        "vocabularies": [{"name": each.name, "size": len(each)} for each in (old, new)], "samples": given,
        "prices": [{"name": name, "usd": usd} for name, usd in prices.items()],
        "windows": [{"name": name, "tokens": tokens} for name, tokens in windows.items()],
        "full": FULL, "texts": TEXTS, "alt": "",
        "caption": f"The darker a token, the more bytes it has. Prices of input tokens: {priced}.",
    }  # fmt: skip
    return TextRuler(data, (old, new), provenance, **at)
