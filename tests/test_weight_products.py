"""Products with weights in int8 and int4 against their definition, in float64; and which way is taken when."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import small
from torch import Tensor, nn
from torch.nn import functional as F

import qwen35_lab as lab
from qwen35_lab import weight_products
from qwen35_lab.weight_only import to_weight_only
from qwen35_lab.weight_products import FEW_INT4, FEW_INT8, LAYOUTS, Int4Groups, Int8Rows, Layout, layout, unpack

KERNELS = {Int8Rows: "_weight_int8pack_mm", Int4Groups: "_weight_int4pack_mm_for_cpu"}
CLOSE = {torch.float32: 4e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}  # three roundings of an unlucky number


def defined(held: Int8Rows | Int4Groups) -> Tensor:
    """What the numbers stand for, float64 [rows, columns], written out from the head of weight_products.py."""
    if isinstance(held, Int8Rows):
        return held.qdata.double() * held.scale.double()
    scale, offset = held.scale_and_zero.double().permute(2, 1, 0)
    size = held.block_size[1]
    codes = unpack(held.qdata, layout()).double()
    return (codes - 8) * scale.repeat_interleave(size, 1) + offset.repeat_interleave(size, 1)


def off(held: Int8Rows | Int4Groups, x: Tensor, bias: Tensor | None = None) -> float:
    """How far a product is from its definition, against what sums of such numbers come to if their signs are random."""
    y, w, x, b = F.linear(x, held, bias), defined(held), x.double(), 0 if bias is None else bias.double()
    assert y.dtype == held.dtype
    return float((y.double() - (x @ w.T + b)).norm() / (x.square() @ w.T.square() + b**2).sqrt().norm())


def gap(found: Tensor, exact: Tensor) -> float:
    return float((found.double() - exact).norm() / exact.norm())


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(list(CLOSE)), rows=st.integers(1, 90), columns=st.integers(2, 150),
    batch=st.integers(1, 3), tokens=st.sampled_from([1, 2, 5, 40, 150]), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_int8_is_its_definition(dtype, rows, columns, batch, tokens, bias, seed):
    """Odd numbers of columns too, which the kernel itself would read beyond its memory."""
    torch.manual_seed(seed)
    w, x = torch.randn(rows, columns).to(dtype), torch.randn(batch, tokens, columns).to(dtype)
    b = torch.randn(rows).to(dtype) if bias else None
    held = Int8Rows.of(w)
    step = w.double().abs().amax(1, keepdim=True) / 127
    most = 0.57 if dtype == torch.float16 else 0.51  # half a step; in float16 torchao rounds the scale once more
    assert bool(((defined(held) - w.double()).abs() <= most * step + 1e-9).all())
    assert F.linear(x, held, b).shape == (batch, tokens, rows)
    assert off(held, x, b) < CLOSE[dtype]


def test_sums_of_codes_need_not_fit_float16():
    """A row of activations with large ones among them: the result is a few thousand, the sum of codes millions."""
    torch.manual_seed(0)
    w, x = (0.02 * torch.randn(16, 1024)).half(), (100 * torch.randn(1, 3, 1024)).half()
    assert off(Int8Rows.of(w), x) < CLOSE[torch.float16]


@settings(deadline=None, max_examples=40)
@given(
    dtype=st.sampled_from(list(CLOSE)), rows=st.integers(1, 10), columns=st.integers(1, 12), batch=st.integers(1, 3),
    tokens=st.sampled_from([1, 2, 5, 40, 150]), bias=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_int4_is_its_definition(dtype, rows, columns, batch, tokens, bias, seed):
    torch.manual_seed(seed)
    rows, columns = 16 * rows, 32 * columns
    w, x = torch.randn(rows, columns).to(dtype), torch.randn(batch, tokens, columns).to(dtype)
    b = torch.randn(rows).to(dtype) if bias else None
    held = Int4Groups.of(w)
    groups, errors = (z.unflatten(1, (-1, held.block_size[1])) for z in (w.double(), defined(held) - w.double()))
    step = (groups.amax(-1) - groups.amin(-1)) / 15
    most = 0.65 if dtype == torch.bfloat16 else 0.52  # half a step; scale and offset are in the dtype of the matrix
    assert bool((errors.abs().amax(-1) <= most * step + 1e-9).all())
    assert F.linear(x, held, b).shape == (batch, tokens, rows)
    assert off(held, x, b) < CLOSE[dtype]


@pytest.mark.parametrize("kind, few", [(Int8Rows, FEW_INT8), (Int4Groups, FEW_INT4)])
def test_the_two_ways_agree_on_either_side_of_the_threshold(kind, few):
    torch.manual_seed(0)
    for dtype, most in few.items():
        held, x = kind.of(torch.randn(80, 96).to(dtype)), torch.randn(most + 1, 96).to(dtype)
        by_kernel, by_matrix = F.linear(x[:most], held), F.linear(x, held)
        assert not torch.equal(x[0], x[1])
        assert gap(by_matrix[:most], by_kernel.double()) < CLOSE[dtype]


@pytest.mark.parametrize("kind", KERNELS)
def test_few_tokens_take_the_kernel_and_others_do_not(kind, monkeypatch):
    calls, kernel = [], getattr(torch.ops.aten, KERNELS[kind])
    monkeypatch.setattr(torch.ops.aten, KERNELS[kind], lambda *args: calls.append(args[0]) or kernel(*args))

    def taken(tokens: int, dtype: torch.dtype, columns: int = 64, listened: bool = False) -> bool:
        calls.clear()
        F.linear(torch.randn(tokens, columns, dtype=dtype).requires_grad_(listened), held[dtype, columns])
        return bool(calls)

    held = {(d, c): kind.of(torch.randn(16, c).to(d)) for d in CLOSE for c in (64, 96)}
    most = (FEW_INT8 if kind is Int8Rows else FEW_INT4)[torch.bfloat16]
    assert taken(1, torch.bfloat16) and taken(most, torch.bfloat16, 96) and not taken(most + 1, torch.bfloat16)
    assert not taken(2, torch.float32) and not taken(1, torch.float16)
    assert not taken(1, torch.bfloat16, listened=True), "a kernel has no derivative"
    if kind is Int8Rows:
        held[torch.bfloat16, 40] = kind.of(torch.randn(16, 40).bfloat16())
        assert not taken(1, torch.bfloat16, 40), "the kernel takes 16 columns at a time"


@pytest.mark.parametrize("kind", KERNELS)
def test_the_tokens_get_their_gradient(kind):
    torch.manual_seed(0)
    held, x = kind.of(torch.randn(32, 64)), torch.randn(1, 64, requires_grad=True)
    F.linear(x, held).square().sum().backward()
    exact = x.detach().double().requires_grad_()
    (exact @ defined(held).T).square().sum().backward()
    assert gap(x.grad, exact.grad) < 1e-5


@pytest.mark.parametrize("kind", KERNELS)
def test_tokens_may_lie_in_memory_in_any_way(kind):
    torch.manual_seed(0)
    held, wide = kind.of(torch.randn(32, 64).bfloat16()), torch.randn(64, 9).bfloat16()
    for x in (wide.T[:3], torch.randn(4, 128).bfloat16()[:, ::2], torch.randn(3, 5, 64).bfloat16()[:, -1:]):
        assert torch.equal(F.linear(x, held), F.linear(x.contiguous(), held))


# ------------------------------------------------------------------------- how int4 is packed


def packed(codes: Tensor, way: Layout) -> Tensor:
    """As the kernels of three kinds of processors have it, byte by byte."""
    rows, columns = codes.shape
    found, at = torch.zeros(rows * columns // 2, dtype=torch.uint8), 0
    for start in range(0, rows, way.block):
        size = min(way.block, rows - start)
        apart = size // 2 if way.halves and size == way.block else 1
        for column in range(columns):
            for byte in range(size // 2):
                row = start + (byte if apart > 1 else 2 * byte)
                found[at] = codes[row, column] + 16 * codes[row + apart, column]
                at += 1
    return found.view(rows, columns // 2)


@pytest.mark.parametrize("way", LAYOUTS)
@pytest.mark.parametrize("rows", [16, 32, 64, 144, 208])
def test_codes_come_out_as_they_went_in(way, rows):
    torch.manual_seed(0)
    codes = torch.randint(16, (rows, 6), dtype=torch.uint8)
    assert torch.equal(unpack(packed(codes, way), way), codes)


def test_this_machine_packs_in_a_way_that_is_known():
    torch.manual_seed(0)
    codes = torch.randint(16, (208, 64), dtype=torch.uint8)
    assert torch.equal(unpack(torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes.int(), 1), layout()), codes)


def test_an_unknown_way_of_packing_leaves_the_work_to_the_kernel(monkeypatch):
    torch.manual_seed(0)
    held, x = Int4Groups.of(torch.randn(48, 64)), torch.randn(7, 64)
    exact = defined(held)
    monkeypatch.setattr(weight_products, "layout", lambda: None)
    assert gap(F.linear(x, held), x.double() @ exact.T) < 1e-6
    assert gap(held.dequantize(), exact) < 1e-6


# ------------------------------------------------------------------------- in a model


@pytest.mark.parametrize("kind", KERNELS)
def test_a_copy_holds_the_same_numbers_in_memory_of_its_own(kind):
    held = nn.Parameter(kind.of(torch.randn(32, 64).bfloat16()), requires_grad=False)
    other = copy.deepcopy(held)
    assert type(other) is type(held) is kind
    assert torch.equal(other.qdata, held.qdata) and other.qdata.data_ptr() != held.qdata.data_ptr()
    assert torch.equal(F.linear(torch.ones(1, 64).bfloat16(), other), F.linear(torch.ones(1, 64).bfloat16(), held))


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_the_head_is_in_int8_where_it_is_asked_for(tied):
    qwen = small(tie_word_embeddings=tied)
    exact = {name: p.clone() for name, p in qwen.model.named_parameters()}
    notes = to_weight_only(qwen.model, "int8", head=True)
    name = "embed_tokens.weight" if tied else "lm_head.weight"
    assert isinstance(qwen.model.get_parameter(name), Int8Rows)
    assert notes[-1] == "The head is held in int8" + (", and is the table of words." if tied else ".")
    ids = torch.tensor([[3, 1, 4]])
    words = defined(qwen.model.embed_tokens.weight) if tied else exact["embed_tokens.weight"].double()
    assert gap(qwen.model.embed_tokens(ids), words[ids]) < 1e-6
    assert qwen.model.embed_tokens(ids).dtype == torch.float32
    hidden = torch.randn(1, 2, qwen.config.text.hidden_size)
    assert gap(qwen.model.head(hidden), hidden.double() @ defined(qwen.model.get_parameter(name)).T) < 1e-6


@torch.no_grad()
def test_a_model_with_its_head_in_int8_says_so_and_works():
    exact, kept = lab.load("nano"), lab.load("nano", quantised="int8")
    found = lab.load("nano", quantised="int8", quantised_head=True)
    assert "matrices in int8, head in int8" in str(found.provenance)
    assert "head" not in str(kept.provenance)
    ids = found.encode("Mia likes tea. Tom likes soup. Now Mia likes cake.")
    assert lab.gap(found.model(ids).logits, exact.model(ids).logits) < 0.05, "as without"
    assert lab.gap(found.model(ids).logits, kept.model(ids).logits) > 1e-4
    plain = found.generate("Mia likes", 8)
    assert found.generate("Mia likes", 8, speculative=lab.Drafts(2)) == plain == found.twin().generate("Mia likes", 8)
    with pytest.raises(lab.InputError, match="add quantised='int8' or 'int4', or leave it out"):
        lab.load("nano", quantised_head=True)


def test_float64_is_more_than_these_weights_stand_for():
    with pytest.raises(lab.InputError, match="stand for at most float32; use dtype='float32' or 'bfloat16'"):
        lab.load("nano", dtype="float64", quantised="int8")
