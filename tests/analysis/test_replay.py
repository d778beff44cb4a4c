"""Writes replayed at every setting of the dials: the delta rule at λ = 1, a plain sum at λ = 0."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import qwen35_lab as lab
from qwen35_lab.analysis.replay import keys_with_cosine, replay
from qwen35_lab.model import delta_rule


def draw(writes: int, K: int, V: int, seed: int):
    random = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(writes, K, generator=random, dtype=torch.float64), dim=-1)
    values = torch.randn(writes, V, generator=random, dtype=torch.float64)
    return keys, values, torch.rand(writes, generator=random).double(), torch.rand(writes, generator=random).double()


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.integers(0, 999))
def test_full_erase_is_the_delta_rule(writes, K, V, seed):
    keys, values, beta, decay = draw(writes, K, V, seed)
    S = replay(keys, values, beta, decay)
    assert not S[0].any()
    for t in range(1, writes + 1):
        k, v, g, b = (x[None, :t, None] for x in (keys, values, decay.log(), beta))
        _, state = delta_rule.recurrent(k, k, v, g, b)
        torch.testing.assert_close(S[t], state[0, 0], rtol=1e-12, atol=1e-12)


def test_without_erase_and_fading_the_memory_is_a_sum():
    keys, values, beta, _ = draw(6, 4, 3, 0)
    S = replay(keys, values, beta, erase=0.0)
    torch.testing.assert_close(S[-1], sum(b * torch.outer(k, v) for k, v, b in zip(keys, values, beta, strict=True)))


def test_every_setting_of_the_dials_is_the_replay_at_that_setting():
    keys, values, _, _ = draw(5, 4, 3, 1)
    erase, decay, beta = torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.8, 1.0]), torch.tensor([0.5, 1.0])
    S = replay(keys, values, beta[:, None], decay[:, None, None], erase[:, None, None, None])
    assert S.shape == (3, 2, 2, 6, 4, 3)
    for at in [(0, 1, 0), (1, 0, 1), (2, 1, 1)]:
        alone = replay(keys, values, float(beta[at[2]]), float(decay[at[1]]), float(erase[at[0]]))
        torch.testing.assert_close(S[at], alone, rtol=1e-6, atol=1e-6)


def test_an_overwrite_needs_the_erase_term():
    key, first, second = torch.eye(2)[:1], torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    keys, values = key.repeat(2, 1), torch.stack((first, second))
    kept, summed = (key[0].double() @ replay(keys, values, erase=lam)[-1] for lam in (1.0, 0.0))
    assert kept.tolist() == [0, 1] and summed.tolist() == [1, 1]


@given(st.integers(1, 7), st.floats(0, 1), st.integers(0, 99))
def test_toy_keys_have_the_cosine_that_was_asked_for(count, cosine, seed):
    keys = keys_with_cosine(count, cosine, seed=seed)
    wanted = torch.full((count, count), cosine, dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(keys @ keys.T, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: replay(torch.eye(2), torch.eye(3)),
        lambda: replay(torch.eye(3), torch.eye(3), beta=torch.ones(2)),
        lambda: keys_with_cosine(8, 0.5),
        lambda: keys_with_cosine(2, 1.5),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(call):
    with pytest.raises(lab.InputError, match="pass"):
        call()
