"""Ledger bars, half-lives and expert maps: what is drawn is what was traced."""

import math

import pytest
import torch
from small import IDS, MOE, small
from views.test_maps import cells, texts

import qwen35_lab as lab
from qwen35_lab.views import expert_heat_map, expert_load, half_lives, write_erase_decay
from qwen35_lab.views.memory import BARS, FOREVER
from qwen35_lab.views.words import short

RECORD = ["*", *(f"layers.*.mixer.{name}" for name in ("state", "write", "erase"))]


@pytest.fixture(scope="module")
def trace():
    return small().trace(IDS, RECORD)


@pytest.fixture(scope="module")
def routed():
    return small(MOE).trace(IDS, ["*"])


def test_the_ledger_goes_up_for_writes_and_down_for_what_is_taken_out(trace):
    ledger = lab.analysis.ledger(trace, 1)
    figure = write_erase_decay(ledger, trace.tokens, 2, provenance=trace.provenance)
    for bars, (part, sign, *_) in zip(figure.data, BARS, strict=False):
        torch.testing.assert_close(torch.tensor(bars.y).double(), sign * getattr(ledger, part)[:, 2])
        top = int(getattr(ledger, part)[:, 2].argmax())
        assert f"{part} is largest at token {top}" in figure.caption()
    assert len({bars.marker.pattern.shape for bars in figure.data[:3]}) == 3  # not by colour alone
    torch.testing.assert_close(torch.tensor(figure.data[3].y).double(), ledger.change[:, 2])
    assert short(float(ledger.norm[-1, 2])) in figure.caption() and figure.provenance() == str(trace.provenance)


@pytest.mark.parametrize("tokens, head", [(IDS[1:], 0), (IDS, 4)], ids=["tokens", "head"])
def test_a_ledger_of_another_text_or_head_is_refused(trace, tokens, head):
    with pytest.raises(lab.InputError, match="pass the tokens of its trace and a head that exists"):
        write_erase_decay(lab.analysis.ledger(trace, 1), [str(n) for n in tokens], head, provenance="TINY · x")


def test_half_lives_are_medians_of_ln_2_over_minus_g(trace):
    figure = half_lives(trace)
    drawn = {name: x for points in figure.data for name, x in zip(points.y, points.x, strict=True)}
    for layer in range(3):
        lives = -math.log(2) / torch.as_tensor(trace[f"layers.{layer}.mixer.decay"]).double()
        for head in range(4):
            assert drawn[f"layer {layer} · head {head}"] == pytest.approx(
                sorted(lives[:, head].tolist())[len(IDS) // 2]
            )
    longer = sum(x > len(IDS) for x in drawn.values())
    assert f"{longer} of 12 outlast this text of {len(IDS)} tokens" in figure.caption()
    low, high = figure.layout.xaxis.range
    assert figure.layout.xaxis.type == "log" and low < math.log10(len(IDS)) < high  # the dashed line can be seen


def test_a_memory_that_never_fades_is_said_to_be_endless():
    qwen = small()
    with torch.no_grad():
        qwen.model.layers[0].mixer.A_log.fill_(-torch.inf)
    figure = half_lives(qwen.trace(IDS, ["layers.*.mixer.decay"]))
    assert max(figure.data[0].x) == FOREVER and "∞ (layer 0" in figure.alt()


def test_half_lives_need_a_recorded_decay(trace):
    with pytest.raises(lab.InputError, match=r"record \"layers\.\*\.mixer\.decay\""):
        half_lives(small().trace(IDS, ["embed"]))


@pytest.mark.parametrize("show", ["weights", "probabilities", "logits"])
def test_the_expert_map_shows_what_was_asked_for_and_numbers_the_choices(routed, show):
    figure = expert_heat_map(routed, 2, show)
    z, text = cells(figure), texts(figure)  # [expert][token]
    logits, ids, weights = (
        torch.as_tensor(routed[f"layers.2.ffn.{name}"]) for name in ("router_logits", "expert_ids", "expert_weights")
    )
    if show == "logits":
        torch.testing.assert_close(z, logits.T)
    if show == "probabilities":
        torch.testing.assert_close(z.sum(0), torch.ones(len(IDS)))
    for token in range(len(IDS)):
        assert [text[int(e)][token] for e in ids[token]] == ["1", "2"]
        assert sum(bool(text[e][token]) for e in range(6)) == 2
        if show == "weights":
            torch.testing.assert_close(z[ids[token], token], weights[token])
    counts = [int((ids == e).sum()) for e in range(6)]
    assert (
        f"answers most, {max(counts)} times" in figure.caption()
        and f"{counts.count(0)} answer nobody" in figure.caption()
    )


def test_expert_maps_say_what_is_missing(routed, trace):
    with pytest.raises(lab.InputError, match=r"layers\.0\.ffn\.router_logits"):
        expert_heat_map(trace, 0)
    with pytest.raises(lab.InputError, match="choose one"):
        expert_heat_map(routed, 0, "votes")


def test_loads_are_shares_of_each_prompt_against_an_even_load():
    figure = expert_load(
        {"text": torch.tensor([1, 3, 0, 0]), "sums": torch.tensor([0.0, 0.1, 0.1, 0.2])}, provenance="TINY"
    )
    assert [list(bars.y) for bars in figure.data] == [[0.25, 0.75, 0, 0], pytest.approx([0, 0.25, 0.25, 0.5])]
    assert (
        "even would be 25.0%" in figure.caption() and "text: most to expert 1, 75.0%; 2 never asked" in figure.caption()
    )
    assert [note.text for note in figure.layout.annotations] == ["text", "sums"]


@pytest.mark.parametrize("loads", [{}, {"a": torch.zeros(3)}, {"a": torch.ones(3), "b": torch.ones(4)}], ids=range(3))
def test_loads_that_cannot_be_compared_are_refused(loads):
    with pytest.raises(lab.InputError, match="Pass one load per prompt"):
        expert_load(loads, provenance="TINY")
