"""Generation: the choice of the next token against transformers' own processors, the cache, streams, bad input."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

import qwen35_lab as lab
from qwen35_lab.generate import Sampling, TextStream, decode

PROMPT = "cat red . dog blue . cat green . ? cat"
CONFIG = {
    "model_type": "qwen3_5_text", "vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "linear_num_key_heads": 2,
    "linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "max_position_embeddings": 200,
    "initializer_range": 0.3,
}  # fmt: skip


@pytest.fixture(scope="module")
def recall() -> lab.Qwen:
    return lab.load("recall")


@pytest.fixture(scope="module")
def random() -> lab.Qwen:
    return lab.from_config(CONFIG, seed=3)


@settings(max_examples=200)
@given(
    temperature=st.sampled_from([0.3, 1.0, 2.5]), top_k=st.sampled_from([None, 1, 5, 500]),
    top_p=st.sampled_from([None, 0.0, 0.2, 0.8, 1.0]), min_p=st.sampled_from([None, 0.0, 0.05, 1.0]),
    penalty=st.sampled_from([1.0, 0.7, 1.5]), seed=st.integers(0, 10_000),
)  # fmt: skip
def test_adjusted_logits_equal_transformers_processors(temperature, top_k, top_p, min_p, penalty, seed) -> None:
    r = torch.Generator().manual_seed(seed)
    logits, history = torch.randn(3, 40, generator=r) * 4, torch.randint(0, 40, (3, 9), generator=r)
    chain = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(penalty), TemperatureLogitsWarper(temperature)])
    if top_k is not None:
        chain.append(TopKLogitsWarper(top_k))
    if top_p is not None and top_p < 1:
        chain.append(TopPLogitsWarper(top_p))
    if min_p is not None:
        chain.append(MinPLogitsWarper(min_p))
    seen = torch.zeros(3, 40, dtype=torch.bool).scatter(1, history, True)
    sampling = Sampling(temperature, top_k, top_p, min_p, repetition_penalty=penalty)
    ours = sampling.adjust(logits.clone(), seen, seen)
    torch.testing.assert_close(ours, chain(history, logits.clone()))
    torch.testing.assert_close(ours.softmax(-1).sum(-1), torch.ones(3))


def test_presence_penalty_counts_once_and_only_what_was_generated() -> None:
    logits, seen, generated = (
        torch.zeros(1, 4),
        torch.tensor([[1, 1, 0, 0]]).bool(),
        torch.tensor([[0, 1, 0, 0]]).bool(),
    )
    assert Sampling(presence_penalty=1.5).adjust(logits, seen, generated).tolist() == [[0, -1.5, 0, 0]]


def test_samples_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(20_000, 4)
    nothing = torch.zeros(20_000, 4, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    drawn = Sampling(temperature=1.0).choose(logits, nothing, nothing, generator).bincount(minlength=4) / 20_000
    assert (drawn - torch.tensor([0.5, 0.3, 0.15, 0.05])).abs().max() < 0.02
    cut = Sampling(top_p=0.7).choose(logits, nothing, nothing, generator).bincount(minlength=4) / 20_000
    assert (cut - torch.tensor([0.625, 0.375, 0, 0])).abs().max() < 0.02


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("temperature", -1),
        ("top_k", 0),
        ("top_p", 1.5),
        ("min_p", -0.1),
        ("repetition_penalty", 0.0),
        ("top_p", float("nan")),
    ],
)
def test_settings_out_of_range(setting: str, value: float, recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match=setting):
        recall.generate(PROMPT, 2, **{setting: value})


def test_unknown_settings_are_refused_with_the_names_there_are(recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="no setting 'do_sample'; choose from temperature"):
        recall.generate(PROMPT, 2, do_sample=True)
    with pytest.raises(lab.InputError, match="did you mean 'max_new_tokens'"):
        recall.generate(PROMPT, max_new_token=2)


def test_greedy_is_the_default_and_seeds_repeat(recall: lab.Qwen, random: lab.Qwen) -> None:
    assert recall.generate(PROMPT, 1).strip() == "green"
    assert recall.generate(PROMPT, 1, temperature=0).strip() == "green"
    ids = torch.arange(10)
    a, b, c = (random.generate(ids, 40, temperature=2.0, seed=s).tolist() for s in (1, 1, 2))
    assert a == b != c
    assert random.generate(ids, 5).tolist() == random.generate(ids.tolist(), 5, top_k=1).tolist()


def test_every_forward_after_the_first_sees_one_token(random: lab.Qwen) -> None:
    """The cache is really used: a step costs one token, however long the text is."""
    lengths, past = [], []

    def count(module, args, kwargs):
        lengths.append(args[0].shape[1])
        past.append(args[3].length)

    handle = random.model.register_forward_pre_hook(count, with_kwargs=True)
    random.generate(list(range(30)), max_new_tokens=10)
    handle.remove()
    assert lengths == [30] + [1] * 9, "the tenth token is chosen from the ninth step's logits"
    assert past == [0, *range(30, 39)]


def test_long_prompts_are_read_in_pieces_with_the_same_result(
    random: lab.Qwen, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = (torch.arange(150) * 7) % 50
    whole = random.generate(ids, 20).tolist()
    monkeypatch.setattr("qwen35_lab.generate.PREFILL_TOKENS", 37)
    assert random.generate(ids, 20).tolist() == whole


def test_a_batch_equals_its_rows(recall: lab.Qwen) -> None:
    prompts = [PROMPT, "dog blue . ? dog", "cat red . dog blue . cat green . dog pink . cat red . ? dog"]
    together = recall.generate(prompts, 4)
    assert together == [recall.generate(p, 4) for p in prompts]


def test_without_the_cache_the_same_tokens_come_out(random: lab.Qwen) -> None:
    ids = torch.arange(12)[None]
    slow = ids
    with torch.no_grad():
        for _ in range(15):
            slow = torch.cat((slow, random.model(slow).logits[:, -1:].argmax(-1)), dim=1)
    assert random.generate(ids, 15).tolist() == slow[0, 12:].tolist()


def test_stop_tokens_end_a_row_and_only_that_row(random: lab.Qwen) -> None:
    ids = torch.stack([torch.arange(10), torch.arange(10, 20)])
    free = torch.stack(list(decode(random.model, ids, max_new_tokens=20)), dim=1)
    stop = free[0, 3].item()
    ends = [row.index(stop) if stop in row else 19 for row in free.tolist()]
    stopped = torch.stack(list(decode(random.model, ids, max_new_tokens=20, stop_ids=[stop])), dim=1)
    assert stopped.shape[1] == max(ends) + 1
    for row, end in zip(range(2), ends, strict=True):
        assert stopped[row, : end + 1].tolist() == free[row, : end + 1].tolist()


@pytest.mark.parametrize("prompt", ["", [], torch.zeros(0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.long)])
def test_empty_prompt(prompt, recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="empty"):
        recall.generate(prompt)


@pytest.mark.parametrize("count", [-1, 2.5, "7", True])
def test_max_new_tokens_must_be_a_count(count, recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="max_new_tokens"):
        recall.generate(PROMPT, count)
    assert recall.generate(PROMPT, 0) == ""


def test_too_long_a_prompt(random: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match=r"201 tokens .* context is 200"):
        random.generate([0] * 201, 0)
    with pytest.raises(lab.InputError, match="shorten the prompt or lower max_new_tokens"):
        random.generate([0] * 150, 51)
    assert len(random.generate([0] * 150, 50)) == 50


@pytest.mark.parametrize("token", [-1, 50, 10**12])
def test_ids_out_of_range(token: int, random: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match=f"Token id {token} is outside the vocabulary of 50"):
        random.generate([1, token, 2], 3)


@pytest.mark.parametrize("prompt", [[1.5, 2], [[1, 2], [3, 4]], [None]])
def test_prompts_of_the_wrong_kind(prompt, random: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="A prompt is"):
        random.generate(prompt, 3)


def test_stream_gives_generates_text_piece_by_piece(recall: lab.Qwen) -> None:
    pieces = list(recall.stream(PROMPT, 12))
    assert "".join(pieces) == recall.generate(PROMPT, 12)
    assert all(pieces)


class Bytes:
    """A tokenizer of single bytes: every character of several bytes is unfinished for a while."""

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return bytes(ids).decode("utf-8", errors="replace")


@settings(max_examples=300)
@given(text=st.text(max_size=30), stop=st.lists(st.text(min_size=1, max_size=4), max_size=3))
def test_streamed_text_is_the_text_up_to_the_first_stop(text: str, stop: list[str]) -> None:
    text = text.replace("\ufffd", "")
    stream, out = TextStream(Bytes(), stop), ""
    for byte in text.encode():
        out += stream.push(byte)
        assert text.startswith(out), "nothing is ever taken back"
        if stream.finished:
            break
    out += stream.close()
    if not any(s in text for s in stop):
        assert out == text
    else:  # the stop string that is complete first ends the text
        first = min(text.find(s) + len(s) for s in stop if s in text)
        assert out == text[: min(text.find(s) for s in stop if s in text[:first])]


def test_stop_strings_end_generation(recall: lab.Qwen) -> None:
    text = recall.generate(PROMPT, 12)
    assert recall.generate(PROMPT, 12, stop=text[:3]) == ""
    assert recall.generate([PROMPT], 12, stop=[text[:3]]) == [""]


def test_prompts_as_a_tokenizer_or_numpy_gives_them(recall: lab.Qwen) -> None:
    ids = recall.encode(PROMPT)[0]
    for prompt in (recall.tokenizer(PROMPT), ids.numpy(), ids.tolist(), ids[None]):
        assert recall.generate(prompt, 1).tolist() == recall.generate(ids, 1).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": ""}, "at least one character"), ({"top_k": 2.5}, "top_k"), ({"temperature": "0.7"}, "temperature"),
        ({"seed": 1.5, "top_k": 3}, "seed"), ({"seed": 2**70, "top_k": 3}, "seed"),
        ({"presence_penalty": float("inf")}, "presence_penalty"),
    ],
)  # fmt: skip
def test_settings_of_the_wrong_kind(settings: dict, message: str, recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match=message):
        recall.generate(PROMPT, 2, **settings)


def test_stop_strings_need_a_text_and_padding_stands_on_the_left(recall: lab.Qwen) -> None:
    with pytest.raises(lab.InputError, match="Stop strings end a text"):
        recall.generate(recall.encode(PROMPT), 2, stop=".")
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    with pytest.raises(lab.InputError, match="pad on the left"):
        list(decode(recall.model, torch.zeros(2, 3, dtype=torch.long), mask, max_new_tokens=2))


def test_a_temperature_near_zero_is_greedy(recall: lab.Qwen) -> None:
    assert recall.generate(PROMPT, 2, temperature=1e-40) == recall.generate(PROMPT, 2)
