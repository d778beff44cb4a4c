"""Speculative decoding: the same greedy text, the same distribution, and a cache as if no draft had ever been read."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs
from reference import memories
from small import DENSE, MOE, small
from torch import Tensor
from torch.nn import functional as F

import qwen35_lab as lab
from qwen35_lab import speculative
from qwen35_lab.generate import Sampling, decode
from qwen35_lab.model import TextModel, mtp_logits, rewindable
from qwen35_lab.speculative import Drafter, Drafts, History, Speculation, accept, decode_speculatively, distribution

MTP = {"mtp_num_hidden_layers": 1, "tie_word_embeddings": False}  # a tied random model repeats its last token
PROMPT = [3, 1, 4, 1, 5]


def trained(raw: dict[str, Any], steps: int = 120) -> lab.Qwen:
    """A random model, and a head that has learnt for a few steps what the model says to random texts."""
    qwen = small({**raw, **MTP, "vocab_size": 8}, seed=1)
    qwen.model.double()
    draws = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(qwen.model.mtp.parameters(), 1e-2)
    for _ in range(steps):
        ids = torch.randint(0, 8, (8, 16), generator=draws)
        with torch.no_grad():
            out = qwen.model(ids)
        guesses = mtp_logits(qwen.model, out.hidden, ids)
        loss = F.cross_entropy(guesses.flatten(0, 1), out.logits[:, 1:].argmax(-1).flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return qwen


@pytest.fixture(scope="module", params=[DENSE, MOE], ids=["dense", "moe"])
def qwen(request: pytest.FixtureRequest) -> lab.Qwen:
    return trained(request.param)


def plain(model: TextModel, prompt: Sequence[int], new: int, **settings: Any) -> list[int]:
    stop_ids = settings.pop("stop_ids", ())
    steps = decode(
        model, torch.tensor([prompt]), max_new_tokens=new, sampling=Sampling(**settings), stop_ids=stop_ids
    )  # fmt: skip
    return [int(token) for token in steps]


def drafted(model: TextModel, prompt: Sequence[int], new: int, k: int | Drafts, **settings: Any) -> list[int]:
    stop_ids = settings.pop("stop_ids", ())
    steps = decode_speculatively(
        model, torch.tensor([prompt]), speculative=k, max_new_tokens=new, sampling=Sampling(**settings),
        stop_ids=stop_ids,
    )  # fmt: skip
    return [int(token) for token in steps]


class Planted(Drafter):
    """Drafts that are right in a share of cases, because they are copied from the text that is to come."""

    text: list[int]
    share: float
    draws: torch.Generator

    def draft(self, token, count, sampling, history, generator):
        super().draft(token, count, sampling, history, generator)
        first, V = self.cache.length + 2, history.seen.shape[1]
        tokens = []
        for n in range(first, first + count):
            right = float(torch.rand((), generator=self.draws)) < self.share
            wrong = int(torch.randint(V, (), generator=self.draws))
            tokens.append(self.text[n] if right and n < len(self.text) else wrong)
        return tokens, F.one_hot(torch.tensor(tokens, dtype=torch.long), V).float().view(count, V)


def plant(monkeypatch: pytest.MonkeyPatch, text: list[int], share: float, seed: int = 0) -> None:
    Planted.text, Planted.share, Planted.draws = text, share, torch.Generator().manual_seed(seed)
    monkeypatch.setattr(speculative, "Drafter", Planted)


# ------------------------------------------------------------------------- greedy: the same text


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_greedy_text_is_the_same_with_a_head_that_is_sometimes_right(k: int, qwen: lab.Qwen) -> None:
    drafts, shares = Drafts(k), []
    for first in range(4):
        text = plain(qwen.model, [first, *PROMPT], 30)
        assert drafted(qwen.model, [first, *PROMPT], 30, drafts) == text
        shares.append(drafts.accepted / drafts.drafted)
    assert 0.1 < sum(shares) / len(shares) < 0.95, "both branches ran"


@settings(max_examples=60)
@given(data=st.data())
def test_greedy_text_is_the_same_for_any_architecture_length_and_drafts(data: st.DataObject) -> None:
    raw = data.draw(configs()) | MTP
    model = small(raw, seed=data.draw(st.integers(0, 50))).model.double()
    prompt = data.draw(st.lists(st.integers(0, raw["vocab_size"] - 1), min_size=1, max_size=20))
    new, k = data.draw(st.integers(0, 25)), data.draw(st.integers(1, 5))
    how = data.draw(st.sampled_from([{}, {"temperature": 0, "presence_penalty": 1.5, "repetition_penalty": 1.3}]))
    text = plain(model, prompt, new, **how)
    stops = data.draw(st.sampled_from([(), tuple(text[3:4]), tuple(text[7:9])]))
    expected = plain(model, prompt, new, stop_ids=stops, **how)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qwen35_lab.generate.PREFILL_TOKENS", data.draw(st.sampled_from([1, 2, 7, 100])))
        assert drafted(model, prompt, new, k, stop_ids=stops, **how) == expected
        plant(patch, prompt + text, data.draw(st.sampled_from([0.5, 0.9, 1.0])), new)
        record = Drafts(k)
        assert drafted(model, prompt, new, record, stop_ids=stops, **how) == expected
    steps = record.steps
    assert [t for step in steps for t in step.tokens] == expected[1:]
    for step in steps:
        assert step.tokens[: step.accepted] == step.drafted[: step.accepted] and len(step.drafted) <= k
        assert expected[step.position - len(prompt) :][: len(step.tokens)] == list(step.tokens)


def test_every_stop_inside_a_step_ends_the_text_there(qwen: lab.Qwen, monkeypatch: pytest.MonkeyPatch) -> None:
    text = plain(qwen.model, PROMPT, 24)
    plant(monkeypatch, PROMPT + text, 1.0)
    for stop in set(text):
        end = text.index(stop) + 1
        record = Drafts(4)
        assert drafted(qwen.model, PROMPT, 24, record, stop_ids=[stop]) == text[:end]
        assert sum(len(step.tokens) for step in record.steps) == end - 1
        assert sum(step.accepted for step in record.steps) <= end - 1


def test_perfect_drafts_give_k_plus_one_tokens_for_every_pass(qwen: lab.Qwen, monkeypatch: pytest.MonkeyPatch) -> None:
    text = plain(qwen.model, PROMPT, 25)
    plant(monkeypatch, PROMPT + text, 1.0)
    lengths = []
    handle = qwen.model.register_forward_pre_hook(lambda module, args, kwargs: lengths.append(args[0].shape[1]),
                                                  with_kwargs=True)  # fmt: skip
    record = Drafts(3)
    assert drafted(qwen.model, PROMPT, 25, record) == text
    handle.remove()
    assert lengths == [5] + [4] * 6 and record.forwards == 6 and record.per_forward == 4
    assert (record.drafted, record.accepted) == (18, 18)
    assert "18 of 18 accepted in 6 steps, 4.00 tokens per forward pass" in repr(record)
    assert drafted(qwen.model, PROMPT, 1, record) == text[:1]
    assert record.steps == [] and "nan" in repr(record), "a record is begun anew"


def test_greedy_leaves_the_global_generator_alone(qwen: lab.Qwen) -> None:
    before = torch.get_rng_state()
    drafted(qwen.model, PROMPT, 20, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_edits_act_as_they_do_without_drafts(qwen: lab.Qwen) -> None:
    """Also those of the recurrent state, which the rollback listens to itself, and those at one token of the answer."""
    whole = plain(qwen.model, PROMPT, 25)
    for edit in (
        lab.edit("layers.0.mixer.erase").scale(0),
        lab.edit("layers.*.mixer.state").scale(0.3),
        lab.edit("layers.*.mixer.state", token=9).scale(0),
        lab.edit("layers.3.output", token=[8, 12]).scale(-1),
        lab.edit("layers.0.input", token=-1).scale(-1),  # the end of the prompt, not of a pass
    ):
        with qwen.edited(edit):
            text = plain(qwen.model, PROMPT, 25)
            assert drafted(qwen.model, PROMPT, 25, 3) == text, edit
        assert text != whole, edit
    assert drafted(qwen.model, PROMPT, 25, 3) == whole


@settings(max_examples=30)
@given(data=st.data())
def test_drafts_feed_the_head_its_own_output_again(data: st.DataObject) -> None:
    """Against the head run anew, without a cache, over all slots for each draft."""
    raw = data.draw(configs()) | MTP
    model = small(raw, seed=4).model.double()
    ids = data.draw(st.lists(st.integers(0, raw["vocab_size"] - 1), min_size=2, max_size=12))
    sampling, history = Sampling(temperature=1.0), History.of(torch.tensor([ids]), raw["vocab_size"])
    with torch.no_grad():
        out = model(torch.tensor([ids[:-1]]))
        drafter = Drafter(model)
        drafter.read(out)
        tokens, q = drafter.draft(ids[-1], 4, sampling, history, torch.Generator().manual_seed(0))
        hidden, text = out.hidden, list(ids)
        for token, found in zip(tokens, q, strict=True):
            positions = torch.arange(len(text) - 1).expand(3, 1, -1)
            y = model.mtp(model.embed_tokens(torch.tensor([text[1:]])), hidden, positions)
            expected = model.mtp.score(y, model)[0, -1].float().softmax(-1)  # sampling is in float32
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
            hidden, text = torch.cat((hidden, y[:, -1:]), dim=1), [*text, token]
    assert drafter.cache.length == len(ids) - 2, "what was guessed is forgotten"


# ------------------------------------------------------------------------- rollback: the same cache


def assert_same(cache: Any, expected: Any, tolerance: float = 1e-9) -> None:
    assert cache.length == expected.length
    for mine, theirs in zip(memories(cache), memories(expected), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@settings(max_examples=40)
@given(data=st.data())
def test_after_every_step_both_caches_are_those_of_the_accepted_text(data: st.DataObject) -> None:
    raw = data.draw(configs()) | MTP
    model = small(raw, seed=3).model.double()
    prompt = data.draw(st.lists(st.integers(0, raw["vocab_size"] - 1), min_size=1, max_size=10))
    text = plain(model, prompt, 30)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        plant(patch, prompt + text, 0.6, data.draw(st.integers(0, 99)))
        run = Speculation(model, Sampling(), (), torch.device("cpu"))
        read, token = list(prompt), run.begin(torch.tensor([prompt]))
        for _ in range(5):
            step = run.step(token, data.draw(st.integers(0, 4)))
            read += [token, *step.drafted[: step.accepted]]
            token = step.tokens[-1]
            fresh = model.new_cache()
            out = model(torch.tensor([read]), cache=fresh)
            assert_same(run.cache, fresh)
            head = model.mtp.new_cache()
            if len(read) > 1:
                model.mtp(out.embedded[:, 1:], out.hidden[:, :-1], out.positions[..., :-1], cache=head)
            assert_same(run.drafter.cache, head)


@settings(max_examples=60)
@given(data=st.data())
def test_rewind_keeps_any_number_of_tokens_of_a_pass(data: st.DataObject) -> None:
    raw = data.draw(configs())
    model = small(raw, seed=1).model.double()
    draws = torch.Generator().manual_seed(0)
    past, new, more = (data.draw(st.integers(low, 12)) for low in (0, 1, 1))
    keep = data.draw(st.integers(0, new))
    ids = torch.randint(0, raw["vocab_size"], (data.draw(st.integers(1, 2)), past + new + more), generator=draws)
    cache, fresh = model.new_cache(), model.new_cache()
    with torch.no_grad():
        if past:
            model(ids[:, :past], cache=cache)
        before = cache.snapshot()
        with rewindable(model, cache) as rewind:
            model(ids[:, past : past + new], cache=cache)
        rewind(keep)
        if past + keep:
            model(ids[:, : past + keep], cache=fresh)
            assert_same(cache, fresh)
        expected = model(ids[:, past + new :], cache=fresh).logits
        torch.testing.assert_close(model(ids[:, past + new :], cache=cache).logits, expected, atol=1e-9, rtol=1e-9)
        cache.restore(before)  # and the snapshot from before is good still
        fresh = model.new_cache()
        expected = model(ids, cache=fresh).logits[:, past:]
        torch.testing.assert_close(model(ids[:, past:], cache=cache).logits, expected, atol=1e-9, rtol=1e-9)


def test_rewinding_equals_a_replay_and_cropping_alone_does_not() -> None:
    model = small({**DENSE, **MTP}).model.double()
    ids = torch.randint(0, 40, (1, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        recorded, replayed = model.new_cache(), model.new_cache()
        for cache in (recorded, replayed):
            model(ids[:, :20], cache=cache)
        with rewindable(model, recorded) as rewind:
            model(ids[:, 20:26], cache=recorded)
        snapshot = replayed.snapshot()
        model(ids[:, 20:26], cache=replayed)
        unwound = memories(recorded)[0][0].clone()
        rewind(2)
        replayed.restore(snapshot)
        model(ids[:, 20:22], cache=replayed)
    assert_same(recorded, replayed, 1e-12)
    assert (unwound - memories(replayed)[0][0]).abs().max() > 1e-3, "the state that a crop would leave is another one"
    assert not any(tap.wanted for _, tap in lab.taps(model)), "no hook is left behind"


def test_all_or_nothing_is_exact_to_the_bit() -> None:
    model = small(MOE).model
    ids = torch.arange(12)[None]
    with torch.no_grad():
        cache = model.new_cache()
        model(ids[:, :7], cache=cache)
        before = [tuple(t.clone() for t in layer) for layer in memories(cache)]
        for keep in (0, 5):
            with rewindable(model, cache) as rewind:
                model(ids[:, 7:], cache=cache)
            after = [tuple(t.clone() for t in layer) for layer in memories(cache)]
            rewind(keep)
            expected = after if keep else before
            assert all(
                torch.equal(a, b)
                for mine, theirs in zip(memories(cache), expected, strict=True)
                for a, b in zip(mine, theirs, strict=True)
            )


def test_rewinding_what_was_not_read_is_refused() -> None:
    model = small(DENSE).model
    cache = model.new_cache()
    with torch.no_grad():
        with rewindable(model, cache) as rewind:
            model(torch.tensor([PROMPT]), cache=cache)
        for tokens in (-1, 6):
            with pytest.raises(lab.InputError, match="cannot be kept of one pass over 5"):
                rewind(tokens)
        rewind(3)
        with pytest.raises(lab.InputError, match="rewind once"):
            rewind(2)
        with rewindable(model, cache) as rewind:
            model(torch.tensor([PROMPT]), cache=cache)
            model(torch.tensor([PROMPT]), cache=cache)
        rewind(10)  # nothing to take back, whatever was read


# ------------------------------------------------------------------------- sampled: the same distribution


def chance(counts: Tensor, expected: Tensor) -> float:
    """Pearson's chi-squared test: how likely counts at least as far from what is expected are, by chance alone.

    Cells of fewer than five expected are taken together.
    """
    rare = expected < 5
    assert not counts[expected == 0].any(), "a token that cannot be"
    pairs = [(counts[~rare], expected[~rare]), (counts[rare].sum()[None], expected[rare].sum()[None])]
    seen, due = (torch.cat(part).double() for part in zip(*(p for p in pairs if p[1].sum() > 0), strict=True))
    statistic = ((seen - due) ** 2 / due).sum()
    return float(torch.special.gammaincc(torch.tensor((len(due) - 1) / 2.0).double(), statistic / 2))


def no_residual(p, q, drafted, generator=None):
    """Naive: after a refusal the model's own distribution."""
    for i, token in enumerate(drafted):
        if torch.rand((), generator=generator) * q[i, token] >= p[i, token]:
            return i, speculative.draw(p[i], generator)
    return len(drafted), speculative.draw(p[-1], generator)


def always(p, q, drafted, generator=None):
    """Naive: what the model finds likely enough."""
    kept = list(itertools.takewhile(lambda n: p[n, drafted[n]] > 0.1, range(len(drafted))))
    return len(kept), speculative.draw(p[len(kept)], generator)


def first_token(rule, p: Tensor, q: Tensor, samples: int, seed: int) -> float:
    """The chance of what comes first if one draft from q is offered."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.zeros(len(p[0]))
    for _ in range(samples):
        token = speculative.draw(q[0], generator)
        accepted, own = rule(p, q, [token], generator)
        counts[token if accepted else own] += 1
    return chance(counts, p[0] * samples)


@pytest.mark.parametrize("seed", range(4))
def test_one_draft_is_corrected_to_the_models_distribution(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    p, q = (torch.randn(n, 5, generator=draws).mul(1.5).softmax(-1) for n in (2, 1))
    assert first_token(accept, p, q, 4000, seed) > 1e-3
    assert first_token(no_residual, p, q, 4000, seed) < 1e-6
    assert first_token(always, p, q, 4000, seed) < 1e-6


def test_drafts_from_the_models_own_distribution_are_all_accepted() -> None:
    p = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).softmax(-1)
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        tokens = [speculative.draw(row, generator) for row in p[:3]]
        assert accept(p, p[:3], tokens, generator)[0] == 3


def joint(model: TextModel, prompt: list[int], new: int, sampling: Sampling) -> Tensor:
    """The probability of every answer of `new` tokens, one cell each, from the model token by token."""
    V = model.config.vocab_size
    cells = torch.zeros((V,) * new).double()
    answers = list(itertools.product(range(V), repeat=new))
    with torch.no_grad():
        all_logits = model(torch.tensor([[*prompt, *answer] for answer in answers])).logits[:, len(prompt) - 1 :]
    for answer, logits in zip(answers, all_logits, strict=True):
        chance = 1.0
        history = History.of(torch.tensor([prompt]), V)
        for n, token in enumerate(answer):
            chance *= float(distribution(logits[n], sampling, history)[token])
            history = history.after(token)
        cells[answer] = chance
    torch.testing.assert_close(cells.sum(), torch.tensor(1.0).double(), atol=1e-5, rtol=1e-5)
    return cells.flatten()


SAMPLES = 800
SETTINGS = [
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 4, "top_p": 0.9, "min_p": 0.05},
    {"temperature": 1.3, "presence_penalty": 1.5, "repetition_penalty": 1.4},
]


def sampled(model: TextModel, how: dict[str, float], samples: int, k: int = 2) -> float:
    V, counts = model.config.vocab_size, torch.zeros(model.config.vocab_size**3)
    torch.manual_seed(0)
    for _ in range(samples):
        a, b, c = drafted(model, [0, 2], 3, k, **how)
        counts[(a * V + b) * V + c] += 1
    return chance(counts, joint(model, [0, 2], 3, Sampling(**how)) * samples)


@pytest.fixture(scope="module")
def tiny() -> TextModel:
    """Five tokens, two layers: three drawn tokens make 125 different answers. The head is sure of itself, and wrong."""
    kinds = ["linear_attention", "full_attention"]
    model = small({**DENSE, **MTP, "vocab_size": 5, "num_hidden_layers": 2, "layer_types": kinds}, seed=2).model
    torch.nn.init.constant_(model.mtp.norm.weight, 2.0)
    return model


@pytest.mark.parametrize("how", SETTINGS, ids=["temperature", "cuts", "penalties"])
def test_sampled_answers_follow_the_models_distribution(how: dict[str, float], tiny: TextModel) -> None:
    assert sampled(tiny, how, SAMPLES) > 1e-3


def test_naive_acceptance_and_penalties_that_forget_drafts_are_caught(
    tiny: TextModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(speculative, "accept", no_residual)
        assert sampled(tiny, SETTINGS[0], SAMPLES) < 1e-4
    with monkeypatch.context() as patch:
        forgetful = lambda self, logits, tokens: torch.stack(  # noqa: E731
            [distribution(row, self.sampling, self.history) for row in logits]
        )
        patch.setattr(Speculation, "_distributions", forgetful)
        assert sampled(tiny, SETTINGS[2], SAMPLES) < 1e-4


def test_seeds_repeat(qwen: lab.Qwen) -> None:
    a, b, c = (drafted(qwen.model, PROMPT, 20, 3, temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert a == b != c


# ------------------------------------------------------------------------- the front door


@pytest.fixture(scope="module")
def words() -> lab.Qwen:
    """A random model with a head and a tokenizer."""
    recall = lab.load("recall")
    found = lab.from_config({**recall.config.raw, **MTP, "initializer_range": 0.3}, seed=0)
    found.tokenizer = recall.tokenizer
    return found


TEXT = "cat red . dog blue . ? cat"


def test_generate_and_stream_take_it(words: lab.Qwen) -> None:
    whole = words.generate(TEXT, 20)
    record = lab.Drafts(2)
    assert words.generate(TEXT, 20, speculative=record) == "".join(words.stream(TEXT, 20, speculative=3)) == whole
    assert record.steps and all(isinstance(step, lab.Draft) for step in record.steps)
    assert words.generate([TEXT], 20, speculative=2) == [whole]
    ids = words.encode(TEXT)
    assert words.generate(ids, 20, speculative=4).tolist() == words.generate(ids, 20).tolist()
    part = whole[5:9]
    assert words.generate(TEXT, 20, stop=part, speculative=3) == words.generate(TEXT, 20, stop=part)
    assert words.generate(TEXT, 0, speculative=3) == ""


@pytest.mark.parametrize("count", [-1, 2.5, "3", True])
def test_the_number_of_drafts_must_be_one(count: Any, words: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match=r"speculative is .*how many tokens to draft"):
        words.generate(TEXT, 3, speculative=count)


def test_what_it_cannot_do_is_said(words: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="one prompt at a time, and these are 2; pass them one by one"):
        words.generate([TEXT, TEXT], 3, speculative=2)
    with pytest.raises(lab.InputError, match="one prompt at a time"):
        list(decode_speculatively(words.model, torch.zeros(2, 3, dtype=torch.long), speculative=2, max_new_tokens=2))
    with pytest.raises(lab.InputError, match="no MTP head; leave out speculative"):
        lab.load("recall").generate(TEXT, 3, speculative=2)
    limit = words.config.text.max_position_embeddings
    with pytest.raises(lab.InputError, match="model's context is"):
        words.generate([0] * limit, 1, speculative=2)
    assert len(words.generate([0] * (limit - 3), 3, speculative=5)) <= 3
