"""On an NVIDIA GPU: parity with transformers there, the nano's answers, its training, fla's kernels."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.scenes import kinds, multimodal_configs, tensors, turns
from model.strategies import configs, inputs, pieces
from reference import grow, multimodal_reference, ours_like, reference_model, seeing_like
from tiny_nano import texts, tiny
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.model import delta_rule, kernels
from qwen35_lab.model.norm import l2_norm
from qwen35_lab.nano.loss import nano_loss
from qwen35_lab.training import Recipe, train

FLOAT64 = 1e-9


def on_gpu(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.cuda() for name, value in batch.items()}


def assert_equal(ours: Tensor, theirs: Tensor, tolerance: float = FLOAT64) -> None:
    """To a share of the largest value, or of 1 if all are smaller."""
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(ours, theirs, atol=tolerance * scale, rtol=0)


# ------------------------------------------------------------------------- parity


# transformers takes fla's kernels on its own where they are installed, and they are not made for float64
in_torch = pytest.mark.skipif(kernels.installed(), reason="fla is installed; the reference would not be PyTorch")


@in_torch
@settings(max_examples=60)
@given(st.data())
def test_text_in_pieces_equals_transformers(data: st.DataObject) -> None:
    raw = data.draw(configs())
    ids, mask = data.draw(inputs(raw["vocab_size"]))
    sizes = data.draw(pieces(ids.shape[1]))
    reference = reference_model(raw, torch.float64)
    model, reference = ours_like(reference, raw).cuda(), reference.cuda()
    ids, mask = ids.cuda(), None if mask is None else mask.cuda()
    real = slice(None) if mask is None else mask.bool()
    with torch.no_grad():
        assert_equal(
            model(ids, attention_mask=mask).logits[real], grow(reference, ids, attention_mask=mask).logits[real]
        )
        cache = model.new_cache()
        found = [model(piece, cache=cache).logits for piece in ids.split(sizes, dim=1)]
    assert_equal(torch.cat(found, dim=1), grow(reference, ids).logits)


@in_torch
@settings(max_examples=40)
@given(st.data())
def test_pictures_among_text_equal_transformers(data: st.DataObject) -> None:
    raw = data.draw(multimodal_configs())
    rows = data.draw(st.lists(turns(raw), min_size=1, max_size=3))
    reference = multimodal_reference(raw, torch.float64)
    model, reference = seeing_like(reference, raw).cuda(), reference.cuda()
    batch = on_gpu(tensors(raw, rows))
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        theirs = reference(**batch, mm_token_type_ids=kinds(batch["input_ids"]), use_cache=False).logits
        assert_equal(model(**batch).logits[real], theirs[real])


# ------------------------------------------------------------------------- the nano


@pytest.fixture(scope="module")
def nanos() -> tuple[lab.Qwen, lab.Qwen]:
    return lab.load("nano"), lab.load("nano", device="cuda")


@pytest.mark.parametrize("speculative", [0, 3])
def test_the_nano_says_what_it_says_on_a_cpu(nanos, speculative) -> None:
    here, there = nanos
    for asked in ("Which is larger, 463 or 229?", "What is 7 + 8?", "Tell a story about a frog and a map."):
        answers = [each.chat(asked, max_new_tokens=60, speculative=speculative).text for each in (here, there)]
        assert answers[0] == answers[1]


def test_auto_takes_the_gpu_and_a_trace_names_what_happened(nanos) -> None:
    assert lab.load("recall", device="auto").device.type == "cuda"
    here, there = nanos
    one, other = (each.trace("Which is larger, 4 or 9?", "layers.*.output") for each in (here, there))
    for name in ("layers.0.output", "layers.3.output"):
        assert_equal(other[name].cpu().double(), one[name].double(), 1e-3)


# ------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def tokenizer(nanos):
    return nanos[0].tokenizer


def test_a_loss_is_the_cpu_s_and_a_run_goes_on_from_a_cpu_s(tokenizer, tmp_path) -> None:
    there = texts(tokenizer).to("cuda")
    model = tiny(tokenizer)
    expected = nano_loss(model, texts(tokenizer)).total.item()
    assert nano_loss(tiny(tokenizer).cuda(), there).total.item() == pytest.approx(expected, rel=1e-4)
    recipe = Recipe(6, warmup=2, every=2, stacked=True, newton_schulz=3)
    losses = []
    for device in ("cpu", "cuda"):
        model, state = tiny(tokenizer), tmp_path / device
        begun = lambda step, model=model: nano_loss(model, texts(tokenizer, step))  # noqa: E731
        train(model, begun, recipe, state=state, until=3, progress=False)
        model = model.to(device)
        rest = lambda step, model=model, to=device: nano_loss(model, texts(tokenizer, step).to(to))  # noqa: E731
        losses.append(train(model, rest, recipe, state=state, progress=False).losses)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


# ------------------------------------------------------------------------- fla's kernels

needs_fla = pytest.mark.skipif(not kernels.installed(), reason="fla is not installed")


@needs_fla
@pytest.mark.parametrize("tokens", [1, 7, 64, 300])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("sharing", [1, 2])
def test_fla_s_kernels_are_as_close_to_the_definition_as_ours_in_16_bits(tokens, begun, sharing) -> None:
    torch.manual_seed(0)
    q, k = (l2_norm(torch.randn(2, tokens, 2, 64, dtype=torch.float64, device="cuda")) for _ in range(2))
    v = torch.randn(2, tokens, 2 * sharing, 64, dtype=torch.float64, device="cuda")
    g, beta = -torch.rand_like(v[..., 0]) * 0.2, torch.rand_like(v[..., 0])
    state = torch.randn(2, 2 * sharing, 64, 64, dtype=torch.float64, device="cuda") if begun else None
    truth = delta_rule.recurrent(q * 0.125, k, v, g, beta, state)
    with torch.no_grad():
        assert kernels.fits(k, v.bfloat16()) and not kernels.fits(k, v.float())
        found = kernels.delta_rule(
            q.float() * 0.125,
            k.float(),
            v.bfloat16(),
            g.float(),
            beta.float(),
            None if state is None else state.float(),
        )
    for mine, exact in zip(found, truth, strict=True):
        assert mine.shape == exact.shape
        assert (mine.double() - exact).abs().max() <= 0.02 * exact.abs().max()


@needs_fla
def test_a_16_bit_model_uses_them_and_stays_as_close_to_the_truth(monkeypatch) -> None:
    raw = {
        "model_type": "qwen3_5_text", "vocab_size": 50, "hidden_size": 64, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "intermediate_size": 64,
    }  # fmt: skip
    narrow = reference_model(raw).bfloat16()
    exact = reference_model(raw, torch.float64)
    exact.load_state_dict({name: value.double() for name, value in narrow.state_dict().items()})
    ids = torch.randint(0, 50, (4, 100), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        truth = ours_like(exact, raw)(ids).logits
    model, errors, used = ours_like(narrow, raw).cuda(), {}, []
    real = kernels.delta_rule
    monkeypatch.setattr(kernels, "delta_rule", lambda *a: used.append(1) or real(*a))
    for way in ("on", "off"):
        monkeypatch.setitem(os.environ, "QWEN35_LAB_FLA", way)
        with torch.no_grad():
            errors[way] = (model(ids.cuda(), cache=model.new_cache()).logits.double().cpu() - truth).abs().mean()
    assert len(used) == 3 and errors["on"] <= 1.2 * errors["off"]
