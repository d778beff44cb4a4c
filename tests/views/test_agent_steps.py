"""The loop stepper: every step of every run has its frame, and what is new is marked."""

import json

import pytest

import qwen35_lab as lab
from qwen35_lab import InputError
from qwen35_lab.agents import faulty_chat, run
from qwen35_lab.agents.faults import write_call
from qwen35_lab.inputs import parse_answer


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def speak(messages, tools=None, **how):
    done = any(message["role"] == "tool" and message["content"] == "5" for message in messages)
    return parse_answer("5" if done else write_call("add", {"a": 2, "b": 3}), tools=tools or ())


@pytest.fixture(scope="module")
def deck():
    runs = {"none": run(speak, "2 + 3?", [add]), "bad JSON": run(faulty_chat(speak, "bad JSON"), "2 + 3?", [add])}
    return runs, lab.views.agent_deck(runs, lab.load_tokenizer("nano"), provenance="TINY · test")


def test_there_is_a_frame_for_every_step(deck):
    runs, shown = deck
    panel, bars = json.loads(shown.payload)["panels"]
    longest = max(len(each.steps) for each in runs.values())
    assert [len(frames) for frames in panel["runs"]] == [longest] * 2
    roles = [turn["role"] for turn in panel["runs"][0][len(runs["none"].steps) - 1]]
    assert roles == ["the model says", "the end"]
    assert [turn["role"] for turn in panel["runs"][0][3]] == ["the model says", "the call in it", "add: result"]
    after = panel["runs"][0][-1]
    assert after[0]["role"] == f"step {longest}: this run has ended at step {len(runs['none'].steps)}"
    assert len({str(frame) for frame in panel["runs"][0]}) == longest, "no two steps look alike"
    assert "the loop tells the model" in [turn["role"] for frame in panel["runs"][1] for turn in frame]
    assert bars["title"].startswith("Share of the run") and bars["high"] <= 1


def test_the_caption_says_how_each_ended(deck):
    assert "With an answer: none and bad JSON" in deck[1].caption()
    assert "2 runs" in deck[1].caption() and deck[1].static()[:4] == b"\x89PNG"


def test_nothing_to_show_is_refused():
    with pytest.raises(InputError, match="no run to show"):
        lab.views.agent_deck({}, None, provenance="TINY")
