"""The checkers of notebook 04: the right answer passes, and each known mistake gets its own diagnosis."""

import math

import pytest
import torch
from answers import written
from hypothesis import given
from hypothesis import strategies as st
from small import small

import qwen35_lab as lab
from qwen35_lab.exercises.chunked import CHUNK_MISTAKES, chunk_inputs, chunked_delta_rule, strong_decay
from qwen35_lab.exercises.deltanet import HALF_LIFE_MISTAKES, half_life

# ------------------------------------------------------------------------- 04.1  chunked_delta_rule

CHUNKED = """
    def chunked_delta_rule(q, k, v, g, beta, chunk_size, S):
        T, outputs = len(v), []
        for start in range(0, T, chunk_size):
            now = slice(start, start + chunk_size)
            Q, K, V, b, c = q[now], k[now], v[now], beta[now, None], g[now].cumsum(0)
            D = (c[:, None] - c).masked_fill(torch.ones(len(c), len(c)).triu(1).bool(), -torch.inf).exp()
            E = c.exp()[:, None]
            L = (b * (K @ K.T) * D).tril(-1)
            A = Q @ K.T * D
            U = torch.linalg.solve(torch.eye(len(c)) + L, b * (V - E * K @ S))
            outputs.append(E * Q @ S + A @ U)
            S = c[-1].exp() * S + ((c[-1] - c).exp()[:, None] * K).T @ U
        return torch.cat(outputs), S
"""


def token_by_token(q, k, v, g, beta, chunk_size, S):
    out = []
    for t in range(len(v)):
        S = g[t].exp() * S
        S = S + torch.outer(k[t], beta[t] * (v[t] - S.T @ k[t]))
        out.append(S.T @ q[t])
    return torch.stack(out), S


def by_substitution(q, k, v, g, beta, chunk_size, S):
    """In float64, padded to whole chunks, rows of U one after the other."""
    T, missing = len(v), -len(v) % chunk_size
    q, k, v, g, beta = (torch.cat((x, x.new_zeros(missing, *x.shape[1:]))).double() for x in (q, k, v, g, beta))
    S, out = S.double(), []
    for n in range(0, T, chunk_size):
        c, U = torch.cumsum(g[n : n + chunk_size], 0), torch.zeros(chunk_size, v.shape[1], dtype=torch.float64)
        for i in range(chunk_size):
            held = (c[i].exp() * k[n + i]) @ S
            for j in range(i):
                held = held + (c[i] - c[j]).exp() * (k[n + i] @ k[n + j]) * U[j]
            U[i] = beta[n + i] * (v[n + i] - held)
            read = (c[i].exp() * q[n + i]) @ S
            out.append(read + sum((c[i] - c[j]).exp() * (q[n + i] @ k[n + j]) * U[j] for j in range(i + 1)))
        S = c[-1].exp() * S + sum(torch.outer((c[-1] - c[j]).exp() * k[n + j], U[j]) for j in range(chunk_size))
    return torch.stack(out[:T]), S


@pytest.mark.parametrize("answer", [written(CHUNKED), token_by_token, by_substitution])
def test_a_right_chunked_rule_passes_however_it_is_written(answer):
    verdict = lab.check("04.1", answer)
    assert verdict, verdict


BEGIN, DECAYS, LOWER, SCORES = "T, outputs = len(v), []", "D = (c", "(b * (K @ K.T) * D).tril(-1)", "A = Q @ K.T * D"
SOLVE = "torch.linalg.solve(torch.eye(len(c)) + L, b * (V - E * K @ S))"
OUT = "E * Q @ S + A @ U"
NEXT = "S = c[-1].exp() * S + ((c[-1] - c).exp()[:, None] * K).T @ U"
OPEN = ".masked_fill(torch.ones(len(c), len(c)).triu(1).bool(), -torch.inf).exp()"
CHUNK = "now = slice(start, start + chunk_size)"
WRONG_CHUNKS = {
    "The memory starts empty": [(BEGIN, BEGIN + "; S = torch.zeros_like(S)")],
    "Every chunk starts from the first S": [(BEGIN, BEGIN + "; first = S"), (CHUNK, CHUNK + "; S = first")],
    "Every chunk starts from an empty memory": [(CHUNK, CHUNK + "; S = 0 * S")],
    "The decay mask is missing: ": [(OPEN, OPEN + "; D = torch.ones_like(D).tril()")],
    "The decay mask is missing in L": [(LOWER, "(b * (K @ K.T)).tril(-1)")],
    "The decay mask is missing in the scores": [(SCORES, "A = (Q @ K.T).tril()")],
    "The decay mask is transposed": [("(c[:, None] - c)", "(c - c[:, None])")],
    "The scores are not causal": [(SCORES, "A = Q @ K.T * (c[:, None] - c).exp()")],
    "L is not causal": [(LOWER, "b * (K @ K.T) * (c[:, None] - c).exp()")],
    "The scores leave out the diagonal": [(SCORES, "A = (Q @ K.T * D).tril(-1)")],
    "L has its diagonal": [(LOWER, "b * (K @ K.T) * D")],
    "The inverse is missing": [(SOLVE, "b * (V - E * K @ S)")],
    "only the first order": [(SOLVE, "(torch.eye(len(c)) - L) @ (b * (V - E * K @ S))")],
    "The sign of L is wrong": [("torch.eye(len(c)) + L", "torch.eye(len(c)) - L")],
    "You multiply by I + L": [(SOLVE, "(torch.eye(len(c)) + L) @ (b * (V - E * K @ S))")],
    "β is missing twice": [(LOWER, "((K @ K.T) * D).tril(-1)"), ("b * (V - E * K @ S)", "V - E * K @ S")],
    "Nothing is erased": [(SOLVE, "b * V")],
    "S never changes": [(NEXT, "pass")],
    "β is missing in L": [(LOWER, "((K @ K.T) * D).tril(-1)")],
    "β stands on the columns of L": [(LOWER, "(b.T * (K @ K.T) * D).tril(-1)")],
    "β is missing on the right-hand side": [("b * (V - E * K @ S)", "V - E * K @ S")],
    "U forgets what the memory held": [("b * (V - E * K @ S)", "b * V")],
    "U subtracts K S without its decay": [("b * (V - E * K @ S)", "b * (V - K @ S)")],
    "The output leaves out what the memory held": [(OUT, "A @ U")],
    "The output reads the old memory without its decay": [(OUT, "Q @ S + A @ U")],
    "The scores are applied to V": [(OUT, "E * Q @ S + A @ V")],
    "The state is handed over without decay": [(NEXT, "S = S + K.T @ U")],
    "The old S is handed over without decay": [(NEXT, "S = S + ((c[-1] - c).exp()[:, None] * K).T @ U")],
    "The writes are handed over without decay": [(NEXT, "S = c[-1].exp() * S + K.T @ U")],
    "The writes fade by e^c_j": [(NEXT, "S = c[-1].exp() * S + (E * K).T @ U")],
    "c runs on over the whole sequence": [("g[now].cumsum(0)", "g.cumsum(0)[now]")],
    "The last chunk is dropped": [("range(0, T, chunk_size)", "range(0, T // chunk_size * chunk_size, chunk_size)")],
    "The outputs of the last chunk stay 0": [
        ("range(0, T, chunk_size)", "range(0, T // chunk_size * chunk_size, chunk_size)"),
        ("return torch.cat(outputs), S", "return torch.cat([*outputs, 0 * v[T // chunk_size * chunk_size :]]), S"),
    ],
    "the last chunk does not reach the state": [(NEXT, f"if start + chunk_size <= T:\n                {NEXT}")],
    "take the decay back": [(NEXT, NEXT.replace("c[-1]", "(c[-1] if start + chunk_size <= T else 0 * c[-1])"))],
    "repeating its last token": [
        (BEGIN, BEGIN + "; full = [torch.cat((x, x[-1:].expand(-T % chunk_size, *x.shape[1:])))"
         " for x in (q, k, v, g, beta)]; q, k, v, g, beta = full"),
        ("torch.cat(outputs)", "torch.cat(outputs)[:T]"),
    ],
    "numbers overflow": [(OPEN, ".exp() * torch.ones(len(c), len(c)).tril()")],
    "wrong order; return (o, S)": [("return torch.cat(outputs), S", "return S, torch.cat(outputs)")],
    "return the 2 tensors (o, S)": [("return torch.cat(outputs), S", "return torch.cat(outputs)")],
    "changes its input": [(NEXT, NEXT.replace("S = c[-1].exp() * S + ", "S *= c[-1].exp(); S += "))],
    "For q of shape [12, 4] it returns o of shape [3, 4, 3]": [("torch.cat(outputs)", "torch.stack(outputs)")],
    "returns nothing yet": [("return torch.cat(outputs), S", "return None")],
    "raises NameError": [(SCORES, "A = Q @ keys.T * D")],
    "not a mistake this checker knows": [(OUT, "E * Q @ S + 1.1 * A @ U")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_CHUNKS.items(), ids=list(WRONG_CHUNKS))
def test_a_wrong_chunked_rule_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("04.1", written(CHUNKED, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_a_loop_over_tokens_passes_and_is_told_that_chunks_were_not_checked():
    assert "a loop over tokens would pass too" in lab.check("04.1", token_by_token).message


def test_an_unknown_mistake_is_told_where_the_numbers_are_still_right():
    message = lab.check("04.1", written(CHUNKED, ("E = c.exp()[:, None]", "E = (1.1 * c).exp()[:, None]"))).message
    assert "o is wrong, S is wrong. It is right where nothing fades (g = 0), where the memory was empty" not in message
    assert "It is right where nothing fades (g = 0)." in message, message


def test_a_division_by_the_decay_overflows_too():
    """The quotient of exponentials, e^c_i / e^c_j: right on paper."""
    verdict = lab.check("04.1", written(CHUNKED, (DECAYS, "D = (c.exp()[:, None] / c.exp()).tril(); unused = (c")))
    assert not verdict
    assert "numbers overflow" in verdict.message


def test_every_chunked_mistake_that_the_checker_knows_is_made_here():
    for mistake in CHUNK_MISTAKES:
        assert sum(diagnosis in mistake.diagnosis for diagnosis in WRONG_CHUNKS) == 1, mistake.diagnosis


def test_the_inputs_cover_what_goes_wrong():
    cases = chunk_inputs()
    assert any(len(v) % C for _, _, v, _, _, C, _ in cases)
    assert {1} < {len(v) for _, _, v, *_ in cases}
    assert all(S.abs().min() > 0 for *_, S in cases)
    assert any((g == 0).all() for _, _, _, g, *_ in cases)
    assert {(0.0,), (1.0,), (0.0, 1.0)} <= {tuple(beta.unique().tolist()) for *_, beta, _, _ in cases}


def test_the_chunked_oracle_is_the_equation():
    for case in [*chunk_inputs(), strong_decay()]:
        wide = [x.double() if isinstance(x, torch.Tensor) else x for x in case]
        o, S = token_by_token(*wide)
        torch.testing.assert_close(chunked_delta_rule(*case), (o.float(), S.float()))


# ------------------------------------------------------------------------- 04.2  half_life

HALF_LIFE = """
    def half_life(A_log, dt_bias, a):
        g = -A_log.exp() * F.softplus(a + dt_bias)
        return -torch.log(torch.tensor(2.0)) / g
"""
RATE, LIFE = "-A_log.exp() * F.softplus(a + dt_bias)", "-torch.log(torch.tensor(2.0)) / g"


def by_lists(A_log, dt_bias, a):
    def one(A, bias, x):
        return math.log(0.5) / -(math.exp(A) * math.log1p(math.exp(x + bias)))

    rows = [
        [one(*z) for z in zip(A_log.tolist(), dt_bias.tolist(), row)] for row in a.reshape(-1, a.shape[-1]).tolist()
    ]
    return torch.tensor(rows, dtype=torch.float64).reshape(a.shape)


@pytest.mark.parametrize("answer", [written(HALF_LIFE), by_lists])
def test_a_right_half_life_passes_however_it_is_written(answer):
    verdict = lab.check("04.2", answer)
    assert verdict, verdict


WRONG_LIVES = {
    "the time until 1/e is left": [(LIFE, "-1 / g")],
    "logarithm to base 10": [(LIFE, "-torch.log10(torch.tensor(2.0)) / g")],
    "That is g itself": [(LIFE, "g")],
    "That is −g, a rate": [(LIFE, "-g")],
    "That is e^g": [(LIFE, "g.exp()")],
    "half-lives per token": [(LIFE, "-g / torch.log(torch.tensor(2.0))")],
    "a half-life is not": [(LIFE, "torch.log(torch.tensor(2.0)) / g")],
    "not A_log softplus": [("A_log.exp()", "A_log")],
    "not e^−A_log": [("-A_log.exp()", "-(-A_log).exp()")],
    "A_log is missing": [("A_log.exp() * ", "")],
    "softplus is missing": [("F.softplus(a + dt_bias)", "(a + dt_bias)")],
    "softplus takes the sum": [("F.softplus(a + dt_bias)", "(F.softplus(a) + dt_bias)")],
    "softplus goes round too much": [(RATE, "-F.softplus(A_log.exp() * (a + dt_bias))")],
    "dt_bias is added, not subtracted": [("a + dt_bias", "a - dt_bias")],
    "dt_bias is missing": [("a + dt_bias", "a")],
    "The input a is missing": [("a + dt_bias", "0 * a + dt_bias")],
    "without the 1 and the logarithm": [("F.softplus(a + dt_bias)", "(a + dt_bias).exp()")],
    "That is the sigmoid": [("F.softplus(a + dt_bias)", "(a + dt_bias).sigmoid()")],
    "changes its input": [("g = -A_log.exp()", "a += 0.1; a -= 0.1; a *= 2; g = -A_log.exp()")],
    "lose its axis": [(LIFE, "(-torch.log(torch.tensor(2.0)) / g).mean()")],
    "returns nothing yet": [(LIFE, "None")],
    "returns a float": [(LIFE, "16.0")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_LIVES.items(), ids=list(WRONG_LIVES))
def test_a_wrong_half_life_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("04.2", written(HALF_LIFE, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_half_life_mistake_that_the_checker_knows_is_made_here():
    for mistake in HALF_LIFE_MISTAKES:
        assert sum(diagnosis in mistake.diagnosis for diagnosis in WRONG_LIVES) == 1, mistake.diagnosis


GATE = small(hidden_size=1).model.layers[0].mixer


@given(A_log=st.floats(-4, 3), dt_bias=st.floats(-6, 6), a=st.floats(-6, 6))
def test_after_a_half_life_of_tokens_one_half_is_left(A_log, dt_bias, a):
    """With the gate of the model itself."""
    with torch.no_grad():
        GATE.A_log.fill_(A_log)
        GATE.dt_bias.fill_(dt_bias)
        GATE.in_proj_a.weight.fill_(a)
        _, g = GATE.gates(torch.ones(1, 1, 1))
    tokens = half_life(*(torch.tensor([x]) for x in (A_log, dt_bias, a)))
    torch.testing.assert_close((g[0, 0] * tokens).exp(), torch.full((4,), 0.5), atol=1e-4, rtol=0)


# ------------------------------------------------------------------------- 04.3  init_decay

INIT = """
    def init_decay(heads, low, high):
        lives = torch.empty(heads).uniform_(math.log(low), math.log(high)).exp()
        rate = math.log(2) / lives
        return torch.zeros(heads), rate.expm1().log()
"""
LIVES = "torch.empty(heads).uniform_(math.log(low), math.log(high)).exp()"
RETURN = "return torch.zeros(heads), rate.expm1().log()"


def with_speeds(heads, low, high):
    """As transformers draws A, with biases that make up for it, on a grid instead of at random."""
    lives = torch.logspace(math.log2(low), math.log2(high), heads, base=2, dtype=torch.float64)
    A = torch.empty(heads, dtype=torch.float64).uniform_(0.01, 16)
    return [A.log(), torch.log(torch.exp(math.log(2) / (lives * A)) - 1)]


@pytest.mark.parametrize("answer", [written(INIT), with_speeds, written(INIT, (LIVES, f"{LIVES}.flip(0)"))])
def test_a_right_initialisation_passes_however_it_is_written(answer):
    verdict = lab.check("04.3", answer)
    assert verdict, verdict


A = "torch.empty(heads).uniform_(0.01, 16)"
WRONG_INITS = {
    "as in a fresh model of transformers": [(RETURN, f"return {A}.log(), torch.ones(heads)")],
    "ln 2 is forgotten": [("math.log(2) / lives", "1 / lives")],
    "wrong order; return (A_log, dt_bias)": [(RETURN, "return rate.expm1().log(), torch.zeros(heads)")],
    "dt_bias is set to the rate itself": [("rate.expm1().log()", "rate")],
    "dt_bias is the softplus of the rate": [("rate.expm1().log()", "F.softplus(rate)")],
    "dt_bias is the logarithm of the rate": [("rate.expm1().log()", "rate.log()")],
    "dt_bias fits the half-life itself": [("rate.expm1().log()", "lives.double().expm1().log()")],
    "A_log is a logarithm": [("torch.zeros(heads)", "torch.ones(heads)")],
    "forget with the same half-life": [(LIVES, "torch.full((heads,), (low * high) ** 0.5)")],
    "spread evenly in tokens": [(LIVES, "torch.empty(heads).uniform_(low, high)")],
    "the rates are spread evenly": [(LIVES, "1 / torch.empty(heads).uniform_(1 / high, 1 / low)")],
    "choose dt_bias so that they lie between": [(LIVES, LIVES + " * 3")],
    "For 4 to 1024 tokens": [("math.log(low), math.log(high)", "math.log(16), math.log(256)")],
    "but not evenly": [(LIVES, LIVES.replace("math.log(low)", "math.log(high) / 2 + math.log(low) / 2"))],
    "NaN or infinity": [("rate.expm1().log()", "(-rate).expm1().log()")],
    "there is one number per head": [("torch.zeros(heads)", "torch.zeros(1)")],
    "Return two tensors": [(RETURN, "return rate.expm1().log()")],
    "returns nothing yet": [(RETURN, "return None")],
    "must take three arguments, (heads, low, high)": [("(heads, low, high)", "(heads)")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_INITS.items(), ids=list(WRONG_INITS))
def test_a_wrong_initialisation_is_told_what_is_wrong(diagnosis, edits):
    torch.manual_seed(0)
    verdict = lab.check("04.3", written(INIT, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


@pytest.mark.parametrize("exercise", ["04.1", "04.2", "04.3"])
def test_a_result_instead_of_the_function_is_told_so(exercise):
    assert "Pass the function itself" in lab.check(exercise, torch.ones(3)).message
