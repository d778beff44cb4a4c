"""The checkers of notebook 14: each mistake that they list is recognised, and told from the others."""

import pytest
import torch
from answers import written

import qwen35_lab as lab
from qwen35_lab.exercises import patching
from qwen35_lab.exercises.long_documents import PAGE_MISTAKES, RANK_MISTAKES, effective_rank, pages_that_fit

# ------------------------------------------------------------------------- 14.1  patching

PATCH = """
    def patched_share(qwen, clean, corrupt, layer):
        import qwen35_lab as lab
        SIGNS = torch.tensor([1.0, -1.0])
        name = f"layers.{layer}.mixer.out"
        a, b = (qwen.trace(text, ["logits", name]) for text in (clean, corrupt))
        right, wrong = (trace["logits"][-1].argmax() for trace in (a, b))
        c = qwen.trace(corrupt, "logits", lab.edit(name, token=-1).patch_from(a))
        d = [trace["logits"][-1][right] - trace["logits"][-1][wrong] for trace in (a, b, c)]
        return (d[2] - d[1]) / (d[0] - d[1])
"""


def test_a_right_patch_passes():
    verdict = lab.check("14.1", written(PATCH))
    assert verdict and "layer 0" in verdict.message, verdict


WRONG_PATCHES = {
    "from the corrupt run itself": [("patch_from(a)", "patch_from(b)")],
    "You run the clean text": [("qwen.trace(corrupt, ", "qwen.trace(clean, "), ("patch_from(a)", "patch_from(b)")],
    "every token": [(", token=-1", "")],
    "the layer's output": [(".mixer.out", ".output")],
    "feed-forward": [(".mixer.out", ".ffn.out")],
    "the layer before or after": [("layers.{layer}.", "layers.{(layer + 1) % 4}.")],
    "words that are no answers": [("right, wrong = (trace", "right, wrong = qwen.encode(clean)[0][[-1, -2]]; (trace")],
    "probabilities": [('[right] - trace["logits"][-1][wrong]', ".softmax(-1)[torch.stack((right, wrong))] @ SIGNS")],
    "the change alone": [(" / (d[0] - d[1])", "")],
    "what is still missing": [("(d[2] - d[1])", "(d[0] - d[2])")],
    "subtract the corrupt run's": [("(d[2] - d[1]) / (d[0] - d[1])", "d[2] / d[0]")],
    "the token of the value": [("token=-1", "token=4 if 'fox' in clean else 1")],
    "not a mistake this checker knows": [("(d[2] - d[1])", "2 * (d[2] - d[1])")],
    "returns nothing yet": [("return (d", "(d")],
    "return one number": [("return (d[2] - d[1])", "return a, (d[2] - d[1])")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_PATCHES.items(), ids=list(WRONG_PATCHES))
def test_a_wrong_patch_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("14.1", written(PATCH, *edits))
    assert not verdict and diagnosis in verdict.message, verdict


def test_the_two_texts_of_a_pair_are_of_one_length_and_answered_rightly():
    qwen = lab.load("recall")
    for clean, corrupt in patching.PAIRS:
        one, two = (qwen.encode(text)[0] for text in (clean, corrupt))
        assert len(one) == len(two) and int((one != two).sum()) == 1
        place = patching._differs(qwen, clean, corrupt)
        for ids in (one, two):
            assert int(qwen.model(ids[None]).logits[0, -1].argmax()) == ids[place]


def test_not_a_function_is_said():
    for number in ("14.1", "14.2", "14.3"):
        verdict = lab.check(number, 3)
        assert not verdict and "Pass the function itself" in verdict.message


# ------------------------------------------------------------------------- 14.2  effective rank

RANK = """
    def effective_rank(S):
        sigma = torch.linalg.svdvals(S)
        total = sigma.sum(-1, keepdim=True)
        entropy = torch.special.entr((sigma / total).nan_to_num(0)).sum(-1)
        return torch.where(total[:, 0] > 0, entropy.exp(), 0.0)
"""


def test_a_right_rank_passes_in_any_base():
    bits = [("entropy = ", "entropy = 1 / math.log(2) * "), ("entropy.exp()", "2 ** entropy")]
    for answer in (effective_rank, written(RANK), written(RANK, *bits)):
        verdict = lab.check("14.2", answer)
        assert verdict, verdict


@pytest.mark.parametrize("mistake", RANK_MISTAKES, ids=[mistake.diagnosis[:40] for mistake in RANK_MISTAKES])
def test_each_wrong_rank_is_known_by_its_own_sign(mistake):
    verdict = lab.check("14.2", mistake.answer)
    assert not verdict and verdict.message == mistake.diagnosis


GUARDED = ("torch.where(total[:, 0] > 0, entropy.exp(), 0.0)", "entropy.exp()")
WRONG_RANKS = {
    "An empty memory gives 0/0": [(".nan_to_num(0)", ""), GUARDED],
    "An empty memory holds nothing": [GUARDED],
    "must take one argument": [("effective_rank(S)", "effective_rank(S, eps)")],
    "not a mistake this checker knows": [("entropy.exp()", "1.3 * entropy.exp()")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_RANKS.items(), ids=list(WRONG_RANKS))
def test_a_wrong_rank_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("14.2", written(RANK, *edits))
    assert not verdict and diagnosis in verdict.message, verdict


# ------------------------------------------------------------------------- 14.3  pages

PAGES = """
    def pages(config, tokens_per_page, budget, reserve):
        import qwen35_lab as lab
        one, two = (sum(lab.analysis.predicted_bytes(config, n)) for n in (1, 2))
        tokens = min((budget - (2 * one - two)) // (two - one), config.text.max_position_embeddings)
        return int((tokens - reserve) // tokens_per_page)
"""


def test_right_pages_pass():
    verdict = lab.check("14.3", written(PAGES))
    assert verdict and "1 GiB holds" in verdict.message, verdict


@pytest.mark.parametrize("diagnosis, mistake", PAGE_MISTAKES, ids=[words[:40] for words, _ in PAGE_MISTAKES])
def test_each_wrong_number_of_pages_is_known_by_its_own_sign(diagnosis, mistake):
    verdict = lab.check("14.3", mistake)
    assert not verdict and verdict.message == diagnosis


@pytest.mark.parametrize(
    "said, edit", [("whole number", ("int(", "0.5 + int(")), ("not a mistake", ("- reserve)", "- 2 * reserve)"))]
)
def test_other_wrong_pages_are_told_where(said, edit):
    verdict = lab.check("14.3", written(PAGES, edit))
    assert not verdict and said in verdict.message, verdict


def test_a_budget_below_the_states_holds_no_page():
    assert pages_that_fit(lab.load_config("9B"), 600, 1.0, 100) == 0


def test_pages_fill_the_budget_and_no_more():
    config, page, budget = lab.load_config("9B"), 610, 2.0 * 2**30
    count = pages_that_fit(config, page, budget, 0)
    weigh = [sum(lab.analysis.predicted_bytes(config, n * page)) for n in (count, count + 1)]
    assert weigh[0] <= budget < weigh[1]


def test_the_rank_of_equal_writes_is_their_number():
    S = torch.eye(6)[:4].T @ torch.eye(5)[:4]
    assert effective_rank(S[None]).item() == pytest.approx(4, abs=1e-4)
