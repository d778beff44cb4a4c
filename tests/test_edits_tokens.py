"""Which tokens an edit means: counted over the passes of a cache, from the prompt's end, without padding, by row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import DENSE, IDS, MOE, small
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab import generate

LAST = len(IDS) - 1
OTHER = [7, 7, 2, 9, 0]
CLOSE = {"atol": 1e-9, "rtol": 1e-9}


@pytest.fixture(scope="module")
def qwen() -> lab.Qwen:
    return small(DENSE)


@torch.inference_mode()
def logits_in_passes(qwen: lab.Qwen, sizes: list[int], *edits, prompt: int | None = None) -> Tensor:
    cache = qwen.model.new_cache()
    cache.prompt = prompt
    with qwen.edited(*edits):
        return torch.cat([qwen.model(ids, cache=cache).logits[0] for ids in torch.tensor([IDS]).split(sizes, 1)])


# ---------------------------------------------------------------------- from the prompt's end


@pytest.mark.parametrize("piece", [1, 4, 2048])
@pytest.mark.parametrize("token, zeros", [
    (-1, [LAST]), (slice(-2, None), [LAST - 1, LAST, LAST + 1, LAST + 2]), (slice(-5, -3), [LAST - 4, LAST - 3]),
])  # fmt: skip
def test_negative_tokens_count_from_the_prompts_end_however_it_is_read(qwen, monkeypatch, piece, token, zeros):
    monkeypatch.setattr(generate, "PREFILL_TOKENS", piece)
    name = "layers.1.mixer.out"
    values = qwen.trace(IDS, name, lab.edit(name, token=token).zero(), max_new_tokens=3).tensors[name]
    assert len(values) == len(IDS) + 2
    assert (values == 0).all(-1).nonzero().flatten().tolist() == zeros


def test_by_hand_negative_tokens_need_the_prompts_length(qwen):
    change = lab.edit("layers.1.mixer.out", token=-1).scale(3)
    with pytest.raises(lab.InputError, match=r"set cache\.prompt"):
        logits_in_passes(qwen, [4, LAST - 3], change)
    whole = qwen.trace(IDS, "logits", change).tensors["logits"]
    for sizes in ([4, LAST - 3], [LAST + 1]):
        torch.testing.assert_close(logits_in_passes(qwen, sizes, change, prompt=len(IDS)), whole, atol=1e-4, rtol=1e-3)


def test_every_text_of_a_block_has_an_end_of_its_own(qwen):
    """Not that of the first one."""
    change = lab.edit("layers.2.output", token=-2).scale(-3)
    first, second = (qwen.trace(ids, "logits", change).tensors["logits"] for ids in (IDS, OTHER))
    with torch.inference_mode(), qwen.edited(change):
        for ids, expected in ((IDS, first), (OTHER, second), (IDS, first)):
            assert torch.equal(qwen.model(torch.tensor([ids])).logits[0], expected)


# ---------------------------------------------------------------------- padding and rows

PLACES = {"token": [1, -2], "query": [2, 4], "key": [0, 2], "head": 1}
TAPS = ["embed", "layers.*.mixer.beta", "layers.0.mixer.decay", "layers.1.mixer.state", "layers.2.mixer.erase",
        "layers.0.mixer.v", "layers.3.mixer.k", "layers.3.mixer.scores", "layers.3.mixer.weights",
        "layers.1.ffn.expert_ids", "layers.2.ffn.expert_out", "layers.*.ffn.out", "final"]  # fmt: skip
KINDS = {
    "set": lambda e: e.set(1.0), "zero": lambda e: e.zero(), "add": lambda e: e.add(-1.0),
    "replace": lambda e: e.replace(lambda x: 5 - x if x.dtype == torch.int64 else x - 0.3),
}  # fmt: skip
WIDE = small(MOE, seed=3)
WIDE.model.double()


@st.composite
def edits(draw: st.DrawFn) -> lab.edits.Edit:
    name = draw(st.sampled_from(TAPS))
    axes = next(tap.axes for tap_name, tap in lab.taps(WIDE.model) if tap_name == name.replace("*", "0"))
    where = {axis: place for axis, place in PLACES.items() if axis in axes and draw(st.booleans())}
    if name.endswith("expert_ids"):
        return KINDS[draw(st.sampled_from(["zero", "set"]))](lab.edit(name, **where))
    return KINDS[draw(st.sampled_from(sorted(KINDS)))](lab.edit(name, **where))


@st.composite
def padded(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Two or three texts of at least five tokens, with padding anywhere but at the end of all: ids and mask."""
    rows, width = draw(st.integers(2, 3)), draw(st.integers(6, 10))
    mask = torch.ones(rows, width, dtype=torch.long)
    for row in mask:
        row[draw(st.lists(st.integers(0, width - 1), max_size=width - 5, unique=True))] = 0
    ids = torch.randint(0, 40, mask.shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 999))))
    return ids, mask


def check_rows(ids: Tensor, mask: Tensor, changes: list[lab.edits.Edit], cut: int) -> None:
    """Every row of a batch against the row alone; in one pass and in two, and whatever stands at the padding."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = WIDE.model.new_cache()
    cache.prompt = mask.sum(1)
    with torch.inference_mode(), WIDE.edited(*changes):
        alone = [WIDE.model(row[real.bool()][None]).logits[0] for row, real in zip(ids, mask, strict=True)]
        found = [WIDE.model(here, mask, positions).logits for here in (ids, ids.masked_fill(mask == 0, 11))]
        parts, end = [], 0
        for piece in ids.tensor_split([cut], 1):
            now = slice(end, end := end + piece.shape[1])
            parts.append(WIDE.model(piece, mask[:, :end], positions[:, now], cache).logits)
    for logits in (*found, torch.cat(parts, 1)):
        for row, expected in enumerate(alone):
            torch.testing.assert_close(logits[row, mask[row].bool()], expected, **CLOSE)


@settings(max_examples=40)
@given(padded(), st.lists(edits(), min_size=1, max_size=2), st.data())
def test_an_edit_means_for_a_row_with_padding_what_it_means_for_the_row_alone(texts, changes, data):
    ids, mask = texts
    check_rows(ids, mask, changes, data.draw(st.integers(1, ids.shape[1] - 1)))


@pytest.mark.parametrize("name", TAPS)
def test_the_same_at_every_kind_of_tap(name):
    axes = next(tap.axes for tap_name, tap in lab.taps(WIDE.model) if tap_name == name.replace("*", "0"))
    known = {axis: place for axis, place in PLACES.items() if axis in axes}
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 0], [1, 0, 1, 1, 0, 1, 1, 1]])
    ids = torch.randint(0, 40, mask.shape, generator=torch.Generator().manual_seed(1))
    for where in ({}, known, *({axis: place} for axis, place in known.items())):
        check_rows(ids, mask, [lab.edit(name, **where).set(1)], 4)


def test_texts_generated_together_are_edited_as_each_alone(monkeypatch):
    monkeypatch.setattr(generate, "PREFILL_TOKENS", 4)
    qwen = lab.load("recall")
    texts = ["cat red . dog blue . ? cat", "owl pink . cat red . dog blue . cat green . ? cat"]
    for token in (1, -1, slice(-3, None)):
        with qwen.edited(lab.edit("layers.*.mixer.v", token=token).scale(-5)):
            assert qwen.generate(texts, 3) == [qwen.generate(text, 3) for text in texts]


def test_rows_of_a_batch_are_chosen_from_its_own_end(qwen):
    ids = torch.tensor([IDS, IDS[::-1], IDS])
    name = "layers.1.output"
    for batch, changed in ((1, [1]), (-1, [2]), ([0, -1], [0, 2]), (slice(1, None), [1, 2])):
        change = lab.edit(name, batch=batch, token=[2]).zero()
        with torch.inference_mode(), qwen.edited(change), lab.record(qwen.model, name) as values:
            qwen.model(ids)
        zeros = (values[name][0] == 0).all(-1).nonzero().tolist()
        assert zeros == [[row, 2] for row in changed]
    with pytest.raises(lab.InputError, match="batch 3 is outside the 3"), qwen.edited(lab.edit(name, batch=3).zero()):
        qwen.model(ids)
