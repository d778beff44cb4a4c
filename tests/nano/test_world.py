"""The world is the same everywhere, says what is true, and keeps out of training what it says it does."""

import hashlib
import json
import re
import unicodedata
from collections import Counter

import pytest

import qwen35_lab as lab
from qwen35_lab.nano import world
from qwen35_lab.nano.world import arithmetic, facts, phrasebook, records, scene, scripts, story, tools, words
from qwen35_lab.nano.world.dice import Dice, dice, held_out

FEW = range(60)


def digest(sample: world.Sample) -> str:
    """Of all that a sample shows."""
    found = hashlib.sha256()
    for message in sample.messages:
        content = message["content"]
        texts = [content] if isinstance(content, str) else [part.get("text", part["type"]) for part in content]
        rest = [message.get("reasoning_content"), message.get("tool_calls")]
        found.update(json.dumps([message["role"], texts, rest], ensure_ascii=False).encode())
    for seen in (*sample.images, *sample.clips):
        found.update(repr(seen.shape).encode() + seen.tobytes())
    return found.hexdigest()[:12]


def text_of(sample: world.Sample) -> str:
    contents = [message["content"] for message in sample.messages]
    return "\n".join(c if isinstance(c, str) else c[-1]["text"] for c in contents)


# ------------------------------------------------------------------------- the same on every machine

# Of index 7 of seed 3 in "train". They change when a generator changes, and never with the machine.
RECORDED = {
    "story": "7384dcac811e", "scripts": "a712c8cb3dcf", "facts": "dbad5dd2b2e6", "arithmetic": "8bd4a7e71f80",
    "code": "2f1e958f8b39", "json": "85cc5c47ee7e", "tools": "26eaa4693013", "shapes": "61b349265fa5",
    "digits": "bdb05329adfe", "charts": "41cd828f6cb3", "clips": "f34e6278111e",
}  # fmt: skip


@pytest.mark.parametrize("kind", world.KINDS)
def test_a_sample_is_the_same_on_every_machine(kind):
    assert digest(world.draw(kind, 3, 7)) == RECORDED[kind]


@pytest.mark.parametrize("kind", world.KINDS)
def test_seed_split_and_index_give_other_samples(kind):
    drawn = [world.draw(kind, seed, n, split) for seed in (0, 1) for split in world.SPLITS for n in range(25)]
    assert len({digest(sample) for sample in drawn}) > 0.9 * len(drawn)  # a short story or sum may come twice


def test_no_two_samples_share_their_dice():
    keys = [
        (s, split, k, i) for s in (0, 1, 2**31 - 1) for split in world.SPLITS for k in (0, 3) for i in (0, 2**40 - 1)
    ]
    assert len({tuple(dice(*key).number() for _ in range(3)) for key in keys}) == len(keys)


def test_a_mix_is_what_was_asked_for():
    kinds = [world.mixed(0, n, mix={"story": 1, "json": 3}).kind for n in range(400)]
    assert set(kinds) == {"story", "json"} and 0.68 < kinds.count("json") / 400 < 0.82
    assert {world.mixed(0, n).kind for n in range(300)} == set(world.KINDS)
    assert set(world.MIX) == set(world.KINDS) == {*world.TEXT_KINDS, *world.SEEING_KINDS}


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: world.draw("poems", 0, 0), "no kind 'poems'; choose one of story"),
        (lambda: world.draw("story", 0, 0, "dev"), "no split 'dev'; choose one of train"),
        (lambda: world.draw("story", -1, 0), "choose 0 ≤ seed"),
        (lambda: world.draw("story", 0, 2**40), "index"),
        (lambda: world.mixed(0, 0, mix={"story": 0}), "no shares"),
        (lambda: world.draw("arithmetic", 0, 0, "test", digits=1), "two digits or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(lab.InputError, match=message):
        call()


def test_draws_cover_their_range_evenly():
    chance = Dice(1)
    counts = [0] * 6
    for _ in range(6000):
        counts[chance.between(0, 5)] += 1
    assert min(counts) > 850 and max(counts) < 1150
    assert sorted(chance.shuffled(range(9))) == list(range(9))
    assert len(set(chance.some("abcdef", 4))) == 4
    firsts = [chance.shuffled("abc")[0] for _ in range(3000)]
    assert all(850 < firsts.count(letter) < 1150 for letter in "abc")


# ------------------------------------------------------------------------- every sample is sound


@pytest.mark.parametrize("kind", world.KINDS)
@pytest.mark.parametrize("split", world.SPLITS)
def test_samples_are_conversations_whose_answers_are_right(kind, split):
    for n in FEW:
        sample = world.draw(kind, 0, n, split)
        roles = [message["role"] for message in sample.messages]
        assert sample.kind == kind and roles[0] == "user" and roles[-1] == "assistant" and sample.questions
        asked = [question for question in sample.questions if not question.facts.get("calls")]
        for question in asked:
            assert sample.messages[question.turn]["content"] == question.answer
            assert world.judge(sample, question, question.answer) == "right", (n, question)
            assert sample.prompt(question)[-1]["role"] in ("user", "tool")
        text = text_of(sample)
        assert unicodedata.normalize("NFC", text) == text, "the tokenizer would change it"
        assert all(m["content"] == m["content"].strip() for m in sample.messages if isinstance(m["content"], str))


@pytest.mark.parametrize("kind", world.KINDS)
def test_only_seeing_kinds_show_something(kind):
    for n in FEW:
        sample = world.draw(kind, 0, n)
        seen = sample.images + sample.clips
        assert bool(seen) == (kind in world.SEEING_KINDS) and bool(sample.clips) == (kind == "clips")
        for each in seen:
            assert each.dtype == "uint8" and each.shape[-1] == 3
            assert each.shape[-3] % 32 == 0 and each.shape[-2] % 32 == 0


def test_a_thought_comes_in_the_last_answer_only_and_in_every_kind():
    """But for tools: there every request is thought about, whichever is asked last."""
    for kind in world.KINDS:
        thinking = [s for n in range(150) if (s := world.draw(kind, 0, n)).thinking]
        assert thinking, kind
        for sample in thinking:
            thoughts = [n for n, message in enumerate(sample.messages) if "reasoning_content" in message]
            asks = max(n for n, message in enumerate(sample.messages) if message["role"] == "user")
            assert thoughts and (min(thoughts) > asks or kind == "tools"), "the template would drop it"


# ------------------------------------------------------------------------- what is held out


def drawn(kind: str, split: str, count: int = 200, **dials) -> list[world.Sample]:
    return [world.draw(kind, 5, n, split, **dials) for n in range(count)]


def test_one_construction_in_ten_is_held_out():
    share = sum(held_out(99, a, b) for a in range(300) for b in range(300)) / 300**2
    assert 0.095 < share < 0.105


def pairs_of(kind: str, split: str) -> list[bool]:
    """For every sample, whether its construction is held out."""
    return [HOW[kind](sample) for sample in drawn(kind, split)]


def sum_is_new(sample: world.Sample) -> bool:
    a, b = map(int, re.findall(r"\d+", sample.messages[0]["content"]))
    code = ("add", "subtract", "multiply", "larger").index(sample.questions[0].type)
    return arithmetic.fits(code, a, b, True)


def fact_is_new(sample: world.Sample) -> bool:
    asked = sample.messages[0]["content"].splitlines()[-1]
    (name,) = [name for name in words.NAMES if re.search(rf"\b{name}\b", asked)]
    attribute = {"like": "likes", "live": "lives", "number": "number"}[re.findall("like|live|number", asked)[0]]
    return sample.questions[0].answer in facts.fitting(name, attribute, True)


def look_is_new(sample: world.Sample) -> bool:
    """Somewhere in the questions, answers or the description a held-out (colour, shape) is named."""
    names = {f"{words.COLOURS[c]} {scene.SHAPES[s]}" for s, c in scene.LOOKS[True]}
    return any(name in text_of(sample) for name in names)


def sentences_are_new(sample: world.Sample) -> bool:
    new = set()
    for question in sample.questions:
        target = question.facts.get("target")
        if target:
            known = phrasebook.understood(target)
            lines = re.findall(r"[^.。।]+[.。।]", question.answer)
            new |= {known[line.strip()] in scripts.NEW for line in lines}
    assert len(new) < 2, "held-out and trained sentences in one sample"
    return new == {True} or not new  # nothing translated: neither


def story_is_new(sample: world.Sample) -> bool:
    text = sample.messages[0]["content"]
    found = re.search(r"a story about an? (\w+) and an? (\w+)\.", text)
    if found:
        animal, thing = found.groups()
    else:
        animal, thing = re.findall(r"there was an? \w+ (\w+)", text)[0], re.findall(r"found an? \w+ (\w+)", text)[0]
    return held_out(story.HELD_OUT, words.ANIMALS.index(animal), words.THINGS.index(thing))


HOW = {"arithmetic": sum_is_new, "facts": fact_is_new, "story": story_is_new}


@pytest.mark.parametrize("kind", HOW)
def test_training_never_shows_what_the_test_asks(kind):
    for split in ("train", "seen"):
        assert not any(pairs_of(kind, split))
    for split in ("valid", "test"):
        assert all(pairs_of(kind, split))


def test_sums_and_their_turned_round_are_one_pair():
    assert all(arithmetic.fits(0, a, b, True) == arithmetic.fits(0, b, a, True) for a in range(60) for b in range(60))
    assert not any(arithmetic.fits(code, a, b, True) for code in range(4) for a in range(10) for b in range(10))


def test_translations_are_of_held_out_sentences():
    translated = [s for s in drawn("scripts", "test") if any(q.facts.get("target") for q in s.questions)]
    assert len(translated) > 100 and all(map(sentences_are_new, translated))
    assert not any(map(sentences_are_new, (s for s in drawn("scripts", "train") if s.questions[0].facts)))


def test_held_out_looks_are_in_no_picture_of_training():
    """By the pictures' own lists, and by what the conversations say."""
    assert not any(look_is_new(sample) for kind in ("shapes", "clips") for sample in drawn(kind, "train"))
    assert sum(look_is_new(sample) for sample in drawn("shapes", "test")) > 120
    for new in (False, True):
        for n in range(100):
            there = scene.things(Dice(n), new, 3, (64, 64))
            looks = [(scene.SHAPES.index(t.shape), words.COLOURS.index(t.colour)) for t in there]
            assert [look in scene.LOOKS[True] for look in looks] == [new, False, False]
    assert [s for s, _ in scene.LOOKS[True]] == list(range(len(scene.SHAPES))), "one for each shape"
    assert len({c for _, c in scene.LOOKS[True]}) == len(scene.SHAPES), "each of another colour"
    assert len(scene.LOOKS[False]) == len(scene.SHAPES) * (len(words.COLOURS) - 1)


def test_held_out_digits_and_programs_are_in_no_sample_of_training():
    for split, new in (("train", False), ("test", True)):
        for sample in drawn("digits", split):
            answers = {question.type.split()[-1]: question.answer for question in sample.questions}
            if len(answers) == 2:
                last = int(answers.get("digit", answers.get("number"))[-1])
                assert (answers["colour"] == words.COLOURS[(3 * last + 2) % 8]) == new
        for sample in drawn("code", split):
            program = sample.messages[0]["content"]
            if sample.questions[0].type == "fill" and "def f" in program:
                assert (int(sample.questions[0].answer) % 10 == 8) == new
            if found := re.search(r"print\(i \+ (\d+)\)", program):
                assert (int(found[1]) % 10 == 5) == new


def test_no_answer_is_a_safe_guess():
    """What a model that sees nothing could get: the share of the commonest answer, test split."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for kind in ("digits", "shapes", "charts", "clips", "story"):
        for sample in drawn(kind, "test", 800):
            for question in sample.questions:
                counts.setdefault((kind, question.type), Counter())[question.answer] += 1
    share = {key: max(count.values()) / count.total() for key, count in counts.items()}
    few = {("shapes", "size"), ("shapes", "relation"), ("shapes", "which"), ("story", "feeling"), ("clips", "count")}
    assert all(share[key] < (0.8 if key in few else 0.6) for key in share), share
    assert share["digits", "digit"] < 0.16 and share["digits", "digit colour"] < 0.28
    assert share["shapes", "colour"] < 0.25 and share["shapes", "shape"] < 0.3 and share["charts", "taller"] < 0.2


def test_records_and_tables_hold_out_pairs():
    for split, new in (("train", False), ("test", True)):
        for sample in drawn("tools", split):
            for question in sample.questions:
                calls = question.facts.get("calls") or []
                if len(calls) == 1 and calls[0][0] == "lookup":
                    name, field = calls[0][1].values()
                    assert (question.facts["table"][name][field] in tools.fitting(name, field, True)) == new
        for sample in drawn("json", split):
            found = re.search(r"\{.*?\}", text_of(sample))
            assert found
            record = json.loads(found[0])
            pairs = [v in records.fitting(record["name"], f, True) for f, v in record.items() if f != "name"]
            assert any(pairs) == new


# ------------------------------------------------------------------------- facts and distance


def solve(text: str, question: str) -> str:
    """By a reader that knows nothing of the generator: the last sentence about it that fits."""
    (name,) = [name for name in words.NAMES if re.search(rf"\b{name}\b", question)]
    form = {"like": rf"{name} likes (\w+)\.", "live": rf"{name} lives in (\w+)\.", "number": rf"of {name} is (\w+)\."}
    (asked,) = [word for word in form if word in question]
    return re.findall(form[asked], text)[-1]


def test_the_answer_is_what_was_written_last():
    for sample in drawn("facts", "train") + drawn("facts", "test"):
        text, first = sample.messages[0]["content"].split("\n")
        asked = [first, *(m["content"] for m in sample.messages[2::2])]
        assert [solve(text, each) for each in asked] == [question.answer for question in sample.questions]


def test_a_distance_counts_the_sentences_after_the_last_write():
    far = 4 * world.TRAINED_DISTANCE
    for sample in drawn("facts", "test", 30, distance=(far, far)):
        question = sample.questions[0]
        assert question.facts["distance"] == far
        lines = re.findall(r"[^.]+\.", sample.messages[0]["content"].split("\n")[0])
        assert question.answer in lines[-far - 1] and len(lines) >= far + 1
    trained = [sample.questions[0].facts["distance"] for sample in drawn("facts", "train", 600)]
    assert min(trained) == 0 and max(trained) == world.TRAINED_DISTANCE


# ------------------------------------------------------------------------- sums, sentences, programs, tools


def test_the_working_of_a_sum_is_true_line_by_line():
    for sample in drawn("arithmetic", "train", 400):
        thought = sample.messages[1].get("reasoning_content", "")
        a, b = map(int, re.findall(r"\d+", sample.messages[0]["content"]))
        truth = {"add": a + b, "subtract": a - b, "multiply": a * b, "larger": max(a, b)}[sample.questions[0].type]
        assert sample.questions[0].answer == str(truth)
        for left, right in re.findall(r"^([\d +*-]+) = (\d+)", thought, re.MULTILINE):
            assert eval(left) == int(right)
        assert "backwards" in thought or max(a, b) < 10 or sample.questions[0].type == "larger"
        if "backwards" in thought:
            written = re.findall(r"write (\d)", thought)
            assert thought.splitlines()[-1] == f"{' '.join(written)} backwards is {truth}"


def test_longer_sums_than_trained_can_be_had():
    for sample in drawn("arithmetic", "test", 30, digits=6):
        assert len(re.findall(r"\d+", sample.messages[0]["content"])[0]) == 6


def test_every_sentence_of_the_phrase_book_means_one_thing():
    for language in phrasebook.LANGUAGES:
        assert len(phrasebook.understood(language)) == len(phrasebook.MEANINGS) == 160
    every = [line for language in phrasebook.LANGUAGES for line in phrasebook.understood(language)]
    assert len(set(every)) == 7 * 160, "a sentence belongs to one language"


@pytest.mark.parametrize(
    "form, sentences",
    [
        (
            ("this", 4, 0, False),
            ["This is not a bird.", "Это не птица.", "Αυτό δεν είναι ένα πουλί.", "זאת לא ציפור.", "यह चिड़िया नहीं है।",
             "これは鳥ではありません。", "这不是鸟。"],
        ),
        (
            ("see", 1, 0, True),
            ["I see the dog.", "Я вижу собаку.", "Βλέπω τον σκύλο.", "אני רואה את הכלב.", "मैं कुत्ते को देखता हूँ।",
             "犬が見えます。", "我看见狗。"],
        ),
        (
            ("where", 0, 2, True),
            ["The cat is in the forest.", "Кошка в лесу.", "Η γάτα είναι στο δάσος.", "החתול ביער.", "बिल्ली जंगल में है।",
             "猫は森にいます。", "猫在森林里。"],
        ),
        (
            ("meal", 5, 3, False),
            ["The fish does not eat an apple.", "Рыба не ест яблоко.", "Το ψάρι δεν τρώει ένα μήλο.",
             "הדג לא אוכל תפוח.", "मछली सेब नहीं खाती।", "魚はりんごを食べません。", "鱼不吃苹果。"],
        ),
    ],
)  # fmt: skip
def test_the_phrase_book_speaks_as_people_do(form, sentences):
    meaning = phrasebook.Meaning(*form)
    said = [phrasebook.say(meaning, language) for language in phrasebook.LANGUAGES]
    assert said == [unicodedata.normalize("NFC", sentence) for sentence in sentences]


def test_tools_answer_what_they_are_asked():
    table = {"Mia": {"age": "31"}}
    assert tools.execute("lookup", {"name": "Mia", "field": "age"}, table) == "31"
    assert tools.execute("calculator", {"expression": "12 - 30"}, {}) == "-18"
    for wrong in (
        ("lookup", {"name": "Tom", "field": "age"}), ("lookup", {"name": "Mia"}), ("weather", {"city": "Rome"}),
        ("calculator", {"expression": "12-30"}), ("calculator", {"expression": "__import__('os') + 1"}),
        ("calculator", {"expression": "1 / 0"}), ("calculator", {"expression": "1 + 2 + 3"}),
    ):  # fmt: skip
        assert tools.execute(*wrong, table) == tools.UNKNOWN


def test_tool_conversations_hold_what_the_tools_say():
    seen = set()
    for sample in drawn("tools", "train", 300):
        offered = {tool["function"]["name"] for tool in sample.tools}
        calls = [c["function"] for m in sample.messages for c in m.get("tool_calls", [])]
        results = [m["content"] for m in sample.messages if m["role"] == "tool"]
        asked = [(call, q.facts["table"]) for q in sample.questions for call in q.facts.get("calls", [])]
        assert [call for call, _ in asked] == [(c["name"], c["arguments"]) for c in calls]
        assert [world.execute(*call, table) for call, table in asked] == results
        assert {c["name"] for c in calls} <= offered and tools.UNKNOWN not in results
        seen.add((len(calls), len(offered)))
        names = [call[1]["name"] for call, _ in asked if call[0] == "lookup"]
        assert len(set(names)) == len(names), "one name might get two answers"
    assert {calls for calls, _ in seen} == set(range(7)) and {offered for _, offered in seen} == {1, 2}
