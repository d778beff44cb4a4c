"""The checkers of notebook 02: the right answer passes, and each known mistake gets its own diagnosis."""

import pytest
import torch
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.exercises.forward_pass import kv_layers, norm_inputs, patterns, rms_norm_1p
from qwen35_lab.exercises.planted import BUGS, planted

# ------------------------------------------------------------------------- 02.1  rms_norm_1p


def rms(x, eps):
    return (x.square().mean(-1, keepdim=True) + eps).sqrt()


def right(x, w, eps):
    return (x.float() / rms(x.float(), eps) * (1 + w.float())).to(x.dtype)


def with_rsqrt(x, w, eps):
    wide = x.to(torch.float32)
    return torch.addcmul(wide, wide, w).mul(torch.rsqrt(wide.pow(2).mean(dim=-1)[..., None] + eps)).type_as(x)


def with_torch(x, w, eps):
    return torch.nn.functional.rms_norm(x.float(), (x.shape[-1],), 1 + w.float(), eps).to(x.dtype)


def in_double(x, w, eps):
    return right(x.double(), w.double(), eps).to(x.dtype)


@pytest.mark.parametrize("answer", [right, with_rsqrt, with_torch, in_double, lambda x, w, eps: right(x, w, eps)])
def test_a_right_norm_passes_however_it_is_written(answer):
    verdict = lab.check("02.1", answer)
    assert verdict, verdict
    assert repr(verdict).startswith("✓ 02.1")


def wide(function):
    """The same mistake made in float32, and brought back to the dtype of x."""
    return lambda x, w, eps: function(x.float(), w.float(), eps).to(x.dtype)


def in_place(x, w, eps):
    x /= rms(x.float(), eps).to(x.dtype)
    return x * (1 + w)


WRONG_NORMS = {
    "multiply by w.": wide(lambda x, w, eps: x / rms(x, eps) * w),
    "weight is missing": wide(lambda x, w, eps: x / rms(x, eps)),
    "needs brackets": wide(lambda x, w, eps: x / rms(x, eps) * 1 + w),
    "eps stands outside the root": wide(lambda x, w, eps: x / (rms(x, 0) + eps) * (1 + w)),
    "eps is missing": wide(lambda x, w, eps: x / rms(x, 0) * (1 + w)),
    "You sum the squares": wide(lambda x, w, eps: x / (x.square().sum(-1, keepdim=True) + eps).sqrt() * (1 + w)),
    "root is missing": wide(lambda x, w, eps: x / (x.square().mean(-1, keepdim=True) + eps) * (1 + w)),
    "multiply by the root mean square": wide(lambda x, w, eps: x * rms(x, eps) * (1 + w)),
    "that is LayerNorm": wide(
        lambda x, w, eps: torch.nn.functional.layer_norm(x, (x.shape[-1],), 1 + w, torch.zeros_like(w), eps)
    ),
    "over all axes": wide(lambda x, w, eps: x / (x.square().mean() + eps).sqrt() * (1 + w)),
    "over the first axis": wide(lambda x, w, eps: x / (x.square().mean(0, keepdim=True) + eps).sqrt() * (1 + w)),
    "over the tokens": wide(lambda x, w, eps: x / (x.square().mean(-2, keepdim=True) + eps).sqrt() * (1 + w)),
    "it rounds before the end": lambda x, w, eps: x / rms(x, eps) * (1 + w),
    "the input's dtype": lambda x, w, eps: x.float() / rms(x.float(), eps) * (1 + w.float()),
    "lose its axis": lambda x, w, eps: x.square().mean(-1),
    "changes its input": in_place,
    "returns nothing yet": lambda x, w, eps: None,
    "not a mistake this checker knows": wide(lambda x, w, eps: 1.01 * right(x, w, eps)),
    "returns a float": lambda x, w, eps: 1.0,
    "raises RuntimeError": lambda x, w, eps: x @ w[:-1],
    "must take three arguments, (x, w, eps); so far it takes (x, w)": lambda x, w: x,
    "Did `mean` lose the axis that it runs over? With `keepdim=True`": wide(
        lambda x, w, eps: x / (x.square().mean(-1) + eps).sqrt() * (1 + w)
    ),
    "That is the standard deviation": wide(lambda x, w, eps: x / x.std(-1, keepdim=True) * (1 + w)),
    "measured from the mean of x": wide(
        lambda x, w, eps: x / (x.var(-1, keepdim=True, correction=0) + eps).sqrt() * (1 + w)
    ),
    "That is the length of x": wide(lambda x, w, eps: torch.nn.functional.normalize(x, dim=-1) * (1 + w)),
    "NaN or infinity. Is something divided by 0": wide(lambda x, w, eps: x / (x - x) * (1 + w)),
    "off by up to 12 times the largest right value": wide(lambda x, w, eps: 13 * right(x, w, eps)),
    "off by up to 7,100 times the largest": wide(lambda x, w, eps: 7101 * right(x, w, eps)),
    "Not written yet": lambda x, w, eps: unwritten(),
}


def unwritten():
    raise NotImplementedError


@pytest.mark.parametrize("diagnosis, answer", WRONG_NORMS.items(), ids=list(WRONG_NORMS))
def test_a_wrong_norm_is_told_what_is_wrong(diagnosis, answer):
    verdict = lab.check("02.1", answer)
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_rounding_once_in_the_middle_is_seen_too():
    """The order of Llama's code: back to bfloat16 before the weight."""
    verdict = lab.check("02.1", lambda x, w, eps: (x.float() / rms(x.float(), eps)).to(x.dtype) * (1 + w))
    assert not verdict and "it rounds before the end" in verdict.message


def test_a_result_instead_of_the_function_is_told_so():
    assert "Pass the function itself" in lab.check("02.1", torch.ones(3)).message


def test_the_oracle_is_the_equation():
    for x, w, eps in norm_inputs()[:4]:
        torch.testing.assert_close(rms_norm_1p(x, w, eps), right(x, w, eps))


# ------------------------------------------------------------------------- 02.2  the planted mistake


@pytest.mark.parametrize("seed", range(12))
def test_every_planted_mistake_changes_what_its_module_gives_and_nothing_before(seed):
    qwen = small()
    broken = lab.exercises.plant(qwen, seed)
    place, bug = planted(broken)
    assert place.endswith(bug.module)
    first = lab.diff(qwen.trace(IDS), broken.trace(IDS)).first()
    assert first and first.name.startswith(f"layers.{place.split('.')[1]}.")
    assert lab.check("02.2", place, given=broken)


def test_the_original_is_untouched_and_shares_its_weights():
    qwen = small()
    before = qwen.trace(IDS, ["logits"])["logits"]
    broken = lab.exercises.plant(qwen, 0)
    assert torch.equal(qwen.trace(IDS, ["logits"])["logits"], before)
    for ours, theirs in zip(qwen.model.parameters(), broken.model.parameters(), strict=True):
        assert ours is theirs


def test_the_same_seed_plants_the_same_mistake_and_all_kinds_occur():
    qwen = small()
    assert planted(lab.exercises.plant(qwen, 7))[0] == planted(lab.exercises.plant(qwen, 7))[0]
    assert {planted(lab.exercises.plant(qwen, seed))[1] for seed in range(len(BUGS))} == set(BUGS)


@pytest.fixture(scope="module")
def broken():
    """The convolution of a middle layer runs backwards."""
    made = (lab.exercises.plant(small(), seed) for seed in range(1, 99, 6))
    found = next(broken for broken in made if planted(broken)[0] == "layers.1.mixer.conv")
    assert planted(found)[0] == "layers.1.mixer.conv"
    return found


@pytest.mark.parametrize(
    "answer, right, words",
    [
        ("layers.1.mixer.conv", True, "runs backwards in time"),
        ("model.layers.1.mixer.conv", True, "runs backwards in time"),
        ("layers.1.mixer", False, "inside `layers.1.mixer`"),
        ("layers.1", False, "inside `layers.1`"),
        ("layers.0.mixer.conv", False, "still agree; the mistake comes later"),
        ("embed_tokens", False, "still agree; the mistake comes later"),
        ("layers.1.mixer_norm", False, "still agree; the mistake comes later"),
        ("layers.1.ffn", False, "given is wrong already"),
        ("layers.3.mixer.q_proj", False, "given is wrong already"),
        ("norm", False, "given is wrong already"),
        ("layers.1.mixer.in_proj_qkv", False, "right half of the right layer"),
        ("layers.1.mixer.convolution", False, "did you mean `layers.1.mixer.conv`?"),
        ("layers.1.mixer.q", False, "`layers.1.mixer.q` is a value. Which module makes it?"),
        ("layers.1.mixer.conv.weight", False, "both models share their weights"),
        ("conv1d", False, '"layers.0.mixer.out_proj". `print(broken.model)` shows them all.'),
        ("", False, "no module"),
        (..., False, "Answer with the name"),
        (1, False, "Answer with the name"),
    ],
)
def test_the_named_module_is_judged_by_where_it_stands(broken, answer, right, words):
    verdict = lab.check("02.2", answer, given=broken)
    assert verdict.passed == right
    assert words in verdict.message


def test_a_part_of_the_wrong_module_is_told_so():
    broken = lab.exercises.plant(small(), 5)  # a whole feed-forward
    place, _ = planted(broken)
    assert "it is a part of" in lab.check("02.2", f"{place}.up_proj", given=broken).message


@pytest.mark.parametrize("given", [None, small(), "broken"])
def test_without_the_broken_model_there_is_nothing_to_judge(given):
    assert "given=broken" in lab.check("02.2", "layers.0.mixer", given=given).message


def test_a_mistake_without_a_place_is_refused():
    with pytest.raises(lab.InputError, match="try another seed"):
        lab.exercises.plant(small(MOE), 5)
    with pytest.raises(lab.InputError, match="try another seed"):
        lab.exercises.plant(small(DENSE, layer_types=["full_attention"] * 4), 1)


# ------------------------------------------------------------------------- 02.3  kv_layers

RIGHT_KV = {
    "list": lambda kinds: [n for n, kind in enumerate(kinds) if kind == "full_attention"],
    "tuple": lambda kinds: tuple(n for n, kind in enumerate(kinds) if kind != "linear_attention"),
}
WRONG_KV = {
    "These are the DeltaNet layers": lambda kinds: [n for n, kind in enumerate(kinds) if kind == "linear_attention"],
    "counted from 0": lambda kinds: [n for n, kind in enumerate(kinds, 1) if kind == "full_attention"],
    "Every fourth layer": lambda kinds: list(range(3, len(kinds), 4)),
    "Not every layer": lambda kinds: range(len(kinds)),
    "how many there are": lambda kinds: list(kinds).count("full_attention"),
    "truth value per layer": lambda kinds: [kind == "full_attention" for kind in kinds],
    "Those are the kinds": lambda kinds: [kind for kind in kinds if kind == "full_attention"],
    "returns nothing yet": lambda kinds: None,
    "raises KeyError": lambda kinds: {}["x"],
    "It returns a Tensor; return a list": lambda kinds: torch.tensor([3]),
    "It returns a generator; return a list": lambda kinds: (n for n, kind in enumerate(kinds) if kind != "x"),
    "but the layers with a KV cache are": lambda kinds: [len(kinds) - 1],
}


@pytest.mark.parametrize("answer", RIGHT_KV.values(), ids=list(RIGHT_KV))
def test_the_right_layers_pass(answer):
    assert lab.check("02.3", answer)


@pytest.mark.parametrize("diagnosis, answer", WRONG_KV.items(), ids=list(WRONG_KV))
def test_the_wrong_layers_are_told_what_is_wrong(diagnosis, answer):
    verdict = lab.check("02.3", answer)
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_a_list_instead_of_a_function_is_told_so():
    assert "Pass a function" in lab.check("02.3", [3]).message


def test_the_oracle_names_the_layers_that_have_keys_after_a_pass():
    for types in patterns()[3:]:
        qwen = small(num_hidden_layers=len(types), layer_types=types)
        cache = qwen.model.new_cache()
        qwen.model(torch.tensor([IDS]), cache=cache)
        assert kv_layers(types) == [n for n, memory in enumerate(cache.layers) if hasattr(memory, "k")]


# ------------------------------------------------------------------------- all of them


def test_an_unknown_exercise_is_refused_with_the_nearest():
    with pytest.raises(lab.InputError, match=r"did you mean '02\.1'"):
        lab.check("2.1", right)


def test_a_verdict_shows_code_as_code_and_escapes_the_rest():
    verdict = lab.exercises.Verdict("02.9", False, "use `a < b`, not <b>")
    assert "<code>a &lt; b</code>, not &lt;b&gt;" in verdict._repr_html_()
    assert repr(verdict) == "✗ 02.9  use `a < b`, not <b>"
