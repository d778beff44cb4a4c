"""Taps: names are stable, listening changes nothing, and what a hook returns is what the rest of the model sees."""

import pytest
import torch
from torch import nn

from qwen35_lab.config import ModelConfig
from qwen35_lab.model import Tap, TextModel, taps
from qwen35_lab.model.init import initialise

CONFIG = {
    "model_type": "qwen3_5_moe_text", "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 6, "num_experts": 5,
    "num_experts_per_tok": 2, "moe_intermediate_size": 8, "shared_expert_intermediate_size": 12,
}  # fmt: skip
IDS = torch.randint(0, 30, (2, 70), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model() -> TextModel:
    return initialise(TextModel(ModelConfig.from_dict(CONFIG).text), seed=1).double()


def collect(model: TextModel, names: list[str]) -> dict[str, list[torch.Tensor]]:
    found, handles = {}, []
    for name in names:
        hook = lambda m, i, value, name=name: found.setdefault(name, []).append(value)  # noqa: E731
        handles.append(model.get_submodule(name).register_forward_hook(hook))
    with torch.no_grad():
        model(IDS)
    for handle in handles:
        handle.remove()
    return found


def test_names_are_the_designs(model: TextModel) -> None:
    deltanet = ["q", "k", "v", "z", "beta", "decay", "erase", "write", "state", "read", "out"]
    attention = ["q", "k", "v", "scores", "weights", "gate", "out"]
    moe = ["router_logits", "expert_ids", "expert_weights", "expert_out", "shared_gate", "out"]
    expected = {"embed", "final", "logits"}
    for n, kind in enumerate(model.config.layer_types):
        expected |= {f"layers.{n}.{name}" for name in ("input", "after_mixer", "output")}
        expected |= {f"layers.{n}.mixer.{t}" for t in (attention if kind == "full_attention" else deltanet)}
        expected |= {f"layers.{n}.ffn.{t}" for t in moe} | {f"layers.{n}.ffn.shared_expert.out"}
    assert {name for name, _ in taps(model)} == expected
    assert not any("Tap" in type(p).__name__ for p in model.parameters())
    assert not [k for k in model.state_dict() if k.split(".")[-1] in {"beta", "state", "logits"}]


def test_values_have_the_axes_they_name(model: TextModel) -> None:
    sizes = {
        "batch": {2}, "token": {70, 1}, "feature": {16, 8}, "head": {4}, "kv_head": {2}, "key_head": {2},
        "key": {8, 70}, "value": {6}, "query": {70}, "expert": {5}, "choice": {2}, "one": {1}, "vocabulary": {30},
    }  # fmt: skip
    found = collect(model, [name for name, _ in taps(model)])
    for name, tap in taps(model):
        for value in found[name]:
            assert value.ndim == len(tap.axes), name
            assert all(n in sizes[axis] for n, axis in zip(value.shape, tap.axes, strict=True)), (name, value.shape)
        recurrent = name.split(".")[-1] in {"state", "erase", "write"}
        assert len(found[name]) == (70 if recurrent else 1), name


def test_listening_to_everything_changes_nothing(model: TextModel) -> None:
    """The readable forms (softmax written out, the recurrence token by token) agree with the fast ones."""
    with torch.no_grad():
        before = model(IDS).logits
    watched = collect(model, [name for name, _ in taps(model)])["logits"][0]
    torch.testing.assert_close(watched, before, atol=1e-12, rtol=1e-12)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, before), "a hook was left behind"


def test_recorded_values_obey_the_equations(model: TextModel) -> None:
    found = {
        k: torch.cat(v, dim=1) if len(v) > 1 else v[0] for k, v in collect(model, [n for n, _ in taps(model)]).items()
    }
    at = lambda name: found[f"layers.0.{name}"]  # noqa: E731
    close = lambda a, b: torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)  # noqa: E731
    close(at("input") + at("mixer.out"), at("after_mixer"))
    close(at("after_mixer") + at("ffn.out"), at("output"))
    close(found["embed"], at("input"))
    k, q = (at(f"mixer.{x}").repeat_interleave(2, dim=2) for x in "kq")
    change = k[..., None] * (at("mixer.write") - at("mixer.erase"))[..., None, :]
    S = at("mixer.state")
    close(S[:, 1:], S[:, :-1] * at("mixer.decay")[:, 1:, :, None, None].exp() + change[:, 1:])
    close(torch.einsum("bthk,bthkv->bthv", q, S), at("mixer.read"))
    close(at("mixer.write"), at("mixer.beta")[..., None] * at("mixer.v"))
    weights = found["layers.3.mixer.weights"]
    close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    close(weights, found["layers.3.mixer.scores"].softmax(-1))
    assert torch.equal(weights, weights.tril())
    ids, w = at("ffn.expert_ids"), at("ffn.expert_weights")
    p = at("ffn.router_logits").softmax(-1).gather(-1, ids)
    close(w, p / p.sum(-1, keepdim=True))
    routed = (w[..., None] * at("ffn.expert_out")).sum(-2)
    close(at("ffn.out"), routed + at("ffn.shared_gate") * at("ffn.shared_expert.out"))


def test_a_hook_that_returns_a_value_edits_the_model(model: TextModel) -> None:
    with torch.no_grad():
        before = model(IDS).logits
        handle = model.layers[0].mixer.beta.register_forward_hook(
            lambda m, i, beta: beta * (torch.arange(70) != 5)[:, None]
        )
        edited = model(IDS).logits
        handle.remove()
        assert torch.equal(edited[:, :5], before[:, :5]), "earlier tokens cannot know"
        assert (edited[:, 5:] - before[:, 5:]).abs().amax(dim=(0, 2)).min() > 0, "every later token does"
        # editing the state of one token acts on everything after it, through the recurrence
        steps = iter(range(70))
        handle = model.layers[0].mixer.state.register_forward_hook(
            lambda m, i, S, steps=steps: S * 0 if next(steps) == 40 else S
        )
        emptied = model(IDS).logits
        handle.remove()
    torch.testing.assert_close(emptied[:, :40], before[:, :40], atol=1e-12, rtol=1e-12)
    assert (emptied[:, 41] - before[:, 41]).abs().max() > 1e-6


def test_no_hook_on_an_attention_map_opens_the_future_or_the_padding(model: TextModel) -> None:
    """Whatever it puts there."""
    mixer, ids = model.layers[3].mixer, IDS.clone()
    mask = torch.ones_like(ids)
    mask[1, 10:20] = 0
    for tap in (mixer.scores, mixer.weights):
        handle = tap.register_forward_hook(lambda module, inputs, value: torch.full_like(value, 0.1))
        with torch.no_grad():
            before = model(ids, mask).logits
            changed = ids.clone()
            changed[1, 10:20] = (ids[1, 10:20] + 1) % 30
            changed[:, 40] = (ids[:, 40] + 1) % 30
            after = model(changed, mask).logits
        handle.remove()
        same = torch.ones_like(mask, dtype=torch.bool)
        same[1, 10:20], same[:, 40:] = False, False
        assert torch.equal(after[same], before[same])


KINDS = ("forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook")


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_of_any_kind_is_heard(kind):
    tap, heard = Tap("batch", "a value"), []
    getattr(tap, f"register_{kind}")(lambda *given: heard.append(given))
    value = torch.ones(2, requires_grad=True)
    assert torch.equal(tap(value), value)
    (2 * tap(value)).sum().backward()
    assert heard and torch.equal(value.grad, torch.full((2,), 2.0))


def test_without_a_hook_the_value_passes_at_once(monkeypatch):
    """Not even through what every module does when it is called, which a pass through the nano does a hundred times."""
    tap, value = Tap("batch", "a value"), torch.ones(2)
    monkeypatch.setattr(nn.Module, "_call_impl", None)
    assert tap(value) is value
