"""The stepper in a real browser, without JupyterLab: stepping, breakpoints, differences, narrow and dark screens."""

import pytest
from small import IDS, small

import qwen35_lab as lab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
CANVASES = "[...document.querySelectorAll('.q35-canvas')].map(canvas => canvas.toDataURL()).join()"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """name -> (file, names of the stops)"""
    qwen, folder, made = small(), tmp_path_factory.mktemp("stepper"), {}
    settings = {
        "plain": {"breakpoints": ["layers.*.mixer.beta"], "token": 5},
        "against": {"against": edited(qwen), "token": 2},
    }
    for name, options in settings.items():
        widget = lab.step(qwen, IDS, **options)
        file = folder / f"{name}.html"
        file.write_text(widget.html(), encoding="utf-8")
        made[name] = file, [stop["name"] for stop in widget._data["stops"]]
    return made


def edited(qwen):
    """A pass in which layer 2 writes more strongly at token 6."""

    def nudge(module, inputs, value):
        changed = value.clone()
        changed[:, 6] += 0.1
        return changed

    handle = qwen.model.layers[2].mixer.beta.register_forward_hook(nudge)
    try:
        return qwen.trace(IDS, [name for name, _ in lab.taps(qwen.model)])
    finally:
        handle.remove()


@pytest.fixture
def open_page(open_widget, pages):
    def open_page(name="plain", width=1000, **options):
        file, stops = pages[name]
        page = open_widget(file, width, **options)
        page.stops = stops
        return page

    return open_page


def tap(page) -> str:
    return page.locator(".q35-tap").inner_text()


def token(page) -> str:
    return page.get_by_role("radio", checked=True).inner_text()


def tree(page):
    return page.get_by_role("tree")


def leaf(page, name: str):
    """A row of the tree, inside the layer that is open."""
    return page.locator(".q35-leaf:visible", has=page.get_by_text(name, exact=True))


# ------------------------------------------------------------------------- stepping


def test_arrow_keys_step_forwards_and_backwards(open_page):
    page = open_page()
    here = page.stops.index("layers.0.mixer.beta")
    assert tap(page) == page.stops[here]
    tree(page).focus()
    for key, by in (("ArrowRight", 1), ("ArrowDown", 1), ("ArrowLeft", -1), ("ArrowUp", -1), ("ArrowUp", -1)):
        page.keyboard.press(key)
        here += by
        assert tap(page) == page.stops[here], key
    for key, name in (
        ("End", "logits"), ("ArrowRight", "logits"), ("PageUp", "final"), ("PageUp", "layers.3.input"),
        ("PageDown", "final"), ("Home", "embed"), ("ArrowLeft", "embed"), ("PageDown", "layers.0.input"),
        ("PageDown", "layers.1.input"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert tap(page) == name, key
    assert page.errors == []


def test_buttons_and_the_time_line_step_too(open_page):
    page = open_page()
    page.get_by_role("button", name="one step on").click()
    assert tap(page) == page.stops[page.stops.index("layers.0.mixer.beta") + 1]
    page.get_by_role("button", name="one step back").click()
    assert tap(page) == "layers.0.mixer.beta"
    slider = page.get_by_role("slider", name="stop")
    slider.focus()
    page.keyboard.press("Home")
    assert tap(page) == "embed" and page.get_by_role("button", name="one step back").is_disabled()
    assert "embeddings of the tokens" in slider.get_attribute("aria-valuetext")


def test_every_stop_shows_equation_source_and_numbers(open_page):
    page = open_page()
    tree(page).focus()
    page.keyboard.press("Home")
    for name in page.stops:
        assert tap(page) == name
        operation = name.rpartition(".")[2]
        call = page.locator(".q35-listing").inner_text()
        assert f"self.{operation}(" in call or f'watch("{operation}"' in call
        assert page.locator(".q35-equation").inner_text().count("=") >= 1
        assert page.locator(".q35-hot").is_visible() and page.locator(".q35-canvas").first.is_visible()
        page.keyboard.press("ArrowRight")
    assert page.errors == []


def test_what_a_value_reads_can_be_followed(open_page):
    page = open_page()
    leaf(page, "read").click()
    page.get_by_role("button", name="mixer.state").click()
    assert tap(page) == "layers.0.mixer.state"


def test_the_tree_opens_the_layer_that_runs_and_marks_the_stop(open_page):
    page = open_page()
    assert page.get_by_role("treeitem", selected=True).inner_text().strip() == "beta"
    page.get_by_role("treeitem", name="layer 3").click()
    leaf(page, "input").last.click()
    assert tap(page) == "layers.3.input"
    assert page.get_by_role("treeitem", name="layer 0").get_attribute("aria-expanded") == "false"


# ------------------------------------------------------------------------- breakpoints


def test_continue_and_back_go_from_breakpoint_to_breakpoint(open_page):
    page = open_page()
    run, back = (page.get_by_role("button", name=name) for name in ("continue", "back to the breakpoint"))
    assert back.is_disabled()
    for layer in (1, 2):
        run.click()
        assert tap(page) == f"layers.{layer}.mixer.beta"
    assert run.is_disabled()
    back.click()
    assert tap(page) == "layers.1.mixer.beta"
    tree(page).focus()
    page.keyboard.press("c")
    assert tap(page) == "layers.2.mixer.beta"
    page.keyboard.press("Shift+C")
    assert tap(page) == "layers.1.mixer.beta"


def test_breakpoints_are_typed_as_globs(open_page):
    page = open_page()
    field = page.get_by_role("textbox", name="breakpoints")
    field.fill("layers.[13].mixer.out logits")
    field.press("Enter")
    assert page.locator(".q35-said").inner_text() == "3 stops"
    tree(page).focus()
    for name in ("layers.1.mixer.out", "layers.3.mixer.out", "logits"):
        page.keyboard.press("c")
        assert tap(page) == name
    field.fill("nowhere")
    field.press("Enter")
    assert "no stop is called nowhere" in page.locator(".q35-said").inner_text()


def test_the_gutter_sets_and_takes_breakpoints(open_page):
    page = open_page()
    field = page.get_by_role("textbox", name="breakpoints")
    leaf(page, "read").locator(".q35-dot").click()
    assert field.input_value() == "layers.*.mixer.beta layers.0.mixer.read"
    assert tap(page) == "layers.0.mixer.beta", "the gutter does not step"
    page.get_by_role("button", name="continue").click()
    assert tap(page) == "layers.0.mixer.read"
    page.locator(".q35-hot .q35-gutter").click()
    assert field.input_value() == "layers.*.mixer.beta"
    leaf(page, "beta").locator(".q35-dot").click()
    assert field.input_value() == "layers.1.mixer.beta layers.2.mixer.beta", "the others of its glob stay"
    tree(page).focus()
    page.keyboard.press("b")
    assert "layers.0.mixer.read" in field.input_value()


def test_letters_typed_into_the_field_are_no_commands(open_page):
    page = open_page()
    field = page.get_by_role("textbox", name="breakpoints")
    field.fill("")
    field.press_sequentially("cb")
    page.keyboard.press("ArrowLeft")
    assert field.input_value() == "cb" and tap(page) == "layers.0.mixer.beta"


# ------------------------------------------------------------------------- differences


def test_first_difference_goes_to_the_value_and_the_token(open_page):
    page = open_page("against")
    assert (tap(page), token(page)) == ("embed", IDS_TEXT[2])
    page.get_by_role("button", name="first difference").click()
    assert tap(page) == "layers.2.mixer.beta"
    assert page.get_by_role("radio", checked=True).get_attribute("title").startswith("token 6,")
    assert "differs by" in page.locator(".q35-verdict").inner_text()
    assert page.locator(".q35-versus .q35-canvas").count() == 1
    page.get_by_role("radio").nth(5).click()
    assert "the same up to rounding" in page.locator(".q35-verdict").inner_text()
    assert page.locator(".q35-versus .q35-canvas").count() == 0
    assert page.errors == []


IDS_TEXT = [f"<{n}>" for n in IDS]


def test_tree_and_tokens_mark_where_the_passes_differ(open_page):
    page = open_page("against")
    assert page.get_by_role("treeitem", name="layer 1").locator(".q35-differ").inner_text() == ""
    assert page.get_by_role("treeitem", name="layer 2").locator(".q35-differ").inner_text() == "≠"
    page.get_by_role("button", name="first difference").click()
    marked = page.locator(".q35-token").evaluate_all(
        "all => all.flatMap((e, n) => e.classList.contains('q35-differs') ? [n] : [])"
    )
    assert marked == [6]


# ------------------------------------------------------------------------- values


def test_another_token_redraws_the_values(open_page):
    page = open_page()
    seen = {page.evaluate(CANVASES)}
    for n in (1, 8):
        page.get_by_role("radio").nth(n).click()
        seen.add(page.evaluate(CANVASES))
    page.keyboard.press("ArrowRight")
    assert "token 9 " in page.locator(".q35-of").inner_text()
    assert tap(page) == "layers.0.mixer.beta", "arrows on a token choose a token, they do not step"
    assert len(seen | {page.evaluate(CANVASES)}) == 4


def test_the_pointer_reads_the_exact_number(open_page, pages):
    page = open_page()
    leaf(page, "state").click()
    frame = page.locator(".q35-frame").nth(1)
    box = frame.bounding_box()
    frame.hover(position={"x": box["width"] * 2.5 / 12, "y": box["height"] * 3.5 / 8})
    qwen = small()
    value = float(qwen.trace(IDS, [n for n, _ in lab.taps(qwen.model)])["layers.0.mixer.state"][5, 1, 3, 2])
    shown = page.locator(".q35-readout").inner_text()
    assert shown.startswith("head 1 · key 3 · value 2")
    assert float(shown.split()[-1].replace("−", "-")) == pytest.approx(value, rel=1e-5)


def test_an_attention_map_frames_the_token_and_a_click_chooses_another(open_page):
    page = open_page()
    tree(page).focus()
    page.keyboard.press("End")
    page.get_by_role("treeitem", name="layer 3").click()
    page.locator(".q35-row:visible", has=page.get_by_text("mixer", exact=True)).last.click()
    leaf(page, "weights").click()
    assert page.locator(".q35-frame").count() == 4 and page.locator(".q35-chosen").count() == 4
    frame = page.locator(".q35-frame").first
    frame.click(position={"x": 5, "y": frame.bounding_box()["height"] * 8.5 / len(IDS)})
    assert "token 8 " in page.locator(".q35-of").inner_text()


# ------------------------------------------------------------------------- manners


def test_keys_stay_inside_so_that_jupyterlab_deletes_no_cell(open_page):
    page = open_page()
    page.evaluate("window.heard = []; document.addEventListener('keydown', event => window.heard.push(event.key))")
    for focus in (tree(page), page.get_by_role("slider"), page.get_by_role("radio", checked=True)):
        focus.focus()
        for key in ("d", "c", "b", "ArrowUp", "PageDown", "Escape", "Control+s", "Shift+Enter"):
            page.keyboard.press(key)
    heard = [key for key in page.evaluate("window.heard") if key not in ("Control", "Shift")]
    assert heard == ["Escape", "s", "Enter"] * 3


@pytest.mark.parametrize("width", [360, 480, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["plain", "against"])
def test_nothing_sticks_out_on_narrow_screens(open_page, name, width, scheme):
    page = open_page(name, width, color_scheme=scheme)
    for stop in ("layers.0.mixer.q", "layers.2.mixer.state", "layers.3.mixer.scores", "logits"):
        number = page.stops.index(stop)
        page.get_by_role("slider").evaluate(
            "(slider, n) => { slider.value = n; slider.dispatchEvent(new Event('input')); }", number
        )
        assert tap(page) == stop
        assert page.evaluate("document.documentElement.scrollWidth") <= width, stop
    assert page.errors == []
