"""What the nano is trained by: as a slow count gives it, reaching what it should, each router watched on its own."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_nano import texts, tiny
from torch.nn import functional as F

from qwen35_lab import nano
from qwen35_lab.model.mtp import mtp_logits
from qwen35_lab.nano.loss import SHARES, Routed, balance, nano_loss, watched_routers
from qwen35_lab.nano.probe import exact

# ------------------------------------------------------------------------- the loss


def test_the_loss_is_what_a_slow_count_gives(tokenizer):
    model, batch = tiny(tokenizer), texts(tokenizer)
    loss = nano_loss(model, batch)

    out = model(**batch.inputs())
    says = [(out.logits[:, :-1], 1), (mtp_logits(model, out.hidden, batch.ids, None, out.positions, out.embedded), 2)]
    for name, (logits, ahead) in zip(("answers", "mtp"), says, strict=True):
        total = counted = right = asked = 0.0
        for row in range(2):
            for token in range(ahead, batch.ids.shape[1]):
                if weight := batch.weight[row, token].item():
                    said = logits[row, token - ahead].log_softmax(-1)
                    total -= weight * said[batch.ids[row, token]].item()
                    counted, asked = counted + weight, asked + 1
                    right += int(said.argmax()) == int(batch.ids[row, token])
        assert asked > 20
        assert loss.parts[name].item() == pytest.approx(total / counted, rel=1e-4)
        if name == "answers":
            assert loss.parts["right"].item() == pytest.approx(right / asked)
    parts = loss.parts
    whole = parts["answers"] + SHARES.mtp * parts["mtp"] + SHARES.balance * parts["balance"]
    assert loss.total.item() == pytest.approx(whole.item())
    assert loss.tokens == int((batch.document > 0).sum())


def test_the_head_s_loss_reaches_the_head_alone(tokenizer):
    model, batch = tiny(tokenizer), texts(tokenizer)
    parts = nano_loss(model, batch).parts
    parts["mtp"].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached and all(name.startswith("mtp.") for name in reached)
    assert {"mtp.fc.weight", "mtp.layers.0.ffn.router.weight", "mtp.layers.0.mixer.q_proj.weight"} <= reached

    model.zero_grad()
    nano_loss(model, batch).parts["answers"].backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert not any(name.startswith("mtp.") for name in reached)
    assert {"embed_tokens.weight", "vision.patch_embed.weight", "layers.0.mixer.A_log"} <= reached


def test_padding_changes_nothing(tokenizer):
    model, batch = tiny(tokenizer), texts(tokenizer)
    wide = nano.batch(tokenizer, 0, rows=2, length=300, alone=True)
    assert (wide.document == 0).any()
    before = nano_loss(model, wide)
    wide.ids[wide.document == 0] = 7
    after = nano_loss(model, wide)
    assert torch.equal(before.total, after.total)
    assert not torch.equal(before.total, nano_loss(model, batch).total)


# ------------------------------------------------------------------------- balance


def routed(ids: list[int], certain: bool) -> Routed:
    """8 tokens among 4 experts, 2 choices each."""
    logits = torch.zeros(1, 8, 4)
    if certain:
        logits[..., ids] = 50
    return Routed(logits, torch.tensor(ids).expand(1, 8, 2))


def test_an_even_router_counts_1_and_a_collapsed_one_experts_by_choices():
    real = torch.ones(1, 8, dtype=torch.bool)
    even = Routed(torch.zeros(1, 8, 4), torch.tensor([[[0, 1], [2, 3]] * 4]))
    assert balance(even, real).item() == pytest.approx(1)
    assert balance(routed([1, 3], certain=True), real).item() == pytest.approx(2)
    real[0, 4:] = False  # padding may go where it likes
    even.ids[0, 4:] = 0
    even.logits[0, 4:, 0] = 50
    assert balance(even, real).item() == pytest.approx(1)


@torch.no_grad()
def test_a_collapsed_layer_does_not_hide_behind_the_others(tokenizer):
    """Two layers that collapse onto different experts look even together."""
    model, batch = tiny(tokenizer), texts(tokenizer)
    routers = [layer.ffn.router for layer in model.layers] + [model.mtp.layers[0].ffn.router]
    for router in routers:
        router.weight.zero_()

    def collapse(layer: int, experts: list[int]) -> None:
        """The router reads what is the same for all tokens."""
        hook = model.layers[layer].ffn.router_logits
        hook.register_forward_hook(lambda m, i, logits: logits.index_fill(-1, torch.tensor(experts), 50.0))

    collapse(0, [0, 1])
    collapse(2, [2, 3])
    with watched_routers(model) as seen:
        model(**batch.inputs())
    assert len(dict(seen)) == 4, "the head has not run"
    real = batch.document > 0
    found = [balance(each, real).item() for _, each in seen]
    assert found[0] == pytest.approx(2) and found[2] == pytest.approx(2)
    assert nano_loss(model, batch).parts["balance"].item() > 1.3
    assert not model.layers[1].ffn.router_logits._forward_hooks, "nothing listens any more"


# ------------------------------------------------------------------------- the probe


@torch.no_grad()
def test_the_probe_counts_answers_of_which_every_token_is_right(tokenizer):
    model, batch = tiny(tokenizer), texts(tokenizer)
    answers = int(batch.answer.amax(1).sum())
    assert answers > 3 and exact(model, batch) == 0

    said = F.one_hot(batch.ids, model.config.vocab_size).float()
    missed = int(batch.answer[0].argmax())  # the first token of an answer
    said[0, missed] = said[0, missed].roll(1)

    class Oracle:
        embed_tokens = model.embed_tokens

        def __call__(self, **inputs):
            return type("Output", (), {"hidden": said.roll(-1, 1)})

        def head(self, hidden):
            return hidden

    assert exact(Oracle(), batch) == pytest.approx((answers - 1) / answers)


@torch.no_grad()
def test_the_probe_says_nan_of_a_batch_without_answers(tokenizer):
    batch = texts(tokenizer)
    assert math.isnan(exact(tiny(tokenizer), replace(batch, answer=torch.zeros_like(batch.answer))))
