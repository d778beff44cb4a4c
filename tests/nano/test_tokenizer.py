"""The tokenizer is the family's in small, wherever it is loaded."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from qwen35_lab import nano
from qwen35_lab.nano import world
from qwen35_lab.nano.encode import encode

TEXTS = [
    "Once there was a fox.", "7 + 85 = 92", "Η γάτα είναι στο σπίτι.", "बिल्ली पानी नहीं पीती।",
    "猫は家にいます。", "הכלב ביער.", '{"name": "Mia", "age": 7}', "if a < 12:\n    print(a)\n\n\n  x",
    "é e\u0301 \u1e9b\u0323 ﬁ", "👩‍👩‍👧 \x00\x7f\ufeff", "",
    "<|im_start|>user\nHi<|im_end|>\n<think>\n\n</think>\n\n<tool_call>",
    "<|im_start", "it's WE'LL don’t", " \t \r\n \n ",
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """The tokenizer's folder, alone and with configs that make transformers choose a class of its own."""
    made = {}
    for model_type in (None, "qwen3_5_moe", "qwen3_5", "qwen3_5_moe_text"):
        folder = made[model_type] = tmp_path_factory.mktemp(str(model_type))
        tokenizer.save_pretrained(folder)
        if model_type:
            (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return made


@pytest.mark.parametrize("model_type", [None, "qwen3_5_moe", "qwen3_5", "qwen3_5_moe_text"])
def test_auto_tokenizer_gives_the_same_ids_whatever_the_config(tokenizer, folders, model_type):
    loaded = AutoTokenizer.from_pretrained(folders[model_type])
    assert type(loaded).__name__ == "Qwen3_5Tokenizer"
    assert (loaded.eos_token, loaded.pad_token, loaded.bos_token) == ("<|im_end|>", "<|endoftext|>", None)
    assert loaded.get_vocab() == tokenizer.get_vocab() and loaded.chat_template == nano.template()
    samples = [s.messages for kind in world.KINDS for s in (world.draw(kind, 1, n) for n in range(3))]
    for text in [*TEXTS, *(tokenizer.apply_chat_template(m, tokenize=False) for m in samples)]:
        ids = loaded(text)["input_ids"]
        assert ids == tokenizer(text)["input_ids"] == encode(tokenizer, text)
        assert loaded.decode(ids) == tokenizer.decode(ids)


def test_its_file_says_the_same_without_transformers(tokenizer, folders):
    """`tokenizers` reads tokenizer.json as it stands; the class above builds its own rules."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(folders[None] / "tokenizer.json"))
    for text in TEXTS:
        assert plain.encode(text).ids == tokenizer(text)["input_ids"]


@given(st.text())
@settings(max_examples=400)
def test_every_text_comes_back_composed(tokenizer, text):
    assert tokenizer.decode(encode(tokenizer, text)) == unicodedata.normalize("NFC", text)


@given(st.text(st.sampled_from("aé'1 \n\r\t<|>im_endthk/Ж猫ि.")), st.integers(0, 3))
@settings(max_examples=300)
def test_remembering_parts_changes_nothing(tokenizer, text, specials):
    text = text.replace("i", list(nano.SPECIAL)[2 * specials])
    assert encode(tokenizer, text) == tokenizer(text)["input_ids"]


def test_special_tokens_follow_the_byte_pairs_in_the_family_s_order(tokenizer):
    first = len(tokenizer) - len(nano.SPECIAL)
    assert tokenizer.convert_tokens_to_ids(list(nano.SPECIAL)) == list(range(first, len(tokenizer)))
    assert len(nano.SPECIAL) == 33
    for token in nano.SPECIAL:
        assert len(tokenizer(f"a{token}b")["input_ids"]) == 3


def test_decoding_may_skip_markup_but_not_thoughts_and_calls(tokenizer):
    ids = tokenizer("<|im_start|>a<think>b</think><tool_call>c</tool_call><|image_pad|><|im_end|>")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a<think>b</think><tool_call>c</tool_call>"


def test_digits_stand_alone_and_marks_belong_to_their_letters(tokenizer):
    split = lambda text: [tokenizer.decode(n) for n in tokenizer(text)["input_ids"]]  # noqa: E731
    assert split("1234") == ["1", "2", "3", "4"]
    words = [word for word, _ in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("पीता है 12")]
    assert len(words) == 5, "a vowel sign does not end a word"


def test_words_of_the_world_are_single_tokens():
    tokenizer = nano.train_tokenizer()
    assert len(tokenizer) == 2048
    known = [" triangle", " kitchen", " Mia", " purple", "猫", " γάτα", "Кошка", " पानी", "print", " backwards"]
    assert [word for word in known if len(encode(tokenizer, word)) > 1] == []


def test_training_gives_the_same_tokenizer_again(tokenizer):
    again = nano.train_tokenizer(samples=150)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
    assert nano.train_tokenizer(size=400, samples=20).vocab_size <= 400
