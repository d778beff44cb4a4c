"""The contract, against a real `transformers serve` of the nano; the openai package is the referee of our client."""

import openai
import pytest
import torch
import transformers
from transformers.utils import is_torchvision_available

import qwen35_lab as lab
from qwen35_lab.nano.world.tools import CALCULATOR, LOOKUP

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("serving")]

QUESTIONS = (
    "Which is larger, 463 or 229?",
    "Say it in Japanese: I do not see the horse.",
    "Tell a story about a frog.",
)
STORY = "Tell a story about a frog and a map."


@pytest.fixture(scope="module")
def nano():
    return lab.load("nano")


@pytest.fixture(scope="module")
def referee(server):
    return openai.OpenAI(base_url=server.url, api_key="none", max_retries=0)


def deltas(referee, server, **body) -> tuple[list[tuple[str, str]], object, str]:
    """What openai's client makes of a stream: the texts with their lanes, the usage, and why it ended."""
    texts, usage, finish = [], None, ""
    for chunk in referee.chat.completions.create(model=server.client.model, stream=True, **body):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for lane in ("reasoning_content", "content"):
                if text := getattr(choice.delta, lane, None):
                    texts.append((lane.removesuffix("_content"), text))
    return texts, usage, finish


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("question", QUESTIONS)
def test_both_clients_see_the_same_stream(server, referee, question, thinking):
    theirs, usage, finish = deltas(
        referee, server, messages=[{"role": "user", "content": question}], max_tokens=40,
        extra_body={"chat_template_kwargs": {"enable_thinking": thinking}},
    )  # fmt: skip
    with server.client.chat_stream(question, thinking=thinking, max_new_tokens=40) as reply:
        ours = list(reply)
    for lane in ("reasoning", "content"):
        said = "".join(text for where, text in theirs if where == lane)
        assert getattr(reply.answer, lane) == said.strip() == "".join(p.text for p in ours if p.lane == lane)
    assert reply.answer.finished == finish
    assert (reply.usage.prompt, reply.usage.completion) == (usage.prompt_tokens, usage.completion_tokens)


@pytest.mark.parametrize("thinking", [False, True])
def test_the_server_says_what_the_model_in_this_process_says(server, nano, thinking):
    """The same weights, another implementation, another process: greedy, so the same words."""
    for question in QUESTIONS:
        here = nano.chat(question, thinking=thinking, max_new_tokens=40)
        there = server.client.chat(question, thinking=thinking, max_new_tokens=40)
        assert (there.reasoning, there.content, there.finished) == (here.reasoning, here.content, here.finished)


def test_usage_counts_the_tokens_of_the_exact_prompt(server, nano):
    reply = server.client.chat_stream(QUESTIONS[0], thinking=True, max_new_tokens=5)
    list(reply)
    assert reply.prompt == nano.chat_prompt(QUESTIONS[0], thinking=True)
    assert reply.usage.prompt == len(nano.encode(reply.prompt)[0]) and reply.usage.completion <= 5


def test_a_limit_on_tokens_is_kept_and_said(server):
    reply = server.client.chat_stream(STORY, max_new_tokens=6)
    list(reply)
    assert (reply.usage.completion, reply.answer.finished) == (6, "length")


def test_pieces_come_while_the_answer_is_being_written(server):
    """Not all at once at the end: between the first and the last there is most of the work."""
    reply = server.client.chat_stream(STORY, max_new_tokens=60)
    pieces = list(reply)
    assert len(pieces) > 20 and reply.clock.arrivals == sorted(reply.clock.arrivals)
    assert len({round(each, 3) for each in reply.clock.arrivals}) > 10


def test_a_tool_is_called_and_its_result_is_used(server, nano):
    messages = [{"role": "user", "content": "How old is Mia?"}]
    answer = server.client.chat(messages, [CALCULATOR, LOOKUP])
    assert answer.tool_calls == nano.chat(messages, [CALCULATOR, LOOKUP]).tool_calls
    assert answer.tool_calls == (lab.ToolCall("lookup", {"name": "Mia", "field": "age"}),)
    messages += [answer.message, {"role": "tool", "content": "31"}]
    assert "31" in server.client.chat(messages, [CALCULATOR, LOOKUP]).content


def test_an_aborted_stream_frees_the_server(server, nano):
    """It answers one question after the other, and the first one would not end for an hour: the next would time out."""
    endless = lab.Client(server.url, server.client.model, extra={"logit_bias": {str(n): -1e9 for n in nano.stop_ids}})
    with endless.chat_stream(STORY, max_new_tokens=1_000_000) as reply:
        assert next(reply).text
    assert server.client.chat(QUESTIONS[0], max_new_tokens=4).content
    assert server.alive


def test_a_refusal_says_what_the_server_said(server):
    with pytest.raises(lab.ServerError, match=r"422: Unexpected fields in the request: .'top_k'"):
        server.client.chat("Hi.", top_k=3)
    with pytest.raises(lab.ServerError, match="Server is pinned to"):
        lab.Client(server.url, "another").chat("Hi.")
    assert server.client.models() == []  # it lists a Hub cache, and has none


def test_a_folder_with_eyes_is_served_without_them_where_torchvision_is_missing(server):
    served = lab.ModelConfig.from_file(server.served)
    assert (served.vision is None) == (not is_torchvision_available())
    assert server.folder != server.served or is_torchvision_available()


def test_the_language_model_alone_says_the_same_tokens(nano, tmp_path):
    folder = nano.save(tmp_path / "text", eyes=False)
    assert not [path.name for path in folder.iterdir() if "preprocessor" in path.name or path.name == "README.md"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert type(theirs).__name__ == "Qwen3_5MoeForCausalLM"
    alone = lab.load(folder)
    assert alone.config.vision is None and alone.model.mtp is not None
    ids = nano.encode(nano.chat_prompt(STORY))
    with torch.inference_mode():
        said = theirs.generate(ids, max_new_tokens=24, do_sample=False)[0, ids.shape[1] :]
    assert torch.equal(torch.as_tensor(nano.generate(ids[0], 24)), said[: len(nano.generate(ids[0], 24))])
    assert torch.equal(torch.as_tensor(alone.generate(ids[0], 24)), torch.as_tensor(nano.generate(ids[0], 24)))
    with pytest.raises(lab.InputError, match="no eyes"):
        _ = alone.processor
