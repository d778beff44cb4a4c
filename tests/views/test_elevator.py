"""The layer elevator: what is sent is what was traced, and everybody gets to see something."""

import base64
import io
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.views import elevator, theme
from qwen35_lab.views.elevator_data import peaks
from qwen35_lab.views.elevator_widget import RECORD
from qwen35_lab.views.widget import HERE, esm


def decoded(value):
    """What the browser makes of the payload, written again in Python."""
    if isinstance(value, dict) and "base64" in value:
        flat = np.frombuffer(base64.b64decode(value["base64"]), np.dtype(value["type"]).newbyteorder("<"))
        return torch.from_numpy(flat.reshape(value["shape"]).copy())
    if isinstance(value, dict):
        return {key: decoded(item) for key, item in value.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def shown(request):
    """(model, trace, elevator, what the browser sees)"""
    qwen = small(request.param)
    trace = qwen.trace(IDS, RECORD)
    lift = elevator(qwen, trace)
    return qwen, trace, lift, decoded(json.loads(lift.payload))


def test_norms_and_cosines_arrive_exactly(shown):
    _, trace, _, seen = shown
    numbers = lab.analysis.contributions(trace)
    assert torch.equal(seen["stream"], lab.analysis.residual_stream(trace).norm(dim=-1))
    for name in ("mixer", "ffn"):
        assert torch.equal(seen[name], getattr(numbers, name))
        assert torch.equal(seen[f"{name}Cosine"], getattr(numbers, f"{name}_cosine"))


def test_the_lens_arrives_exactly(shown):
    qwen, trace, _, seen = shown
    lens = lab.logit_lens(qwen.model, trace)
    assert torch.equal(seen["probabilities"], lens.probabilities)
    for row, token, place in ((0, 0, 0), (2, 5, 4), (4, 10, 1)):
        index = int(seen["lens"][row, token, place])
        assert seen["wordIds"][index] == int(lens.ids[row, token, place])
        assert seen["words"][index] == qwen.token_text(int(lens.ids[row, token, place]))


def test_every_recorded_tap_is_on_its_floor_with_its_numbers(shown):
    _, trace, _, seen = shown
    found = {}
    for floor, taps in enumerate(seen["floors"]):
        for tap in taps:
            whole = {"embed", "final", "logits"}
            found[tap["name"] if tap["name"] in whole else f"layers.{floor - 1}.{tap['name']}"] = tap
    assert found.keys() == set(trace)
    for name, tap in found.items():
        value = trace[name].float()
        assert tap["shape"] == list(value.shape) and tap["axes"] == list(trace.axes[name])
        assert tap["min"] == pytest.approx(float(value.min()))
        assert tap["mean"] == pytest.approx(float(value.mean()), abs=1e-7)
        assert tap["max"] == pytest.approx(float(value.max()))


def test_strips_are_the_values_of_the_token_clipped_and_in_127_steps(shown):
    _, trace, _, seen = shown
    tap = next(tap for tap in seen["floors"][2] if tap["name"] == "mixer.v")
    value = trace["layers.1.mixer.v"].flatten(1)
    cells = tap["strip"].float() / 127 * tap["limit"]
    assert tap["limit"] == pytest.approx(float(value.abs().amax(1).median()))
    torch.testing.assert_close(cells, value.clamp(-tap["limit"], tap["limit"]), atol=tap["limit"] / 250, rtol=0)


def test_few_values_are_sent_as_numbers_too(shown):
    _, trace, _, seen = shown
    beta = next(tap for tap in seen["floors"][1] if tap["name"] == "mixer.beta")
    assert torch.equal(beta["values"], trace["layers.0.mixer.beta"].float())
    assert next(tap for tap in seen["floors"][1] if tap["name"] == "mixer.v")["values"] is None


def test_attention_weights_are_those_of_the_token_that_asks(shown):
    _, trace, _, seen = shown
    tap = next(tap for tap in seen["floors"][4] if tap["name"] == "mixer.weights")
    asked = trace["layers.3.mixer.weights"][:, 7].flatten()  # [head, query, key]
    shown_cells = tap["strip"][7].float() / 127 * tap["limit"]
    torch.testing.assert_close(shown_cells, asked.clamp(max=tap["limit"]), atol=0.01, rtol=0)


@pytest.mark.parametrize("count, cells", [(5, 8), (8, 8), (100, 8), (97, 96), (1000, 96)])
def test_shortened_rows_keep_their_peaks(count, cells):
    rows = torch.randn(3, count, generator=torch.Generator().manual_seed(count))
    short = peaks(rows, cells)
    assert short.shape == (3, min(count, cells))
    assert torch.equal(short.abs().amax(1), rows.abs().amax(1))
    assert all(bool((row[:, None] == short[n]).any(0).all()) for n, row in enumerate(rows))


@pytest.mark.slow
def test_a_deep_model_and_a_long_prompt_stay_small():
    qwen = small(num_hidden_layers=64)
    lift = elevator(qwen, IDS * 18)
    assert len(lift.payload) < 5_000_000


def test_infinite_and_masked_values_do_not_break_it():
    qwen = small()
    trace = qwen.trace(IDS, ["*", "layers.*.mixer.scores"])
    seen = decoded(json.loads(elevator(qwen, trace).payload))
    scores = next(tap for tap in seen["floors"][4] if tap["name"] == "mixer.scores")
    assert np.isfinite([scores["min"], scores["max"], scores["limit"]]).all()


@pytest.mark.parametrize(
    "types", [["full_attention"], ["linear_attention"] * 2, ["full_attention", "linear_attention"]]
)
@pytest.mark.parametrize("ids", [[7], IDS])
def test_any_mix_of_layers_and_a_single_token_work(types, ids):
    lift = elevator(small(num_hidden_layers=len(types), layer_types=types), ids)
    Image.open(io.BytesIO(lift.static())).verify()


def test_the_picture_is_a_picture_of_the_present_view(shown):
    *_, lift, _ = shown
    pictures = set()
    for lift.floor, lift.token in ((0, 0), (1, 0), (4, 10)):
        picture = Image.open(io.BytesIO(lift.static()))
        picture.load()
        assert picture.format == "PNG" and picture.width == 1520 and picture.height > 500
        pictures.add(picture.tobytes())
    assert len(pictures) == 3


def test_the_words_say_the_numbers(shown):
    qwen, trace, lift, _ = shown
    lift.floor, lift.token = 3, 5
    lens = lab.logit_lens(qwen.model, trace)
    words = lift.alt()
    assert "4 layers (L L L F), 11 tokens" in words and "after layer 2 (Gated DeltaNet)" in words
    assert f"{float(trace['layers.2.output'][5].norm()):.3g}" in words
    assert f"<{int(lens.ids[3, 5, 0])}> {float(lens.probabilities[3, 5, 0]):.1%}" in words


def test_without_widgets_there_is_a_picture_and_a_text(shown):
    *_, lift, _ = shown
    data, _ = lift._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).verify()
    assert data["text/plain"] == lift.alt()


def test_negative_numbers_count_from_the_end():
    lift = elevator(small(), IDS, floor=-2, token=-3)
    assert (lift.floor, lift.token) == (3, 8)


def test_a_token_that_looks_like_html_cannot_break_the_page(monkeypatch):
    qwen = small()
    monkeypatch.setattr(lab.Qwen, "token_text", lambda self, n: "</script><b>")
    page = elevator(qwen, IDS).html()
    assert page.count("</script>") == 2  # the state's and the module's own


def test_the_page_asks_nobody_for_anything():
    page = elevator(small(), IDS).html()
    assert "http" not in page.replace('xmlns="http://www.w3.org', "")


def test_the_letters_and_names_are_the_same_in_the_browser():
    script = (HERE / "elevator.js").read_text(encoding="utf-8")
    for kind in theme.LETTERS:
        assert f'{kind}: "{theme.LETTERS[kind]}"' in script and f'{kind}: "{theme.NAMES[kind]}"' in script


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed; the browser tests run the script itself")
def test_the_script_parses(tmp_path):
    module = tmp_path / "elevator.mjs"
    module.write_text(esm("kit", "elevator"), encoding="utf-8")
    result = subprocess.run(["node", "--check", str(module)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_script_is_small():
    """Large scripts load slowly on Colab."""
    assert len(esm("kit", "elevator")) < 16_000
