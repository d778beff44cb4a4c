"""The stream of events is the same however its bytes are cut, and is what the standard says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen35_lab.serving import EventParser

# all that a value may hold: any letter but the two that end a line
VALUES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=12)
ENDS = ("\n", "\r\n", "\r")


def parsed(raw: bytes, cuts: list[int] = ()) -> list[str]:
    parser, found = EventParser(), []
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    for start, end in pairwise(edges):
        found += parser.push(raw[start:end])
    return found


@st.composite
def streams(draw) -> tuple[bytes, list[str]]:
    """A stream, and the events in it."""
    end, raw, events = draw(st.sampled_from(ENDS)), draw(st.sampled_from(("", "\ufeff"))), []
    for values in draw(st.lists(st.lists(VALUES, min_size=1, max_size=3), max_size=4)):
        for value in values:
            raw += draw(st.sampled_from(("", ": still here" + end, "id: 7" + end, "retry" + end)))
            blank = " " if value.startswith(" ") else draw(st.sampled_from(("", " ")))
            raw += f"data:{blank}{value}{end}"
        raw += end * draw(st.integers(1, 2))
        events.append("\n".join(values))
    return raw.encode(), events


@given(streams(), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_a_stream_cut_anywhere_holds_the_same_events(stream, cuts):
    raw, events = stream
    assert parsed(raw, cuts) == events


@given(streams())
def test_a_stream_that_comes_byte_by_byte_holds_the_same_events(stream):
    raw, events = stream
    assert parsed(raw, list(range(len(raw)))) == events


@pytest.mark.parametrize(
    "raw, events",
    [
        ("data: a\n\n", ["a"]),
        ("data:a\n\n", ["a"]),  # the blank is optional
        ("data:  a\n\n", [" a"]),  # and only one of them
        ("data: a\ndata: b\n\n", ["a\nb"]),
        ("data\n\n", [""]),  # a field without a value
        (": only a comment\n\n", []),
        ("event: ping\n\n", []),
        ("data: a", []),  # cut off
        ("data: a\n", []),
        ("data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        ("data: a\r\rdata: b\n\n", ["a", "b"]),
        ("data: a\r\ndata: b\r\n\r\n", ["a\nb"]),  # a line's end that is cut in two is no empty line
        ("data: a\u2028b\x0bc\x85d\n\n", ["a\u2028b\x0bc\x85d"]),  # where str.splitlines would cut
        ("\ufeffdata: a\n\n", ["a"]),
        ("data: \ufeffa\n\n", ["\ufeffa"]),  # elsewhere it is a letter
    ],
)
def test_the_standards_corners(raw, events):
    assert parsed(raw.encode()) == events
    assert parsed(raw.encode(), list(range(len(raw.encode())))) == events


def test_bytes_that_are_no_text_do_not_end_the_stream():
    assert parsed(b"data: a\xff\xfeb\n\ndata: c\n\n") == ["a��b", "c"]


def test_it_says_how_much_waits():
    parser = EventParser()
    parser.push(b"data: abc\ndata: d")
    assert parser.waiting == len("abc") + len("data: d")
    parser.push(b"\n\n")
    assert parser.waiting == 0
