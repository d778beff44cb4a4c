"""Padding never matters, wherever it stands and however the sequence is cut."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs, pieces
from reference import grow, memories, ours_like, reference_model

CLOSE = {"atol": 1e-9, "rtol": 1e-9}


@settings(max_examples=100)
@given(st.data())
def test_a_row_with_padding_anywhere_equals_the_row_alone(data: st.DataObject) -> None:
    """Left, right and in the middle, read in pieces; then one more token. Positions count the real tokens."""
    raw = data.draw(configs())
    model = ours_like(reference_model(raw, torch.float64), raw)
    batch, length = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 90))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    ids = torch.randint(0, raw["vocab_size"], (batch, length + 1), generator=generator)
    mask = (torch.rand(batch, length + 1, generator=generator) < data.draw(st.sampled_from([0.2, 0.6, 0.95]))).long()
    mask[:, -1] = 1  # a token to decode after it all
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    sizes = [*data.draw(pieces(length)), 1]
    cache, found, start = model.new_cache(), [], 0
    with torch.no_grad():
        for size in sizes:
            now = slice(start, start + size)
            start += size
            found.append(model(ids[:, now], mask[:, :start], positions[:, now], cache).logits)
        for row in range(batch):
            real = mask[row].bool()
            alone = model(ids[row : row + 1, real], cache=model.new_cache())
            torch.testing.assert_close(torch.cat(found, dim=1)[row, real], alone.logits[0], **CLOSE)
            for kind, mine, expected in zip(raw["layer_types"], memories(cache), memories(alone.cache), strict=True):
                for a, b in zip(mine, expected, strict=True):
                    a = a[row, real] if kind == "full_attention" else a[row]
                    torch.testing.assert_close(a, b[0], **CLOSE)


def test_padding_on_the_right_writes_nothing_here_but_does_in_transformers() -> None:
    """Why the parity tests leave out final states after padding on the right: the reference's are polluted by it."""
    raw = {
        "model_type": "qwen3_5_text", "vocab_size": 30, "hidden_size": 16, "intermediate_size": 16,
        "num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"], "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "linear_num_key_heads": 1, "linear_num_value_heads": 2,
        "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    }  # fmt: skip
    reference = reference_model(raw, torch.float64)
    model = ours_like(reference, raw)
    ids = torch.randint(0, 30, (1, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 8:] = 0
    with torch.no_grad():
        ours = model(ids, mask, cache=model.new_cache())
        alone = model(ids[:, :8], cache=model.new_cache())
    torch.testing.assert_close(memories(ours.cache)[0], memories(alone.cache)[0], **CLOSE)
    theirs = grow(reference, ids, attention_mask=mask)
    difference = memories(theirs.past_key_values)[0][0] - memories(alone.cache)[0][0]
    assert difference.abs().max() > 1e-3, "transformers was mended: include right padding in the parity tests"
    torch.testing.assert_close(ours.logits[:, :8], theirs.logits[:, :8], **CLOSE)
