"""The exercises of notebook 08: positions of texts with pictures, the size of a page, and what follows two pictures."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..inputs import ImageSettings
from ..inputs.image import image_size
from ..model import positions as model_positions
from ..model.positions import IMAGE, TEXT
from .numbers import as_number, as_whole, shown
from .page import legible
from .verdict import attempt

Parts = Sequence[int | tuple[int, int]]  # whole numbers of text tokens, and (rows, columns) of a picture's cells

# --------------------------------------------------------------------------------- 08.1  mrope_positions(parts)


def mrope_positions(parts: Parts) -> Tensor:
    """The oracle: what the model does. [3, token]"""
    kinds: list[int] = []
    for part in parts:
        size, kind = (part, TEXT) if isinstance(part, int) else (part[0] * part[1], IMAGE)
        kinds += [kind] * size
    grids = [(1, *part) for part in parts if not isinstance(part, int)]
    start = torch.zeros(1, dtype=torch.long)
    return model_positions.mrope_positions(torch.tensor([kinds]), None, grids, [], start)[:, 0]


def texts() -> list[list[int | tuple[int, int]]]:
    """Text alone, one picture, pictures that are not square, two, side by side, first and last, and a film."""
    film: list[int | tuple[int, int]] = [4, *[part for _ in range(3) for part in (7, (2, 3))], 3]
    return [
        [5], [3, (2, 2), 4], [4, (2, 5), 6], [4, (5, 2), 6], [1, (3, 4), 2, (6, 2), 5], [2, (2, 3), (4, 1), 3],
        [(2, 3), 4], [6, (3, 3)], [2, (1, 1), 2], film,
    ]  # fmt: skip


def _positions(
    parts: Parts,
    place: Callable[[int, int, int], tuple[int, int, int]] = lambda p, r, c: (p, p + r, p + c),
    step: Callable[[int, int], int] = max,
    order: Callable[[int, int], list[tuple[int, int]]] = lambda h, w: [(r, c) for r in range(h) for c in range(w)],
) -> Tensor:
    """The rule, with a wrong `place` of a cell, a wrong `step` over a picture, or a wrong `order` of cells."""
    found: list[tuple[int, int, int]] = []
    p = 0
    for part in parts:
        if isinstance(part, int):
            found += [(p + n, p + n, p + n) for n in range(part)]
            p += part
        else:
            found += [place(p, r, c) for r, c in order(*part)]
            p += step(*part)
    return torch.tensor(found).T


def _running(parts: Parts) -> Tensor:
    """Every token has its own number as time."""
    found = _positions(parts)
    return torch.cat((torch.arange(found.shape[1])[None], found[1:]))


POSITION_MISTAKES: tuple[tuple[str, Callable[[Parts], Tensor]], ...] = (
    (
        "You count tokens. The cells of a picture share one time; their height and width tell them apart.",
        lambda parts: torch.arange(mrope_positions(parts).shape[1]).expand(3, -1),
    ),
    (
        "The text behind a picture goes on too far: a picture of h×w cells takes up max(h, w) positions, not h·w.",
        lambda parts: _positions(parts, step=lambda h, w: h * w),
    ),
    (
        "The text behind a picture goes on at its height; it is the longer side that counts, max(h, w).",
        lambda parts: _positions(parts, step=lambda h, w: h),
    ),
    (
        "The text behind a picture goes on at its width; it is the longer side that counts, max(h, w).",
        lambda parts: _positions(parts, step=lambda h, w: w),
    ),
    (
        "The text behind a picture goes on one too far: the largest position inside is p + max(h, w) − 1, and one more "
        "is p + max(h, w).",
        lambda parts: _positions(parts, step=lambda h, w: max(h, w) + 1),
    ),
    (
        "The text behind a picture begins on the picture's last position; it goes on one behind it.",
        lambda parts: _positions(parts, step=lambda h, w: max(h, w) - 1),
    ),
    (
        "The text behind a picture goes on at its shorter side; it is the longer one that counts.",
        lambda parts: _positions(parts, step=min),
    ),
    (
        "The text behind a picture goes on as if the picture took up one position; it takes max(h, w).",
        lambda parts: _positions(parts, step=lambda h, w: 1),
    ),
    (
        "Height and width are exchanged: the second row is p + row, the third p + column.",
        lambda parts: _positions(parts, lambda p, r, c: (p, p + c, p + r)),
    ),
    (
        "Rows and columns are counted from 0 in every picture; they count from where the picture stands, p + row.",
        lambda parts: _positions(parts, lambda p, r, c: (p, r, c)),
    ),
    (
        "Time runs on with the rows of a picture; in a still picture it stands still, p for every cell.",
        lambda parts: _positions(parts, lambda p, r, c: (p + r, p + r, p + c)),
    ),
    ("Time counts the tokens; inside a picture it stands still, and behind it goes on at p + max(h, w).", _running),
    (
        "The cells come column by column; they lie row by row.",
        lambda parts: _positions(parts, order=lambda h, w: [(r, c) for c in range(w) for r in range(h)]),
    ),
)


def check_positions(answer: Any, given: Any) -> tuple[bool, str]:
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    results = []
    for parts in texts():
        result, problem = attempt(answer, (list(parts),), "(parts)")
        problem = problem or _no_positions(result, parts)
        if problem:
            return False, problem
        results.append(torch.as_tensor(result))
    asked = [mrope_positions(parts) for parts in texts()]
    if all(torch.equal(a.double(), b.double()) for a, b in zip(results, asked, strict=True)):
        return True, f"`{answer.__name__}` gives the model's positions for {len(asked)} texts, a film among them."
    for diagnosis, wrong in POSITION_MISTAKES:
        if all(torch.equal(a.double(), wrong(parts).double()) for a, parts in zip(results, texts(), strict=True)):
            return False, diagnosis
    n = next(n for n, (a, b) in enumerate(zip(results, asked, strict=True)) if not torch.equal(a.double(), b.double()))
    token = int((results[n] != asked[n]).any(0).nonzero()[0])
    return False, (
        f"For {texts()[n]} token {token} stands at {tuple(results[n][:, token].tolist())}; it should stand at "
        f"{tuple(asked[n][:, token].tolist())} (time, height, width)."
    )


def _no_positions(result: Any, parts: Parts) -> str:
    try:
        found = torch.as_tensor(result)
    except (ValueError, TypeError, RuntimeError):
        return f"It returns a {type(result).__name__} that is no table of numbers; return [3, token]."
    wanted = mrope_positions(parts).shape
    if found.shape == wanted:
        return ""
    turned = " Turn it over with .T." if found.shape == wanted[::-1] else ""
    return f"For {list(parts)} it returns shape {list(found.shape)}, not {list(wanted)}: time, height, width.{turned}"


# ------------------------------------------------------------------------ 08.2  page_size(height, width, most)

PAGES = ((1400, 2100), (2400, 1200), (1300, 1300))  # height, width
MOST, READ = 1024, 0.9
MOST_PIXELS = 1_000_000  # of an edge that is worth a closer look
STRETCHED = 1.15  # times that one edge may be shrunk more than the other before it is said


def check_page(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge sizes by what they cost under the published settings, and by what a reader of digits still makes out."""
    if not callable(answer):
        return False, f"Pass the function itself, without calling it; this is a {type(answer).__name__}."
    settings, told = ImageSettings(), []
    for height, width in PAGES:
        result, problem = attempt(answer, (height, width, MOST), "(height, width, most)")
        problem = problem or _no_size(result)
        if problem:
            return False, problem
        size = int(result[0]), int(result[1])
        try:
            rows, columns = image_size(*size, settings)
        except InputError as error:
            return False, f"For a page of {height} × {width}: {error}"
        tokens, read = settings.tokens(*size), legible(height, width, rows, columns)
        if problem := _page_problem((height, width), size, (rows, columns), tokens, read):
            return False, f"For a page of {height} × {width}: {problem}"
        told.append(f"{tokens:,} tokens, {read:.0%} read")
    return True, "Below the limit, and legible: " + "; ".join(told) + "."


def _page_problem(page: tuple[int, int], size: tuple[int, int], seen: tuple[int, int], tokens: int, read: float) -> str:
    cost = f"{size[0]} × {size[1]} is resized to {seen[0]} × {seen[1]} and costs {tokens:,} tokens"
    if tokens >= MOST:
        near = seen != size and tokens < 1.15 * MOST
        why = " Edges are rounded to the nearest multiple of 32, up as well as down." if near else ""
        return f"{cost}; stay below {MOST:,}.{why}"
    if read >= READ:
        return ""
    shrunk = [side / whole for side, whole in zip(seen, page, strict=True)]
    if max(shrunk) > STRETCHED * min(shrunk):
        return (
            f"{cost}, but only {read:.0%} of the digits can be read: height is {shrunk[0]:.2f} and width "
            f"{shrunk[1]:.2f} of what it was. Shrink both edges alike."
        )
    return f"{cost}, but only {read:.0%} of the digits can be read; use more of the {MOST:,} tokens."


def _no_size(result: Any) -> str:
    try:
        sides = [as_number(side) for side in result]
    except TypeError:
        sides = []
    size = [side for side in sides if side is not None and side == side]
    if len(sides) != 2 or len(size) != 2:
        return "Return two numbers, (height, width), in pixels."
    if min(size) < 1:
        return f"It returns {shown(result)}; an edge has at least one pixel."
    if max(size) > MOST_PIXELS:
        return f"It returns {shown(result)}; stay below {MOST:,} tokens, and a token is 32 × 32 pixels."
    if max(size) <= 128:
        return f"It returns {shown(result)}; return pixels, not cells: a cell is 32 of them."
    return ""


# ------------------------------------------------------------------------------------------ 08.3  after two pictures


def check_after(answer: Any, given: Any) -> tuple[bool, str]:
    """Judge the (time, height, width) of the first token behind the second picture of `given`, a list of parts."""
    pictures = [n for n, part in enumerate(given or ()) if not isinstance(part, int)]
    if len(pictures) < 2:
        raise InputError("This exercise is about a text with two pictures; pass it as `given`.")
    behind = mrope_positions([*given[: pictures[1] + 1], 1])[:, -1].tolist()
    if answer is None or answer is ...:
        return False, "No answer yet: write three numbers, (time, height, width)."
    try:
        said = [as_whole(n) for n in ([answer] * 3 if isinstance(answer, int) else answer)]
    except TypeError:
        said = [None]
    if None in said:
        return False, "Write three whole numbers, (time, height, width)."
    if len(said) != 3:
        return False, f"These are {len(said)} numbers; a position has three, (time, height, width)."
    if said == behind:
        return True, f"The token behind the second picture stands at {tuple(behind)}."
    for diagnosis, wrong in _slips(given, pictures).items():
        if said == [wrong] * 3:
            return False, diagnosis
    if len(set(said)) > 1:
        return False, "It is a text token: its three positions are one and the same number."
    rule = "text moves on by its tokens, a picture by its longer side"
    return False, f"Not {shown(said[0])}. Go through the parts: {rule}."


def _slips(parts: Parts, pictures: Sequence[int]) -> dict[str, int]:
    """What is counted wrongly -> the number that comes of it; the right one is never among them."""
    before = list(parts[: pictures[1] + 1])
    text = [part for part in before if isinstance(part, int)]
    grids = [part for part in before if not isinstance(part, int)]
    words, right = sum(text), sum(text) + sum(map(max, grids))
    slips = {
        "You count tokens; a picture takes up only its longer side.": words + sum(h * w for h, w in grids),
        "You add the heights; the longer side counts, max(h, w).": words + sum(h for h, _ in grids),
        "You add the widths; the longer side counts, max(h, w).": words + sum(w for _, w in grids),
        "You add the shorter sides; the longer one counts.": words + sum(map(min, grids)),
        "The text between the pictures is missing.": text[0] + sum(map(max, grids)),
        "The first picture is missing.": words + max(grids[-1]),
        "That is where the second picture begins; what follows stands behind it.": words + max(grids[0]),
        "One too little: that is the last position inside the picture, or its neighbour's.": right - 1,
        "One too much: positions are counted from 0, and the next free one is taken.": right + 1,
    }
    return {told: number for told, number in slips.items() if number != right}


CHECKS = {"08.1": check_positions, "08.2": check_page, "08.3": check_after}
