"""The loop over a wire, and inside a conversation: calls that a server has parsed, a stop, a server's death."""

import json
import threading

import pytest
from serving.scripted import Line, event, says, scripted

import qwen35_lab as lab
from qwen35_lab.agents import Budget, Said, Transcript, looped, replay, run
from qwen35_lab.serving import Dialogue

QUESTION = "How old is Mia?"


def lookup(name: str, field: str) -> str:
    """Look up a person."""
    return {"age": "31"}[field]


def calls(tool: str, **arguments) -> str:
    function = {"name": tool, "arguments": json.dumps(arguments)}
    return event("tool_calls", tool_calls=[{"index": 0, "id": "1", "type": "function", "function": function}])


CALL, ANSWER = calls("lookup", name="Mia", field="age"), event("stop", content="31")


def breaks_off(line: Line) -> None:
    line.head()
    line.send(event(content="3"))


def test_calls_that_a_server_has_parsed_are_run_and_can_be_run_again():
    kept = []

    def second(line: Line) -> None:
        kept.extend(line.body["messages"])
        says(ANSWER)(line)

    with scripted(says(CALL), second) as url:
        done = run(lab.Client(url, "m"), QUESTION, [lookup])
    assert done.answer == "31" and done.calls == [("lookup", {"name": "Mia", "field": "age"})]
    assert [m["role"] for m in kept] == ["user", "assistant", "tool"] and kept[2]["content"] == "31"
    said = next(step for step in done.steps if isinstance(step, Said))
    assert said.text.startswith("<tool_call>\n<function=lookup>") and said.tokens > 0
    assert replay(done).steps == done.steps
    assert replay(Transcript.from_dict(json.loads(json.dumps(done.to_dict())))).answer == "31"


def test_a_client_that_knows_the_tokenizer_knows_the_prompts_of_the_loop():
    nano = lab.load("nano")
    with scripted(says(CALL), says(ANSWER)) as url:
        done = run(lab.Client(url, "m", tokenizer=nano.tokenizer), QUESTION, [lookup])
    assert done.steps[0].text == nano.chat_prompt(QUESTION, [lab.tool(lookup).offer])
    assert replay(done).steps == done.steps


def test_a_server_that_breaks_off_ends_the_run_in_a_sentence_and_what_happened_is_kept():
    with scripted(says(CALL), breaks_off) as url:
        done = run(lab.Client(url, "m"), QUESTION, [lookup])
    assert done.ended == "failed" and "broke off" in str(done) and len(done.calls) == 1
    with scripted(says(ANSWER)) as url:
        assert run(lab.Client(url, "m"), done.messages, [lookup]).answer == "31"


def test_in_a_conversation_every_step_has_its_turn():
    with scripted(says(CALL), says(ANSWER), says(ANSWER)) as url:
        talk = Dialogue({"far": lab.Client(url, "m")}, through=looped([lookup]))
        talk.say(QUESTION)
        assert [(turn.role, turn.by, turn.text) for turn in talk.turns] == [
            ("user", "", QUESTION), ("assistant", "far", ""), ("tool", "lookup", "31"), ("assistant", "far", "31"),
        ]  # fmt: skip
        assert talk.turns[1].calls == ["lookup(name='Mia', field='age')"]
        talk.say("Sure?")
    assert [m["role"] for m in talk.messages] == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    assert [turn.role for turn in talk.turns[4:]] == ["user", "assistant"] and not talk.error


def test_a_final_result_and_a_limit_are_shown_too():
    with scripted(says(CALL)) as url:
        talk = Dialogue({"far": lab.Client(url, "m")}, through=looped([lab.tool(final=True)(lookup)]))
        talk.say(QUESTION)
    assert (talk.turns[-1].role, talk.turns[-1].text, talk.turns[-1].notes) == ("tool", "31", [])
    with scripted(says(calls("nothing", x="1"))) as url:
        talk = Dialogue({"far": lab.Client(url, "m")}, through=looped([lookup], budget=Budget(steps=1)))
        talk.say(QUESTION)
    assert "There is no tool" in talk.turns[-1].text and "the budget has 1" in talk.turns[-1].notes[0]


def test_after_a_broken_answer_the_whole_question_is_asked_again():
    with scripted(says(CALL), breaks_off, says(CALL), says(ANSWER)) as url:
        talk = Dialogue({"far": lab.Client(url, "m")}, through=looped([lookup]))
        talk.say(QUESTION)
        assert "broke off" in talk.error and talk.messages == [] and len(talk.turns) == 4
        assert talk.again() and not talk.error
    assert [turn.text for turn in talk.turns] == [QUESTION, "", "31", "31"] and len(talk.messages) == 4


def test_stop_ends_the_loop_and_not_only_the_answer():
    begun = threading.Event()

    def endless(line: Line) -> None:
        line.head()
        begun.set()
        assert line.hangs_up()

    with scripted(says(CALL), endless) as url:
        talk = Dialogue({"far": lab.Client(url, "m")}, through=looped([lookup]))
        worker = threading.Thread(target=talk.say, args=(QUESTION,))
        worker.start()
        assert begun.wait(5)
        talk.stop()
        worker.join(5)
    assert not worker.is_alive() and not talk.error and talk.turns[-1].end == "stopped" and len(talk.turns) == 4
    assert [m["role"] for m in talk.messages] == ["user", "assistant", "tool", "assistant"]


def test_a_chat_says_what_it_may_call_and_refuses_what_is_no_tool():
    with scripted(says(CALL), says(ANSWER)) as url:
        shown = lab.views.chat({"far": lab.Client(url, "m")}, first=QUESTION, tools=[lookup])
    assert "may call lookup" in shown.caption() and "tool: 31" in shown.alt()
    assert shown.static()[:4] == b"\x89PNG"
    with pytest.raises(lab.InputError, match="cannot be called"):
        lab.views.chat({"far": lab.Client("http://127.0.0.1:9", "m")}, tools=[lambda x: x])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_against_a_live_server_that_dies_and_comes_back():
    """The same steps as in this process; a sentence when it dies; the rest of the way after a restart."""
    tools = list(lab.agents.world_tools({"Mia": {"age": "31"}}).values())
    with lab.serve("nano") as server:
        there, here = (run(each, QUESTION, tools) for each in (server, lab.load("nano")))
        assert there.answer == here.answer == "31" and there.calls == here.calls
        assert there.steps[0].text == here.steps[0].text  # the exact prompt
        server.stop()
        dead = run(server, QUESTION, tools)
        assert dead.ended == "failed" and "ServerError" in dead.why
        server.restart()
        assert run(server, dead.messages, tools).answer == "31"
