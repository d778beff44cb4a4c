"""Charts: the numbers drawn are the numbers traced, and caption, alt text and badge say so."""

import json

import plotly.graph_objects as go
import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.views import COLOURS, layer_contributions, reading_maps, residual_norms, theme
from qwen35_lab.views.charts import short

CHARTS = [residual_norms, layer_contributions, reading_maps]
RECORD = ["*", "layers.*.mixer.weights"]


@pytest.fixture(scope="module")
def trace():
    return small().trace(IDS, RECORD)


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_every_chart_names_its_axes_and_says_where_its_numbers_come_from(chart, trace):
    figure = chart(trace)
    drawn = json.loads(figure.to_json())["layout"]
    assert drawn["xaxis"]["title"]["text"] and drawn["yaxis"]["title"]["text"]
    assert figure.provenance() == str(trace.provenance)
    assert len(figure.caption()) > 40 and len(figure.alt()) > 60
    assert drawn["template"]["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_the_norm_chart_draws_the_norms_of_the_token_and_the_range(trace):
    figure = residual_norms(trace, token=4)
    norms = lab.analysis.residual_stream(trace).norm(dim=-1)
    low, high, own = (torch.tensor(line.y) for line in figure.data)
    torch.testing.assert_close(own, norms[:, 4])
    torch.testing.assert_close(low, norms.amin(1))
    torch.testing.assert_close(high, norms.amax(1))
    assert list(figure.data[2].x) == ["embedding", "0 L", "1 L", "2 L", "3 F"]
    for value in (own[0], own[-1]):
        assert f"{value:.3g}" in figure.caption() and f"{value:.3g}" in figure.alt()


def test_norms_that_span_decades_get_a_log_scale_that_says_so():
    qwen = small()
    with torch.no_grad():
        qwen.model.layers[3].ffn.down_proj.weight.mul_(1000)
    figure = residual_norms(qwen.trace(IDS, RECORD))
    assert figure.layout.yaxis.type == "log" and "log" in figure.layout.yaxis.title.text


@pytest.mark.parametrize("value, text", [(0.0123456, "0.0123"), (12.345, "12.3"), (4861.3, "4,861"), (1e7, "1e+07")])
def test_numbers_in_captions_are_short(value, text):
    assert short(value) == text


def test_the_contribution_chart_draws_both_halves_of_every_layer(trace):
    figure = layer_contributions(trace, token=2)
    for half, bars in zip(("mixer", "ffn"), figure.data, strict=True):
        wanted = torch.stack([trace[f"layers.{n}.{half}.out"][2].norm() for n in range(4)])
        torch.testing.assert_close(torch.tensor(bars.y), wanted)
        for value in wanted:
            assert f"{value:.3g}" in figure.alt()
    assert figure.data[1].marker.pattern.shape == "/"  # not by colour alone
    assert list(figure.data[0].marker.color) == [COLOURS["deltanet"]] * 3 + [COLOURS["attention"]]


def test_the_maps_draw_the_influence_and_the_weights(trace):
    figure = reading_maps(trace, deltanet=(1, 2), attention=(3, 1))
    influence, weights = (torch.tensor(panel.z) for panel in figure.data)
    torch.testing.assert_close(influence, lab.analysis.influence_map(trace, 1)[2])
    torch.testing.assert_close(weights, trace["layers.3.mixer.weights"][1])
    assert figure.data[0].zmin == -figure.data[0].zmax  # signed data: zero in the middle
    strongest = influence.tril(-1).abs().max()
    assert f"{strongest:.2f}" in figure.alt().replace("-", "")


def test_the_maps_choose_the_head_that_reads_most(trace):
    layer, head = lab.analysis.strongest_reader(trace)
    figure = reading_maps(trace)
    torch.testing.assert_close(torch.tensor(figure.data[0].z), lab.analysis.influence_map(trace, layer)[head])


def test_the_maps_grow_with_the_tokens_whose_names_they_show(trace):
    heights = [reading_maps(small().trace(IDS[:1] * n, RECORD)).layout.height for n in (11, 18, 40)]
    assert heights[0] == heights[1] < heights[2]
    assert heights[2] - heights[1] >= 14 * (40 - 19)


def test_equal_tokens_keep_their_own_rows():
    trace = small().trace([5] * 6, RECORD)
    assert len(set(reading_maps(trace).data[0].x)) == 6


def test_charts_work_with_experts_and_a_long_prompt():
    trace = small(MOE).trace(IDS * 8, RECORD)
    for chart in CHARTS:
        assert chart(trace).caption()


@pytest.mark.parametrize("types, ids", [(["linear_attention"] * 2, IDS), (["full_attention"], IDS), (None, [1])])
def test_maps_of_nothing_are_refused_with_a_remedy(types, ids):
    qwen = small() if types is None else small(num_hidden_layers=len(types), layer_types=types)
    record = RECORD if types is None or "full_attention" in types else ["*"]
    with pytest.raises(lab.InputError, match="another"):
        reading_maps(qwen.trace(ids, record))


def test_in_a_notebook_figure_and_caption_appear(trace, capsys, monkeypatch):
    import IPython.display

    shown = []
    monkeypatch.setattr(IPython.display, "display", lambda *data, **_: shown.extend(data))
    monkeypatch.setattr(go.Figure, "_ipython_display_", lambda self: shown.append(self))
    figure = residual_norms(trace)
    figure._ipython_display_()
    assert shown[0] is figure
    assert figure.caption().split(",")[0] in shown[1]["text/html"] and "RANDOM" in shown[1]["text/html"]
    assert figure.alt() in shown[1]["text/plain"]


def test_a_figure_survives_a_copy(trace):
    figure = residual_norms(trace)
    assert type(figure)(figure).caption() == figure.caption()


# ------------------------------------------------------------------------- the look


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#ffffff", "#111111"], ids=["light", "dark"])
@pytest.mark.parametrize("name", COLOURS)
def test_colours_can_be_seen_on_both_themes(name, background):
    one, other = sorted((luminance(COLOURS[name]), luminance(background)))
    assert (other + 0.05) / (one + 0.05) >= 3  # WCAG 1.4.11


def test_the_scales_meet_at_a_transparent_zero():
    assert theme.DIVERGING[len(theme.DIVERGING) // 2] == [0.5, theme.rgba(COLOURS["positive"], 0)]
    places = [place for place, _ in theme.DIVERGING]
    assert places == sorted(places) and places[0] == 0 and places[-1] == 1


@pytest.mark.parametrize(
    "provenance, kind", [("TINY · recall · float32 · cpu", "TINY"), ("REAL · x", "REAL"), ("somebody's", "OTHER")]
)
def test_the_badge_says_the_kind(provenance, kind):
    assert theme.kind_of(provenance) == kind
    assert f">{kind}</b>" in theme.badge(provenance)


def test_the_badge_knows_every_kind_that_a_model_can_have():
    assert theme.kind_of(small().provenance) == "RANDOM" and theme.kind_of(lab.load("recall").provenance) == "TINY"


def test_a_long_provenance_goes_on_in_the_next_line():
    word, rest = theme.badge("PUBLISHED · the article of 2026-03-11, judged in November 2026").split("</b>")
    assert word.count("nowrap") == 1 and "nowrap" in word.split("<b ")[1] and "nowrap" not in rest


def test_captions_are_escaped():
    assert "<img" not in theme.caption("<img src=x>", "TINY · <img>", "<img>")
