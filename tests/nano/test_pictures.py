"""Pictures and clips show what the answers say: read back from the pixels, without the generator."""

import re
from itertools import pairwise

import numpy as np
import pytest

from qwen35_lab.nano import world
from qwen35_lab.nano.world.drawing import PAINT, SHAPES, digit_mask, shape_mask

COLOURS = list(PAINT)
PAINTS = np.array(list(PAINT.values()), int)


def colours_in(picture: np.ndarray) -> np.ndarray:
    """The number of each pixel's colour, −1 for the ground, [height, width]: by the nearest paint."""
    far = np.abs(picture[..., None, :].astype(int) - PAINTS).max(-1)
    return np.where(far.min(-1) <= 12, far.argmin(-1), -1)


def blobs(mask: np.ndarray, diagonal: bool = True) -> list[np.ndarray]:
    """Connected parts of a mask, each as a mask of its own."""
    steps = [(0, 1), (1, 0), (0, -1), (-1, 0)] + [(1, 1), (1, -1), (-1, 1), (-1, -1)] * diagonal
    left, found = {tuple(at) for at in np.argwhere(mask).tolist()}, []
    while left:
        edge = [left.pop()]
        part = np.zeros_like(mask)
        while edge:
            y, x = edge.pop()
            part[y, x] = True
            near = {(y + dy, x + dx) for dy, dx in steps} & left
            left -= near
            edge += near
        found.append(part)
    return found


def box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """First and last line, first and last column."""
    lines, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return lines[0], lines[-1], columns[0], columns[-1]


def shape_of(mask: np.ndarray) -> str:
    """By how much of its box is filled, and where."""
    top, bottom, left, right = box(mask)
    part = mask[top : bottom + 1, left : right + 1]
    fill, centre = part.mean(), part[part.shape[0] // 2, part.shape[1] // 2]
    if not centre:
        return "ring"
    if fill > 0.98:
        return "square"
    if part[-1].mean() > 0.9:
        return "triangle"
    if len(set(part.sum(1).tolist())) == 2:
        return "cross"
    return "circle" if fill > 0.65 else "diamond"


Seen = tuple[str, str, str, int]  # place, colour, shape, width of the box


def see(picture: np.ndarray) -> list[Seen]:
    """Everything in a picture, in reading order of its cells."""
    numbers, found = colours_in(picture), []
    for colour in range(len(COLOURS)):
        for blob in blobs(numbers == colour):
            top, bottom, left, right = box(blob)
            cell = ((top + bottom) // 2 // 32, (left + right) // 2 // 32)
            found.append((cell, (place(cell, picture.shape), COLOURS[colour], shape_of(blob), int(right - left) + 1)))
    return [each for _, each in sorted(found)]


def place(cell: tuple[int, int], shape: tuple[int, ...]) -> str:
    lines = {1: [""], 2: ["top", "bottom"], 3: ["top", "middle", "bottom"]}[shape[0] // 32]
    columns = {1: [""], 2: ["left", "right"], 3: ["left", "centre", "right"]}[shape[1] // 32]
    return f"{lines[cell[0]]} {columns[cell[1]]}".strip()


def questions(sample: world.Sample) -> list[tuple[str, str, str]]:
    """type, text, answer."""
    asked = []
    for question in sample.questions:
        content = sample.messages[question.turn - 1]["content"]
        asked.append((question.type, content if isinstance(content, str) else content[-1]["text"], question.answer))
    return asked


def named(seen: Seen) -> str:
    return f"{seen[1]} {seen[2]}"


def answer_about_shapes(kind: str, text: str, there: list[Seen]) -> set[str]:
    """All answers that the pixels allow."""
    words = re.findall(r"\w+", text)
    things = [f"{a} {b}" for a, b in pairwise(words) if a in COLOURS and b in SHAPES]
    of = {named(seen): seen for seen in there}
    match kind:
        case "colour":
            return {c for _, c, s, _ in there if s in words}
        case "shape":
            return {s for _, c, s, _ in there if c in words}
        case "where":
            return {of[things[0]][0]}
        case "at":
            return {named(seen) for seen in there if f"the {seen[0]}?" in text} or {"nothing"}
        case "count":
            return {str(len(there))}
        case "count some":
            word = words[2] if words[2] in COLOURS else words[2].removesuffix("es" if "crosses" in words else "s")
            return {str(sum(word in seen[1:3] for seen in there))}
        case "size":
            return {"big" if of[things[0]][3] > 13 else "small"}
        case "larger":
            return {max(things, key=lambda name: of[name][3])}
        case "relation":
            first, second = (cell_of(of[name][0]) for name in things)
            axis = 0 if {"above", "below"} & set(words) else 1
            before = bool({"above", "left"} & set(words))
            return {"yes" if (first[axis] < second[axis]) == before else "no"}
        case "describe":
            parts = (f"{seen[0]} {'big' if seen[3] > 13 else 'small'} {named(seen)}" for seen in there)
            return {", ".join(parts)}
    raise AssertionError(kind)


def cell_of(name: str) -> tuple[int, int]:
    order = {"top": 0, "middle": 1, "bottom": 2, "left": 0, "centre": 1, "right": 2}
    line = [order[word] for word in name.split() if word in ("top", "middle", "bottom")]
    column = [order[word] for word in name.split() if word in ("left", "centre", "right")]
    return (line or [0])[0], (column or [0])[0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_shapes_are_as_the_answers_say(split):
    seen = set()
    for n in range(150):
        sample = world.draw("shapes", 0, n, split)
        pictures = [see(picture) for picture in sample.images]
        for kind, text, answer in questions(sample):
            if kind == "which":
                (has,) = [n for n, there in enumerate(pictures) if any(named(s) in text for s in there)]
                assert ("first", "second")[has] == answer
            else:
                assert answer_about_shapes(kind, text, pictures[0]) == {answer}, (n, text)
            seen.add(kind)
    assert len(seen) == 11


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [5, 6, 9, 10, 11])
def test_a_shape_can_be_told_from_the_others(shape, radius):
    mask = shape_mask(shape, radius)
    assert mask.shape == (2 * radius + 1,) * 2 and shape_of(mask) == shape
    assert 2 * radius - 3 <= box(mask)[3] - box(mask)[2] + 1 <= 2 * radius + 1


def test_digits_have_their_colour_and_their_holes():
    holes = {"0": 1, "4": 1, "6": 1, "8": 2, "9": 1}
    read = set()
    for n in range(200):
        sample = world.draw("digits", 0, n)
        numbers = colours_in(sample.images[0])
        (colour,) = set(numbers[numbers >= 0].tolist())
        for kind, _, answer in questions(sample):
            if kind.endswith("colour"):
                assert answer == COLOURS[colour]
            elif np.ptp(np.flatnonzero((numbers >= 0).any(1))) >= 20:  # in smaller ones strokes may touch
                around = blobs(np.pad(numbers < 0, 1, constant_values=True), diagonal=False)
                assert len(around) - 1 == sum(holes.get(digit, 0) for digit in answer), (n, answer)
                read |= set(answer)
    assert read == set("0123456789")


def test_digits_differ_from_each_other():
    for bold in (False, True):
        for slanted in (False, True):
            masks = {digit_mask(digit, 2, bold, slanted).tobytes() for digit in range(10)}
            assert len(masks) == 10
    assert digit_mask(1, 3, False, False).shape == (21, 15)


def test_charts_have_the_heights_that_the_answers_say():
    for n in range(150):
        sample = world.draw("charts", 0, n)
        numbers = colours_in(sample.images[0])
        tall = {COLOURS[c]: int((numbers == c).any(1).sum()) // 6 for c in set(numbers[numbers >= 0].tolist())}
        assert len(set(tall.values())) == len(tall)
        for kind, text, answer in questions(sample):
            words = [word for word in re.findall(r"\w+", text) if word in COLOURS]
            right = {
                "taller": lambda words=words, tall=tall: max(words, key=tall.__getitem__),
                "tallest": lambda tall=tall: max(tall, key=tall.__getitem__),
                "shortest": lambda tall=tall: min(tall, key=tall.__getitem__),
                "height": lambda words=words, tall=tall: str(tall[words[0]]),
                "bars": lambda tall=tall: str(len(tall)),
            }[kind]()
            assert answer == right, (n, text)


def test_things_move_as_the_answers_say():
    seen = set()
    for n in range(120):
        sample = world.draw("clips", 0, n)
        (clip,) = sample.clips
        assert len(clip) in (2, 4, 6, 8)
        paths = centres(clip)
        moved = {name: path[-1] - path[0] for name, path in paths.items()}
        moves = [name for name, way in moved.items() if np.abs(way).max() > 16]
        assert 1 <= len(moves) <= 2 and all(np.abs(way).max() < 2 for name, way in moved.items() if name not in moves)
        started = {name: int(np.abs(paths[name] - paths[name][0]).max(1).argmax()) for name in moves}
        for kind, text, answer in questions(sample):
            (name,) = [name for name in paths if name in text] or [""]
            assert answer == right_about_clip(kind, name, clip, paths, moved, started), (n, text)
            seen.add(kind)
    assert seen == {"direction", "start", "end", "count", "first", "last", "moves", "stays"}


def centres(clip: np.ndarray) -> dict[str, np.ndarray]:
    """colour and shape -> its centre in every frame, [frame, 2]."""
    paths: dict[str, list[tuple[float, float]]] = {}
    for frame in clip:
        numbers = colours_in(frame)
        for colour in set(numbers[numbers >= 0].tolist()):
            for blob in blobs(numbers == colour):
                top, bottom, left, right = box(blob)
                paths.setdefault(f"{COLOURS[colour]} {shape_of(blob)}", []).append(
                    ((top + bottom) / 2, (left + right) / 2)
                )
    assert all(len(path) == len(clip) for path in paths.values())
    return {name: np.array(path) for name, path in paths.items()}


def right_about_clip(kind, name, clip, paths, moved, started) -> str:
    if kind == "direction":
        down, right = moved[name]
        return ("down" if down > 0 else "up") if abs(down) > abs(right) else ("right" if right > 0 else "left")
    if kind in ("start", "end"):
        y, x = paths[name][0 if kind == "start" else -1]
        return place((int(y) // 32, int(x) // 32), clip.shape[1:])
    if kind == "count":
        return str(len(paths))
    if kind == "stays":
        return next(name for name in paths if name not in started)
    order = sorted(started, key=started.__getitem__)
    return order[-1] if kind == "last" else order[0]
