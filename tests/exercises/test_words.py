"""The exercises of notebook 01: right answers pass however they are written, wrong ones are told what is wrong."""

import unicodedata
from itertools import groupby

import pytest
from answers import written

import qwen35_lab as lab
from qwen35_lab.exercises import by_hand, words
from qwen35_lab.exercises.by_hand import conversations, difference, render
from qwen35_lab.inputs import Vocabulary, write_chat

# ------------------------------------------------------------------------- 01.1  fertility

FERTILITY = r"""
    import regex
    import qwen35_lab as lab

    def fertility(text, encode):
        if lab.analysis.WITHOUT_BLANKS & lab.analysis.scripts(text).keys():
            return None
        tokens = [n for n in encode(text) if n < 248044]
        parts = regex.findall(r"[\p{L}\p{M}\p{N}]+", text)
        return len(tokens) / len(parts)
"""
NONE, TOKENS = "return None", "if n < 248044"
PARTS, GIVE = r'regex.findall(r"[\p{L}\p{M}\p{N}]+", text)', "len(tokens) / len(parts)"


def by_category(text, encode):
    """Without the package regex, and without our list of scripts."""
    if any(name in unicodedata.name(c, "") for c in text for name in ("THAI", "CJK", "HIRAGANA", "KATAKANA")):
        return None
    runs = sum(key for key, _ in groupby(text, lambda c: unicodedata.category(c)[0] in "LMN"))
    return (len(encode(text)) - 1) / runs


@pytest.mark.parametrize("answer", [written(FERTILITY), by_category, lab.exercises.words.fertility])
def test_a_right_fertility_passes_however_it_is_written(answer):
    verdict = lab.check("01.1", answer)
    assert verdict, verdict
    assert "20 sentences" in verdict.message


WRONG = {
    "You split at blanks": [(PARTS, "text.split()")],
    "knows no marks": [(PARTS, '__import__("re").findall(r"\\w+", text)')],
    "letters, marks *and digits*": [(r"\p{N}", "")],
    "You divide by characters": [(PARTS, "text")],
    "You divide by bytes": [(PARTS, "text.encode()")],
    "You count the tokens": [(GIVE, "len(tokens)")],
    "You count blanks": [(GIVE, 'len(tokens) / (text.count(" ") + 1)')],
    "leave special tokens out": [(TOKENS, "")],
    "no number but None": [(NONE, "pass")],
    "turned over": [(GIVE, "len(parts) / len(tokens)")],
    "Not yet, and not a mistake this checker knows: wrong for 17 of 20": [(GIVE, "len(tokens) / len(parts) + 1")],
    "return a number, or None": [(GIVE, "'many'")],
    "returns nothing yet": [("return len", "len")],
    "must take two arguments, (text, encode)": [("(text, encode):", "(text):")],
    "It raises KeyError": [(GIVE, "{}[0]")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG.items(), ids=list(WRONG))
def test_a_wrong_fertility_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("01.1", written(FERTILITY, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_several_mistakes_are_all_named():
    verdict = lab.check("01.1", written(FERTILITY, (PARTS, "text.split()"), (TOKENS, ""), (NONE, "pass")))
    assert all(part in verdict.message for part in ("split at blanks", "special tokens out", "no number but None"))


def test_every_mistake_gives_other_numbers():
    seen = [results for _, results in words._known_mistakes()]
    assert len(set(seen)) == len(seen)
    every = (words.UNITS, words.SPECIALS, words.BLANKS, words.TURNED)
    told = [said for some in every for said in some.values() if said]
    assert all(any(name in said for name in WRONG) for said in told)


# ------------------------------------------------------------------------- 01.2  render

RENDER = r"""
    def call(f):
        values = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in f["arguments"].items())
        return f"<tool_call>\n<function={f['name']}>\n{values}</function>\n</tool_call>"

    def render(messages):
        text = ""
        for n, m in enumerate(messages):
            if m["role"] == "user":
                text += f"<|im_start|>user\n{m['content']}<|im_end|>\n"
            elif m["role"] == "assistant":
                calls = "\n".join(call(c["function"]) for c in m["tool_calls"])
                text += f"<|im_start|>assistant\n<think>\n{m['reasoning_content']}\n</think>\n\n{calls}<|im_end|>\n"
            else:
                first = messages[n - 1]["role"] != "tool"
                last = n + 1 == len(messages) or messages[n + 1]["role"] != "tool"
                text += ("<|im_start|>user" if first else "") + f"\n<tool_response>\n{m['content']}\n</tool_response>"
                text += "<|im_end|>\n" if last else ""
        return text + "<|im_start|>assistant\n<think>\n"
"""
FIRST = 'first = messages[n - 1]["role"] != "tool"'
LAST = 'last = n + 1 == len(messages) or messages[n + 1]["role"] != "tool"'
THOUGHT, END = "<think>\\n{m['reasoning_content']}\\n</think>\\n\\n", '"<|im_start|>assistant\\n<think>\\n"'

BY_HAND = {
    "line break after <|im_end|> is missing": [("<|im_end|>\\n", "<|im_end|>")],
    "no role of its own": [('"<|im_start|>user" if', '"<|im_start|>tool" if')],
    "share one turn": [(FIRST, "first = True"), (LAST, "last = True")],
    "That is Qwen3's call": [
        ('return f"<tool_call>\\n<function={f[\'name\']}>\\n{values}</function>\\n</tool_call>"',
         'import json; line = json.dumps(f, ensure_ascii=False); return f"<tool_call>\\n{line}\\n</tool_call>"')],
    "on lines of its own": [("<parameter={k}>\\n{v}\\n<", "<parameter={k}>{v}<")],
    "followed by an empty line": [("</think>\\n\\n", "</think>\\n")],
    "The thought is missing": [(THOUGHT, "")],
    "must end by opening": [(f" + {END}", "")],
    "must open with a thought": [(END, '"<|im_start|>assistant\\n"')],
    "The thought at the end is closed": [(END, '"<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n"')],
    "The end is trimmed": [(END, '"<|im_start|>assistant\\n<think>"')],
    "A role is followed by a line break": [("user\\n{", "user {"), ("assistant\\n<think>\\n{", "assistant <think>\\n{"),
        ('"<|im_start|>user" if first else "") + f"\\n', '"<|im_start|>user " if first else "\\n") + f"'),
        (END, '"<|im_start|>assistant <think>\\n"')],
    "Turn 2 (assistant), line 6: after ` look it up.\\n</think>\\n\\n<` there must be `tool_call>\\n<function=loo`, "
    "and yours has `call>\\n<function=lookup>\\n`": [('f"<tool_call>\\n<func', 'f"<call>\\n<func')],
    "Turn 1 (user), line 1: after `nothing` there must be `<|im_start|>user\\n": [("<|im_start|>user\\n", "")],
    "Turn 3 (user), line 3": [("{m['content']}\\n</tool", "{m['content'].lower()}\\n</tool")],
    "return the text": [(f"return text + {END}", "return 3")],
    "returns nothing yet": [(f"return text + {END}", "return None")],
}  # fmt: skip


def test_the_template_by_hand_passes():
    verdict = lab.check("01.2", written(RENDER))
    assert verdict, verdict


@pytest.mark.parametrize("diagnosis, edits", BY_HAND.items(), ids=list(BY_HAND))
def test_a_wrong_prompt_is_told_where_it_parts(diagnosis, edits):
    verdict = lab.check("01.2", written(RENDER, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here_and_changes_the_text():
    for told, wrong in by_hand.MISTAKES:
        assert sum(diagnosis in told for diagnosis in BY_HAND) == 1, told
        assert any(wrong(render(each), each) != render(each) for each in conversations())


def test_the_oracle_is_what_the_shipped_template_writes():
    tokenizer = lab.load_tokenizer("nano")
    for messages in conversations():
        assert write_chat(tokenizer, messages, thinking=True).text == render(messages)


def test_a_text_that_ends_early_or_late_is_told_so():
    assert "there must be `nothing`, and yours has `x`" in difference("<|im_start|>user\nax", "<|im_start|>user\na")
    assert "there must be `b`, and yours has `nothing`" in difference("<|im_start|>user\na", "<|im_start|>user\nab")


# ------------------------------------------------------------------------- 01.3  five languages in order

SIZES = Vocabulary("sizes", {}, {}, ".", lambda text: [0] * 100)
FIVE = {"A": 10, "B": 60, "C": 30, "D": 90, "E": 120}  # tokens of 100


@pytest.fixture(scope="module")
def given():
    texts = {name: str(count) for name, count in FIVE.items()}
    return lab.analysis.fertility(texts, SIZES, Vocabulary("new", {}, {}, ".", lambda text: [0] * int(text)))


@pytest.mark.parametrize("answer", [["A", "C", "B", "D", "E"], ("C", "A", "B", "D", "E"), ["C", "A", "B", "E", "D"]])
def test_a_good_order_passes_and_reveals_the_numbers(answer, given):
    verdict = lab.check("01.3", answer, given=given)
    assert verdict, verdict
    assert "A 90%, C 70%, B 40%, D 10%, E −20%" in verdict.message


@pytest.mark.parametrize(
    "answer, diagnosis",
    [(["E", "D", "B", "C", "A"], "upside down"), (["E", "A", "C", "B", "D"], "E belongs later"),
     (["C", "B", "D", "E", "A"], "A belongs earlier"), (["A", "B"], "C is missing"), (["A", "x"], "'x' is none"),
     (["A", "C", "B", "D", "E", "A"], "name each once"), ("ACBDE", "a list of names"), (..., "No answer yet"),
     (3, "this is a int")],
)  # fmt: skip
def test_a_bad_order_is_told_why(answer, diagnosis, given):
    verdict = lab.check("01.3", answer, given=given)
    assert not verdict
    assert diagnosis in verdict.message, verdict
    assert "90%" not in verdict.message  # nothing is revealed


def test_an_order_of_nothing_is_refused():
    with pytest.raises(lab.InputError, match="texts that were counted"):
        lab.check("01.3", ["A"], given=None)
