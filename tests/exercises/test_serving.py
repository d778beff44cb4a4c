"""Exercise 05.3: whether a command reads with YaRN, and how long a text it takes."""

import pytest
from answers import written

import qwen35_lab as lab
from qwen35_lab.analysis import reach_of
from qwen35_lab.exercises.serving import DIAGNOSES, cases, official_config

REACH = """
    import json, shlex

    def reach(served, config):
        words = [] if isinstance(served, dict) else shlex.split(served)
        if "--rope-scaling" in words:
            return False, 0
        def option(name, other):
            return words[words.index(name) + 1] if name in words else other
        text = (served if isinstance(served, dict) else config)["text_config"]
        changed = json.loads(option("--hf-overrides", "{}")).get("text_config", {})
        rope = text["rope_parameters"] | changed.get("rope_parameters", {})
        active = rope["rope_type"] == "yarn"
        native = text["max_position_embeddings"]
        longest = int(rope["original_max_position_embeddings"] * rope["factor"]) if active else native
        asked = int(option("--max-model-len", longest))
        if asked > longest and "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1" not in words:
            return False, 0
        return active, asked
"""
CHANGED = 'json.loads(option("--hf-overrides", "{}")).get("text_config", {})'


def test_a_right_parser_passes():
    verdict = lab.check("05.3", written(REACH))
    assert verdict, verdict
    assert lab.check("05.3", lambda served, config: (found := reach_of(served, config)) and [found.yarn, found.longest])


@pytest.mark.parametrize(
    "kind, edits",
    [
        ("flat", [(CHANGED, '(found := json.loads(option("--hf-overrides", "{}"))).get("text_config", found)')]),
        ("gone", [('if "--rope-scaling" in words:', "if False:")]),
        ("shorter", [('int(option("--max-model-len", longest))', "longest")]),
        ("refused", [("if asked > longest and", "if False and")]),
        ("allowed", [('and "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1" not in words', "")]),
        ("allowed", [("return active, asked", "return asked > 262144, asked")]),
        ("nested", [(CHANGED, "{}")]),
        ("nested", [("* rope[\"factor\"]", "* 4")]),
        ("static", [("return active, asked", "return active and asked >= longest, asked")]),
        ("default", [('rope["rope_type"] == "yarn"', '"factor" in rope')]),
        ("config", [('(served if isinstance(served, dict) else config)', "config")]),
        ("plain", [("return active, asked", "return active, asked + 1")]),
    ],
)  # fmt: skip
def test_a_wrong_parser_is_told_what_it_overlooks(kind, edits):
    verdict = lab.check("05.3", written(REACH, *edits))
    assert not verdict
    assert DIAGNOSES[kind] in verdict.message, verdict


@pytest.mark.parametrize(
    "edits, told",
    [
        ([("return active, asked", "return asked")], "return two things"),
        ([("return active, asked", "return asked, active")], "return two things"),
        ([("return active, asked", "return None")], "returns nothing yet"),
        ([('text["max_position_embeddings"]', 'text["length"]')], "It was asked about `"),
        ([("(served, config)", "(served)"), ("else config", "else served")], "must take two arguments"),
    ],
)
def test_an_answer_that_is_none_is_told_what_to_return(edits, told):
    verdict = lab.check("05.3", written(REACH, *edits))
    assert not verdict
    assert told in verdict.message, verdict
    assert not lab.check("05.3", (True, 5)) and "function itself" in lab.check("05.3", (True, 5)).message


def test_there_is_more_than_one_case_of_every_kind():
    kinds = [kind for kind, _ in cases()]
    assert all(kinds.count(kind) >= 2 for kind in DIAGNOSES) and set(kinds) == set(DIAGNOSES)
    assert len({str(reach_of(served, official_config())) for _, served in cases()}) > len(DIAGNOSES)
    assert cases(1) != cases(2) and cases(1) == cases(1)


@pytest.mark.parametrize("seed", range(20))
def test_the_right_parser_is_right_about_all_commands(seed):
    right = written(REACH)
    for _, served in cases(seed):
        found = reach_of(served, official_config())
        assert right(served, official_config()) == (found.yarn, found.longest), served
