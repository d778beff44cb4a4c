"""The stepper: what is sent is what was traced, small enough to send, and everybody gets to see something."""

import io
import json
import shutil
import subprocess
from math import prod

import numpy as np
import pytest
import torch
from PIL import Image
from small import DENSE, IDS, MOE, small
from views.test_elevator import decoded

import qwen35_lab as lab
from qwen35_lab.analysis.equations import EQUATIONS
from qwen35_lab.analysis.walk import token_axis, token_gaps, walk
from qwen35_lab.views import theme
from qwen35_lab.views.stepper import INSIDE, WITH_STATE, recordable
from qwen35_lab.views.stepper_data import picture, plain, room, statistics, typeset
from qwen35_lab.views.stepper_png import unpacked


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def shown(request):
    """(model, trace, stepper, what the browser sees)"""
    qwen = small(request.param)
    trace = qwen.trace(IDS, [name for name, _ in lab.taps(qwen.model)])
    widget = lab.step(qwen, trace)
    return qwen, trace, widget, decoded(json.loads(widget.payload))


# ------------------------------------------------------------------------- what is sent


def test_every_value_arrives_exactly(shown):
    _, trace, _, seen = shown
    assert seen["exact"]
    assert [stop["name"] for stop in seen["stops"]] == list(trace)
    for stop in seen["stops"]:
        value = trace[stop["name"]].float().movedim(token_axis(trace.axes[stop["name"]]), 0)
        assert torch.equal(stop["values"]["numbers"], value), stop["name"]
        assert stop["values"]["cells"] == stop["values"]["sizes"] == list(value.shape[1:])
        assert stop["shape"] == list(trace[stop["name"]].shape) and stop["axes"] == list(trace.axes[stop["name"]])
        assert stop["dtype"] == str(trace[stop["name"]].dtype).removeprefix("torch.")


def test_statistics_are_those_of_the_token(shown):
    _, trace, _, seen = shown
    for stop in seen["stops"]:
        value = trace[stop["name"]].double().movedim(token_axis(trace.axes[stop["name"]]), 0)[5]
        value = value[value.isfinite()]
        expected = [value.min(), value.mean(), value.max(), value.norm()]
        assert stop["stats"][5].tolist() == pytest.approx([float(x) for x in expected], rel=1e-5, abs=1e-6)


def test_every_stop_brings_equation_meaning_source_and_inputs(shown):
    qwen, trace, _, seen = shown
    for known, stop in zip(walk(qwen.model, trace), seen["stops"], strict=True):
        assert typeset(known.equation.text) == stop["equation"] and stop["meaning"] == known.meaning
        assert [seen["stops"][n]["name"] for n in stop["reads"]] == list(known.reads)
        source = seen["sources"][stop["source"]]
        first, lines = known.place.excerpt()
        assert (source["file"], source["line"], source["first"]) == (known.place.file, known.place.line, first)
        assert ["".join(part[2] for part in line) for line in source["lines"]] == lines
        hot = source["lines"][source["line"] - source["first"]]
        call = "".join(text for _, called, text in hot if called)
        assert f".{known.operation}(" in call or f'"{known.operation}"' in call


def test_python_is_coloured_as_python(shown):
    source = next(s for s in shown[3]["sources"] if s["file"].endswith("delta_rule.py"))
    parts = {text.strip(): colour for line in source["lines"] for colour, _, text in line}
    assert parts['"erase"'] == "s" and parts["None"] == "k"


def test_a_float64_model_and_a_bfloat16_model_can_be_shown():
    for dtype in ("float64", "bfloat16"):
        widget = lab.step(lab.from_config(DENSE, dtype=dtype), IDS)
        seen = decoded(json.loads(widget.payload))
        assert seen["stops"][0]["dtype"] == dtype and seen["stops"][0]["values"]["numbers"].dtype == torch.float32


# ------------------------------------------------------------------------- small enough


def test_a_large_model_and_a_long_text_stay_below_three_megabytes():
    wide = {"num_hidden_layers": 24, "hidden_size": 256, "head_dim": 64, "linear_value_head_dim": 64}
    qwen = small(DENSE, **wide)
    trace = qwen.trace([n % 40 for n in range(40)], ["*", "layers.*.mixer.weights"])
    for against in (None, trace):
        widget = lab.step(qwen, trace, against=against)
        assert len(widget.payload) <= 3_000_000
        seen = decoded(json.loads(widget.payload))
        assert not seen["exact"]
        heads = {s["name"]: s["values"]["cells"] for s in seen["stops"]}
        assert heads["layers.0.mixer.beta"] == [4], "what is small is sent whole"


def test_shortened_values_keep_the_largest_and_three_digits():
    draw = torch.Generator().manual_seed(0)
    value = torch.randn(7, 5, 40, generator=draw)
    sent = picture(value, cells=50, exact=False)
    cells = unpacked(sent, exact=False)
    assert cells.shape == (7, *sent["cells"]) and prod(sent["cells"]) <= 50
    assert np.abs(cells).max(axis=(1, 2)) == pytest.approx(value.abs().amax((1, 2)).numpy(), rel=2**-8)
    whole = picture(value, cells=200, exact=False)
    assert unpacked(whole, exact=False) == pytest.approx(value.numpy(), rel=2**-8)


def test_infinities_survive_the_way_and_do_not_set_the_scale():
    value = torch.tensor([[1.0, -torch.inf], [0.5, 2.0], [3.0, -4.0]])
    sent = picture(value, cells=2, exact=False)
    assert np.array_equal(unpacked(sent, exact=False), value.numpy())
    assert sent["limit"] == 2
    assert statistics(value)[0].tolist() == [1, 1, 1, 1]


def test_room_is_shared_so_that_small_values_are_whole(monkeypatch):
    monkeypatch.setattr("qwen35_lab.views.stepper_data.BYTES", 1200)
    assert room([10, 20], tokens=10) == (20, True)  # 30 numbers × 10 tokens × 4 bytes: just fits
    cells, exact = room([4, 100, 1000], tokens=10)  # 2 bytes: 60 cells for all three
    assert (cells, exact) == (28, False)
    assert sum(min(size, cells) for size in (4, 100, 1000)) <= 60


def test_states_are_recorded_where_they_fit_and_missed_with_a_word_where_not():
    qwen = small()
    state = 4 * 8 * 12
    fits = WITH_STATE // (3 * state)
    assert set(INSIDE) <= set(recordable(qwen, fits)[0]) and recordable(qwen, fits)[1] == ""
    record, note = recordable(qwen, fits + 1)
    assert not set(INSIDE) & set(record) and f"{(fits + 1) * 3 * state:,} numbers" in note
    widget = lab.step(qwen, IDS)
    assert "layers.2.mixer.state" in {stop["name"] for stop in json.loads(widget.payload)["stops"]}


@pytest.mark.parametrize("kind", ["linear_attention", "full_attention"])
def test_a_model_with_one_kind_of_layer_can_be_walked(kind):
    widget = lab.step(small(layer_types=[kind] * 4), IDS)
    assert {stop["kind"] for stop in json.loads(widget.payload)["stops"]} == {kind, None}


# ------------------------------------------------------------------------- equations


def test_subscripts_and_superscripts_are_taken_apart():
    assert typeset("e^{g_t} S_{t−1}^⊤ k") == [
        "e", {"sup": ["g", {"sub": ["t"]}]}, " S", {"sub": ["t−1"]}, {"sup": ["⊤"]}, " k"
    ]  # fmt: skip


def test_no_equation_loses_a_letter():
    for taps in EQUATIONS.values():
        for equation in taps.values():
            assert plain(typeset(equation.text)).replace("{", "").replace("}", "") == (
                equation.text.replace("{", "").replace("}", "")
            )


# ------------------------------------------------------------------------- breakpoints and differences


def test_it_begins_at_the_first_breakpoint():
    qwen = small()
    assert lab.step(qwen, IDS).name == "embed"
    assert lab.step(qwen, IDS, "layers.*.mixer.beta").name == "layers.0.mixer.beta"
    widget = lab.step(qwen, IDS, ["logits", "layers.[23].mixer.*"])
    assert widget.name == "layers.2.mixer.q" and widget.breakpoints == ["logits", "layers.[23].mixer.*"]


def test_a_breakpoint_that_matches_nothing_is_refused_with_a_guess():
    with pytest.raises(lab.InputError, match=r"'layers\.0\.mixer\.bet'; did you mean 'layers\.0\.mixer\.beta'\?"):
        lab.step(small(), IDS, "layers.0.mixer.bet")


@pytest.mark.parametrize("token", [len(IDS), -len(IDS) - 1])
def test_a_token_that_is_not_there_is_refused(token):
    with pytest.raises(lab.InputError, match=f"There is no token {token}; choose one from 0 to 10"):
        lab.step(small(), IDS, token=token)


def test_against_a_model_or_a_trace_the_differences_arrive():
    qwen = small()
    broken = lab.exercises.plant(qwen, seed=2)
    mine, other = lab.step(qwen, IDS, against=broken), broken.trace(IDS, list(qwen.trace(IDS)))
    theirs = lab.step(qwen, IDS, against=other)
    for widget in (mine, theirs):
        seen = decoded(json.loads(widget.payload))
        names = [stop["name"] for stop in seen["stops"]]
        trace = qwen.trace(IDS, names)
        second = broken.trace(IDS, names)
        for name, gaps in token_gaps(trace, second).items():
            stop = seen["stops"][names.index(name)]
            assert torch.allclose(stop["gaps"].double(), gaps, rtol=1e-6, atol=1e-12)
            difference = (trace[name] - second[name]).movedim(token_axis(trace.axes[name]), 0)
            difference = difference.nan_to_num(0, 0, 0)  # −∞ − −∞: the same
            assert torch.equal(stop["difference"]["numbers"], difference), name
        name, token = lab.analysis.divergence(trace, second)
        assert seen["apart"] == [names.index(name), token] and seen["against"] == str(broken.provenance)


def test_against_itself_there_is_no_first_difference():
    qwen = small()
    seen = json.loads(lab.step(qwen, IDS, against=qwen).payload)
    assert seen["apart"] is None and json.loads(lab.step(qwen, IDS).payload)["against"] is None


def test_a_value_of_another_shape_is_told_in_words_in_place_of_a_difference():
    qwen = small(MOE)
    other = qwen.trace(IDS, "*", lab.routing(top_k=1))
    widget = lab.step(qwen, IDS, against=other)
    seen = decoded(json.loads(widget.payload))
    names = [stop["name"] for stop in seen["stops"]]
    chosen = names.index("layers.0.ffn.expert_ids")
    assert seen["apart"] == [chosen, 0] and seen["stops"][chosen]["difference"] is None
    assert seen["stops"][chosen]["otherShape"] == "token 11 × choice 1"
    assert seen["stops"][0]["otherShape"] is None and seen["stops"][0]["difference"] is not None
    widget.stop = chosen
    assert "different from that of RANDOM" in widget.alt() and "that is token 11 × choice 1" in widget.alt()
    assert Image.open(io.BytesIO(widget.static())).height > 500


def test_other_tokens_are_refused():
    qwen = small()
    for other in (IDS[::-1], IDS[:-1], [*IDS[:-1], 0]):
        with pytest.raises(lab.InputError, match="different tokens"):
            lab.step(qwen, IDS, against=qwen.trace(other))


# ------------------------------------------------------------------------- without a browser


def test_the_words_name_stop_source_and_numbers(shown):
    _, trace, widget, _ = shown
    widget.stop, widget.token = list(trace).index("layers.1.mixer.write"), 3
    words = widget.alt()
    value = trace["layers.1.mixer.write"][3]
    assert "layers.1.mixer.write" in words and "write_t = β_t v_t" in words and "model/delta_rule.py, line " in words
    assert f"maximum {float(value.max()):.3g}, norm {float(value.norm()):.3g}" in words
    assert widget.name == "layers.1.mixer.write"


def test_the_static_picture_follows_stop_and_token(shown):
    _, trace, widget, _ = shown
    seen = set()
    places = [list(trace).index(name) for name in ("layers.0.mixer.state", "layers.3.mixer.scores", "logits")]
    for stop in places:
        for token in (0, 7):
            widget.stop, widget.token = stop, token
            picture = Image.open(io.BytesIO(widget.static()))
            assert picture.width == 1520 and picture.height > 500
            seen.add(picture.tobytes())
    assert len(seen) == 2 * len(places)


def test_the_output_has_a_picture_and_words_for_readers_without_a_kernel(shown):
    widget = shown[2]
    data, _ = widget._repr_mimebundle_()
    assert (
        data["text/plain"] == widget.alt() and data["image/png"] and "application/vnd.jupyter.widget-view+json" in data
    )


def test_the_page_asks_nobody(shown):
    page = shown[2].html()
    assert theme.kind_of(shown[1].provenance) in page and "</script>" in page
    assert "http://" not in page and "https://" not in page and "import " not in shown[2]._esm


@pytest.mark.skipif(not shutil.which("node"), reason="left out, there is no node")
def test_the_script_is_one_module_that_node_reads(shown, tmp_path):
    file = tmp_path / "stepper.mjs"
    file.write_text(shown[2]._esm, encoding="utf-8")
    subprocess.run(["node", "--check", str(file)], check=True, capture_output=True, text=True)
