"""The other checkers of notebook 09: what the head reads, and what drafting gains."""

import pytest
import torch
from answers import written
from small import DENSE, IDS, small

import qwen35_lab as lab
from qwen35_lab.exercises.drafting import (
    CASES,
    INPUT_MISTAKES,
    SPEED_MISTAKES,
    mtp_input,
    mtp_inputs,
    simulate,
    speed_up,
)  # fmt: skip

# ------------------------------------------------------------------------- 09.2  mtp_input

INPUT = """
    def mtp_input(embedded, hidden, w_e, w_h, W, eps):
        e, h = embedded[1:], hidden[:-1]
        e = e / (e.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + w_e)
        h = h / (h.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + w_h)
        return torch.cat((e, h), dim=-1) @ W.T
"""
E, H = (f"{x} = {x} / ({x}.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + w_{x})" for x in "eh")
PAIRS, JOIN = "e, h = embedded[1:], hidden[:-1]", "torch.cat((e, h), dim=-1)"


def in_two_products(embedded, hidden, w_e, w_h, W, eps):
    left, right = W.double().split(W.shape[0], dim=1)
    normed = [
        torch.nn.functional.rms_norm(x.double(), x.shape[-1:], (1 + w).double(), eps)
        for x, w in ((embedded[1:], w_e), (hidden[:-1], w_h))
    ]
    return torch.einsum("ho,to->th", left, normed[0]) + torch.einsum("ho,to->th", right, normed[1])


@pytest.mark.parametrize("answer", [written(INPUT), in_two_products])
def test_a_right_input_passes_however_it_is_written(answer):
    verdict = lab.check("09.2", answer)
    assert verdict, verdict


WRONG_INPUTS = {
    "The two halves are swapped": [(JOIN, "torch.cat((h, e), dim=-1)")],
    "Both norms miss the 1": [("(1 + w_e)", "w_e"), ("(1 + w_h)", "w_h")],
    "The norm of the embedding misses": [("(1 + w_e)", "w_e")],
    "The norm of the hidden state misses": [("(1 + w_h)", "w_h")],
    "The weights are exchanged": [("(1 + w_e)", "(1 + x)"), ("(1 + w_h)", "(1 + w_e)"), ("(1 + x)", "(1 + w_h)")],
    "Neither half is normalised": [(E, "pass"), (H, "pass")],
    "The embedding is not normalised": [(E, "pass")],
    "The hidden state is not normalised": [(H, "pass")],
    "normalised as one long vector": [
        (E, "e = torch.cat((e, h), dim=1)"),
        (H, "e = e / (e.square().mean(-1, keepdim=True) + eps).sqrt() * (1 + torch.cat((w_e, w_h)))"),
        (JOIN, "e"),
    ],
    "RMSNorm divides by the root of the *mean*": [
        ("(e.square().mean(-1, keepdim=True) + eps).sqrt()", "e.norm(dim=-1, keepdim=True)"),
        ("(h.square().mean(-1, keepdim=True) + eps).sqrt()", "h.norm(dim=-1, keepdim=True)"),
    ],
    "beside `hidden[:-1]`": [(PAIRS, "e, h = embedded[:-1], hidden[:-1]")],
    "shifted the wrong way": [(PAIRS, "e, h = embedded[:-1], hidden[1:]")],
    "it returns shape [5, 8], not [4, 8]": [(PAIRS, "e, h = embedded, hidden")],
    "raises RuntimeError": [("@ W.T", "@ W")],
    "not a mistake this checker knows": [("@ W.T", "@ (1.1 * W.T)")],
    "returns nothing yet": [(f"return {JOIN} @ W.T", "return None")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_INPUTS.items(), ids=list(WRONG_INPUTS))
def test_a_wrong_input_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("09.2", written(INPUT, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_input_mistake_that_the_checker_knows_is_made_here():
    for mistake in INPUT_MISTAKES:
        assert sum(words in mistake.diagnosis for words in WRONG_INPUTS) == 1, mistake.diagnosis


@torch.no_grad()
def test_the_oracle_is_what_enters_the_heads_layer():
    qwen = small({**DENSE, "mtp_num_hidden_layers": 1})
    head, out = qwen.model.mtp, qwen.model(torch.tensor([IDS]))
    weights = head.pre_fc_norm_embedding.weight, head.pre_fc_norm_hidden.weight, head.fc.weight
    x = mtp_input(out.embedded[0], out.hidden[0], *weights, qwen.config.text.rms_norm_eps)
    torch.testing.assert_close(x, torch.as_tensor(qwen.trace(IDS, ["mtp.joined"])["mtp.joined"]))


def test_the_inputs_tell_an_epsilon_that_is_forgotten():
    assert any(eps > 1e-3 for *_, eps in mtp_inputs()) and {len(e) for e, *_ in mtp_inputs()} > {2}
    assert not lab.check("09.2", written(INPUT, ("+ eps", "+ 1e-6")))


# ------------------------------------------------------------------------- 09.3  speed_up

SPEED = """
    def speed_up(p, k, c):
        tokens = sum(p**n for n in range(k + 1))
        return tokens / (1 + k * c)
"""
TOKENS, COST = "sum(p**n for n in range(k + 1))", "(1 + k * c)"


def as_a_fraction(p, k, c):
    return torch.tensor((k + 1 if p == 1 else (1 - p ** (k + 1)) / (1 - p)) / (1 + k * c), dtype=torch.float64)


@pytest.mark.parametrize("answer", [written(SPEED), as_a_fraction])
def test_a_right_gain_passes_however_it_is_written(answer):
    verdict = lab.check("09.3", answer)
    assert verdict, verdict
    assert "20,000 simulated passes wrote" in verdict.message


WRONG_GAINS = {
    "That is the number of tokens alone": [(COST, "1")],
    "You count the accepted drafts alone": [("range(k + 1)", "range(1, k + 1)")],
    "You count 1 + k p": [(TOKENS, "1 + k * p")],
    "endlessly many drafts": [(TOKENS, "(1 / (1 - p) if p < 1 else math.inf)")],
    "The sum stops one early": [("range(k + 1)", "range(k)")],
    "counts all or nothing": [(TOKENS, "1 + k * p**k")],
    "The cost is k c alone": [("return tokens / (1 + k * c)", "return tokens / (k * c) if k * c else math.inf")],
    "not 1 + c": [(COST, "(1 + c)")],
    "It is turned over": [("tokens / (1 + k * c)", "(1 + k * c) / tokens")],
    "It divides by 1 − p": [(TOKENS, "(1 - p ** (k + 1)) / (1 - p)")],
    "Right but for p = 1": [(TOKENS, "(1 - p ** (k + 1)) / (1 - p) if p < 1 else 1")],
    "returns a str": [("return tokens / (1 + k * c)", "return 'fast'")],
    "not a mistake this checker knows": [(COST, "(1.5 + k * c)")],
    "returns nothing yet": [("return tokens / (1 + k * c)", "return None")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_GAINS.items(), ids=list(WRONG_GAINS))
def test_a_wrong_gain_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("09.3", written(SPEED, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_gain_mistake_that_the_checker_knows_is_made_here():
    for diagnosis, _ in SPEED_MISTAKES:
        assert sum(words in diagnosis for words in WRONG_GAINS) == 1, diagnosis


@pytest.mark.parametrize("p, k", [(0.0, 3), (0.4, 1), (0.7, 4), (0.95, 8), (1.0, 2)])
def test_the_formula_is_what_a_simulation_counts(p, k):
    mean, error = simulate(p, k, 20_000, seed=1)
    assert abs(mean - speed_up(p, k, 0)) <= 5 * error + 1e-12


def test_the_cases_have_a_perfect_and_a_hopeless_head_and_no_drafts():
    assert {0.0, 1.0} < {p for p, _, _ in CASES} and 0 in {k for _, k, _ in CASES}


@pytest.mark.parametrize("exercise", ["09.2", "09.3"])
def test_a_result_instead_of_the_function_is_told_so(exercise):
    assert "Pass the function itself" in lab.check(exercise, 2.0).message
