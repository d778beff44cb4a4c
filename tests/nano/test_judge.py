"""Every judge tells right from wrong and from malformed, on answers made by hand."""

import pytest

from qwen35_lab.nano import world
from qwen35_lab.nano.world.sample import Question, Sample
from qwen35_lab.nano.world.tools import CALCULATOR, LOOKUP

# (kind, type): right, wrong, malformed
ANSWERS = {
    ("story", "feeling"): ("sad", "happy", "angry"),
    ("story", "where"): ("park", "shop", "the park"),
    ("story", "animal"): ("cat", "dog", "tiger"),
    ("story", "colour"): ("red", "blue", "Red"),
    ("story", "has"): ("Mia", "nobody", "mia"),
    ("story", "found"): ("Mia", "Tom", "nobody"),
    ("scripts", "language"): ("Greek", "Hindi", "Latin"),
    ("facts", "once"): ("tea", "Rome", "water"),
    ("facts", "overwritten"): ("42", "24", "Mia"),
    ("arithmetic", "add"): ("132", "131", "1 3 2"),
    ("arithmetic", "subtract"): ("7", "8", "seven"),
    ("arithmetic", "multiply"): ("56", "54", ""),
    ("arithmetic", "larger"): ("98", "89", "98 is larger"),
    ("code", "print"): ("0\n1", "0 1", ""),
    ("json", "read"): ("cat", "42", "{}"),
    ("tools", "none"): ("81", "18", "81 is larger"),
    ("tools", "sum answer"): ("-18", "18", "eighteen"),
    ("tools", "lookup answer"): ("Rome", "31", "rome"),
    ("tools", "older answer"): ("Mia", "Tom", "31"),
    ("shapes", "colour"): ("red", "cyan", "pink"),
    ("shapes", "shape"): ("ring", "cross", "star"),
    ("shapes", "where"): ("top left", "bottom", "left top"),
    ("shapes", "at"): ("red ring", "nothing", "ring"),
    ("shapes", "count"): ("3", "4", "three"),
    ("shapes", "count some"): ("0", "1", "none"),
    ("shapes", "size"): ("big", "small", "large"),
    ("shapes", "larger"): ("red ring", "blue cross", "red"),
    ("shapes", "relation"): ("yes", "no", "maybe"),
    ("shapes", "which"): ("first", "second", "third"),
    ("shapes", "describe"): ("top left big red ring", "left small red ring, right big blue cross", "a red ring"),
    ("digits", "digit"): ("7", "1", "77"),
    ("digits", "number"): ("42", "24", "4"),
    ("digits", "digit colour"): ("red", "blue", "7"),
    ("digits", "number colour"): ("red", "blue", "dark red"),
    ("charts", "taller"): ("red", "blue", "the red one"),
    ("charts", "tallest"): ("red", "blue", "1"),
    ("charts", "shortest"): ("red", "blue", ""),
    ("charts", "height"): ("7", "8", "seven"),
    ("charts", "bars"): ("4", "5", "red"),
    ("clips", "direction"): ("left", "right", "leftwards"),
    ("clips", "start"): ("top left", "top right", "up"),
    ("clips", "end"): ("bottom centre", "bottom left", "centre bottom"),
    ("clips", "count"): ("2", "1", "two"),
    ("clips", "first"): ("red ring", "blue ring", "ring red"),
    ("clips", "last"): ("red ring", "red cross", "red"),
    ("clips", "moves"): ("red ring", "red cross", "nothing"),
    ("clips", "stays"): ("red ring", "red cross", "all"),
}
ELSEWHERE = {("story", "write"), ("scripts", "translate"), ("code", "fill"), ("json", "make"), ("json", "change")}
CALLS = {("tools", "sum"), ("tools", "lookup"), ("tools", "older")}


def judged(kind: str, question: Question, text: str, tools: tuple = (CALCULATOR, LOOKUP)) -> str:
    return world.judge(Sample(kind, [], (question,), tools), question, text)


@pytest.mark.parametrize("kind, type", ANSWERS)
def test_short_answers(kind, type):
    right, wrong, malformed = ANSWERS[kind, type]
    question = Question(type, right, 1, {"calls": []} if type == "none" else {})
    assert judged(kind, question, right) == "right"
    assert judged(kind, question, wrong) == "wrong"
    assert judged(kind, question, malformed) == "malformed"


def test_every_type_of_question_is_judged_above_or_below():
    drawn = {(kind, q.type) for kind in world.KINDS for n in range(250) for q in world.draw(kind, 0, n).questions}
    assert drawn == ANSWERS.keys() | ELSEWHERE | CALLS


def test_thinking_and_end_markers_do_not_count():
    question = Question("add", "132", 1)
    assert judged("arithmetic", question, "7 + 5 = 12\n</think>\n\n132<|im_end|>") == "right"
    assert judged("arithmetic", question, "<think>\n131\n</think>\n\n132") == "right"
    assert judged("arithmetic", question, "132<|im_end|>\n<|im_start|>user") == "right"
    assert judged("arithmetic", question, "132\n</think>\n\n131") == "wrong"
    assert judged("arithmetic", question, "<think>\n132") == "malformed"


# ------------------------------------------------------------------------- stories

GOOD = (
    "Once there was a brave fox named Mia. Mia was in the park. An old owl named Tom was in the park. "
    "Mia found an orange key. Mia gave the key to Tom. Tom went to the shop. Tom put down the key. "
    "Tom took the key. In the end Mia had nothing and was sad."
)


def story(text: str) -> str:
    return judged("story", Question("write", "", 1, {"animal": "fox", "thing": "key"}), text)


def test_a_good_story():
    assert story(GOOD) == "right"
    kept = GOOD.replace("Mia gave the key to Tom. Tom went to the shop. Tom put down the key. Tom took the key. ", "")
    kept = kept.replace("had nothing and was sad", "had the key and was happy")
    assert story(kept) == "wrong", "only one thing happens"
    assert story(kept.replace("In the end", "Mia went to the shop. Mia went to the farm. In the end")) == "right"


@pytest.mark.parametrize(
    "old, new",
    [
        ("a brave fox", "a brave dog"),  # not about a fox
        ("orange key", "orange ball"),  # then nobody has the key
        ("key", "ball"),  # a story about something else
        ("Mia gave the key to Tom.", "Tom gave the key to Mia."),  # he does not have it
        ("An old owl named Tom was in the park.", "An old owl named Tom was in the shop."),  # he is not there
        ("An old owl named Tom was in the park. ", ""),  # nobody knows him
        ("Tom went to the shop.", "Tom went to the park."),  # he is there already
        ("Tom took the key.", "Mia took the key."),  # it lies elsewhere
        ("Tom took the key.", "Tom found a red key."),  # it is known
        ("Tom took the key.", "Tom put down the key."),  # he has put it down
        ("had nothing and was sad", "had the key and was happy"),  # Tom has it
        ("In the end Mia", "In the end Tom"),  # not the hero
        ("Mia found", "Once there was a big cat named Ben. Mia found"),  # a second hero
        ("An old", "A old"),
        ("an orange", "a orange"),
        ("Mia was in the park.", "Mia was in the park. Mia was in the shop."),
        ("Tom took the key.", "Tom took the key. A big cat named Ben was in the shop."),  # too late
        ("Mia gave the key to Tom.", "Mia gave the key to Mia."),
    ],
)
def test_a_story_that_cannot_be_true(old, new):
    assert old in GOOD and story(GOOD.replace(old, new)) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        "", "Once there was a fox.", GOOD.removesuffix("."), GOOD.replace("went", "flew"), GOOD.replace("Tom", "Bob"),
        GOOD.replace("owl", "tiger"), GOOD.replace("In the end", "At last"), GOOD.split(" In the end")[0],
        GOOD + " The end.", GOOD.replace(". ", "! "),
    ],
)  # fmt: skip
def test_what_is_no_story(text):
    assert story(text) == "malformed"


# ------------------------------------------------------------------------- translations, programs, JSON


def test_translations_are_judged_by_what_they_mean():
    question = Question("translate", "Η γάτα είναι στο σπίτι. Βλέπω τη γάτα.", 1, {"target": "Greek"})
    assert judged("scripts", question, "Η γάτα είναι στο σπίτι. Βλέπω τη γάτα.") == "right"
    assert judged("scripts", question, "Βλέπω τη γάτα. Η γάτα είναι στο σπίτι.") == "wrong"
    assert judged("scripts", question, "Η γάτα είναι στο σπίτι.") == "wrong"
    for text in (
        "Η γάτα είναι στο γάτα.",
        "The cat is in the house. I see the cat.",
        "Η γάτα είναι στο σπίτι. Βλέπω",
        "",
    ):
        assert judged("scripts", question, text) == "malformed"


def test_a_missing_number_is_judged_by_running_the_program():
    question = Question("fill", "7", 1, {"program": "a = ?\nb = a + 5\nprint(b)", "prints": "12"})
    assert [judged("code", question, text) for text in ("7", "8", "-1")] == ["right", "wrong", "wrong"]
    assert judged("code", question, "seven") == judged("code", question, "7 + 0") == "malformed"
    either = Question("fill", "3", 1, {"program": "a = [5, ?, 9]\nprint(max(a))", "prints": "9"})
    assert judged("code", either, "4") == "right", "what prints the same is right"
    broken = Question("fill", "3", 1, {"program": "a = 6 // ?\nprint(a)", "prints": "2"})
    assert judged("code", broken, "0") == "wrong"


@pytest.mark.parametrize("type", ["make", "change"])
def test_json_is_judged_as_json(type):
    question = Question(type, '{"name": "Mia", "age": 7}', 1)
    assert judged("json", question, '{"age": 7,"name":"Mia"}') == "right"
    assert judged("json", question, '{"name": "Mia", "age": "7"}') == "wrong"
    assert judged("json", question, '{"name": "Mia"}') == judged("json", question, "7") == "wrong"
    for text in ('{"name": "Mia", "age": 7', "name: Mia", "", '{"name": "Mia", "age": 7} ok', "{'name': 'Mia'}"):
        assert judged("json", question, text) == "malformed"


# ------------------------------------------------------------------------- tool calls


def call(function: str = "lookup", **arguments: str) -> str:
    values = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={function}>\n{values}</function>\n</tool_call>"


MIA, TOM = call(name="Mia", field="age"), call(name="Tom", field="age")
ONE = Question("lookup", "", 1, {"calls": [("lookup", {"name": "Mia", "field": "age"})]})
BOTH = Question("older", "", 1, {"calls": [("lookup", {"name": name, "field": "age"}) for name in ("Mia", "Tom")]})


def test_right_calls():
    assert judged("tools", ONE, MIA) == "right"
    assert judged("tools", ONE, call(field="age", name="Mia")) == "right", "parameters come in any order"
    assert judged("tools", ONE, f"I look.\n\n{MIA}<|im_end|>") == "right"
    assert judged("tools", ONE, f"I need the lookup.\n</think>\n\n{MIA}") == "right"
    assert judged("tools", BOTH, f"{MIA}\n{TOM}") == judged("tools", BOTH, f"{TOM}\n{MIA}") == "right"


@pytest.mark.parametrize(
    "question, text",
    [
        (ONE, TOM), (ONE, call(name="Mia", field="city")), (BOTH, MIA), (ONE, f"{MIA}\n{TOM}"), (BOTH, f"{MIA}\n{MIA}"),
        (ONE, "31"), (ONE, call("calculator", expression="1 + 1")), (ONE, "I do not know."),
    ],
)  # fmt: skip
def test_wrong_calls(question, text):
    assert judged("tools", question, text) == "wrong"


@pytest.mark.parametrize(
    "text",
    [
        call("weather", city="Rome"),  # not on offer
        call(name="Mia"),  # a parameter is missing
        call(name="Mia", field="age", more="x"),
        MIA.removesuffix("</tool_call>"),
        MIA.replace("</function>\n", ""),
        MIA.replace("</parameter>\n", "", 1),
        MIA.replace("\n", ""),
        MIA + " It is done.",
        f"I look. {MIA}",  # two line breaks before it are missing
        f"{MIA}{TOM}",
        f"{MIA}\n\n{TOM}",
        MIA.replace("<parameter=field>", "<parameter=name>"),  # one parameter twice
        MIA.replace("Mia", "<b>Mia"),
        '<tool_call>\n{"name": "lookup", "arguments": {"name": "Mia", "field": "age"}}\n</tool_call>',
    ],
)
def test_malformed_calls(text):
    assert judged("tools", ONE, text) == "malformed"


def test_a_call_of_what_is_not_on_offer_is_malformed():
    assert judged("tools", ONE, MIA, (CALCULATOR,)) == "malformed"


def test_a_call_where_none_is_needed_is_wrong():
    assert judged("tools", Question("none", "81", 1, {"calls": []}), MIA) == "wrong"


def test_every_sample_s_own_calls_are_right():
    """Written out by the chat template, not by this test."""
    from qwen35_lab.nano import pieces

    seen = 0
    for n in range(200):
        sample = world.draw("tools", 0, n, "test")
        for question in sample.questions:
            spoken = [
                p.text for p in pieces(sample.messages, sample.tools) if (p.turn, p.part) == (question.turn, "spoken")
            ]
            assert world.judge(sample, question, spoken[0]) == "right"
            seen += "<tool_call>" in spoken[0]
    assert seen > 100
