"""The checkers of notebook 03: the right answer passes, and each known mistake gets its own diagnosis."""

import pytest
import torch
from answers import written
from small import small

import qwen35_lab as lab
from qwen35_lab.exercises.delta_rule import STEP_MISTAKES, gated_delta_step, step_inputs
from qwen35_lab.exercises.eraser import WITHOUT_ERASE
from qwen35_lab.recall.task import KEYS, VALUES

# ------------------------------------------------------------------------- 03.1  gated_delta_step

STEP = """
    def gated_delta_step(S, q, k, v, beta, g):
        S = g.exp() * S
        stored = S.T @ k
        S = S + torch.outer(k, beta * (v - stored))
        return S, S.T @ q
"""


def by_loops(S, q, k, v, beta, g):
    K, V = S.shape
    new, o = torch.zeros_like(S), torch.zeros_like(v)
    for j in range(V):
        faded = [float(g.exp() * S[i, j]) for i in range(K)]
        stored = sum(faded[i] * float(k[i]) for i in range(K))
        for i in range(K):
            new[i, j] = faded[i] + float(k[i]) * float(beta) * (float(v[j]) - stored)
            o[j] += new[i, j] * q[i]
    return new, o


def by_einsum(S, q, k, v, beta, g):
    S = S * torch.exp(g)
    S = S + beta * torch.einsum("k,v->kv", k, v - torch.einsum("k,kv->v", k, S))
    return [S, torch.einsum("k,kv->v", q, S)]


def in_float64(S, q, k, v, beta, g):
    """As the papers multiply: the old state by (I − β k kᵀ)."""
    S, q, k, v, beta, g = (x.double() for x in (S, q, k, v, beta, g))
    S = g.exp() * (torch.eye(len(k)) - beta * torch.outer(k, k)).double() @ S + beta * torch.outer(k, v)
    return S, q @ S


@pytest.mark.parametrize("answer", [written(STEP), by_loops, by_einsum, in_float64])
def test_a_right_step_passes_however_it_is_written(answer):
    verdict = lab.check("03.1", answer)
    assert verdict, verdict


FADE, ERROR, WRITE, READ = "S = g.exp() * S\n", "stored = S.T @ k", "beta * (v - stored)", "return S, S.T @ q"
OUTER, TURNED = f"torch.outer(k, {WRITE})", f"torch.outer({WRITE}, k)"
WRONG_STEPS = {
    "error is computed before the decay": [(FADE, f"old = S; {FADE}"), (ERROR, "stored = old.T @ k")],
    "decay comes last": [(FADE, "\n"), (f"S + {OUTER}", f"g.exp() * (S + {OUTER})")],
    "outer product is the wrong way round": [(OUTER, TURNED)],
    "treat S as [V, K]": [(ERROR, "stored = S @ k"), (OUTER, TURNED), (READ, "return S, S @ q")],
    "Both reads use S": [(ERROR, "stored = S @ k"), (READ, "return S, S @ q")],
    "stored under k is `S.T @ k`, not": [(ERROR, "stored = S @ k")],
    "it is `S.T @ q`, not `S @ q`": [(READ, "return S, S @ q")],
    "β is missing": [(WRITE, "v - stored")],
    "β scales the write, but not the erase": [(WRITE, "beta * v - stored")],
    "β scales the erase, but not the write": [(WRITE, "v - beta * stored")],
    "β is applied twice": [(WRITE, "beta * beta * (v - stored)")],
    "The erase is missing": [(WRITE, "beta * v")],
    "Erase and β are both missing": [(WRITE, "v")],
    "Decay and β are both missing": [(FADE, "\n"), (WRITE, "v - stored")],
    "through a sigmoid once more": [(WRITE, "beta.sigmoid() * (v - stored)")],
    "You erase what the query finds": [(ERROR, "stored = S.T @ q")],
    "added once more, not taken out": [(WRITE, "beta * (v + stored)")],
    "The correction is subtracted": [("S + torch", "S - torch")],
    "g is a logarithm": [("g.exp() * S", "g * S")],
    "1 + g is close to e^g": [("g.exp() * S", "(1 + g) * S")],
    "1 − g makes the memory grow": [("g.exp() * S", "(1 - g) * S")],
    "2^g is another base": [("g.exp() * S", "2**g * S")],
    "The state fades twice": [("g.exp() * S", "g.exp() * g.exp() * S")],
    "e^−g makes the memory grow": [("g.exp() * S", "(-g).exp() * S")],
    "The decay is missing": [(FADE, "\n")],
    "you read it before the write": [(ERROR, ERROR + "; o = S.T @ q"), (READ, "return S, o")],
    "you read the one that came in": [(FADE, f"o = S.T @ q; {FADE}"), (READ, "return S, o")],
    "you read with the key": [(READ, "return S, S.T @ k")],
    "scale the query once more": [(READ, "return S, S.T @ (q * q.shape[0] ** -0.5)")],
    "normalise the query once more": [(READ, "return S, S.T @ (q / q.norm())")],
    "wrong order; return (S, o)": [(READ, "return S.T @ q, S")],
    "return the 2 tensors (S, o)": [(READ, "return S")],
    "One of (S, o) is a float": [(READ, "return S, 1.0")],
    "changes its input": [(FADE, "S *= g.exp()\n")],
    "returns o of shape []": [(READ, "return S, (S.T @ q).sum()")],
    "returns nothing yet": [(READ, "return None")],
    "must take six arguments, (S, q, k, v, beta, g)": [("(S, q, k, v, beta, g)", "(S, q, k, v)")],
    "raises NameError": [(READ, "return S, output")],
    "not a mistake this checker knows": [(READ, "return S, 1.1 * S.T @ q")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG_STEPS.items(), ids=list(WRONG_STEPS))
def test_a_wrong_step_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("03.1", written(STEP, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


@pytest.mark.parametrize(
    "edits, words",
    [
        ([(READ, "return S, 1.1 * S.T @ q")], "S is right, o is wrong."),
        ([("g.exp() * S", "(1.1 * g).exp() * S")],
         "S is wrong, o is wrong. It is right where nothing fades (g = 0), where the memory was empty (S = 0)."),
        ([(WRITE, "beta**2 * (v - 0.5 * stored)")], "It is right where nothing is written (β = 0)."),
        ([(READ, "return 1.1 * S, 1.1 * S.T @ q")], "It is right neither where nothing fades (g = 0), nor where all"),
    ],
)  # fmt: skip
def test_an_unknown_mistake_is_told_what_is_wrong_and_where_it_is_right(edits, words):
    verdict = lab.check("03.1", written(STEP, *edits))
    assert not verdict and words in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here():
    for mistake in STEP_MISTAKES:
        assert sum(diagnosis in mistake.diagnosis for diagnosis in WRONG_STEPS) == 1, mistake.diagnosis


def test_the_oracle_is_the_equation():
    for S, q, k, v, beta, g in step_inputs():
        state, o = in_float64(S, q, k, v, beta, g)
        torch.testing.assert_close(gated_delta_step(S, q, k, v, beta, g), (state.float(), o.float()))


# ------------------------------------------------------------------------- 03.2  orthogonal_keys

KEYS_ANSWER = """
    def orthogonal_keys(n, size):
        if n > size:
            raise ValueError(f"{size} directions have no room for {n} orthogonal keys")
        return torch.eye(size)[:n]
"""
DRAWN = "torch.linalg.qr(torch.randn(size, size)).Q[:n]"


def gram_schmidt(n, size):
    if n > size:
        raise lab.InputError("too many")
    keys = []
    for _ in range(n):
        x = torch.randn(size, dtype=torch.float64)
        for key in keys:
            x = x - (x @ key) * key
        keys.append(x / x.norm())
    return torch.stack(keys).float()


@pytest.mark.parametrize(
    "answer",
    [
        written(KEYS_ANSWER),
        written(KEYS_ANSWER, ("torch.eye(size)[:n]", DRAWN)),
        written(KEYS_ANSWER, ("torch.eye(size)[:n]", "-torch.eye(size).double()[-n:]")),
        gram_schmidt,
    ],
)
def test_orthogonal_keys_pass_however_they_are_made(answer):
    verdict = lab.check("03.2", answer)
    assert verdict, verdict


RETURN = "torch.eye(size)[:n]"
WRONG_KEYS = {
    "has length 2, and reading back multiplies what was written by the length squared, 4": "2 * torch.eye(size)[:n]",
    "has length 0,": "torch.zeros(n, size)",
    "the keys 0 and 1 are not orthogonal, k·k′ = 1;": "torch.eye(size)[:1].expand(n, size)",
    "are not orthogonal": "F.normalize(torch.randn(n, size), dim=1)",
    "return one key per row, [1, 4]": "torch.eye(size)[:, :n]",
    "NaN or infinity": "torch.eye(size)[:n] / 0",
    "returns a list": "[1.0] * n",
    "returns nothing yet": "None",
    "raises IndexError": "torch.eye(size)[:n][:, size]",
}


@pytest.mark.parametrize("diagnosis, keys", WRONG_KEYS.items(), ids=list(WRONG_KEYS))
def test_keys_that_disturb_each_other_are_told_so(diagnosis, keys):
    torch.manual_seed(0)
    verdict = lab.check("03.2", written(KEYS_ANSWER, (RETURN, keys)))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_the_disturbance_that_is_told_is_the_one_that_happens():
    """A write under the second of two keys with k·k′ = 0.6 moves what the first returns by 0.6 times the correction."""

    def tilted(n, size):
        keys = torch.eye(size)[:n].clone()
        keys[1:2, :2] = torch.tensor([0.6, 0.8])
        return keys

    message = lab.check("03.2", tilted).message
    assert "keys 0 and 1 are not orthogonal, k·k′ = 0.6;" in message
    first, second = tilted(2, 4)
    v, one, no_decay = torch.randn(3), torch.tensor(1.0), torch.tensor(0.0)
    S, _ = gated_delta_step(torch.randn(4, 3), first, first, v, one, no_decay)
    after, _ = gated_delta_step(S, first, second, torch.randn(3), one, no_decay)
    correction = second @ after - second @ S
    torch.testing.assert_close(first @ after - first @ S, 0.6 * correction)


def test_a_single_key_of_the_wrong_length_is_not_called_orthogonal():
    message = lab.check("03.2", written(KEYS_ANSWER, (RETURN, "2 * torch.eye(size)[:n] if n == 1 else None"))).message
    assert "With n=1, size=4 not every value is recalled: the key has length 2" in message


@pytest.mark.parametrize(
    "refusal, words",
    [
        ("pass", "There are no 5 orthogonal keys of size 4"),
        ("raise KeyError(n)", "raises KeyError; raise a ValueError"),
    ],
)
def test_more_keys_than_directions_must_be_refused(refusal, words):
    start, end = KEYS_ANSWER.index("raise"), KEYS_ANSWER.index("\n        return")
    verdict = lab.check("03.2", written(KEYS_ANSWER[:start] + refusal + KEYS_ANSWER[end:]))
    assert not verdict
    assert words in verdict.message, verdict


# ------------------------------------------------------------------------- 03.3  break it


@pytest.fixture(scope="module")
def qwen():
    return lab.load("recall")


@pytest.fixture(scope="module")
def found(qwen):
    """A text that needs the eraser and one that does not, each of four writes under one key."""
    texts = [[("cat", old)] * 3 + [("cat", new)] for old in VALUES[:4] for new in VALUES[4:8]]
    verdicts = {n: lab.check("03.3", (text, "cat"), given=qwen) for n, text in enumerate(texts)}
    return texts, verdicts


def test_some_texts_break_the_model_without_its_eraser_and_the_verdict_names_both_answers(found):
    texts, verdicts = found
    passed = [n for n, verdict in verdicts.items() if verdict]
    assert passed
    old, new = texts[passed[0]][0][1], texts[passed[0]][-1][1]
    assert f"with the erase it says `{new}`, without `" in verdicts[passed[0]].message
    assert f"right is `{new}`" in verdicts[passed[0]].message
    assert old != new


def test_a_text_without_an_overwrite_breaks_nothing(qwen):
    verdict = lab.check("03.3", ([("cat", "red"), ("dog", "blue")], "dog"), given=qwen)
    assert not verdict
    assert "Right both times" in verdict.message


def test_a_model_that_fails_anyway_proves_nothing_about_the_eraser():
    """Random weights: with or without the erase, an answer is right by chance only."""
    random = small(vocab_size=len(KEYS) + len(VALUES) + 4)
    random.__dict__["tokenizer"] = lab.load("recall").tokenizer
    for value in VALUES:
        verdict = lab.check("03.3", ([("cat", value)], "cat"), given=random)
        if "fails here too" in verdict.message:
            return
    raise AssertionError(verdict)


@pytest.mark.parametrize(
    "answer, words",
    [
        (None, "Nothing to try yet"),
        (..., "Nothing to try yet"),
        ("cat red . ? cat", "Answer with writes and a question"),
        (([("cat", "red")],), "Answer with writes and a question"),
        ((["cat red"], "cat"), "Every write is a pair"),
        (([], "cat"), "`cat` is never written"),
        (([("cat", "red")], "dog"), "`dog` is never written"),
        (([("cat", "red")] * 7, "cat"), "That is 7 writes; find one with at most 6"),
        (([("cat", "crimson")], "cat"), "knows no value 'crimson'"),
        (([("lion", "red")], "lion"), "knows no key 'lion'"),
        (([("red", "cat")], "cat"), "`red` stands where a key belongs"),
        (([("cat", "dog")], "cat"), "`dog` stands where a value belongs"),
        (([("cat", "red")], "red"), "`red` stands where a key belongs"),
        (([(["cat"], "red")], "cat"), "knows no key ['cat']"),
    ],
)
def test_a_text_that_cannot_be_tried_is_told_why(qwen, answer, words):
    verdict = lab.check("03.3", answer, given=qwen)
    assert not verdict
    assert words in verdict.message, verdict


@pytest.mark.parametrize("given", [None, "recall"])
def test_without_a_model_there_is_nothing_to_ask(given):
    assert "given=qwen" in lab.check("03.3", ([("cat", "red")], "cat"), given=given).message


def test_a_model_with_another_vocabulary_is_told_so():
    verdict = lab.check("03.3", ([("cat", "red")], "cat"), given=small())
    assert not verdict
    assert "does not take this text" in verdict.message


def test_without_erase_the_memory_only_adds_and_afterwards_it_is_the_same_again(qwen):
    text, names = "cat red . cat blue . ? cat", [f"layers.0.mixer.{n}" for n in ("k", "write", "state", "decay")]
    before = qwen.trace(text, names)
    with qwen.edited(WITHOUT_ERASE):
        added = qwen.trace(text, names)
    k, write, S, g = (added[name] for name in names[:3] + names[3:])
    k = k.repeat_interleave(write.shape[1] // k.shape[1], dim=1)
    torch.testing.assert_close(S[3], g[3].exp()[:, None, None] * S[2] + k[3][:, :, None] * write[3][:, None, :])
    assert not torch.equal(added[names[2]], before[names[2]])
    assert torch.equal(qwen.trace(text, names)[names[2]], before[names[2]])
