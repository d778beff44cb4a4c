"""An adapter changes what it should and nothing else, comes off without a trace, and arrives elsewhere as it was."""

import peft
import pytest
import torch
from small import DENSE, IDS, MOE, small
from transformers import AutoModelForCausalLM

import qwen35_lab as lab
from qwen35_lab import finetune
from qwen35_lab.analysis import quiet_transformers

INPUT = torch.tensor([IDS])
MTP = MOE | {"mtp_num_hidden_layers": 1}


@torch.no_grad()
def trained(qwen: lab.Qwen, parts=None, rank: int = 3, seed: int = 0) -> finetune.Tuned:
    """An adapter as a training leaves it: B is no longer zero."""
    tuned = finetune.attach(qwen, parts, rank, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in tuned.qwen.model.named_parameters():
        if "lora_B" in name:
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=draw))
    return tuned


@torch.no_grad()
def scores(qwen: lab.Qwen) -> torch.Tensor:
    return qwen.model(INPUT).logits


@pytest.mark.parametrize("raw", [DENSE, MOE, MTP], ids=["dense", "experts", "head"])
def test_a_new_adapter_changes_nothing_and_has_as_many_numbers_as_were_counted(raw):
    qwen = small(raw)
    tuned = finetune.attach(qwen, rank=3)
    assert torch.equal(scores(tuned.qwen), scores(qwen))
    parts = [part for part in finetune.PARTS if part != "experts" or raw is not DENSE]
    assert tuned.trained == finetune.cost(qwen.config, parts, 3).trained
    assert f"{tuned.trained:,} numbers" in repr(tuned)


@pytest.mark.parametrize("part", finetune.PARTS)
def test_every_part_has_an_effect_of_its_own_and_merging_keeps_it(part):
    qwen = small(MOE)
    tuned = trained(qwen, [part])
    assert lab.gap(scores(tuned.qwen), scores(qwen)) > 1e-3
    merged = tuned.merged()
    assert lab.gap(scores(merged), scores(tuned.qwen)) < 1e-5
    changed = {n for n, p in merged.model.named_parameters() if not torch.equal(p, qwen.model.get_parameter(n))}
    assert changed == set(tuned.names) == set(finetune.targets(qwen.config.text, [part]))


def test_deltas_are_what_the_equation_says():
    qwen = small(MOE)
    tuned = trained(qwen, ["deltanet", "experts"], rank=2)
    layers = tuned.layers()
    name = "layers.0.mixer.out_proj.weight"
    A, B = (getattr(layers[name], factor)["default"].weight for factor in ("lora_A", "lora_B"))
    torch.testing.assert_close(tuned.deltas()[name], 2.0 * B @ A)  # α / r
    stack = "layers.1.ffn.down_proj"
    A, B = (getattr(layers[stack], factor)["default"].weight for factor in ("lora_A", "lora_B"))
    E, out, into = qwen.model.get_parameter(stack).shape
    A, B = A.view(E, 2, into), B.view(out, 2, E)
    torch.testing.assert_close(tuned.deltas()[stack], 2.0 * torch.einsum("ore,eri->eoi", B, A))


def test_a_factor_takes_a_part_of_the_change():
    qwen = small()
    tuned = trained(qwen)
    name = tuned.names[0]
    base, half, whole = (q.model.get_parameter(name) for q in (qwen, tuned.merged(0.5), tuned.merged()))
    torch.testing.assert_close(half - base, (whole - base) / 2)
    assert torch.equal(scores(tuned.merged(0.0)), scores(qwen))


@pytest.mark.parametrize("raw", [DENSE, MTP], ids=["dense", "experts"])
def test_off_and_taken_away_it_is_the_base_to_the_bit(raw):
    qwen = small(raw)
    before, weights = scores(qwen), {n: p.detach().clone() for n, p in qwen.model.named_parameters()}
    learns = [p.requires_grad for p in qwen.model.parameters()]
    tuned = trained(qwen)
    with tuned.off() as silent:
        assert torch.equal(scores(silent), before)
    assert not torch.equal(scores(tuned.qwen), before)
    again = tuned.remove()
    assert torch.equal(scores(again), before) and torch.equal(scores(qwen), before)
    for model in (again.model, qwen.model):
        assert list(dict(model.named_parameters())) == list(weights)
        assert all(torch.equal(p, weights[n]) for n, p in model.named_parameters())
    assert [p.requires_grad for p in qwen.model.parameters()] == learns


def test_the_heads_own_layer_0_is_left_alone():
    """peft compares the ends of names: `mtp.layers.0.ffn.down_proj` ends as `layers.0.ffn.down_proj` does."""
    tuned = finetune.attach(small(MTP), ["experts"])
    assert not [n for n, _ in tuned.qwen.model.named_parameters() if n.startswith("mtp.") and "lora" in n]


def test_an_adapter_around_a_router_is_never_asked():
    """Why `attach` offers none; the day that this fails, it can."""
    twin = small(MOE).twin()
    before = scores(twin)
    peft.LoraModel(twin.model.layers, peft.LoraConfig(r=2, target_modules=r".*\.router"), "default")
    with torch.no_grad():
        for name, parameter in twin.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(100.0)
    assert torch.equal(scores(twin), before)
    assert not any("router" in name for name in finetune.targets(small(MOE).config.text))


def test_two_adapters_of_one_seed_begin_alike():
    def first(seed: int) -> torch.Tensor:
        tuned = finetune.attach(small(), ["deltanet"], seed=seed)
        return next(p for n, p in tuned.qwen.model.named_parameters() if "lora_A" in n)

    state = torch.random.get_rng_state()
    assert torch.equal(first(1), first(1)) and not torch.equal(first(1), first(2))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"parts": ["router"]}, "There is no part 'router'; choose from deltanet"),
        ({"parts": ["experts"]}, "nothing of 'experts' to adapt; choose from deltanet, attention, mlp"),
        ({"parts": []}, "Nothing is to be adapted"),
        ({"rank": 0}, "The rank is 0"),
        ({"rank": True}, "The rank is True"),
        ({"rank": 2.0}, "The rank is 2.0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(asked, said):
    with pytest.raises(lab.InputError, match=said):
        finetune.attach(small(), **asked)


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(lab.InputError, match="pip install peft"):
        finetune.attach(small())


def test_costs_of_models_that_do_not_have_a_part_are_empty():
    found = finetune.costs(small().config, {"all": ["deltanet", "mlp"], "experts": ["experts"]}, [1, 4])
    assert found["experts"] == [] and [c.trained for c in found["all"]][1] == 4 * found["all"][0].trained
    assert found["all"][0].bytes == 16 * found["all"][0].trained and 0 < found["all"][0].share < 1


# ------------------------------------------------------------------------- handed on


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "experts"])
def test_transformers_gives_the_scores_of_the_merged_folder_and_of_the_adapter(raw, tmp_path):
    qwen = small(raw)
    tuned = trained(qwen)
    ours = scores(tuned.qwen)
    folders = tuned.merged().save(tmp_path / "merged"), qwen.save(tmp_path / "base")
    adapter = finetune.save_adapter(tuned, tmp_path / "adapter")
    with quiet_transformers(), torch.no_grad():
        merged, base = (AutoModelForCausalLM.from_pretrained(folder).eval() for folder in folders)
        assert lab.gap(merged(INPUT).logits, ours) < 1e-5
        assert lab.gap(base(INPUT).logits, ours) > 1e-3
        carried = peft.PeftModel.from_pretrained(base, adapter).eval()
        assert lab.gap(carried(INPUT).logits, ours) < 2e-5
    again = lab.load(folders[0])
    assert torch.equal(scores(again), scores(tuned.merged()))


def test_one_stack_of_the_two_is_named_without_the_other():
    tuned = finetune.attach(small(MOE), ["experts"])
    names = finetune.adapter_names(tuned)
    assert names["layers.0.ffn.gate_up_proj"] == "base_model.model.model.layers.0.mlp.experts.base_layer"
    assert names["layers.0.ffn.down_proj"] == "base_model.model.model.layers.0.mlp.experts"
    with_eyes = finetune.adapter_names(tuned, eyes=True)
    assert with_eyes["layers.0.ffn.down_proj"] == "base_model.model.model.language_model.layers.0.mlp.experts"
    assert lab.exercises.tuning.for_whole_model(list(names.values())) == list(with_eyes.values())


def test_an_adapter_folder_is_not_overwritten(tmp_path):
    tuned = finetune.attach(small())
    finetune.save_adapter(tuned, tmp_path / "adapter")
    with pytest.raises(lab.CheckpointError, match="exists"):
        finetune.save_adapter(tuned, tmp_path / "adapter")
