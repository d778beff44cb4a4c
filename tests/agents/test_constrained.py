"""JSON by a schema: valid in every case, whatever the weights, and with an end."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab import InputError
from qwen35_lab.agents import Grammar, Limits, generate_json, json_text, narrow
from qwen35_lab.qwen import Qwen

LIMITS = Limits(characters=6, items=3)


@pytest.fixture(scope="module")
def nano() -> Qwen:
    return lab.load("nano")


@pytest.fixture(scope="module")
def random_nano(nano) -> Qwen:
    """The nano's shape and tokenizer, and weights that know nothing."""
    qwen = lab.from_config(nano.config, seed=1)
    qwen.tokenizer = nano.tokenizer
    return qwen


NAMES = st.sampled_from(["name", "age", "Ort", "the key", 'a"b', "数", "x\ny"])
SCALARS = st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4) | st.sampled_from([0.5, -2.25])


def ordered(low: str, high: str, numbers: st.SearchStrategy, **fixed: Any) -> st.SearchStrategy:
    """Either, both or neither end, the lower one first."""
    pairs = st.lists(numbers, min_size=2, max_size=2).map(sorted)
    both = pairs.map(lambda pair: {low: pair[0], high: pair[1], **fixed})
    one = st.sampled_from([low, high]).flatmap(lambda key: numbers.map(lambda n: {key: n, **fixed}))
    return st.just(fixed) | both | one


LEAVES = (
    st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null", "string", "integer", "number"])})
    | ordered("minLength", "maxLength", st.integers(0, 5), type="string")
    | ordered("minimum", "maximum", st.integers(-2000, 2000), type="integer")
    | ordered("minimum", "maximum", st.floats(-99, 99).map(lambda x: round(x, 2)), type="number")
    | ordered("exclusiveMinimum", "maximum", st.integers(-9, 9), type="number").filter(
        lambda s: s.get("exclusiveMinimum", -10) < s.get("maximum", 10))
    | st.sampled_from([3, 7, 0.5]).map(lambda n: {"type": "integer" if n != 0.5 else "number", "multipleOf": n})
    | st.lists(SCALARS, min_size=1, max_size=4).map(lambda values: {"enum": values})
    | SCALARS.map(lambda value: {"const": value})
    | st.sampled_from([
        {"type": "string", "pattern": "^[a-c]+-?[0-9]{2}$"}, {"type": "string", "format": "date"},
        {"type": ["string", "null"]}, {"type": ["integer", "boolean"], "minimum": 3}, {}, True,
        {"type": "object"}, {"type": "array"}, {"$ref": "#/$defs/part"},
    ])
)  # fmt: skip


def objects(inner: st.SearchStrategy) -> st.SearchStrategy:
    def some(properties: dict[str, Any]) -> st.SearchStrategy:
        required = st.lists(st.sampled_from(sorted(properties)), unique=True) if properties else st.just([])
        return st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.just(properties), "required": required},
            optional={"additionalProperties": st.booleans(), "title": st.just("T")},
        )

    return st.dictionaries(NAMES, inner, max_size=3).flatmap(some)


def branches(inner: st.SearchStrategy) -> st.SearchStrategy:
    arrays = inner.flatmap(lambda items: ordered("minItems", "maxItems", st.integers(0, 3), type="array", items=items))
    tuples = st.lists(inner, max_size=2).map(lambda first: {"type": "array", "prefixItems": first, "items": False})
    return objects(inner) | arrays | tuples | st.lists(inner, min_size=1, max_size=3).map(lambda each: {"anyOf": each})


PART = {"$defs": {"part": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}
SCHEMAS = st.recursive(LEAVES, branches, max_leaves=5).map(
    lambda schema: ({"anyOf": [True]} if schema is True else schema) | PART
)
PROMPTS = st.text(min_size=1, max_size=20) | st.sampled_from(["Make JSON: Ana is 53 years old.", "{", "[[[", '"'])
SETTINGS = st.sampled_from([{}, {"temperature": 1.0, "seed": 3}, {"temperature": 3.0, "top_k": 50, "seed": 5}])


def is_valid(value: Any, schema: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("weights", ["nano", "random_nano"])
def test_500_schemas_and_prompts_give_valid_json_in_every_case(weights, request):
    _all_valid(request.getfixturevalue(weights), 500)


def test_schemas_and_prompts_give_valid_json(random_nano):
    _all_valid(random_nano, 15)


def _all_valid(qwen: Qwen, examples: int) -> None:
    @settings(max_examples=examples, database=None)
    @given(SCHEMAS, PROMPTS, SETTINGS)
    def valid(schema, prompt, sampling):
        value = generate_json(qwen, prompt, schema, limits=LIMITS, **sampling)
        assert is_valid(value, schema), value

    valid()


def _random_texts(grammar_of: Any, weights: np.ndarray, seed: int) -> str:
    """What comes if every token is drawn, and some are loved: no model at all."""
    grammar, random = grammar_of(), np.random.default_rng(seed)
    while not grammar.finished:
        allowed = grammar.allowed().numpy()
        assert allowed.any()
        scores = np.where(allowed, random.normal(size=len(allowed)) + weights, -np.inf)
        grammar.take(int(scores.argmax()))
    return grammar.text


def test_500_schemas_give_valid_json_whatever_the_scores_are(nano):
    """No model at all: scores drawn at random, which random weights could give as well."""

    @settings(max_examples=500, database=None)
    @given(SCHEMAS, st.integers(0, 10**6), st.integers(0, 2047))
    def valid(schema, seed, loved):
        weights = np.zeros(nano.config.text.vocab_size)
        weights[loved] = 2
        text = _random_texts(lambda: Grammar(nano, schema, LIMITS), weights, seed)
        assert is_valid(json.loads(text), schema), text

    valid()


@pytest.mark.parametrize("loved", ["0", "9", "\\", "[", "{", " ", "é", ".", "e", '"'])
def test_a_model_that_loves_one_sign_comes_to_an_end(nano, loved):
    """Endless zeros, brackets or blanks are what a free grammar would let it write."""
    (token,) = nano.tokenizer(loved)["input_ids"][-1:]
    weights = np.zeros(nano.config.text.vocab_size)
    weights[token] = 50
    for kind in ("string", "number", "integer", "array", "object"):
        text = _random_texts(lambda: Grammar(nano, {"type": kind}), weights, 0)  # noqa: B023
        assert is_valid(json.loads(text), {"type": kind})


@pytest.mark.slow
def test_it_works_with_the_official_vocabulary():
    """248 thousand byte strings, through a tokenizer file made of them."""
    vocabulary = lab.vocabulary("Qwen3.5")
    qwen = _with_official_tokens(vocabulary)
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "number"}}, "required": ["n"]}
    for seed in range(5):
        text = _random_texts(lambda: Grammar(qwen, schema, LIMITS), np.zeros(qwen.rows), seed)
        assert is_valid(json.loads(text), schema)


def _with_official_tokens(vocabulary: lab.Vocabulary) -> Any:
    from types import SimpleNamespace

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()
    table = {"".join(letters[b] for b in token): n for token, n in vocabulary.table.items()}
    made = Tokenizer(models.BPE(vocab=table, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(list(vocabulary.special))
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>")
    rows = 248_320
    model = SimpleNamespace(config=SimpleNamespace(vocab_size=rows))
    return SimpleNamespace(tokenizer=fast, model=model, rows=rows, stop_ids=(vocabulary.special["<|im_end|>"],))


# ------------------------------------------------------------------------- what the model still decides


PERSON = {
    "type": "object", "required": ["name", "age", "likes"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "likes": {"type": "string"}},
}  # fmt: skip


def test_where_only_one_token_is_allowed_there_is_no_choice(random_nano):
    assert json_text(random_nano, "x", {"const": {"a": [1, None]}}) == '{"a": [1, null]}'
    assert json_text(random_nano, "x", {"const": {"a": [1, None]}}, separators=(",", ":")) == '{"a":[1,null]}'
    assert generate_json(random_nano, "x", {"enum": ["only"]}) == "only"


def test_a_likely_answer_that_is_allowed_is_the_answer(nano):
    """The nano answers questions of its world rightly; a schema that permits the answer does not change it."""
    for larger, smaller in ((115, 84), (90, 40)):
        question = f"Which is larger, {smaller} or {larger}?"
        asked = [{"role": "user", "content": question}]
        assert nano.chat(question).content == str(larger)
        assert generate_json(nano, asked, {"enum": [smaller, larger]}) == larger


@dataclass
class Pet:
    name: str
    legs: Literal[2, 4]
    tags: list[str]


def test_a_type_gives_a_value_of_it(random_nano):
    pet = generate_json(random_nano, "a pet", Pet, limits=LIMITS)
    assert isinstance(pet, Pet) and pet.legs in (2, 4) and all(isinstance(tag, str) for tag in pet.tags)
    assert isinstance(generate_json(random_nano, "x", list[int], limits=LIMITS), list)


def test_sampling_repeats_with_its_seed(random_nano):
    once, again = (generate_json(random_nano, "x", PERSON, temperature=2.0, seed=4, limits=LIMITS) for _ in range(2))
    other = generate_json(random_nano, "x", PERSON, temperature=2.0, seed=5, limits=LIMITS)
    assert once == again != other


def test_pictures_are_seen(nano):
    picture = np.zeros((64, 64, 3), np.uint8)
    said = generate_json(nano, "What colour is the circle?", {"enum": ["red", "blue"]}, images=[picture])
    assert said in ("red", "blue")


def test_too_few_tokens_are_told(nano):
    with pytest.raises(InputError, match="not at its end after 3 tokens"):
        generate_json(nano, "x", PERSON, max_new_tokens=3)


def test_a_tokenizer_of_words_is_refused():
    recall = lab.load("recall")
    with pytest.raises(InputError, match=r"byte-level|vocabulary"):
        generate_json(recall, "cat red", {"type": "string"})


# ------------------------------------------------------------------------- schemas


@given(SCHEMAS)
@settings(max_examples=50)
def test_a_narrow_schema_is_one_and_narrow_already(schema):
    once = narrow(schema, LIMITS)
    jsonschema.Draft202012Validator.check_schema(once)
    assert narrow(once, LIMITS) == once


@pytest.mark.parametrize(
    "schema, told",
    [
        ({"type": "text"}, "the type 'text'"),
        ({"not": {}}, "keyword 'not'"),
        ({"type": "array", "uniqueItems": True}, "keyword 'uniqueItems'"),
        ({"type": "object", "patternProperties": {}}, "keyword 'patternProperties'"),
        ({"oneOf": [{}]}, "keyword 'oneOf'"),
        ({"type": "string", "minLength": 4, "maxLength": 2}, "4 to 2 characters"),
        ({"type": "array", "minItems": 4, "maxItems": 2}, "4 to 2 items"),
        ({"type": "integer", "minimum": 4, "maximum": 2}, "4 to 2 sizes"),
        ({"type": "number", "multipleOf": 0}, "multipleOf is 0"),
        ({"type": "string", "format": "email"}, "format 'email'"),
        ({"enum": [1], "type": "string"}, "No value"),
        ({"enum": [1], "minimum": 3}, "minimum stands beside"),
        ({"anyOf": []}, "at least one"),
        ({"anyOf": [{"type": "string"}], "type": "integer"}, "type stands beside anyOf"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "refers to itself"),
        ({"$ref": "#/$defs/b"}, "no #/\\$defs/b"),
        ({"$ref": "https://x"}, "stand alone"),
        ({"required": ["a"], "additionalProperties": False}, "requires 'a'"),
        (False, "A schema is False"),
        ({"properties": {"a": 3}}, "A schema is 3"),
        ({"type": "integer", "minimum": 3, "maximum": 4, "multipleOf": 10}, "No grammar"),
        ({"type": "string", "pattern": "("}, "No grammar"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused(nano, schema, told):
    with pytest.raises(InputError, match=told):
        generate_json(nano, "x", schema)


def test_masks_are_of_the_models_rows(nano):
    grammar = Grammar(nano, {"type": "boolean"})
    allowed = grammar.allowed()
    assert allowed.dtype == torch.bool and len(allowed) == nano.config.text.vocab_size
    first = {nano.token_text(n)[0] for n in allowed.nonzero()[:, 0].tolist()}
    assert first == {"t", "f"}
