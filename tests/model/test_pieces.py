"""Long texts go through a layer in pieces, unless somebody listens; nobody can tell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs
from small import small

from qwen35_lab.model import pieces
from qwen35_lab.model.deltanet import GatedDeltaNet
from qwen35_lab.model.pieces import is_long


@settings(max_examples=30, deadline=None)
@given(
    raw=configs(), tokens=st.integers(1, 40), past=st.integers(0, 5), batch=st.integers(1, 3), size=st.integers(1, 9)
)
def test_pieces_make_the_same_logits_and_memory(raw, tokens, past, batch, size):
    model = small(raw).model.double()
    ids = torch.randint(0, raw["vocab_size"], (batch, past + tokens))
    found = []
    for piece in (size, 10**6):
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(pieces, "PIECE", piece)
            cache = model.new_cache()
            if past:
                model(ids[:, :past], cache=cache)
            logits = model(ids[:, past:], cache=cache).logits
        found.append((logits, *((m.conv, m.state) for m in cache.layers if hasattr(m, "state"))))
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-9)


def test_who_listens_or_learns_gets_the_whole():
    config = small().config.text
    mixer, x = GatedDeltaNet(config), torch.zeros(1, pieces.PIECE + 1, config.hidden_size)
    with torch.no_grad():
        assert is_long(mixer, x) and not is_long(mixer, x[:, :-1])
        seen = []
        hook = mixer.beta.register_forward_hook(lambda module, given, value: seen.append(value.shape[1]))
        assert not is_long(mixer, x)
        mixer(x, None, None)
        hook.remove()
        assert is_long(mixer, x) and seen == [x.shape[1]]
    with torch.enable_grad():
        assert not is_long(mixer, x)
