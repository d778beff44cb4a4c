"""The cost explorer: its sums are those of the analysis, the browser's too, and everybody gets to see something."""

import io
import json
import shutil
import subprocess

import pytest
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis import MIXES, Machine, bytes_held, mixed, pass_cost, predicted_seconds
from qwen35_lab.family import break_even_tokens, load_config, weight_bytes
from qwen35_lab.views import cost_explorer
from qwen35_lab.views.caches import size
from qwen35_lab.views.cost_explorer_data import BATCHES, CONTEXTS
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.widget import HERE

HERE_ = Machine("this machine, 1 thread", 8e10, 1.2e10, 4e9, "float32", "RANDOM · x", 2.4e10, 0.1)
MODELS = ["0.8B", "35B-A3B"]


@pytest.fixture(scope="module")
def shown():
    return cost_explorer(HERE_, MODELS, usd_an_hour={"here": 0.1, "H100": 3.0})


def places(**at):
    """Every dial at some place."""
    return {"view": 0, "context": 12, "model": 0, "mix": 2, "batch": 0, "machine": 0} | at


EVERYWHERE = [
    places(), places(view=1), places(mix=0, context=0), places(mix=4, context=28, batch=4), places(model=1, batch=2),
    places(model=1, view=1, mix=1, batch=3, machine=1, context=20), places(mix=3, machine=1),
]  # fmt: skip


def put(shown, at):
    for name, place in at.items():
        setattr(shown, name, place)


# ------------------------------------------------------------------------- the sums


@pytest.mark.parametrize("at", EVERYWHERE, ids=str)
def test_what_it_adds_up_is_what_a_whole_model_costs(shown, at):
    put(shown, at)
    config = mixed(MODELS[at["model"]], list(MIXES)[at["mix"]])
    tokens, batch = CONTEXTS[at["context"]], BATCHES[at["batch"]]
    new, past = (1, tokens) if at["view"] else (tokens, 0)
    work, held, n = shown.work(), shown.held(), at["context"]
    cost = pass_cost(config, new, past, batch)
    assert work["seen"][n] == pytest.approx(cost.seen, rel=1e-5)
    assert work["seen"][n] + work["unseen"][n] == pytest.approx(cost.flops, rel=1e-5)
    machine = (HERE_, lab.analysis.DATA_SHEETS["H100"])[at["machine"]]
    again = pass_cost(config, new, past, batch, dtype=machine.dtype)
    assert work["seconds"][n] == pytest.approx(predicted_seconds(again, machine), rel=1e-5)
    kept = bytes_held(config, tokens, batch)
    assert held["keys and values"][n] == kept.kv and held["states"][n] == kept.state
    assert held["inputs"][n] == kept.conv_state
    text_only = weight_bytes(config, text_only=True)
    assert held["weights"][n] == pytest.approx(text_only, rel=1e-12)
    made = batch * (1 if at["view"] else tokens)
    usd = (0.1, 3.0)[at["machine"]]
    assert shown.dollars(work)[n] == pytest.approx(1e6 * work["seconds"][n] / made * usd / 3600)


ASK = """
const { data, asked } = JSON.parse(require("fs").readFileSync(0)), d = decode(data);
console.log(JSON.stringify(asked.map(here => {
  const { mine, list } = panelsOf(d, here);
  return { flops: mine.seen.map((v, n) => v + mine.unseen[n]), seconds: mine.seconds, cache: mine.cache,
    dollars: mine.dollars, panels: list };
})));
"""


@pytest.mark.skipif(
    not shutil.which("node"), reason="node is not installed; the browser test reads some of the numbers"
)
def test_the_browsers_sums_are_pythons(shown):
    script = "".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in ("kit", "cost_explorer_plot"))
    question = json.dumps({"data": json.loads(shown.payload), "asked": EVERYWHERE})
    answer = subprocess.run(["node", "-e", script + ASK], input=question, capture_output=True, text=True, check=True)
    for at, found in zip(EVERYWHERE, json.loads(answer.stdout), strict=True):
        put(shown, at)
        work, held = shown.work(), shown.held()
        assert found["flops"] == pytest.approx([a + b for a, b in zip(work["seen"], work["unseen"])])
        assert found["seconds"] == pytest.approx(work["seconds"])
        assert found["dollars"] == pytest.approx(shown.dollars(work))
        kept = [sum(parts) for parts in zip(held["states"], held["inputs"], held["keys and values"])]
        assert found["cache"] == pytest.approx(kept)
        for theirs, ours in zip(found["panels"], shown.panels(), strict=True):
            assert theirs["title"] == ours["title"] and list(theirs["lines"]) == list(ours["lines"])
            for name, line in ours["lines"].items():
                assert theirs["lines"][name] == pytest.approx(line)
            assert (theirs["mark"] is None) == (ours["mark"] is None)
            if ours["mark"]:
                assert theirs["mark"]["name"] == ours["mark"]["name"]
                assert theirs["mark"]["x"] == pytest.approx(ours["mark"]["x"])


# ------------------------------------------------------------------------- what it says


@pytest.mark.parametrize("model, name", list(enumerate(MODELS)))
def test_break_even_is_where_the_family_table_has_it(shown, model, name):
    put(shown, places(model=model))
    mark = shown.panels()[0]["mark"]
    assert mark["name"] == "break-even" and mark["x"] == pytest.approx(break_even_tokens(load_config(name)), rel=1e-3)


def test_the_extremes_have_no_break_even(shown):
    for mix in (0, 4):
        put(shown, places(mix=mix))
        assert shown.panels()[0]["mark"] is None


def test_the_crossover_of_a_step_is_near_a_thousand_tokens_and_that_of_a_text_later(shown):
    found = []
    for view in (1, 0):
        put(shown, places(view=view))
        found.append(shown.panels()[1]["mark"]["x"])
    assert 900 < found[0] < 1100 < 2000 < found[1] < 2600


def test_the_hatching_is_what_a_counter_misses(shown):
    put(shown, places(context=20))
    low, high = shown.panels()[1]["hatch"]
    work = shown.work()
    assert [1 - a / b for a, b in zip(low, high)] == pytest.approx(
        [u / (s + u) for s, u in zip(work["seen"], work["unseen"])]
    )
    assert low[20] < 0.8 * high[20] and low[0] > 0.95 * high[0]


def test_words_have_the_numbers(shown):
    put(shown, places(batch=1, machine=1))
    kept = bytes_held("0.8B", 4096, 4)
    assert "Reading 4 texts of 4,096 tokens, Qwen3.5-0.8B, 3 : 1." in shown.alt()
    assert f"cache: {size(kept.cache)}" in shown.alt()
    assert "$3 an hour for H100 SXM" in shown.caption() and "never trained" in shown.caption()
    assert shown.provenance().startswith("RANDOM")


def test_it_sends_little_and_where_it_began(shown):
    assert len(cost_explorer(HERE_, MODELS).payload) < 60_000
    assert json.loads(cost_explorer(HERE_, ["4B"], context=3, mix=1).start)["context"] == 3
    assert "q35-cost_explorer" in shown.html()


@pytest.mark.parametrize("at", [places(), places(view=1, mix=4, machine=1)], ids=str)
def test_the_static_twin_is_a_picture_in_colour(shown, at):
    put(shown, at)
    image = Image.open(io.BytesIO(shown.static()))
    assert image.width == WIDTH * SCALE and image.height > 500 * SCALE
    assert len(set(image.convert("RGB").resize((200, 120), Image.Resampling.NEAREST).get_flattened_data())) > 15


def test_without_a_price_there_is_no_curve_of_dollars():
    free = cost_explorer(HERE_, ["0.8B"])
    assert free.panels()[3]["mark"] is None and max(free.panels()[3]["lines"]["this mix"]) == 0
    assert free.static() and "a million tokens: $0." in free.alt()


@pytest.mark.parametrize(
    "call, error, said",
    [
        (lambda: cost_explorer(HERE_, []), lab.InputError, "no model to show"),
        (lambda: cost_explorer(HERE_, ["5B"]), lab.ConfigError, "no shipped config"),
        (lambda: cost_explorer(HERE_, ["0.8B"], usd_an_hour={"A100": 1}), lab.InputError, "no machine A100"),
        (lambda: cost_explorer(HERE_, ["0.8B"], usd_an_hour={"here": -1}), lab.InputError, "0 or more"),
        (lambda: cost_explorer(HERE_, ["0.8B"], usd_an_hour={"here": float("nan")}), lab.InputError, "0 or more"),
        (lambda: cost_explorer(HERE_, ["0.8B"], dtype="int3"), lab.InputError, "dtype"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, error, said):
    with pytest.raises(error, match=said):
        call()
