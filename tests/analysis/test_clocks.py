"""Clocks: counts of the model cards' recipe, kernels against a real rotation, and a model that reads with YaRN."""

import math
from dataclasses import replace

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis.clocks import kernel, mean_logit, rope_spectrum, stretched, turn, unseen, yarn
from qwen35_lab.family import OFFICIAL
from qwen35_lab.model.rope import rotary_angles, rotate

NATIVE = 262_144


@pytest.mark.parametrize("name", OFFICIAL)
def test_all_eight_have_the_same_clocks(name):
    found = rope_spectrum(lab.load_config(name), 4)
    assert len(found.own) == 32 and found.native == NATIVE
    assert int((found.turns < 1).sum()) == 10
    assert [found.kinds.count(kind) for kind in ("left", "blended", "divided")] == [15, 7, 10]
    assert found.attention_factor == pytest.approx(1.138629, abs=1e-6)
    assert found.temperature == pytest.approx((0.1 * math.log(4) + 1) ** 2)


def test_without_yarn_nothing_is_slowed_but_the_ramp_is_known():
    config = lab.load_config("0.8B")
    plain, one = rope_spectrum(config), rope_spectrum(config, 1)
    assert torch.equal(plain.own, plain.slowed) and torch.equal(one.slowed, plain.own)
    assert plain.attention_factor == one.attention_factor == plain.factor == 1
    assert plain.kinds == rope_spectrum(config, 4).kinds


def test_a_config_with_yarn_says_its_own_factor_and_length():
    text = lab.load_config("4B").text
    long = replace(text, rope=yarn(text, 2.0), max_position_embeddings=524_288)
    found = rope_spectrum(long)
    assert (found.native, found.factor) == (NATIVE, 2.0)
    assert rope_spectrum(long, 4).native == NATIVE and rope_spectrum(long, 4, native=512).native == 512


@pytest.mark.parametrize("factor", [1.0, 2.0, 4.0])
def test_the_kernel_is_what_a_rotation_does_to_features_that_agree(factor):
    text = lab.load_config("0.8B").text
    rope = yarn(text, factor)
    distance = torch.tensor([0, 1, 7, 1000, 300_000])
    x = torch.zeros(len(distance), 1, text.head_dim, dtype=torch.float64)
    x[..., :32] = 1  # the first of each pair: 32 agreeing pairs
    q = turn(x, distance.expand(3, 1, -1), text.head_dim, rope)
    k = turn(x, torch.zeros(3, 1, len(distance), dtype=torch.long), text.head_dim, rope)
    torch.testing.assert_close(kernel(rope_spectrum(text, factor), distance), (q * k).sum(-1)[:, 0] / 32)
    torch.testing.assert_close(
        kernel(rope_spectrum(text, factor), distance, yarn=False), kernel(rope_spectrum(text), distance)
    )


def test_a_stretched_text_shows_no_hand_where_it_never_stood():
    found = rope_spectrum(lab.load_config("0.8B"), 4)
    assert not unseen(found, NATIVE, yarn=False).any()
    assert int(unseen(found, NATIVE + 1000, yarn=False).sum()) == 10
    assert not unseen(found, 4 * NATIVE).any()
    assert unseen(found, 4 * NATIVE + 4000).sum() == 10
    assert not unseen(found, NATIVE + 1000, yarn=False)[:22].any()  # whoever has been round has been everywhere


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_mean_logit_is_the_mean_over_all_pairs_of_tokens(factor):
    qwen = small()
    qwen = qwen if factor == 1 else stretched(qwen, factor, native=8)
    text = qwen.config.text
    other = yarn(text, 2.0, native=16)
    trace = qwen.trace(IDS)
    found = mean_logit(trace, 3, text, [0, 2, 9], other)

    mixer, x = qwen.model.layers[3].mixer, None

    def keep(module, args, output):
        nonlocal x
        x = args[0]

    hook = mixer.register_forward_hook(keep)
    with torch.no_grad():
        qwen.model(torch.tensor([IDS]))
        hook.remove()
        q = mixer.q_norm(mixer.q_proj(x).unflatten(-1, (4, 2, 16))[:, :, :, 0])[0].double()
        k = mixer.k_norm(mixer.k_proj(x).unflatten(-1, (2, 16)))[0].double()
    k = k.repeat_interleave(2, dim=1)
    for n, distance in enumerate((0, 2, 9)):
        cos, sin = rotary_angles(torch.tensor([[distance], [0]]).expand(3, -1, -1), 16, other, torch.float64)
        turned, still = rotate(q[None], cos[:1], sin[:1])[0], rotate(k[None], cos[1:], sin[1:])[0]
        right = torch.einsum("qhf,khf->hqk", turned, still).mean((1, 2)) / 4
        torch.testing.assert_close(found[:, n], right, rtol=1e-4, atol=1e-5)


def test_a_stretched_twin_reads_otherwise_and_leaves_the_model_alone():
    qwen = small(MOE, mtp_num_hidden_layers=1)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        before = qwen.model(ids).logits
        long = stretched(qwen, 4, native=8)
        after = long.model(ids, cache=long.model.new_cache()).logits
        slow = stretched(qwen, 4, native=8, attention_factor=1.0).model(ids).logits
        again = qwen.model(ids).logits
        one = stretched(qwen, 1).model(ids).logits
    assert torch.equal(before, again) and torch.equal(before, one)
    assert lab.gap(after, before) > 1e-4 and lab.gap(slow, before) > 1e-4 and lab.gap(slow, after) > 1e-4
    assert long.config.text.rope == long.model.config.rope == long.model.mtp.config.rope
    assert long.model.embed_tokens.weight is qwen.model.embed_tokens.weight
    assert "YaRN × 4" in str(long.provenance) and "YaRN" not in str(qwen.provenance)


def test_the_temperature_touches_the_rotated_features_only():
    qwen = small()
    hot = stretched(qwen, 1, attention_factor=1.25)
    record = ["layers.3.mixer.q", "layers.3.mixer.k", "layers.3.mixer.scores"]
    plain, warm = qwen.trace(IDS, record), hot.trace(IDS, record)
    q, k = (plain[f"layers.3.mixer.{name}"] for name in "qk")
    k = k.repeat_interleave(2, dim=1)
    rotated = torch.einsum("qhf,khf->hqk", q[..., :4], k[..., :4]) / 4
    expected = plain["layers.3.mixer.scores"] + (1.25**2 - 1) * rotated
    torch.testing.assert_close(warm["layers.3.mixer.scores"], expected.masked_fill(expected.isinf(), -torch.inf))


def test_what_makes_no_sense_is_refused():
    qwen = small()
    for factor in (0.5, 0, float("nan"), float("inf")):
        with pytest.raises(lab.InputError, match="factor of 1 or more"):
            stretched(qwen, factor)
    with pytest.raises(lab.InputError, match="and a length"):
        rope_spectrum(qwen.config, 2, native=-1)
    with pytest.raises(lab.InputError, match="Nothing is rotated"):
        rope_spectrum(replace(qwen.config.text, rope=replace(qwen.config.text.rope, partial_rotary_factor=0)))
    trace = qwen.trace(IDS)
    for distance in ([], [3, -1]):
        with pytest.raises(lab.InputError, match="all 0 or more"):
            mean_logit(trace, 3, qwen.config.text, distance, qwen.config.text.rope)
    with pytest.raises(lab.InputError, match="DeltaNet layer"):
        mean_logit(trace, 0, qwen.config.text, [1], qwen.config.text.rope)
