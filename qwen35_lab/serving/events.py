"""Server-sent events: the bytes of an answer that is still being written -> the texts that were sent.

    data: {"choices": …}         one line of a field, a colon and a value, which one blank may precede
    data: more of the same       several of them are joined by line breaks
    : still here                 a comment, which servers send so that nobody hangs up
                                 an empty line ends the event

Bytes come in pieces that end anywhere: in a line, between the two signs of a line's end, in the middle of a letter.
Whatever the pieces, the events are the same. An event that no empty line ends was cut off, and is dropped.

Reference: the HTML standard, §9.2.6, "Interpreting an event stream".
"""

import codecs
import re

LINE_END = re.compile("\r\n|\r|\n")  # and no other sign: str.splitlines would cut at more


class EventParser:
    """Pieces in, the data of whole events out.

    parser = EventParser()
    for piece in response.iter_bytes():
        for text in parser.push(piece):
            …
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""  # begun, not ended
        self._data: list[str] = []
        self._begins, self._after_cr = True, False

    @property
    def waiting(self) -> int:
        """Characters of an event that has not ended."""
        return len(self._line) + sum(map(len, self._data))

    def push(self, piece: bytes) -> list[str]:
        """The events that this piece completes, of those that carry data."""
        text = self._decoder.decode(piece)
        if not text:
            return []
        if self._begins:
            text, self._begins = text.removeprefix("\ufeff"), False
        if self._after_cr:
            text = text.removeprefix("\n")
        self._after_cr = text.endswith("\r") if text else False
        *lines, self._line = LINE_END.split(self._line + text)
        return [event for line in lines if (event := self._read(line)) is not None]

    def _read(self, line: str) -> str | None:
        """One line; the event, if the line ends one."""
        if not line:
            data, self._data = self._data, []
            return "\n".join(data) if data else None
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        return None
