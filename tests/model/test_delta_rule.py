"""All forms against a float64 referee written straight from the equation, and against transformers' functions."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import lifted
from small import small
from torch import Tensor

from qwen35_lab.model import fast_delta_rule as fast
from qwen35_lab.model.delta_rule import chunked, influence, influence_matrix, recurrent
from qwen35_lab.model.norm import l2_norm


def referee(q, k, v, g, beta, state=None) -> tuple[Tensor, Tensor]:
    """S ← e^g S (I − β k kᵀ on the key side) + β k vᵀ, one head and one number at a time, in float64."""
    B, T, H, V = v.shape
    G, K = k.shape[2:]
    out = torch.zeros(B, T, H, V, dtype=torch.float64)
    final = torch.zeros(B, H, K, V, dtype=torch.float64)
    for b in range(B):
        for h in range(H):
            S = torch.zeros(K, V, dtype=torch.float64) if state is None else state[b, h].double()
            for t in range(T):
                key, query, value = k[b, t, h * G // H].double(), q[b, t, h * G // H].double(), v[b, t, h].double()
                strength = beta[b, t, h].double()
                S = g[b, t, h].double().exp() * (S - strength * torch.outer(key, key) @ S)
                S = S + strength * torch.outer(key, value)
                out[b, t, h] = S.T @ query
            final[b, h] = S
    return out, final


def random_inputs(T, B=1, G=2, H=2, K=8, V=8, seed=0, correlation=0.0, scale=1.0, dtype=torch.float64):
    """q, k L2-normalised, half-lives from a fraction of a token to hundreds; correlated keys if asked for."""
    r = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=r, dtype=torch.float64)

    k = l2_norm((1 - correlation) * normal(B, T, G, K) + correlation * 5 * normal(1, 1, G, K))
    q = l2_norm(normal(B, T, G, K)) * K**-0.5
    g = -scale * normal(B, T, H).exp()
    return tuple(x.to(dtype) for x in (q, k, normal(B, T, H, V), g, normal(B, T, H).sigmoid()))


@pytest.mark.parametrize("form", [recurrent, chunked, influence, fast.recurrent, fast.chunked])
@pytest.mark.parametrize("g", [-math.inf, -1e4])
def test_a_token_may_be_made_to_forget_all(form, g) -> None:
    """In float32, too, what follows it is as exact as ever, and what is before it knows nothing of it."""
    q, k, v, decay, beta = random_inputs(40, seed=1, scale=0.1, dtype=torch.float32)
    decay[:, 5] = g
    for found, true in zip(form(q, k, v, decay, beta), referee(q, k, v, decay, beta), strict=True):
        torch.testing.assert_close(found.double(), true, atol=3e-5, rtol=0)


@pytest.mark.parametrize("form", [chunked, fast.chunked])
@pytest.mark.parametrize("chunk_size", [1, 7, 16, 64])
def test_chunked_equals_recurrent_for_every_length_to_300(chunk_size: int, form) -> None:
    x = random_inputs(300, seed=chunk_size, correlation=0.5, scale=0.1)
    state = torch.randn(1, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    whole, _ = recurrent(*x, state)
    for T in range(1, 301):
        part = tuple(a[:, :T] for a in x)
        o, S = form(*part, state, chunk_size=chunk_size)
        torch.testing.assert_close(o, whole[:, :T], atol=1e-10, rtol=1e-10)
        if T % 50 == 1 or T == 300:
            torch.testing.assert_close(S, recurrent(*part, state)[1], atol=1e-10, rtol=1e-10)


@settings(max_examples=150)
@given(
    T=st.integers(1, 40), B=st.integers(1, 2), G=st.integers(1, 2), share=st.integers(1, 3), K=st.integers(1, 6),
    V=st.integers(1, 6), chunk_size=st.sampled_from([1, 7, 16, 64]),
    g=st.sampled_from(["random", "zero", "strong", "grows"]),
    beta=st.sampled_from(["random", 0.0, 1.0]), correlation=st.sampled_from([0.0, 0.9, 1.0]), begun=st.booleans(),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_every_form_equals_the_referee(T, B, G, share, K, V, chunk_size, g, beta, correlation, begun, seed) -> None:
    q, k, v, decay, strength = random_inputs(T, B, G, G * share, K, V, seed, correlation)
    # a layer's memory never grows by itself; an edit may let it
    decay = {"random": decay, "zero": decay * 0, "strong": decay * 100 - 50, "grows": decay * 0 + 0.2}[g]
    strength = strength if beta == "random" else torch.full_like(strength, beta)
    state = torch.randn(B, G * share, K, V, dtype=torch.float64) if begun else None
    truth = referee(q, k, v, decay, strength, state)
    for o, S in (
        recurrent(q, k, v, decay, strength, state),
        chunked(q, k, v, decay, strength, state, chunk_size=chunk_size),
        influence(q, k, v, decay, strength, state),
        fast.recurrent(q, k, v, decay, strength, state),
        fast.chunked(q, k, v, decay, strength, state, chunk_size=chunk_size),
    ):
        torch.testing.assert_close(o, truth[0], atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(S, truth[1], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("form", [chunked, fast.chunked])
@pytest.mark.parametrize("chunk_size", [1, 7, 16, 64])
@pytest.mark.parametrize("case", ["plain", "g = 0", "beta = 0", "beta = 1", "equal keys"])
def test_float32_error_against_the_referee(chunk_size: int, case: str, form) -> None:
    q, k, v, g, beta = random_inputs(300, K=16, V=16, correlation=0.95 if case == "equal keys" else 0.0, scale=0.05)
    g = g * 0 if case in ("g = 0", "equal keys") else g
    beta = {"beta = 0": beta * 0, "beta = 1": beta * 0 + 1}.get(case, beta)
    exact, final = recurrent(q, k, v, g, beta)
    o, S = form(*(x.float() for x in (q, k, v, g, beta)), chunk_size=chunk_size)
    scale = v.abs().max()
    assert (o - exact).abs().max() <= 1e-5 * scale and (S - final).abs().max() <= 1e-5 * scale


@pytest.mark.parametrize("strength", [1.0, 30.0, 1e4])
def test_long_strong_decay_does_not_overflow(strength: float) -> None:
    """c falls to −3·10⁶: e^(c_i − c_j) above the diagonal would be infinite, and inf · 0 is not a number."""
    q, k, v, g, beta = random_inputs(300, dtype=torch.float32)
    g = torch.full_like(g, -strength)
    for form in (chunked, influence, fast.recurrent, fast.chunked):
        o, S = form(q, k, v, g, beta)
        expected = recurrent(q, k, v, g, beta)
        assert torch.isfinite(o).all() and torch.isfinite(S).all()
        torch.testing.assert_close((o, S), expected, atol=1e-5, rtol=1e-5)


@settings(max_examples=50)
@given(T=st.integers(1, 200), share=st.integers(1, 3), begun=st.booleans(), seed=st.integers(0, 2**31))
def test_forms_equal_transformers_functions(T: int, share: int, begun: bool, seed: int) -> None:
    q, k, v, g, beta = random_inputs(T, B=2, G=2, H=2 * share, seed=seed, scale=0.1)
    state = torch.randn(2, 2 * share, 8, 8, dtype=torch.float64) if begun else None
    theirs = lifted("transformers.models.qwen3_5.modeling_qwen3_5")
    arguments = {"g": g, "beta": beta, "initial_state": state, "output_final_state": True}
    chunk = theirs.torch_chunk_gated_delta_rule(q * 8**0.5, k, v, **arguments)
    step = theirs.torch_recurrent_gated_delta_rule(q * 8**0.5, k, v, **arguments)
    for ours in (
        recurrent(q, k, v, g, beta, state),
        chunked(q, k, v, g, beta, state),
        influence(q, k, v, g, beta, state),
        fast.recurrent(q, k, v, g, beta, state),
        fast.chunked(q, k, v, g, beta, state),
    ):
        torch.testing.assert_close(ours, chunk, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(ours, step, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("form", [fast.recurrent, fast.chunked])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_fast_forms_give_what_the_readable_ones_give_and_leave_what_they_were_given(form, dtype) -> None:
    """Dtypes and shapes too; v may be a strided view, as it is in the layer, and a snapshot may hold the state."""
    q, k, v, g, beta = random_inputs(70, B=2, G=2, H=6, V=5)
    v = torch.cat((v, v), dim=-1).to(dtype)[..., :5]
    wide = torch.promote_types(dtype, torch.float32)
    q, k, g, beta, state = (x.to(wide) for x in (q, k, g, beta, torch.randn(2, 6, 8, 5, dtype=torch.float64)))
    given = [x.clone() for x in (q, k, v, g, beta, state)]
    expected, found = recurrent(q, k, v, g, beta, state), form(q, k, v, g, beta, state)
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], atol=1e-5, rtol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(given, (q, k, v, g, beta, state), strict=True))


def test_influence_matrix_times_values_is_the_output() -> None:
    q, k, v, g, beta = random_inputs(50, B=2, G=1, H=3)
    M = influence_matrix(q, k, g, beta)
    o, _ = recurrent(q, k, v, g, beta)
    torch.testing.assert_close(torch.einsum("bhij,bjhv->bihv", M, v), o, atol=1e-12, rtol=1e-12)
    assert torch.equal(M, M.tril()), "a later token must not influence an earlier one"
    # linear in v: changing one value changes the output by that column of M, and nothing else
    changed = v.clone()
    changed[:, 20] += 1
    difference = recurrent(q, k, changed, g, beta)[0] - o
    torch.testing.assert_close(difference, M[..., 20].transpose(1, 2)[..., None].expand_as(o), atol=1e-12, rtol=1e-10)


def test_gradients_of_the_forms_agree() -> None:
    x = [a.requires_grad_() for a in random_inputs(70, B=2, G=2, H=4)]
    gradients = []
    for form in (recurrent, chunked, influence):
        o, S = form(*x)
        gradients.append(torch.autograd.grad(o.square().sum() + S.sin().sum(), x))
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-9, rtol=1e-9)


def test_orthogonal_keys_do_not_disturb_each_other_and_a_second_write_replaces_the_first() -> None:
    k = torch.eye(4, dtype=torch.float64)[[0, 1, 0]][None, :, None]
    v = torch.tensor([[3.0], [5.0], [7.0]], dtype=torch.float64)[None, :, None]
    zero, one = torch.zeros(1, 3, 1, dtype=torch.float64), torch.ones(1, 3, 1, dtype=torch.float64)
    _, S = recurrent(k, k, v, zero, one)
    assert S[0, 0, :, 0].tolist() == [7.0, 5.0, 0.0, 0.0]


def test_half_life_is_what_the_decay_says() -> None:
    half_life, T = 20, 20
    g = torch.full((1, T, 1), -math.log(2) / half_life, dtype=torch.float64)
    nothing = torch.zeros(1, T, 1, 3, dtype=torch.float64)
    S0 = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    _, S = chunked(nothing, nothing, nothing, g, g * 0, S0)
    torch.testing.assert_close(S, S0 / 2)


def test_watch_sees_and_changes_every_step() -> None:
    q, k, v, g, beta = random_inputs(12)
    seen: dict[str, list[Tensor]] = {"erase": [], "write": [], "state": []}

    def look(name: str, value: Tensor) -> Tensor:
        seen[name].append(value)
        return value

    o, S = recurrent(q, k, v, g, beta, watch=look)
    assert {name: len(found) for name, found in seen.items()} == {"erase": 12, "write": 12, "state": 12}
    torch.testing.assert_close(seen["state"][-1], S)
    rebuilt = seen["state"][4] * g[:, 5, :, None, None].exp()
    rebuilt = rebuilt + k[:, 5, :, :, None] * (seen["write"][5] - seen["erase"][5])[:, :, None]
    torch.testing.assert_close(rebuilt, seen["state"][5])
    # without the erase term this is plain linear attention with decay
    linear, _ = recurrent(q, k, v, g, beta, watch=lambda name, x: x * 0 if name == "erase" else x)
    c = g.cumsum(1).transpose(1, 2)
    D = (c[..., :, None] - c[..., None, :]).exp().tril()
    scores = torch.einsum("bihk,bjhk->bhij", q, k) * D
    torch.testing.assert_close(linear, torch.einsum("bhij,bjh,bjhv->bihv", scores, beta, v), atol=1e-12, rtol=1e-12)
    assert (linear - o).abs().max() > 1e-3


@pytest.mark.parametrize("tokens", [1, 40])
def test_autocast_takes_the_forms_that_stand_it(tokens) -> None:
    """With and without gradients the same, as when a training that is cast by PyTorch looks at how it does."""
    model, ids = small().model, torch.arange(tokens)[None]
    with torch.autocast("cpu", torch.bfloat16):
        learning = model(ids).logits
        with torch.no_grad():
            looking = model(ids).logits
    spread = model(ids).logits.std().item()
    torch.testing.assert_close(looking, learning, atol=0.3 * spread, rtol=0)
