"""What a reader sees: the start page, and every notebook, run in JupyterLab in a real browser."""

import shutil

import pytest
from browser.driver import ROOT, WIDTH
from notebooks.running import read
from notebooks.test_builds import exercises, impolite, verdict
from PIL import Image

# One worker for all of them, so that one JupyterLab and one browser are enough.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

PICTURES = ROOT / "artefacts" / "browser"


def test_the_start_page_is_rendered_and_leads_to_a_notebook(lab):
    lab.open_start_page()
    page = lab.page
    page.locator(".jp-MarkdownViewer h1").wait_for()
    assert page.locator(".jp-Dialog").count() == 0
    link = page.locator(".jp-MarkdownViewer a[href*='.ipynb']").first
    path = f"notebooks/{link.get_attribute('href').split('/')[-1].split('?')[0]}"
    link.click()
    lab.wait_for_kernel()
    assert page.evaluate("window.jupyterapp.shell.currentWidget.context.path") == path
    assert lab.errors() == []


def test_notebook_runs(notebook):
    assert notebook.errors() == []


def test_every_stub_is_told_politely_that_it_is_not_right_and_every_folded_solution_passes(notebook):
    saved = read(notebook.saved)
    stubs, solutions = exercises(saved), exercises(saved, "solution")
    assert len(stubs) == len(solutions) > 0
    assert [fault for cell in stubs if (fault := impolite(cell))] == []
    assert [said for cell in solutions if not (said := verdict(cell)).startswith("✓ ")] == []


def test_pictures_are_there_in_light_and_dark_and_on_a_narrow_screen(notebook):
    """And are kept, to be looked at: artefacts/browser/NOTEBOOK/{light,dark,480}/NN-CELL.png."""
    folder = PICTURES / notebook.name
    shutil.rmtree(folder, ignore_errors=True)
    notebook.theme("Light")  # whatever another test has left
    light = photograph(notebook, folder / "light")
    notebook.theme("Dark")
    dark = photograph(notebook, folder / "dark")
    notebook.theme("Light")
    notebook.command("application:toggle-left-area")
    photograph(notebook, folder / "480", width=480)
    notebook.command("application:toggle-left-area")
    assert light and [picture for picture in light if is_blank(picture)] == []
    assert [picture.name for picture in dark if is_blank(picture) or not is_darker(picture, folder / "light")] == []
    assert notebook.errors() == []


def test_every_slider_draws(notebook):
    assert [fault for slider in notebook.sliders() for fault in slider_faults(notebook, slider)] == []
    assert notebook.errors() == []  # a callback may have failed only now


def test_every_button_does_something(notebook):
    assert [fault for button in notebook.buttons() for fault in button_faults(notebook, button)] == []
    assert notebook.errors() == []


def test_no_key_pressed_in_a_widget_reaches_jupyterlab(notebook):
    assert [fault for element in focusable(notebook) for fault in key_faults(notebook, element)] == []
    assert notebook.errors() == []


# ------------------------------------------------------------------------- the checks


def photograph(lab, folder, width=WIDTH):
    """A PNG of each output that shows something."""
    folder.mkdir(parents=True)
    lab.resize(width)
    tallest = max((cell["height"] for cell in lab.page.evaluate("reader.pictures()")), default=0)
    lab.resize(width, tallest + 500)  # what does not fit into the window is not in the picture
    made = []
    for cell in lab.page.evaluate("reader.pictures()"):
        made.append(folder / f"{cell['index']:02}-{cell['id']}.png")
        lab.page.locator(f"[data-cell='{cell['id']}']").screenshot(path=made[-1])
    lab.resize()
    return made


def is_blank(picture):
    return len(Image.open(picture).convert("RGB").getcolors(1 << 24)) < 3


def is_darker(picture, folder):
    """Than the picture of the same name in that folder, in most of its pixels."""
    dark, light = (Image.open(path).convert("L").resize((64, 64)) for path in (picture, folder / picture.name))
    return sum(a < b for a, b in zip(dark.tobytes(), light.tobytes())) > 2048


def slider_faults(lab, slider):
    """Every move must change the picture, and going back must bring the first one back."""
    label, here, picture = slider.get_attribute("aria-label"), slider.input_value(), lab.drawing(slider)
    if not label:
        yield "a slider without aria-label says nothing to a screen reader"
    if not lab.move(slider):
        yield f"one step of {label!r} from {here} changed nothing that is drawn"
    for place in places(slider):
        before = slider.input_value()
        if place != before and not lab.drag(slider, place):
            yield f"moving {label!r} from {before} to {place} changed nothing that is drawn"
    if slider.input_value() != here:
        slider.fill(here)
    if not lab.soon(lambda: lab.drawing(slider) == picture):
        yield f"{label!r} went back to {here}, its picture did not"


def places(slider):
    """Values over the whole range of a slider, as text: its ends and some between."""
    low, high, step = (float(slider.get_attribute(name) or 1) for name in ("min", "max", "step"))
    steps = round((high - low) / step)
    return [f"{low + step * n:.10g}" for n in sorted({0, steps // 4, steps // 2, steps})]


BUTTON_IS = """button => [button.getAttribute("aria-label") || button.innerText,
    button.matches(":disabled, [aria-disabled=true], [aria-checked=true]")]"""


def button_faults(lab, button):
    """It must change what is to be seen; a play button must keep doing so, until it is pressed again."""
    label, idle = button.evaluate(BUTTON_IS)  # at once, since there are hundreds of them
    if idle:
        return
    if label.lower().startswith(("play", "▶")):
        yield from play_faults(lab, button, label)
    elif not lab.press(button, patience=1) and not pressed_again(lab, button):
        yield f"pressing {label!r} changed nothing"


def pressed_again(lab, button):
    """Reset has nothing to do at the start; where nothing can be moved, it is only slow."""
    nudge(lab, button)
    return lab.press(button)


def nudge(lab, button):
    """Move a slider beside it, or choose something else from a list, which gives Reset something to do."""
    beside = button.locator("xpath=ancestor::*[contains(@class, 'jp-OutputArea-output')][1]")
    slider, choice = beside.locator("input[type=range]"), beside.locator("select")
    if slider.count():
        return lab.move(slider.first)
    if choice.count():
        choice.first.select_option(index=1)
    return choice.count()


def play_faults(lab, button, label):
    button.click()
    if not lab.plays(button):
        yield f"{label!r} does not play"
    if (
        button.get_attribute("aria-pressed") == "true" or lab.pictures_while(button, seconds=0.2) > 1
    ):  # else it has ended
        button.click()
        if not lab.soon(lambda: lab.pictures_while(button, seconds=0.5) == 1, patience=5):
            yield f"{label!r} does not stop when it is pressed again"


def focusable(lab):
    kinds = ":is(input, button:not(.modebar-btn), select, textarea, [tabindex])"
    # handles, not locators: what can be focused changes with every key
    return lab.page.locator(f".jp-OutputArea-output {kinds}:not([tabindex='-1']):enabled:visible").element_handles()


def key_faults(lab, element):
    """In command mode d d deletes the cell, arrows move, a and b insert, x cuts, m and y change the kind."""
    if not element.is_visible():  # a key pressed in another one has closed it
        return
    element.focus()
    before = lab.page.evaluate("reader.notebook()")
    for key in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "a", "b", "m", "y", "d", "d", "x"):
        lab.page.keyboard.press(key)
    lab.page.wait_for_timeout(50)
    if lab.page.evaluate("reader.notebook()") != before:
        yield f"a key pressed in {element.evaluate('e => e.outerHTML')[:120]} reached JupyterLab"


# ------------------------------------------------------------------------- do these checks see anything?

SLIDER = """
import anywidget
class Slider(anywidget.AnyWidget):
    _esm = '''export default {render({el}) {
        el.innerHTML = "<input type=range value=0 aria-label=k><button>press</button><canvas></canvas>";
        const ink = el.querySelector("canvas").getContext("2d"), slider = el.querySelector("input");
        slider.oninput = () => { ON_INPUT };
        el.querySelector("button").onclick = () => { ON_CLICK };
        el.onkeydown = event => { ON_KEY };
    }}'''
Slider()"""
DRAW = "ink.clearRect(0, 0, 300, 99); ink.fillRect(0, 0, +slider.value, 9)"
KEEP = "event.stopPropagation()"  # else JupyterLab takes the arrow keys for itself


def widget(on_input: str = DRAW, on_click: str = "", on_key: str = KEEP, label: str = "press") -> str:
    source = SLIDER.replace("ON_INPUT", on_input).replace("ON_CLICK", on_click).replace("ON_KEY", on_key)
    return source.replace(">press<", f">{label}<")


def test_an_error_after_a_cell_that_is_meant_to_raise_is_seen(sample):
    lab = sample("1 / 0", "import time; time.sleep(2)", "undefined", tags=("raises-exception",))
    assert lab.errors() == ["NameError: name 'undefined' is not defined"]


@pytest.mark.parametrize(
    "callback", ["from ipywidgets import interact; interact(f, k=s)", "s.observe(f, 'value'); display(s)"]
)
def test_an_error_in_a_callback_is_seen(sample, callback):
    lab = sample(f"import ipywidgets\ns = ipywidgets.IntSlider(0)\ndef f(k):\n    if s.value: 1 / 0\n{callback}")
    assert lab.errors() == []
    lab.page.get_by_role("slider").first.focus()
    lab.page.keyboard.press("ArrowRight")
    assert lab.soon(lab.errors)


def test_warnings_and_failing_requests_are_seen(sample):
    show = 'from IPython.display import HTML\nHTML(\'<img src="{}" onerror="console.warn(1)">\')'
    sources = [
        "import warnings; warnings.warn('old')",
        *map(show.format, ("https://example.invalid/a.png", "/files/x")),
    ]
    errors = sample(*sources).errors()
    for fault in ("stderr: ", "asked another machine: https://example.invalid/a.png", "404: ", "warning: 1"):
        assert any(error.startswith(fault) for error in errors), fault


def test_a_working_widget_has_no_faults_and_a_deaf_one_has(sample):
    lab = sample(widget(on_click="ink.fillRect(9, 9, 9, 9)"), widget("", "", ""), widget("ink.fillRect(0, 0, 9, 9)"))
    good, deaf, one_way = lab.sliders()
    works, does_nothing, _ = lab.buttons()
    assert list(slider_faults(lab, good)) == [] == list(button_faults(lab, works))
    lab.patience = 1  # with what never answers
    assert not lab.move(deaf)
    assert list(slider_faults(lab, one_way))[-1] == "'k' went back to 0, its picture did not"
    assert list(button_faults(lab, does_nothing)) == ["pressing 'press' changed nothing"]
    keyed = [list(key_faults(lab, element)) for element in focusable(lab)[:3]]  # slider, button, and the deaf slider
    assert keyed[:2] == [[], []] != keyed[2:]


def test_numbers_in_a_heat_map_follow_the_theme(sample):
    """JupyterLab hides its cells while the theme changes. Asked is for the brightest ink of all numbers."""
    lab = sample(
        "import numpy as np\nfrom qwen35_lab.views.deck import Deck, Heat\n"
        "Deck([Heat('n', np.full((4, 4), 0.1), limit=1.0, text=True)], caption='c', provenance='RANDOM · x')"
    )
    inked = """() => { const c = document.querySelector(".q35-glyphs"), p = c.getContext("2d");
        const seen = p.getImageData(0, 0, c.width, c.height).data.filter((_, n) => n % 4 < 3);
        return Math.max(...seen); }"""
    lab.theme("Light")
    assert lab.page.evaluate(inked) < 100
    lab.theme("Dark")
    assert lab.soon(lambda: lab.page.evaluate(inked) > 200, patience=10)
    lab.theme("Light")
    assert lab.soon(lambda: lab.page.evaluate(inked) < 100, patience=10)


def test_a_play_button_must_play_and_stop(sample):
    start = "let n = 0; el.timer = setInterval(() => ink.fillRect(n++ % 300, 0, 1, 99), 20)"
    stop = "if (el.timer) { el.timer = clearInterval(el.timer); return } "
    lab = sample(*(widget(on_click=code, label="Play") for code in ("", start, stop + start)))
    silent, endless, good = lab.buttons()
    assert list(button_faults(lab, good)) == []
    assert list(button_faults(lab, endless)) == ["'Play' does not stop when it is pressed again"]
    lab.patience = 1
    assert list(button_faults(lab, silent)) == ["'Play' does not play"]


def test_a_blank_picture_is_told_from_one_with_something_in_it(tmp_path):
    blank, drawn = Image.new("RGB", (9, 9), "white"), Image.new("RGB", (9, 9), "white")
    drawn.putdata([(n, n, n) for n in range(81)])
    for name, image in {"blank": blank, "drawn": drawn}.items():
        image.save(tmp_path / f"{name}.png")
    assert is_blank(tmp_path / "blank.png") and not is_blank(tmp_path / "drawn.png")
