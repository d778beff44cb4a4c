"""The loop: ask, run, tell, ask again. Whatever goes wrong, it ends, says why, and can be run again from its record."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import qwen35_lab as lab
from qwen35_lab import InputError
from qwen35_lab.agents import (
    FAULTS,
    TOOL_FAULTS,
    Budget,
    Called,
    Ended,
    Observed,
    Prompted,
    Said,
    Told,
    Toolbox,
    Transcript,
    faulty_chat,
    faulty_tools,
    replay,
    run,
    tool,
)  # fmt: skip
from qwen35_lab.agents.faults import write_call
from qwen35_lab.inputs import Answer, parse_answer


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Script:
    """A model that says what is written down for it, and then the last of it for ever."""

    def __init__(self, *texts: str, finished: Any = "stop"):
        self.texts, self.finished, self.asked = list(texts), finished, []

    def chat(self, messages: Any, tools: Any = None, thinking: Any = None, max_new_tokens: int = 0) -> Answer:
        self.asked.append({"messages": [dict(m) for m in messages], "thinking": thinking, "most": max_new_tokens})
        text = self.texts.pop(0) if len(self.texts) > 1 else self.texts[0]
        return parse_answer(text, tools=tools or (), finished=self.finished)


class Sensible:
    """Calls until it has a result, then says it."""

    def chat(self, messages: Any, tools: Any = None, **how: Any) -> Answer:
        seen = [m["content"] for m in messages if m["role"] == "tool"]
        good = next((text for text in seen if text.isdecimal()), None)
        text = good or write_call("add", {"a": 4, "b": len(messages)})
        return parse_answer(text, tools=tools or ())


def call(a: Any, b: Any, name: str = "add") -> str:
    return write_call(name, {"a": a, "b": b})


def kinds(found: Transcript) -> list[str]:
    return [type(step).__name__ for step in found.steps]


def test_it_calls_observes_and_answers():
    model = Script(f"I add.\n\n{call(2, 3)}", "It is 5.")
    found = run(model, "2 + 3?", [add])
    assert (found.answer, found.ended) == ("It is 5.", "answered")
    assert kinds(found) == ["Prompted", "Said", "Called", "Observed", "Prompted", "Said", "Ended"]
    assert found.calls == [("add", {"a": 2, "b": 3})] and found.observations == [Observed("add", "5", "result")]
    assert [m["role"] for m in model.asked[1]["messages"]] == ["user", "assistant", "tool"]
    assert model.asked[1]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 2, "b": 3}
    assert [m["role"] for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert "call         add(a=2, b=3)" in str(found) and "result       '5'" in str(found)


def test_a_plain_function_is_a_model_too_and_the_messages_stay_as_they_were():
    messages = [{"role": "user", "content": "Hello"}]
    found = run(lambda messages, **how: parse_answer("Hi."), messages)
    assert found.answer == "Hi." and len(messages) == 1


def test_two_calls_of_a_turn_are_answered_in_order():
    found = run(Script(f"{call(1, 1)}\n{call(2, 2)}", "Done."), "?", [add])
    assert [step.text for step in found.observations] == ["2", "4"]


def test_a_final_result_is_the_answer_and_is_not_said_again():
    made = tool(final=True)(add)
    found = run(Script(call(2, 3), "It is 6."), "?", [made])
    assert (found.answer, found.ended) == ("5", "answered") and kinds(found)[-2:] == ["Observed", "Ended"]
    assert replay(found).steps == found.steps
    assert run(Script(call("x", 3), "It is 6."), "?", [made]).answer == "It is 6."
    two = run(Script(f"{call(1, 1)}\n{call(2, 2)}", "4 is more."), "?", [made])
    assert two.answer == "4 is more." and replay(two).steps == two.steps


# ------------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    "budget, why",
    [
        (Budget(steps=2), "steps"), (Budget(calls=2), "calls"), (Budget(tokens=40), "tokens"),
        (Budget(same=99, steps=4), "steps"), (Budget(same=1, steps=50), "slips"),
    ],
)  # fmt: skip
def test_a_model_that_always_calls_the_same_is_stopped(budget, why):
    found = run(Script(call(1, 1)), "?", [add], budget=budget)
    assert found.ended == why and isinstance(found.steps[-1], Ended) and found.steps[-1].text
    assert found.answer == ""


def test_the_same_call_is_run_only_so_often():
    ran = []

    def count(n: int) -> int:
        """Count."""
        ran.append(n)
        return len(ran)

    found = run(Script(write_call("count", {"n": 1})), "?", [count], budget=Budget(same=2, slips=2))
    assert ran == [1, 1] and found.ended == "slips"
    assert [step.kind for step in found.observations] == ["result", "result", "repeated", "repeated"]
    assert "it said: 2" in found.observations[-1].text


def test_no_more_tokens_are_asked_for_than_are_left():
    model = Script(call(1, 1), call(2, 2), "Done.")
    found = run(model, "?", [add], budget=Budget(tokens=60, tokens_per_step=50))
    spent = [step.tokens for step in found.steps if isinstance(step, Said)]
    assert [asked["most"] for asked in model.asked] == [min(50, 60 - sum(spent[:n])) for n in range(len(spent))]
    assert model.asked[-1]["most"] < 50


def test_seconds_are_those_of_the_clock():
    ticks = iter(range(0, 1000, 10))
    found = run(Script(call(1, 1)), "?", [add], budget=Budget(seconds=25, same=99), clock=lambda: next(ticks))
    assert found.ended == "seconds" and 1 <= sum(isinstance(step, Said) for step in found.steps) <= 3


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"calls": 1.5}, {"tokens": True}, {"seconds": -1}, {"slips": 0}])
def test_a_budget_that_is_none_is_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is"):
        Budget(**wrong)


# ------------------------------------------------------------------------- answers of no use


@pytest.mark.parametrize(
    "text, why",
    [
        ('<tool_call>\n{"name": "add"}\n</tool_call>', "unread"), ("<tool_call>\n<function=add>", "unread"),
        ("<think>\nand so on", "unended"), ("", "silent"), (call("x", 1), None),
    ],
)  # fmt: skip
def test_the_model_is_told_and_may_try_again(text, why):
    model = Script(text, "5")
    found = run(model, "2 + 3?", [add])
    assert found.ended == "answered" and found.answer == "5"
    told = [step for step in found.steps if isinstance(step, Told)]
    assert [step.why for step in told] == ([why] if why else ["unread"])
    assert model.asked[1]["messages"][-1] == {"role": "user", "content": told[0].text}
    if why == "unended":
        assert model.asked[1]["thinking"] is False
    assert run(Script(text), "?", [add]).ended == "slips"


def test_an_answer_that_is_cut_off_is_not_taken_for_one():
    found = run(Script("The answer is", finished="length"), "?", [add])
    assert (found.ended, found.answer) == ("tokens", "")


@pytest.mark.parametrize("error", [ConnectionRefusedError("gone"), InputError("The prompt is too long.")])
def test_a_model_that_cannot_be_asked_ends_the_run_and_what_happened_is_kept(error):
    model = Script(call(1, 1), "never")
    honest = model.chat

    def chat(messages: Any, **how: Any) -> Answer:
        if len(messages) > 1:
            raise error
        return honest(messages, **how)

    found = run(chat, "?", [add])
    assert found.ended == "failed" and str(error) in found.steps[-1].text
    assert found.observations == [Observed("add", "2", "result")]
    assert replay(found).steps == found.steps


def test_a_mistake_of_the_program_is_not_hidden():
    def chat(messages: Any, **how: Any) -> Answer:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(chat, "?", [add])


@pytest.mark.parametrize(
    "wrong, told",
    [((Script("x"), []), "Messages are a list"), ((3, "?"), "A int cannot be asked")],
)
def test_what_cannot_be_run_is_refused_at_once(wrong, told):
    with pytest.raises(InputError, match=told):
        run(*wrong)
    with pytest.raises(InputError, match="its own allow"):
        run(Script("x"), "?", Toolbox([add]), allow=["network"])


# ------------------------------------------------------------------------- every fault of the curriculum, and more


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_an_answer_is_survived(fault, at):
    found = run(faulty_chat(Sensible(), fault, at), "4 + 1?", [add])
    assert found.ended == "answered" and found.answer.isdecimal(), found
    assert replay(found).steps == found.steps
    if at == 0:
        assert {
            "bad JSON": lambda: any(isinstance(step, Told) and step.why == "unread" for step in found.steps),
            "unclosed call": lambda: any(isinstance(step, Told) and step.why == "unread" for step in found.steps),
            "unclosed think": lambda: any(isinstance(step, Told) and step.why == "unended" for step in found.steps),
            "unknown tool": lambda: found.observations[0].kind == "unknown",
            "wrong arguments": lambda: found.observations[0].kind == "arguments",
            "two calls": lambda: kinds(found)[2:6] == ["Called", "Observed"] * 2,
        }[fault](), found


@pytest.mark.parametrize("fault", TOOL_FAULTS)
def test_every_fault_of_a_tool_is_survived(fault):
    release = threading.Event()
    found = run(Sensible(), "?", faulty_tools([add], fault, seconds=0.05, release=release), budget=Budget(steps=3))
    release.set()
    assert found.ended in ("slips", "steps"), found
    assert {"raises": "error", "hangs": "timeout", "huge output": "cut"}[fault] == found.observations[0].kind
    assert len(found.observations[0].text) < 3000
    assert replay(found).steps == found.steps


def test_a_fault_that_is_none_is_refused():
    with pytest.raises(InputError, match="choose from bad JSON"):
        faulty_chat(Sensible(), "flood")
    with pytest.raises(InputError, match="choose from raises"):
        faulty_tools([add], "flood")


# ------------------------------------------------------------------------- the record


def test_a_transcript_is_saved_read_and_run_again(tmp_path):
    found = run(Script("<think>\nHm.\n</think>\n\n" + call(2, 3), call(1, "x"), "5"), "2 + 3?", [add])
    again = Transcript.load(found.save(tmp_path / "run.json"))
    assert again.steps == found.steps and again.given == found.given and again.messages == found.messages
    assert replay(again).steps == found.steps == replay(again, [add]).steps


def test_a_replay_with_other_tools_shows_what_they_change():
    found = run(Script(call(2, 3), "5"), "2 + 3?", [add])

    @tool(name="add")
    def subtract(a: int, b: int) -> int:
        """Add two numbers."""
        return a - b

    assert replay(found, [subtract]).observations == [Observed("add", "-1", "result")]


def test_a_replay_that_needs_more_answers_than_there_are_says_so():
    found = run(Script(call(2, 3), "5"), "2 + 3?", [add])
    cut = Transcript(tuple(s for s in found.steps if not (isinstance(s, Said) and s.content == "5")), found.given, [])
    with pytest.raises(InputError, match="another way"):
        replay(cut)


@pytest.mark.parametrize("text", ["", "[]", '{"steps": [{"step": "nothing"}], "given": {}, "messages": []}', "{}"])
def test_a_file_that_is_no_transcript_is_refused(tmp_path, text):
    (tmp_path / "x").write_text(text)
    with pytest.raises(InputError, match="transcript"):
        Transcript.load(tmp_path / "x")
    with pytest.raises(InputError, match="transcript"):
        Transcript.load(tmp_path / "missing")


# ------------------------------------------------------------------------- with a real model


@pytest.fixture(scope="module")
def nano() -> lab.Qwen:
    return lab.load("nano")


@pytest.fixture(scope="module")
def calculator() -> Callable[..., str]:
    return lab.agents.world_tools({})["calculator"]


def test_the_nano_uses_a_tool_and_every_step_is_there(nano, calculator):
    found = run(nano, "Which is larger, 463 or 229?", [calculator])
    said = nano.chat("Which is larger, 463 or 229?", calculator.offer, max_new_tokens=64)
    assert found.answer == said.content != "" and found.calls == []
    prompted = next(step for step in found.steps if isinstance(step, Prompted))
    assert prompted.text == nano.chat_prompt("Which is larger, 463 or 229?", [calculator.offer])
    found = run(nano, "What is 417 + 230?", [calculator])
    assert [name for name, _ in found.calls] == ["calculator"] and isinstance(found.steps[2], Called)
    said = next(step for step in found.steps if isinstance(step, Said))
    assert said.tokens == len(nano.tokenizer(said.text)["input_ids"])
    assert replay(found).steps == found.steps


@pytest.mark.parametrize("fault", FAULTS)
def test_the_nano_survives_every_fault(nano, calculator, fault):
    budget = Budget(steps=4, tokens_per_step=80)
    found = run(faulty_chat(nano, fault), "What is 417 + 230?", [calculator], budget=budget)
    assert found.ended and replay(found).steps == found.steps


def test_a_thought_is_asked_for_and_kept(nano, calculator):
    found = run(nano, "What is 417 + 230?", [calculator], thinking=True)
    said = next(step for step in found.steps if isinstance(step, Said))
    assert said.reasoning and replay(found).steps == found.steps
