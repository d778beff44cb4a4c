"""The MTP head against its equation written out slowly, its tensors in both layouts, its causality."""

import copy
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs
from safetensors.torch import load_file, save_file
from slow import Router, Slow, unchanged
from small import DENSE, IDS, MOE, small
from torch import Tensor
from transformers import AutoModelForCausalLM

import qwen35_lab as lab
from qwen35_lab.checkpoint import name_map, official_name
from qwen35_lab.config import ModelConfig
from qwen35_lab.family import OFFICIAL, load_config, tensor_shapes
from qwen35_lab.model import TextModel, mtp_logits

MTP = {"mtp_num_hidden_layers": 1}


def with_head(raw: dict[str, Any], seed: int = 0) -> lab.Qwen:
    return small({**raw, **MTP}, seed)


@torch.no_grad()
def off_zero(model: TextModel, seed: int) -> TextModel:
    """The same model in float64, biases too away from their initial value."""
    draw = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            p.copy_(torch.randn(p.shape, generator=draw) * 0.3)
    return model.double()


# ------------------------------------------------------------------------- the equation


class SlowHead(Slow):
    """The head as a model of one layer whose residual stream begins with the joined pair."""

    def __init__(self, model: TextModel):
        super().__init__(model, unchanged, Router())
        self.config = replace(self.config, layer_types=("full_attention",), num_hidden_layers=1)
        inside = {name.removeprefix("mtp."): w for name, w in self.weights.items() if name.startswith("mtp.")}
        self.outer = self.weights
        self.weights = inside

    def head(self, ids: list[int], hidden: np.ndarray) -> list[np.ndarray]:
        """Logits of every slot."""
        table = self.outer["embed_tokens.weight"]
        stream = []
        for i in range(len(ids) - 1):
            e = self.norm("pre_fc_norm_embedding", table[ids[i + 1]])
            h = self.norm("pre_fc_norm_hidden", hidden[i])
            W = self.weights["fc.weight"]
            stream.append(W[:, : len(e)] @ e + W[:, len(e) :] @ h)  # the embedding comes first
        out = self.outer.get("lm_head.weight", table)
        return [out @ self.norm("norm", x) for x in self.layer(0, stream)]


@settings(max_examples=60)
@given(data=st.data())
def test_the_head_is_its_equation_written_out(data: st.DataObject) -> None:
    raw = data.draw(configs().filter(lambda raw: raw["rope_parameters"]["rope_type"] == "default"))
    model = off_zero(with_head(raw, data.draw(st.integers(0, 99))).model, 1)
    ids = data.draw(st.lists(st.integers(0, raw["vocab_size"] - 1), min_size=2, max_size=12))
    with torch.no_grad():
        out = model(torch.tensor([ids]))
        found = mtp_logits(model, out.hidden, torch.tensor([ids]))[0]
    slow = np.stack(SlowHead(model).head(ids, out.hidden[0].numpy()))
    np.testing.assert_allclose(found.numpy(), slow, atol=1e-9, rtol=1e-9)


def test_the_hidden_state_is_taken_after_the_final_norm() -> None:
    """What vLLM hands over; the state before the norm gives other numbers."""
    qwen = with_head(DENSE)
    trace = qwen.trace(IDS, ["mtp.hidden_norm", "final", "layers.3.output"])
    norm = qwen.model.mtp.pre_fc_norm_hidden
    with torch.no_grad():
        after, before = (norm(torch.as_tensor(trace[name]))[:-1] for name in ("final", "layers.3.output"))
    torch.testing.assert_close(torch.as_tensor(trace["mtp.hidden_norm"]), after)
    assert (before - after).abs().max() > 0.01


@settings(max_examples=40)
@given(data=st.data())
def test_all_slots_at_once_equal_one_after_the_other(data: st.DataObject) -> None:
    """Training's form against drafting's: the head with its cache, in pieces of any size."""
    raw = data.draw(configs())
    model = off_zero(with_head(raw).model, 2)
    length = data.draw(st.integers(2, 40))
    ids = torch.randint(0, raw["vocab_size"], (2, length), generator=torch.Generator().manual_seed(length))
    with torch.no_grad():
        out = model(ids)
        whole = mtp_logits(model, out.hidden, ids, positions=out.positions)
        cache, parts = model.mtp.new_cache(), []
        cuts = sorted({0, length - 1, *data.draw(st.lists(st.integers(0, length - 1), max_size=5))})
        for low, high in pairwise(cuts):
            embedded = model.embed_tokens(ids[:, low + 1 : high + 1])
            y = model.mtp(embedded, out.hidden[:, low:high], out.positions[..., low:high], cache=cache)
            parts.append(model.mtp.score(y, model))
    assert cache.length == length - 1
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-9, rtol=1e-9)


def test_a_pass_that_is_cut_leaves_the_head_s_cache_as_it_was() -> None:
    def stop(module: torch.nn.Module, args: tuple) -> None:
        raise KeyboardInterrupt

    model = off_zero(with_head(DENSE).model, 2)
    ids = torch.arange(9)[None]
    with torch.no_grad():
        out = model(ids)
        slots = [(out.embedded[:, low + 1 : low + 5], out.hidden[:, low : low + 4], out.positions[..., low : low + 4])
                 for low in (0, 4)]  # fmt: skip
        cache, fresh = model.mtp.new_cache(), model.mtp.new_cache()
        model.mtp(*slots[0], cache=cache)
        model.mtp(*slots[0], cache=fresh)
        for module in (model.mtp.layers[0].mixer.o_proj, model.mtp.layers[0].ffn, model.mtp.norm):
            handle = module.register_forward_pre_hook(stop)
            with pytest.raises(KeyboardInterrupt):
                model.mtp(*slots[1], cache=cache)
            handle.remove()
            assert cache.length == cache.layers[0].length == 4
        assert torch.equal(model.mtp(*slots[1], cache=cache), model.mtp(*slots[1], cache=fresh))


def test_no_slot_sees_a_later_token() -> None:
    model = off_zero(with_head(MOE).model, 0)
    ids = torch.tensor([IDS])
    changed = ids.clone()
    changed[0, 7] = (ids[0, 7] + 1) % 40

    def logits(tokens: Tensor) -> Tensor:
        with torch.no_grad():
            return mtp_logits(model, model(tokens).hidden, tokens)[0]

    a, b = logits(ids), logits(changed)
    assert torch.equal(a[:6], b[:6]) and (a[6:] - b[6:]).abs().amax(-1).min() > 0, "slot 6 is the first to read token 7"


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_slot_of_the_text(side: str) -> None:
    model = off_zero(with_head(DENSE).model, 0)
    ids, pad = torch.tensor([IDS]), torch.full((1, 5), 7)
    left = side == "left"
    padded = torch.cat((pad, ids) if left else (ids, pad), dim=1)
    mask = torch.cat((pad * 0, ids * 0 + 1) if left else (ids * 0 + 1, pad * 0), dim=1)
    here = slice(5, None) if left else slice(0, len(IDS) - 1)
    with torch.no_grad():
        alone = mtp_logits(model, model(ids).hidden, ids)
        found = mtp_logits(model, model(padded, mask).hidden, padded, mask)[:, here]
    torch.testing.assert_close(found, alone, atol=1e-9, rtol=1e-9)


def test_a_text_of_one_token_and_a_model_without_a_head() -> None:
    model, ids = with_head(DENSE).model, torch.tensor([[3]])
    with torch.no_grad(), pytest.raises(lab.InputError, match="pairs of tokens, and the text has 1"):
        mtp_logits(model, model(ids).hidden, ids)
    bare = small().model
    assert bare.mtp is None
    with torch.no_grad(), pytest.raises(lab.InputError, match=r"no MTP head.*mtp\.\* tensors"):
        mtp_logits(bare, bare(ids).hidden, ids)
    with pytest.raises(lab.ConfigError, match="`mtp_num_hidden_layers` is 2"):
        small({**DENSE, "mtp_num_hidden_layers": 2})


def test_every_parameter_of_the_head_learns_and_the_loss_reaches_the_main_model() -> None:
    for raw in (DENSE, {**MOE, "num_experts_per_tok": 6}):
        model = with_head(raw).model.train()
        ids = torch.arange(24).view(2, 12) % 40
        out = model(ids)
        loss = torch.nn.functional.cross_entropy(
            mtp_logits(model, out.hidden, ids)[:, :-1].flatten(0, 1), ids[:, 2:].flatten()
        )
        loss.backward()
        still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
        assert still == []


# ------------------------------------------------------------------------- taps


def test_the_head_adds_taps_and_changes_no_other() -> None:
    bare, headed = small(MOE), with_head(MOE)
    names = [name for name, _ in lab.taps(bare.model)]
    more = {name for name, _ in lab.taps(headed.model)} - set(names)
    assert {"mtp.embed_norm", "mtp.hidden_norm", "mtp.joined", "mtp.final", "mtp.logits"} <= more
    assert "mtp.layers.0.mixer.weights" in more and "mtp.layers.0.ffn.router_logits" in more
    assert all(name.startswith("mtp.") for name in more)
    assert list(headed.trace(IDS)) == list(bare.trace(IDS)), "a bare * records the forward pass, and that alone"
    assert headed.trace_size(IDS) == bare.trace_size(IDS)


def test_a_pattern_that_begins_with_mtp_runs_the_head() -> None:
    qwen = with_head(DENSE)
    trace = qwen.trace(IDS, ["mtp.*", "mtp.layers.0.mixer.weights"])
    with torch.no_grad():
        expected = mtp_logits(qwen.model, qwen.model(torch.tensor([IDS])).hidden, torch.tensor([IDS]))[0]
    torch.testing.assert_close(torch.as_tensor(trace["mtp.logits"]), expected)
    assert trace["mtp.layers.0.mixer.weights"].shape[-2:] == (len(IDS) - 1, len(IDS) - 1)
    with pytest.raises(lab.InputError, match="over a given text; leave out max_new_tokens"):
        qwen.trace(IDS, "mtp.logits", max_new_tokens=2)


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
def test_what_a_trace_of_the_head_takes_is_told_before(raw: dict[str, Any]) -> None:
    qwen, record = with_head(raw), ["mtp.*", "mtp.layers.0.mixer.weights", "layers.0.output"]
    for edits in ((), (lab.edit("mtp.layers.0.ffn.out").scale(2),)):
        size = qwen.trace_size(IDS, record, edits)
        trace = qwen.trace(IDS, record, edits)
        assert dict(size) == {n: t.numel() * t.element_size() for n, t in trace.tensors.items()}
        assert size.kept < size.peak and "mtp.layers.0.mixer" in size.working
    assert "mtp.layers.0.mixer" not in qwen.trace_size(IDS).working


def test_an_edit_of_the_head_meets_the_slot_of_its_token() -> None:
    qwen = with_head(DENSE)
    before = qwen.trace(IDS, ["mtp.*"])
    after = qwen.trace(IDS, ["mtp.*"], lab.edit("mtp.hidden_norm", token=4).scale(0))
    moved = [
        (torch.as_tensor(before["mtp.hidden_norm"]) != torch.as_tensor(after["mtp.hidden_norm"])).any(-1).nonzero()
    ]
    assert moved[0].flatten().tolist() == [4]
    back = qwen.trace(IDS, ["mtp.*"], lab.edit("mtp.hidden_norm", token=[4]).patch_from(after))
    assert torch.equal(torch.as_tensor(back["mtp.logits"]), torch.as_tensor(after["mtp.logits"]))


# ------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_configs_have_a_head_with_the_published_names_and_shapes(name: str) -> None:
    config = load_config(name)
    with torch.device("meta"):
        model = TextModel(config.text)
    names, prefix = name_map(config.text), "model.language_model."
    ours = {official_name(names[n], prefix): tuple(p.shape) for n, p in model.named_parameters()}
    expected = {n: shape for n, shape in tensor_shapes(config).items() if not n.startswith("model.visual.")}
    assert ours == expected and sum(n.startswith("mtp.") for n in ours) == (19 if config.text.is_moe else 15)


def one_by_one(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Fused MTP experts as the 397B stores them."""
    found = dict(tensors)
    for name in [n for n in tensors if n.startswith("mtp.") and ".mlp.experts." in n]:
        stem, tensor = name.rsplit(".", 1)[0], found.pop(name)
        for e, expert in enumerate(tensor):
            parts = ("gate_proj", "up_proj") if name.endswith("gate_up_proj") else ("down_proj",)
            for part, rows in zip(parts, expert.chunk(len(parts)), strict=True):
                found[f"{stem}.{e}.{part}.weight"] = rows.clone()
    return found


def rewrite(folder: Path, change) -> Path:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def speak(model: TextModel) -> tuple[Tensor, Tensor]:
    ids = torch.tensor([IDS])
    with torch.no_grad():
        out = model(ids)
        return out.logits, mtp_logits(model, out.hidden, ids)


@pytest.mark.parametrize("layout", ["fused", "one by one"])
@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
def test_the_head_survives_the_round_trip_and_transformers_passes_over_it(raw, layout, tmp_path: Path) -> None:
    qwen = with_head(raw, seed=5)
    folder = lab.save(qwen, tmp_path / "saved")
    if layout == "one by one":
        rewrite(folder, one_by_one)
        count = sum(n.startswith("mtp.") for n in load_file(folder / "model.safetensors"))
        assert count == (17 + 3 * 6 if raw is MOE else 15)
    back = lab.load(folder)
    assert back.report is not None and back.report.ignored == [] and back.report.notes == ()
    for ours, expected in zip(speak(back.model), speak(qwen.model), strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    theirs = AutoModelForCausalLM.from_pretrained(folder, experts_implementation="eager").eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(torch.tensor([IDS])).logits, speak(qwen.model)[0], atol=1e-4, rtol=1e-4)


@settings(max_examples=15)
@given(data=st.data())
def test_random_heads_survive_the_round_trip(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    raw, folder = data.draw(configs()), tmp_path_factory.mktemp("mtp") / "saved"
    qwen = with_head(raw)
    lab.save(qwen, folder)
    if data.draw(st.booleans()):
        rewrite(folder, one_by_one)
    back = lab.load(folder).model
    assert all(torch.equal(p, dict(back.named_parameters())[n]) for n, p in qwen.model.named_parameters())


def test_a_config_that_promises_a_head_without_tensors_loads_and_says_so(tmp_path: Path) -> None:
    """transformers keeps the field of config.json, and writes none of the tensors."""
    folder = lab.save(with_head(MOE), tmp_path / "saved")
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "theirs")
    assert json.loads((tmp_path / "theirs" / "config.json").read_text())["mtp_num_hidden_layers"] == 1
    qwen = lab.load(tmp_path / "theirs")
    assert qwen.model.mtp is None and "promises an MTP head" in repr(qwen.report)
    with pytest.raises(lab.InputError, match="no MTP head"):
        qwen.generate(IDS, 3, speculative=2)
    again = lab.save(qwen, tmp_path / "again")
    assert json.loads((again / "config.json").read_text())["mtp_num_hidden_layers"] == 0, "promised no more"
    assert lab.load(again).report.notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {n: x for n, x in t.items() if n != "mtp.fc.weight"}, r"mtp\.fc\.weight is missing"),
        (lambda t: t | {"mtp.fc.weight": torch.zeros(24, 24)}, r"mtp\.fc\.weight has shape \[24, 24\], expected"),
        (lambda t: t | {"mtp.fc.bias": torch.zeros(24)}, r"mtp\.fc\.bias is not part of this architecture"),
        (
            lambda t: {n: x for n, x in one_by_one(t).items() if ".experts.3.up_proj" not in n},
            r"mtp\.layers\.0\.mlp\.experts\.3\.up_proj\.weight is missing",
        ),
    ],
)
def test_a_damaged_head_names_the_tensor(change, message: str, tmp_path: Path) -> None:
    folder = rewrite(lab.save(with_head(MOE), tmp_path / "saved"), change)
    with pytest.raises(lab.CheckpointError, match=message):
        lab.load(folder)


def test_tensors_of_a_head_that_the_config_denies_are_left_out_and_reported(tmp_path: Path) -> None:
    folder = lab.save(with_head(DENSE), tmp_path / "saved")
    config = json.loads((folder / "config.json").read_text()) | {"mtp_num_hidden_layers": 0}
    (folder / "config.json").write_text(json.dumps(config))
    qwen = lab.load(folder)
    assert qwen.model.mtp is None and "ignored: 15 × mtp.*" in repr(qwen.report)


def test_from_config_draws_the_head_after_everything_else() -> None:
    """A seed gives the main model the same weights with and without a head, and the head weights of its own."""
    bare, headed = (lab.from_config({**MOE, **extra}, seed=4).model for extra in ({}, MTP))
    weights = dict(headed.named_parameters())
    assert all(torch.equal(p, weights[n]) for n, p in bare.named_parameters())
    assert all(weights[n].std() > 0 for n in weights if n.startswith("mtp.") and weights[n].ndim > 1)
    assert not weights["mtp.norm.weight"].any()
    assert set(ModelConfig.from_dict({**MOE, **MTP}).text.layer_types) == {"linear_attention", "full_attention"}
    twin = copy.deepcopy(headed)
    assert torch.equal(speak(twin)[1], speak(headed)[1])
