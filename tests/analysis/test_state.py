"""A memory measured by hand: numbers one by one, and accounts that must balance."""

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import IDS, small
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.analysis import half_life, ledger, recalled, retrieval, state_geometry
from qwen35_lab.analysis.state import account
from qwen35_lab.model.delta_rule import recurrent
from qwen35_lab.model.norm import l2_norm

TAPS = ["layers.0.mixer.*", *(f"layers.0.mixer.{name}" for name in ("state", "write", "erase"))]
TIGHT = {"atol": 1e-12, "rtol": 1e-12}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@cache
def traced() -> lab.Trace:
    return small().trace(IDS, TAPS)


def test_norm_and_change_one_number_at_a_time():
    S = normal(5, 2, 3, 4)
    found = state_geometry(S)
    for t in range(5):
        for h in range(2):
            now = S[t, h].flatten().tolist()
            before = S[t - 1, h].flatten().tolist() if t else [0.0] * 12
            assert found.norm[t, h] == pytest.approx(math.hypot(*now))
            assert found.change[t, h] == pytest.approx(math.hypot(*(a - b for a, b in zip(now, before, strict=True))))


def test_change_counts_from_the_memory_that_was_there():
    S, before = normal(3, 2, 4, 4), normal(2, 4, 4, seed=1)
    assert torch.equal(state_geometry(S, before).change[1:], state_geometry(S).change[1:])
    torch.testing.assert_close(state_geometry(S, before).change[0], (S[0] - before).flatten(1).norm(dim=1))


def test_singular_values_are_roots_of_the_eigenvalues_of_the_square():
    S = normal(4, 2, 5, 3)
    squares = torch.linalg.eigvalsh(S.mT @ S).flip(-1)
    torch.testing.assert_close(state_geometry(S).singular_values, squares.sqrt(), atol=1e-9, rtol=1e-9)


@settings(max_examples=30)
@given(n=st.integers(1, 6), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 2**31))
def test_n_orthogonal_writes_of_one_size_have_effective_rank_n(n: int, scale: float, seed: int):
    turn, other = (torch.linalg.qr(normal(6, 6, seed=seed + i)).Q for i in (0, 1))
    S = scale * turn[:, :n] @ other[:n]
    assert float(state_geometry(S[None, None]).effective_rank) == pytest.approx(n)


def test_effective_rank_is_the_exponential_of_the_entropy_of_the_spectrum():
    S = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.0]))[None, None]
    entropy = -sum(p * math.log(p) for p in (3 / 6, 2 / 6, 1 / 6))
    assert float(state_geometry(S).effective_rank) == pytest.approx(math.exp(entropy))


def test_an_empty_memory_has_no_rank():
    assert float(state_geometry(torch.zeros(1, 1, 3, 3)).effective_rank) == 0


@given(tokens=st.floats(0.01, 1e6))
def test_after_a_half_life_half_is_left(tokens: float):
    g = torch.tensor(-math.log(2) / tokens, dtype=torch.float64)
    assert float(half_life(g)) == pytest.approx(tokens)
    assert math.exp(float(g * half_life(g))) == pytest.approx(0.5)


def test_without_decay_the_half_life_is_infinite():
    assert half_life(torch.tensor([0.0, -0.0, 0.1, -math.inf])).tolist() == [math.inf, math.inf, math.inf, 0.0]


def test_a_key_returns_its_row_of_sums():
    S, k = normal(3, 4, 2, 5), normal(2, 2, seed=1)  # 4 heads share 2 keys
    found = retrieval(S, k)
    for t, h, v in ((0, 0, 0), (1, 1, 4), (2, 2, 3), (2, 3, 1)):
        assert found[t, h, v] == pytest.approx(sum(float(S[t, h, i, v] * k[h // 2, i]) for i in range(2)))
    torch.testing.assert_close(retrieval(S, k[0])[:, :2], found[:, :2])  # one key for all heads


def test_the_query_retrieves_what_the_layer_read():
    trace = traced()
    for t in range(len(IDS)):
        found = retrieval(trace["layers.0.mixer.state"], trace["layers.0.mixer.q"][t])[t]
        torch.testing.assert_close(found.float(), trace["layers.0.mixer.read"][t], atol=1e-5, rtol=1e-4)


def test_a_value_is_recalled_until_it_is_overwritten():
    k = torch.eye(3, dtype=torch.float64)[[0, 1, 0]][None, :, None]
    v = torch.eye(4, dtype=torch.float64)[[0, 1, 2]][None, :, None] * 5
    states: list[Tensor] = []

    def keep(name: str, value: Tensor) -> Tensor:
        states.extend([value] * (name == "state"))
        return value

    recurrent(k, k, v, torch.full((1, 3, 1), math.log(0.5)).double(), torch.ones(1, 3, 1).double(), watch=keep)
    S = torch.cat(states)
    first, last = recalled(S, k[0, 0, 0], v[0, 0, 0]), recalled(S, k[0, 0, 0], v[0, 2, 0])
    assert first.strength.flatten().tolist() == pytest.approx([1, 0.5, 0])
    assert first.cosine.flatten().tolist() == pytest.approx([1, 1, 0])
    assert last.strength.flatten().tolist() == pytest.approx([0, 0, 1])


def test_twice_the_value_is_recalled_at_twice_the_strength_and_the_same_angle():
    S, k, v = normal(4, 2, 3, 5), normal(2, 3, seed=1), normal(2, 5, seed=2)
    one, two = recalled(S, k, v), recalled(2 * S, k, v)
    torch.testing.assert_close(two.strength, 2 * one.strength)
    torch.testing.assert_close(two.cosine, one.cosine)
    r = [float(sum(S[2, 1, i, j] * k[1, i] for i in range(3))) for j in range(5)]
    dot = sum(a * b for a, b in zip(r, v[1].tolist(), strict=True))
    assert one.strength[2, 1] == pytest.approx(dot / math.hypot(*v[1].tolist()) ** 2)
    assert one.cosine[2, 1] == pytest.approx(dot / math.hypot(*v[1].tolist()) / math.hypot(*r))


@settings(max_examples=40)
@given(
    T=st.integers(1, 20), G=st.integers(1, 2), share=st.integers(1, 3), K=st.integers(1, 5), V=st.integers(1, 5),
    begun=st.booleans(), seed=st.integers(0, 2**31),
)  # fmt: skip
def test_every_change_of_a_memory_is_decay_write_and_erase(T, G, share, K, V, begun, seed):
    H = G * share
    q, k, v = (normal(1, T, heads, n, seed=seed + i) for i, (heads, n) in enumerate(((G, K), (G, K), (H, V))))
    g, beta = -normal(1, T, H, seed=seed + 3).exp(), normal(1, T, H, seed=seed + 4).sigmoid()
    before = normal(1, H, K, V, seed=seed + 5) if begun else None
    seen: dict[str, list[Tensor]] = {"erase": [], "write": [], "state": []}

    def keep(name: str, value: Tensor) -> Tensor:
        seen[name].append(value[0])
        return value

    recurrent(q, l2_norm(k), v, g, beta, before, watch=keep)
    S, write, erase = (torch.stack(seen[name]) for name in ("state", "write", "erase"))
    found = account(S, l2_norm(k)[0], g[0], write, erase, None if before is None else before[0])
    assert float(found.unexplained.max()) < 1e-12
    previous = torch.zeros_like(S[0]) if before is None else before[0]
    for t in range(T):
        for h in range(H):
            key = l2_norm(k)[0, t, h // share]
            faded = (1 - g[0, t, h].exp()) * previous[h]
            put, taken = torch.outer(key, write[t, h]), torch.outer(key, erase[t, h])
            torch.testing.assert_close(S[t, h] - previous[h], put - taken - faded, **TIGHT)  # the identity
            norms = [float(x.square().sum().sqrt()) for x in (faded, taken, put, S[t, h] - previous[h], S[t, h])]
            columns = (found.decay, found.erase, found.write, found.change, found.norm)
            assert [float(column[t, h]) for column in columns] == pytest.approx(norms, abs=1e-12)
        previous = S[t]


def test_the_ledger_of_a_trace_balances_and_an_edited_state_shows():
    trace = traced()
    found = ledger(trace, 0)
    assert float((found.unexplained / found.norm).max()) < 1e-5
    torch.testing.assert_close(found.norm, state_geometry(trace["layers.0.mixer.state"]).norm)
    torch.testing.assert_close(found.write, trace["layers.0.mixer.write"].double().norm(dim=-1), atol=0, rtol=1e-4)
    S, k, g, write, erase = (trace[f"layers.0.mixer.{name}"] for name in ("state", "k", "decay", "write", "erase"))
    S = S.clone()
    S[4, 1] *= 2
    edited = account(S, k, g, write, erase)
    places = (edited.unexplained > 1e-3 * edited.norm).nonzero().tolist()
    assert places == [[4, 1], [5, 1]]  # where it was touched, and where the untouched one follows again


def test_values_that_were_not_recorded_are_asked_for():
    with pytest.raises(lab.InputError, match=r'record "layers\.0\.mixer\.state", "layers\.0\.mixer\.write"'):
        ledger(small().trace(IDS), 0)
    with pytest.raises(lab.InputError, match="attention layer"):
        ledger(small().trace(IDS), 3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(lab.InputError, match="without a batch"):
        state_geometry(normal(1, 2, 3, 4, 4))
    for k in (normal(5), normal(3, 4), normal(2, 2, 4)):
        with pytest.raises(lab.InputError, match="The key has shape"):
            retrieval(normal(2, 4, 4, 3), k)
    with pytest.raises(
        lab.InputError, match=r"memory before has shape \[2, 4\]; pass \[head, key, value\], \[2, 4, 4\]"
    ):
        state_geometry(normal(3, 2, 4, 4), normal(2, 4))


def test_a_memory_that_is_not_finite_has_no_geometry():
    S = normal(5, 2, 3, 3)
    S[3, 1, 0, 2] = math.nan
    with pytest.raises(lab.InputError, match="after token 3 holds NaN or infinity"):
        state_geometry(S)
    assert state_geometry(S[:3]).norm.isfinite().all()


def test_a_half_life_is_told_of_a_plain_number():
    assert float(half_life(-0.5)) == pytest.approx(2 * math.log(2)) and float(half_life(0)) == math.inf
