"""The checkers of notebook 07: right answers pass however they are written, and each known mistake is named."""

import pytest
import torch
from answers import written
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.exercises.active import ACTIVE_MISTAKES, TOLERANCE, active_cases, mixer_parameters
from qwen35_lab.exercises.experts import BALANCE_MISTAKES, WEIGHT_MISTAKES, balance, balance_inputs, route
from qwen35_lab.family.sizes import parameters

# ------------------------------------------------------------------------- 07.1  route

ROUTE = """
    def route(logits, k):
        p = logits.float().softmax(-1)
        best, ids = p.topk(k)
        weights = best / best.sum(-1, keepdim=True)
        return ids, weights
"""
SCALE = "best / best.sum(-1, keepdim=True)"


def softmax_of_the_chosen(logits, k):
    best, ids = logits.float().topk(k)
    return [ids, best.softmax(-1)]


def by_sorting(logits, k):
    p = logits.double().exp()
    ids = logits.argsort(-1, descending=True)[:, :k]
    best = p.gather(-1, ids)
    return ids, (best / best.sum(-1, keepdim=True)).float()


@pytest.mark.parametrize("answer", [written(ROUTE), softmax_of_the_chosen, by_sorting])
def test_a_right_router_passes_however_it_is_written(answer):
    verdict = lab.check("07.1", answer)
    assert verdict, verdict


WRONG_ROUTES = {
    "The weights are not renormalised": [(SCALE, "best")],
    "a second softmax": [(SCALE, "best.softmax(-1)")],
    "the same weight, 1 / k": [(SCALE, "torch.ones_like(best) / k")],
    "divided by the largest": [(SCALE, "best / best.amax(-1, keepdim=True)")],
    "The logits themselves are renormalised": [("logits.float().softmax(-1)", "logits.float()")],
    "The sum runs over tokens": [(SCALE, "best / best.sum(0, keepdim=True)")],
    "a softmax over tokens": [
        ("p = logits.float().softmax(-1)", "p = logits.float().softmax(0)"),
        ("best, ids = p.topk(k)", "ids = logits.float().topk(k).indices; best = p.gather(-1, ids)"),
    ],
    "computes in low precision": [("logits.float()", "logits.bfloat16()")],
    "ids first, then weights": [("return ids, weights", "return weights, ids")],
    "weights of all 8 experts": [("return ids, weights", "return ids, p")],
    "in the wrong order": [("return ids, weights", "return ids.flip(-1), weights.flip(-1)")],
    "the k worst experts": [("p.topk(k)", "p.topk(k, largest=False)")],
    "not the k best experts": [("return ids, weights", "return (ids + 1) % p.shape[-1], weights")],
    "ids must be whole numbers": [("return ids, weights", "return ids + 100, weights")],
    "ids has shape": [("return ids, weights", "return ids[:, :1], weights")],
    "return two tensors": [("return ids, weights", "return weights")],
    "is no tensor": [("return ids, weights", "return ids.tolist(), weights")],
    "by a mistake this checker does not know. They do not add up": [(SCALE, "best ** 2")],
    "returns nothing yet": [("return ids, weights", "return None")],
    "must take two arguments": [("logits, k", "logits")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_ROUTES.items(), ids=list(WRONG_ROUTES))
def test_a_wrong_router_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("07.1", written(ROUTE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_weight_mistake_that_the_checker_knows_is_made_here():
    for diagnosis, _ in WEIGHT_MISTAKES:
        assert sum(words in diagnosis for words in WRONG_ROUTES) == 1, diagnosis


def test_the_oracle_is_the_models_router():
    notes = small(MOE).trace(IDS, ["layers.1.ffn.*"])
    ids, weights = route(notes.tensors["layers.1.ffn.router_logits"], 2)
    assert torch.equal(ids, notes.tensors["layers.1.ffn.expert_ids"])
    torch.testing.assert_close(weights, notes.tensors["layers.1.ffn.expert_weights"])


# ------------------------------------------------------------------------- 07.2  balance

BALANCE = """
    def balance(logits, k):
        E, losses = logits.shape[-1], []
        for x in logits:
            chosen = x.topk(k).indices.flatten()
            f = torch.bincount(chosen, minlength=E) / len(chosen)
            p = x.softmax(-1)
            losses.append(E * (f * p.mean(0)).sum())
        return sum(losses) / len(losses)
"""
P, ONE = "p = x.softmax(-1)", "losses.append(E * (f * p.mean(0)).sum())"
CHOSEN = "p = torch.zeros_like(x).scatter(-1, x.topk(k).indices, x.softmax(-1).topk(k).values)"


def in_one_piece(logits, k):
    E = logits.shape[-1]
    f = torch.nn.functional.one_hot(logits.topk(k).indices, E).double().mean((1, 2))
    return E * torch.einsum("le,le->l", f, logits.double().softmax(-1).mean(1)).mean()


@pytest.mark.parametrize("answer", [written(BALANCE), in_one_piece])
def test_a_right_loss_passes_however_it_is_written(answer):
    verdict = lab.check("07.2", answer)
    assert verdict, verdict
    assert "Its gradient is right too" in verdict.message


WRONG_LOSSES = {
    "one that is never chosen must be seen": [(P, CHOSEN + "; p = p / p.sum(-1, keepdim=True)")],
    "without the others' probabilities": [(P, CHOSEN)],
    "two softmaxes": [(P, "p = x.softmax(-1).softmax(-1)")],
    "The factor E is forgotten": [("E * (f", "(f")],
    "The layers are pooled": [("for x in logits:", "for x in [logits.flatten(0, 1)]:")],
    "The layers are added up": [("return sum(losses) / len(losses)", "return sum(losses)")],
    "f is counted per token": [("/ len(chosen)", "/ len(x)")],
    "Both factors are P": [("f * p.mean(0)", "p.mean(0) * p.mean(0)")],
    "P is the mean of the logits": [(P, "p = x")],
    "has no gradient": [(P, "p = x.detach().softmax(-1)")],
    "its gradient is not": [(ONE, "losses.append(E * (f * p.mean(0)).sum().detach() + 0 * x.sum())")],
    "not a mistake this checker knows": [(ONE, "losses.append(E * (f * p.mean(0)).square().sum())")],
    "returns nothing yet": [("return sum(losses) / len(losses)", "return None")],
    "returns a float; return a tensor": [("return sum(losses) / len(losses)", "return float(sum(losses))")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_LOSSES.items(), ids=list(WRONG_LOSSES))
def test_a_wrong_loss_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("07.2", written(BALANCE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_in_the_loss_that_the_checker_knows_is_made_here():
    for mistake in BALANCE_MISTAKES:
        assert sum(words in mistake.diagnosis for words in WRONG_LOSSES) == 1, mistake.diagnosis


def test_the_oracle_is_what_the_nano_is_trained_with():
    logits, k = balance_inputs()[0]
    each = [
        lab.nano.loss.balance(lab.nano.loss.Routed(x[None], x.topk(k).indices[None]), torch.ones(1, len(x)).bool())
        for x in logits
    ]
    torch.testing.assert_close(balance(logits, k), torch.stack(each).mean())


# ------------------------------------------------------------------------- 07.3  active

ACTIVE = """
    def active(text, mixers):
        H = text.hidden_size
        experts = text.num_experts_per_tok * 3 * H * text.moe_intermediate_size
        shared = 3 * H * text.shared_expert_intermediate_size + H
        router = text.num_experts * H
        tables = (1 if text.tie_word_embeddings else 2) * text.vocab_size * H
        return tables + mixers + text.num_hidden_layers * (router + experts + shared)
"""
TABLES = "(1 if text.tie_word_embeddings else 2)"
WRONG_COUNTS = {
    "You count all experts": [("num_experts_per_tok", "num_experts")],
    "The shared expert is missing": [("+ experts + shared", "+ experts")],
    "a width of its own": [("text.shared_expert_intermediate_size", "text.moe_intermediate_size")],
    "The token table is counted twice": [(TABLES, "2")],
    "The head is missing": [(TABLES, "1")],
    "The token tables are missing": [(TABLES, "0")],
    "The router is missing": [("(router + ", "(")],
    "three matrices": [("tok * 3 * H", "tok * 2 * H"), ("3 * H * text.shared", "2 * H * text.shared")],
    "one layer's experts": [("text.num_hidden_layers * ", "")],
    "The mixers are missing": [("+ mixers ", "")],
    "not a mistake this checker knows": [("return tables", "return 2 * tables")],
    "returns a str": [("return tables + mixers", "return 'many' or mixers")],
    "returns nothing yet": [("return tables + mixers", "return None and mixers")],
    "It raises AttributeError": [("text.hidden_size", "text.width")],
}


def test_a_right_count_passes_and_half_a_percent_is_allowed():
    assert lab.check("07.3", written(ACTIVE))
    assert lab.check("07.3", written(ACTIVE, ("return tables", "return 1.004 * tables"), ("+ H", "")))
    assert not lab.check("07.3", written(ACTIVE, ("return tables + mixers", "return 1.02 * tables + 1.02 * mixers")))


@pytest.mark.parametrize("diagnosis, edits", WRONG_COUNTS.items(), ids=list(WRONG_COUNTS))
def test_a_wrong_count_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("07.3", written(ACTIVE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_in_a_count_is_made_here_and_weighs_more_than_the_tolerance():
    for diagnosis, mistake in ACTIVE_MISTAKES:
        assert sum(words in diagnosis for words in WRONG_COUNTS) == 1, diagnosis
        off = [abs(mistake(c.text, mixer_parameters(c)) / parameters(c).active - 1) for c in active_cases()]
        assert max(off) > 2 * TOLERANCE, diagnosis
