"""The decks: what a dial shows is what the analyses say, captions hold, and wrong calls are told what to record."""

import io

import pytest
import torch
from PIL import Image
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis.influence import assemble, within_chunk_mask
from qwen35_lab.model import delta_rule
from qwen35_lab.views import (
    attention_pair,
    chunk_deck,
    cinema,
    edit_deck,
    expert_deck,
    influence_deck,
    memory_replay,
    state_cinema,
    write_replay,
)  # fmt: skip
from qwen35_lab.views import replay as replay_view
from qwen35_lab.views.words import short, signed

LAZY = [f"layers.*.mixer.{name}" for name in ("weights", "state", "write", "erase")]
MOST = 1_500_000  # characters that a view may send
TEXT = "cat red . dog blue . fox gold . cat green . dog pink . ? dog"


@pytest.fixture(scope="module")
def trace():
    return small().trace(IDS, ["*", *LAZY])


@pytest.fixture(scope="module")
def recall():
    return lab.load("recall")


@pytest.fixture(scope="module")
def told(recall):
    return recall.trace(TEXT, ["*", *LAZY])


def panel(deck, title):
    return next(p for p in deck.panels() if p.title.startswith(title))


VIEWS = {
    "cinema": lambda told: state_cinema(told, 0, 2),
    "influence": lambda told: influence_deck(told, 1),
    "pair": attention_pair,
    "chunk": lambda told: chunk_deck(told, 1, 2),
    "memory": lambda told: memory_replay(told, 0, 2),
    "replay": lambda told: write_replay(),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_every_deck_is_small_and_says_what_it_shows_and_where_that_comes_from(make, told):
    deck = make(told)
    assert len(deck.payload) < MOST and len(deck._dials) <= 5
    assert len(deck.caption()) > 60 and deck.caption() in deck.alt() and len(deck.alt()) > 200
    assert deck.provenance() == (replay_view.PROVENANCE if make is VIEWS["replay"] else str(told.provenance))
    assert Image.open(io.BytesIO(deck.static())).width > 1000
    assert "nan" not in deck.caption()


# ------------------------------------------------------------------------- state cinema


def test_the_cinema_shows_the_traced_memory_and_its_size(told):
    deck = state_cinema(told, 1, 3)
    S = torch.as_tensor(told["layers.1.mixer.state"])[:, 3]
    torch.testing.assert_close(torch.as_tensor(panel(deck, "Memory").values), S)
    size = panel(deck, "Size").series
    torch.testing.assert_close(size["‖S‖"].float(), S.flatten(1).norm(dim=1))
    torch.testing.assert_close(size["‖ΔS‖"].float(), S.diff(dim=0, prepend=0 * S[:1]).flatten(1).norm(dim=1))
    assert f"grows to {short(float(S.flatten(1).norm(dim=1).max()))}" in deck.caption()


def test_a_key_returns_its_value_from_its_token_on(told):
    deck = state_cinema(told, 0, 2, keys=[2, 5])
    (first, second) = panel(deck, "What keys").series.values()
    k, v, S = (torch.as_tensor(told[f"layers.0.mixer.{name}"]).double() for name in ("k", "v", "state"))
    own, value = k[5, 2 * k.shape[1] // v.shape[1]], v[5, 2]
    wanted = torch.einsum("k,tkv,v->t", own, S[:, 2], value) / value.square().sum()
    assert second[:5].isnan().all() and not first[2:].isnan().any()
    torch.testing.assert_close(second[5:], wanted[5:])
    assert list(panel(deck, "What keys").series) == ["2 cat red", "5 dog blue"]  # a point is named by what it follows


def test_by_default_the_cinema_follows_what_was_overwritten_and_what_overwrote_it(told):
    deck = state_cinema(told, 0, 3)
    assert list(panel(deck, "What keys").series) == ["2 cat red", "5 dog blue", "11 cat green", "14 dog pink"]
    key = torch.as_tensor(told["layers.0.mixer.k"])[:, 1]
    first = panel(deck, "What keys").series["2 cat red"]
    second = panel(deck, "What keys").series["5 dog blue"]
    said = max([(first, 2, 11), (second, 5, 14)], key=lambda each: float(each[0][each[2] - 1] - each[0][each[2]]))
    curve, earlier, later = said
    assert f"returns {signed(curve[later - 1])} of its value, until “{later} " in deck.caption()
    assert f"(cosine {float(key[earlier] @ key[later]):.3f}): then {signed(curve[later])}." in deck.caption()
    assert list(panel(memory_replay(told, 0, 3), "What keys").series) == list(panel(deck, "What keys").series)


def test_overwrites_are_later_writes_under_the_same_key():
    """Three keys at right angles: the first is written again, by the fourth and the fifth write; β is 1."""
    k, v = torch.eye(4).double()[[0, 1, 2, 0, 0]], 1 + torch.eye(5).double()
    v[0] *= 2
    S = lab.analysis.replay.replay(k, v)[1:]
    assert cinema.overwrites(S, k, v, v.norm(dim=-1)) == [(0, 3), (3, 4)]
    assert cinema.overwrites(S[:3], k[:3], v[:3], v[:3].norm(dim=-1)) == []
    assert cinema.followed_keys(None, S[:3], k[:3], v[:3], torch.tensor([1.0, 3, 2])) == [0, 1, 2]


def test_a_token_without_letters_is_named_by_the_two_words_before_it_if_there_are_any():
    tokens = ["cat", "red", ".", "?", "cat", " ."]
    assert [cinema.key_name(tokens, n) for n in range(6)] == ["0 cat", "1 red", "2 cat red", "3 ?", "4 cat", "5 ? cat"]


def test_the_cinema_can_be_played_and_ends_at_the_last_token(told):
    deck = state_cinema(told, 0, 0)
    assert deck._dials[0].play and deck.at == [len(told.tokens) - 1]


def test_a_wide_memory_is_thinned_until_it_fits():
    wide = small({**DENSE, "linear_key_head_dim": 96, "linear_value_head_dim": 96}).trace(IDS, ["*", *LAZY])
    assert panel(state_cinema(wide, 0, 0), "Memory").values.shape == (len(IDS), 64, 64)


# ------------------------------------------------------------------------- influence


def test_maps_open_at_the_head_that_is_asked_for(trace):
    for head in (0, 3):
        assert influence_deck(trace, 1, start=head).at == [head]
        assert attention_pair(trace, 1, start=head).at[0] == head
    assert influence_deck(trace, 1, heads=[2, 0], start=0).at == [1]
    taken = lab.analysis.influence_map(trace, 1).tril(-1).abs().amax((1, 2))
    assert influence_deck(trace, 1).at == [int(taken.argmax())]


def test_the_three_parts_on_screen_sum_to_the_map_on_screen(trace):
    deck = influence_deck(trace, 1, heads=[2, 0])
    whole, *parts = (panel(deck, title).values for title in ("M,", "Direct", "Decayed", "Erased"))
    torch.testing.assert_close(sum(parts), whole)
    torch.testing.assert_close(whole.float(), lab.analysis.influence_map(trace, 1)[[2, 0]], rtol=1e-4, atol=1e-5)
    assert len({p.limit for p in deck.panels() if p.kind == "heat"}) == 1  # one scale: colours can be compared


def test_the_caption_counts_negative_entries_and_measures_the_popular_map(trace):
    deck = influence_deck(trace, 2)
    M, T = lab.analysis.influence_map(trace, 2).double(), len(IDS)
    q, k, g, beta = (torch.as_tensor(trace[f"layers.2.mixer.{name}"]).double() for name in ("q", "k", "decay", "beta"))
    popular = torch.zeros_like(M)
    for h in range(len(M)):
        for i in range(T):
            for j in range(i + 1):
                popular[h, i, j] = q[i, h // 2] @ k[j, h // 2] * beta[j, h] * g[j + 1 : i + 1, h].sum().exp()
    wrong = 100 * (popular - M).abs().amax((1, 2)) / M.abs().amax((1, 2))
    low, high = (float(deck.caption().split(word)[1].split(" %")[0]) for word in ("wrong by ", " % to "))
    assert low == pytest.approx(float(wrong.min()), rel=0.01) and high == pytest.approx(float(wrong.max()), rel=0.01)
    below = M[:, *torch.tril_indices(T, T)]
    assert deck.caption().split(": ")[1].startswith(f"{float((below < 0).float().mean()):.0%}")


def test_the_pair_takes_the_attention_layer_that_follows_and_links_the_axes(trace):
    deck = attention_pair(trace, 1)
    influence, softmax = deck.panels()
    torch.testing.assert_close(
        torch.as_tensor(softmax.values).float(), torch.as_tensor(trace["layers.3.mixer.weights"])
    )
    assert "layer 3" in softmax.title and influence.rows == softmax.rows and influence.columns == softmax.columns
    sums = lab.analysis.influence_map(trace, 1).sum(-1)
    assert f"between {signed(sums.min())} and {signed(sums.max())}" in deck.caption()


def test_every_chunk_size_gives_the_same_map_from_two_halves(trace):
    deck = chunk_deck(trace, 0, 1)
    M = lab.analysis.influence_map(trace, 0)[1].double()
    inside, handed, whole = (panel(deck, title).values for title in ("Inside", "Through", "Together"))
    sizes = list(deck._dials[0].labels)
    assert sizes == [1, 2, 4, 8, 16]  # 16 holds all 11 tokens
    torch.testing.assert_close(inside.nan_to_num() + handed.nan_to_num(), whole)
    torch.testing.assert_close(whole, M.expand_as(whole), rtol=1e-4, atol=1e-5)
    for n, size in enumerate(sizes):
        made = assemble(trace, 0, size).sum(0)[1]
        through = made.masked_fill(within_chunk_mask(len(IDS), size), 0)
        share = panel(deck, "Share").series["share"]
        torch.testing.assert_close(share[n], through.abs().sum() / made.abs().sum())
    assert "chunks of 16 0%" in deck.caption()


# ------------------------------------------------------------------------- replay


def test_the_replay_at_full_erase_is_the_delta_rule_and_returns_what_was_written_last():
    deck = write_replay()
    S, returned, ideal = (panel(deck, t).values for t in ("Memory", "What each", "What it should"))
    assert S.shape[:5] == returned.shape[:5] == (5, 4, 4, 3, len(replay_view.WRITES) + 1)
    orthogonal = returned[-1, -1, -1, 0]  # λ = α = β = 1, cosine 0: [write, key, value]
    torch.testing.assert_close(orthogonal, ideal, rtol=0, atol=1e-8)
    keys = list(dict.fromkeys(key for key, _ in replay_view.WRITES))
    at = [keys.index(key) for key, _ in replay_view.WRITES]
    values = [panel(deck, "Memory").columns.labels.index(value) for _, value in replay_view.WRITES]
    k = lab.analysis.replay.keys_with_cosine(len(keys), 0.6)[at][None, :, None]
    v = torch.eye(S.shape[-1], dtype=torch.float64)[values][None, :, None]
    g, beta = torch.full((1, len(at), 1), 0.85).double().log(), torch.full((1, len(at), 1), 0.5).double()
    _, state = delta_rule.recurrent(k, k, v, g, beta)
    torch.testing.assert_close(S[-1, 1, 1, 2, -1], state[0, 0])


def test_the_caption_of_the_replay_counts_the_keys_that_answer_rightly():
    writes = [("a", "x"), ("a", "y"), ("a", "z"), ("b", "x")]
    deck = write_replay(writes)
    returned = panel(deck, "What each").values[:, -1, -1, 1, -1]  # [λ, key, value]
    right = [0, 0]  # with λ = 1, with λ = 0; a tie is no answer
    for n, table in enumerate((returned[-1], returned[0])):
        for row, last in zip(table, (2, 0), strict=True):
            best, second = row.topk(2).values
            right[n] += bool(best - second > 1e-6 and row.argmax() == last)
    assert f"λ = 1, {right[0]} of 2 keys" in deck.caption() and f"λ = 0, {right[1]}." in deck.caption()
    assert right[0] > right[1]


@pytest.mark.parametrize("writes", [[], [(f"k{n}", "v") for n in range(8)]])
def test_a_replay_of_nothing_or_of_too_many_keys_is_refused(writes):
    with pytest.raises(lab.InputError, match="1 to 7"):
        write_replay(writes)


def test_a_traced_head_replayed_with_full_erase_is_what_the_model_did(told):
    deck = memory_replay(told, 1, 3, erase=(0.0, 1.0))
    S = panel(deck, "Memory").values
    torch.testing.assert_close(
        torch.as_tensor(S[1]), torch.as_tensor(told["layers.1.mixer.state"])[:, 3], rtol=1e-4, atol=1e-5
    )
    assert not torch.allclose(torch.as_tensor(S[0]), torch.as_tensor(S[1]), atol=0.01)


# ------------------------------------------------------------------------- experts and live edits


def test_the_expert_deck_shows_weights_and_load_of_every_layer():
    trace = small(MOE).trace(IDS, ["*"])
    deck = expert_deck(trace)
    weights, load = panel(deck, "Weight").values, panel(deck, "Load").series["load"]
    for layer in range(4):
        ids, w = (torch.as_tensor(trace[f"layers.{layer}.ffn.expert_{part}"]) for part in ("ids", "weights"))
        for t in range(len(IDS)):
            for expert, weight in zip(ids[t].tolist(), w[t].tolist(), strict=True):
                assert weights[layer, expert, t] == pytest.approx(weight)
        assert load[layer].tolist() == pytest.approx([int((ids == e).sum()) / ids.numel() for e in range(6)])
    assert (weights > 0).sum() == 4 * len(IDS) * 2 and deck.provenance() == str(trace.provenance)
    with pytest.raises(lab.InputError, match="trace a model with experts"):
        expert_deck(small().trace(IDS, ["*"]))


def erased(recall, **options):
    return edit_deck(
        recall, TEXT, lambda layer, amount: lab.edit(f"layers.{layer}.mixer.erase").scale(amount),
        {"layer": [0, 1], "λ": [0, 1]}, **options,
    )  # fmt: skip


def test_an_edit_deck_runs_the_model_again_and_shows_the_effect(recall):
    deck = erased(recall)
    without = recall.trace(TEXT, ["logits"])["logits"][-1]
    edited = recall.trace(TEXT, ["logits"], edits=[lab.edit("layers.0.mixer.erase").scale(0)])["logits"][-1]
    top = int(without.argmax())
    change = edited.double().log_softmax(-1)[top] - without.double().log_softmax(-1)[top]
    effect = panel(deck, "Effect").series["nats"]
    assert float(effect[0]) == pytest.approx(float(change), abs=1e-4)
    assert f"{float(change):+.3g}".replace("-", "−") in deck.caption()
    shown = panel(deck, "Probability")
    assert list(shown.series) == ["unedited", "edited"]
    assert shown.series["edited"][shown.labels.index(recall.token_text(top))] == pytest.approx(
        100 * float(edited.softmax(-1)[top]), abs=0.006
    )
    rank = int((edited > edited[top]).sum())
    assert panel(deck, "Effect").title.endswith(f"rank 1 → {rank + 1}")
    deck.choose({"λ": 1})
    assert panel(deck, "Effect").series["nats"].abs().max() < 1e-6


def test_an_edit_deck_leaves_the_model_as_it_was(recall):
    before = recall.trace(TEXT, ["logits"])["logits"]
    erased(recall).choose({"layer": 1})
    assert torch.equal(recall.trace(TEXT, ["logits"])["logits"], before)


def test_an_edit_deck_can_be_asked_about_any_answer(recall):
    answer = int(recall.encode("blue")[0, 0])
    assert "“blue”" in panel(erased(recall, answer=answer), "Effect").title
    with pytest.raises(lab.InputError, match="pass dials"):
        edit_deck(recall, TEXT, lambda: [], {})


# ------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "view, record",
    [
        (lambda t: state_cinema(t, 0, 0), "layers.0.mixer.state"),
        (lambda t: influence_deck(t, 1), "layers.1.mixer.q"),
        (lambda t: attention_pair(t, 0, 3), "layers.0.mixer.q|layers.3.mixer.weights"),
        (lambda t: chunk_deck(t, 2, 0), "layers.2.mixer.q"),
        (lambda t: memory_replay(t, 0, 0), "layers.0.mixer.k"),
    ],
    ids=["cinema", "influence", "pair", "chunk", "memory"],
)
def test_what_was_not_recorded_is_named(view, record):
    with pytest.raises(lab.InputError, match=record):
        view(small().trace(IDS, ["layers.*.mixer.beta", "layers.*.mixer.out", "layers.*.mixer.gate"]))


@pytest.mark.parametrize(
    "view",
    [
        lambda t: state_cinema(t, 0, 4), lambda t: influence_deck(t, 0, [9]), lambda t: chunk_deck(t, 0, -5),
        lambda t: memory_replay(t, 0, 4), lambda t: state_cinema(t, 0, 0, keys=[99]), lambda t: state_cinema(t, 3, 0),
        lambda t: influence_deck(t, 3), lambda t: influence_deck(t, 0, []), lambda t: attention_pair(t, 1, start=4),
        lambda t: influence_deck(t, 1, start=4), lambda t: influence_deck(t, 1, [0, 1], start=2),
    ],
)  # fmt: skip
def test_heads_tokens_and_layers_that_do_not_exist_are_refused(view, trace):
    with pytest.raises(lab.InputError):
        view(trace)
