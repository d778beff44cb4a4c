"""The nano's training: sizes and first weights, its optimiser, and runs that resume without a trace."""

import json
import os
import signal
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from tiny_nano import TINY, texts, tiny
from torch import Tensor

from qwen35_lab.config import ModelConfig
from qwen35_lab.errors import CheckpointError, InputError
from qwen35_lab.model import MultimodalModel, build
from qwen35_lab.muon import StackedMuon, orthogonalised
from qwen35_lab.nano.feed import Feed
from qwen35_lab.nano.loss import nano_loss
from qwen35_lab.nano.shape import PRESETS, config_of, initialise_nano
from qwen35_lab.nano.tower import Seeing
from qwen35_lab.nano.train import Diet, Run
from qwen35_lab.nano.world import HARDER_MIX, KINDS, MIX
from qwen35_lab.training import Recipe, make_optimisers, train

QUICK = Recipe(6, warmup=2, every=2, stacked=True, newton_schulz=3)
LITTLE = Diet(rows=1, length=320)


@pytest.fixture(autouse=True)
def one_tokenizer(tokenizer, monkeypatch):
    """The tests' own, and a model that trains in no time."""
    monkeypatch.setattr("qwen35_lab.nano.train.train_tokenizer", lambda: tokenizer)
    monkeypatch.setitem(PRESETS, "tiny", TINY)


def run_in(folder, **how) -> Run:
    how = {"recipe": QUICK, "tower": None} | how
    return Run(folder, "tiny", diet=LITTLE, probe_rows=0, **how)


def weights(model: MultimodalModel) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# ------------------------------------------------------------------------- what a step reads


def test_what_is_learnt_last_comes_more_often_later(tokenizer):
    diet = Diet(rows=2, length=320, harder=3, harder_mix={"arithmetic": 1})
    before, after = (diet.batch(tokenizer, step, seed=0).kinds for step in (2, 3))
    assert {kind for row in after for kind in row} == {"arithmetic"} != {kind for row in before for kind in row}


def test_batches_are_large_where_a_gpu_has_room_for_them(tokenizer):
    diet = Diet(rows=1, length=320, later=2, later_rows=2, wide=3, wide_rows=5)
    assert [len(diet.batch(tokenizer, step, seed=0).ids) for step in range(5)] == [1, 1, 2, 5, 5]


def test_what_others_prepare_is_the_same_in_any_order(tokenizer):
    make = partial(LITTLE.batch, tokenizer, seed=3)
    ahead = Feed(make, workers=2)
    for step in (0, 1, 2, 7, 8, 1):
        mine, theirs = ahead(step), make(step)
        assert torch.equal(mine.ids, theirs.ids) and torch.equal(mine.image_patches, theirs.image_patches)
        assert mine.kinds == theirs.kinds


def test_a_run_learns_the_same_from_what_others_prepare(tmp_path):
    alone, fed = (run_in(tmp_path / str(n), workers=n).train(progress=False) for n in (0, 1))
    assert alone.losses == fed.losses


def test_the_mixes_share_out_all_conversations():
    assert set(HARDER_MIX) == set(MIX) == set(KINDS)
    assert sum(MIX.values()) == pytest.approx(1) == sum(HARDER_MIX.values())


# ------------------------------------------------------------------------- sizes and first weights


@pytest.mark.parametrize("preset, least, most", [("small", 1.8e6, 2.5e6), ("full", 5.5e6, 6.2e6)])
def test_the_presets_have_all_parts_and_the_size_they_say(tokenizer, preset, least, most):
    with torch.device("meta"):
        model = build(config_of(PRESETS[preset], tokenizer))
    parts = {name.split(".")[0] for name, _ in model.named_parameters()}
    assert parts == {"embed_tokens", "layers", "norm", "mtp", "vision"}
    assert [layer.kind for layer in model.layers] == ["linear_attention"] * 3 + ["full_attention"]
    assert least < sum(p.numel() for p in model.parameters()) < most
    shape = PRESETS[preset]
    assert sum(shape.sections) * 4 == shape.head


def test_first_weights_are_drawn_by_inputs_and_half_lives_are_spread(tokenizer):
    model = initialise_nano(build(config_of(PRESETS["small"], tokenizer)), 0)
    mixer = model.layers[0].mixer
    x = torch.randn(1, 5, 128)
    lives = (torch.tensor(2.0).log() / -mixer.gates(0 * x)[1][0, 0]).tolist()
    assert lives == pytest.approx([16, 16 * 2 ** (4 / 3), 16 * 2 ** (8 / 3), 256], rel=1e-4)
    assert mixer.in_proj_qkv.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert mixer.out_proj.weight.std().item() == pytest.approx((128 * 8) ** -0.5, rel=0.05)
    assert model.layers[1].ffn.router.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.layers[1].ffn.down_proj.std().item() == pytest.approx((64 * 8) ** -0.5, rel=0.05)
    assert all(p.isfinite().all() for p in model.parameters())
    again, other = (initialise_nano(build(config_of(PRESETS["small"], tokenizer)), seed) for seed in (0, 1))
    assert torch.equal(again.layers[0].ffn.gate_up_proj, model.layers[0].ffn.gate_up_proj)
    assert not torch.equal(other.layers[0].ffn.gate_up_proj, model.layers[0].ffn.gate_up_proj)


def test_the_config_is_one_of_the_family(tokenizer):
    config = config_of(PRESETS["full"], tokenizer)
    assert ModelConfig.from_dict(config.raw) == config
    assert config.image_token_id == tokenizer.convert_tokens_to_ids("<|image_pad|>")
    assert config.text.eos_token_id == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)


# ------------------------------------------------------------------------- Muon


def test_stacked_muon_moves_each_matrix_as_torch_s_does():
    torch.manual_seed(0)
    pack = torch.nn.Parameter(torch.randn(3, 8, 5))
    single = [torch.nn.Parameter(each.clone()) for each in pack.detach()]
    mine = StackedMuon([pack], lr=0.1, weight_decay=0.01, steps=5)
    torchs = torch.optim.Muon(single, lr=0.1, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for step in range(3):
        gradient = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(step))
        pack.grad = gradient.clone()
        for each, part in zip(single, gradient, strict=True):
            each.grad = part.clone() * 1.0
        mine.step()
        torchs.step()
    torch.testing.assert_close(pack.detach(), torch.stack([s.detach() for s in single]), atol=5e-3, rtol=0.02)


def test_newton_schulz_evens_out_singular_values():
    even = orthogonalised(torch.randn(4, 6, 20, generator=torch.Generator().manual_seed(0)), 5)
    values = torch.linalg.svdvals(even)
    assert values.min() > 0.5 and values.max() < 1.4


def test_experts_and_patches_go_to_muon_tables_and_gates_do_not(tokenizer):
    model = tiny(tokenizer)
    muon, adamw = make_optimisers(model, QUICK)
    names = {id(p): name for name, p in model.named_parameters()}
    of_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    of_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert of_muon | of_adamw == set(names.values()) and not of_muon & of_adamw
    stacks = {"layers.0.ffn.gate_up_proj", "mtp.layers.0.ffn.down_proj", "vision.patch_embed.weight"}
    assert stacks | {"mtp.fc.weight"} <= of_muon
    others = {"vision.pos_embed", "embed_tokens", "layers.0.mixer.conv", "layers.3.ffn.router"}
    assert {f"{name}.weight" for name in others} <= of_adamw


def test_a_tower_that_can_see_moves_more_slowly(tokenizer):
    model, texts_ = tiny(tokenizer), texts(tokenizer)
    before = weights(model)
    recipe = replace(QUICK, tower_rate=0.0, decay=0.0)
    train(model, lambda step: nano_loss(model, texts_), recipe, progress=False)
    moved = {name for name, p in weights(model).items() if not torch.equal(before[name], p)}
    assert not any(name.startswith("vision.") for name in moved) and "layers.0.mixer.out_proj.weight" in moved
    for optimiser in make_optimisers(model, replace(QUICK, tower_rate=0.25)):
        rates = {group["lr"] for group in optimiser.param_groups}
        assert max(rates) == pytest.approx(4 * min(rates)) and len(rates) == 2


# ------------------------------------------------------------------------- the run


def test_an_interrupted_run_resumes_as_if_nothing_had_been(tmp_path):
    whole = run_in(tmp_path / "whole")
    expected = whole.train(progress=False)

    first = run_in(tmp_path / "parts")
    make = first.loss

    def pressed(step: int):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return make(step)

    first.loss = pressed
    left = first.train(progress=False)
    assert (left.ended, left.steps) == ("interrupted", 4)

    assert run_in(tmp_path / "parts").train(progress=False, until=5).steps == 5
    second = run_in(tmp_path / "parts")
    history = second.train(progress=False)
    assert (history.ended, history.losses, history.parts) == ("finished", expected.losses, expected.parts)
    assert history.tokens == expected.tokens > 1000
    for name, value in weights(whole.model).items():
        assert torch.equal(value, weights(second.model)[name]), name
    curves = json.loads((tmp_path / "parts/curves.json").read_text())
    assert len(curves["losses"]) == len(curves["parts"]["mtp"]) == 6
    assert {p.name for p in (tmp_path / "parts").iterdir()} == {
        "run.json", "tokenizer", "state.pt", "before-decay.pt", "curves.json",
    }  # fmt: skip


def test_the_tower_learns_first_and_an_interrupt_there_loses_nothing(tmp_path, monkeypatch):
    whole = run_in(tmp_path / "whole", tower=QUICK)
    expected = whole.train(progress=False, until=2)
    assert json.loads((tmp_path / "whole/tower.json").read_text())["ended"] == "finished"
    seen = load_file(tmp_path / "whole/tower.safetensors")
    first = initialise_nano(build(whole.config), 0).vision.state_dict()
    assert seen.keys() == first.keys() and not torch.equal(seen["patch_embed.weight"], first["patch_embed.weight"])

    steps = []

    def pressed(seeing: Seeing, step: int):
        steps.append(step)
        if step == 3 and steps.count(3) == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return taught(seeing, step)

    taught = Seeing.loss
    monkeypatch.setattr(Seeing, "loss", pressed)
    assert run_in(tmp_path / "parts", tower=QUICK).train(progress=False).ended == "interrupted"
    assert not (tmp_path / "parts/state.pt").exists()
    second = run_in(tmp_path / "parts", tower=QUICK)
    assert second.train(progress=False, until=2).losses == expected.losses
    assert steps == [0, 1, 2, 3, 4, 5]
    assert run_in(tmp_path / "parts", tower=QUICK).train(progress=False, until=3).steps == 3
    assert steps[-1] == 5


def test_with_an_amount_of_time_the_rates_still_fall(tmp_path, monkeypatch):
    """The clock of this test goes on by a minute at each look."""
    clock = iter(range(10**6))
    run = run_in(tmp_path, recipe=Recipe(10**6, decay=0.5, warmup=1, every=10**6, stacked=True))
    with monkeypatch.context() as patched:
        patched.setattr("qwen35_lab.training.time.perf_counter", lambda: 60.0 * next(clock))
        history = run.train(minutes=6, save_minutes=1, progress=False)
    assert history.ended == "finished"
    assert (history.planned, history.steps) == (6, 6)
    losses = history.losses
    rates = [Recipe(6, decay=0.5, warmup=1).rate(step) for step in range(6)]
    assert rates == pytest.approx([1, 1, 1, 1, 2 / 3, 1 / 3])

    again = run_in(tmp_path, recipe=run.recipe)
    again.longer()
    kept = torch.load(tmp_path / "state.pt", weights_only=True)["history"]
    assert len(kept["losses"]) == 3 and not kept["ended"]
    with monkeypatch.context() as patched:
        patched.setattr("qwen35_lab.training.time.perf_counter", lambda: 60.0 * next(clock))
        history = again.train(minutes=14, save_minutes=1, progress=False)
    assert (history.planned, history.steps) == (14, 14)
    assert history.losses[:4] == losses[:4]  # up to the fall

    told = run_in(tmp_path, recipe=run.recipe)
    told.longer(9)  # steps, in place of minutes
    assert told.train(progress=False).steps == 9


def test_a_run_with_other_settings_is_refused(tmp_path):
    run_in(tmp_path)
    with pytest.raises(CheckpointError, match="seed"):
        run_in(tmp_path, seed=1)
    with pytest.raises(InputError, match="huge"):
        Run(tmp_path / "other", "huge")
    with pytest.raises(InputError, match="How long"):
        Run(tmp_path / "long", "tiny").train()
    with pytest.raises(CheckpointError, match=r"before-decay\.pt is not there"):
        run_in(tmp_path).longer()


def test_a_few_steps_lower_the_loss(tokenizer):
    model, batch = tiny(tokenizer), texts(tokenizer)
    history = train(model, lambda step: nano_loss(model, batch), Recipe(40, stacked=True, decay=0.2), progress=False)
    assert history.parts["answers"][-1] < 0.5 * history.parts["answers"][0]
    assert history.parts["mtp"][-1] < history.parts["mtp"][0] - 1
