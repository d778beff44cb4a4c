"""How long a reader waits: measured, kept in artefacts/browser/timings.json, printed, and never asserted.

And what must hold however long it takes: a dial that is moved while a cell runs neither waits for it nor spoils it.
"""

import itertools
import json
import statistics

import pytest
from browser.driver import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

TIMINGS = ROOT / "artefacts" / "browser" / "timings.json"
PRESSES = 25

START = """
import hashlib, itertools, time, torch
import qwen35_lab as lab
from qwen35_lab.views.cinema import state_cinema
from qwen35_lab.views.deck import Axis, Curves, Deck, Dial, Heat
torch.set_grad_enabled(False)
qwen = lab.load("recall")
steps = Dial("step", range(51))
answered = []
"""
PRELOADED = {
    "heat map 64 × 64": 'Heat("", torch.randn(51, 64, 64), over=["step"])',
    "heat map 64 × 512": 'Heat("", torch.randn(51, 64, 512), over=["step"])',
    "curve of 2,000 points": 'Curves("", Axis("x"), {"y": torch.randn(51, 2000)}, over=["step"])',
}
CINEMA = """
names = ("q", "k", "v", "beta", "decay", "state", "write", "erase")
trace = qwen.trace("cat red . dog blue . " * 43, record=[f"layers.0.mixer.{name}" for name in names])
state_cinema(trace, 0, 0)
"""
# The erase term of one layer is turned down; OTHER is the model that runs when the dial moves.
LIVE = """
other = OTHER
def logits(places):
    answered.append(places)
    with other.edited(lab.edit("layers.0.mixer.erase").scale(places["step"] / 50)):
        return [Heat("logits", other.model(other.encode("cat red . ? cat")).logits[0])]
Deck(dials=[steps], live=logits)
"""


def record(name: str, **numbers: float) -> None:
    TIMINGS.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(TIMINGS.read_text(encoding="utf-8")) if TIMINGS.exists() else {}
    known[name] = {key: round(value, 1) for key, value in numbers.items()}
    TIMINGS.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def press(lab, key: str, redraws: int) -> float:
    """Milliseconds from a key press to the frame after so many redraws."""
    lab.page.keyboard.press(key)
    assert lab.soon(lambda: lab.page.evaluate("reader.redrawn().redraws") >= redraws), "no redraw"
    return lab.page.evaluate("reader.redrawn().ms")


def measure(lab, name: str, slider, redraws: int = 1) -> None:
    slider.focus()
    press(lab, "ArrowRight", redraws)  # the first one is slower: it compiles the code
    times = [press(lab, "ArrowRight", redraws) for _ in range(PRESSES)]
    record(name, median_ms=statistics.median(times), p90_ms=statistics.quantiles(times, n=10)[-1], presses=len(times))


def test_time_from_key_to_redraw(sample):
    decks = [f"Deck([{panel}], [steps])" for panel in PRELOADED.values()]
    lab = sample(START, *decks, LIVE.replace("OTHER", "qwen.twin()"))
    *preloaded, live = lab.sliders()
    for name, slider in zip(PRELOADED, preloaded, strict=True):
        measure(lab, name, slider)
    measure(lab, "the model runs again", live, redraws=2)  # first the dial, then the answer
    assert lab.errors() == []


def test_frames_per_second_of_the_state_cinema(sample):
    lab = sample(START, CINEMA)
    lab.page.locator(".jp-OutputArea-output select").select_option("60")
    begin = lab.page.evaluate("reader.drawn.length")
    lab.page.locator(".jp-OutputArea-output .q35-play").click()
    lab.page.wait_for_timeout(2500)
    lab.page.wait_for_function(f"reader.drawn.length > {begin + 3}")
    times = lab.page.evaluate(f"reader.drawn.slice({begin + 1})")
    assert len(times) > 2
    seconds = (times[-1] - times[0]) / 1000
    record("state cinema, 258 tokens", frames_per_second=(len(times) - 1) / seconds, seconds=seconds)
    assert lab.errors() == []


# ------------------------------------------------------------------------- while a cell runs

# The cell runs over seven inputs, again and again, until the dial has been answered so often (or a minute has passed,
# so that a dial that waits for it does not wait for ever). What it prints depends on nothing but the inputs.
WORK = """
def work(answers):
    seen, end = set(), time.monotonic() + 60
    for n in itertools.count():
        logits = qwen.model(torch.arange(n % 7, n % 7 + 12)[None]).logits
        seen.add((n % 7, hashlib.sha256(logits.numpy().tobytes()).hexdigest()))
        if n >= 50 and (len(answered) >= answers or time.monotonic() > end):
            return hashlib.sha256(repr(sorted(seen)).encode()).hexdigest(), len(answered) >= answers
"""


PRINT = "print(*work(len(answered) + {}))"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
RUNS = f"{NOTEBOOK}.content.widgets.at(-1).model.executionCount === null"  # a dial's answer makes the kernel "idle"


def printed(lab) -> str:
    """By the last cell."""
    return "".join(lab.page.evaluate(f"{NOTEBOOK}.content.widgets.at(-1).outputArea.model.toJSON()")[0]["text"])


def move_while_a_cell_runs(sample, other: str) -> tuple[str, str]:
    """What the cell prints if the dial is at rest, and if it is moved until it has answered some times more."""
    lab = sample(START + WORK, LIVE.replace("OTHER", other), PRINT.format(0))
    alone = printed(lab)
    lab.page.evaluate(f"{NOTEBOOK}.content.activeCellIndex = 2")
    lab.page.evaluate(f"{NOTEBOOK}.content.activeCell.model.sharedModel.setSource('{PRINT.format(3)}')")
    lab.command("notebook:run-cell", wait=False)
    lab.page.wait_for_function(RUNS)
    lab.sliders()[0].focus()
    for n in itertools.count():
        if not lab.page.evaluate(RUNS):
            break
        press(lab, ("ArrowRight", "ArrowLeft")[n % 2], redraws=2)
    lab.page.wait_for_function("reader.hasRun()")
    assert lab.errors() == []
    return alone, printed(lab)


def test_a_dial_moved_while_a_cell_runs_neither_waits_nor_changes_its_result(sample):
    alone, together = move_while_a_cell_runs(sample, "qwen.twin()")
    assert alone.endswith("True\n") and together == alone


def test_a_dial_that_edits_the_very_model_of_the_cell_does_not_change_its_result_either(sample):
    """Edits act in the thread that makes them, and a dial's answer has one of its own."""
    alone, together = move_while_a_cell_runs(sample, "qwen")
    assert alone.endswith("True\n") and together == alone
