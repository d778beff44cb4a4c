"""Loading and saving: both layouts, strict both ways, and every way a checkpoint can be broken."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from model.strategies import configs
from reference import randomise, reference_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import qwen35_lab as lab
from qwen35_lab.files import write_folder

IDS = torch.randint(0, 36, (2, 30), generator=torch.Generator().manual_seed(0))
TEXT = {
    "vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip
DENSE = {**TEXT, "intermediate_size": 48}
MOE = {
    **TEXT, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}  # fmt: skip
VISION = {
    "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 32,
    "num_position_embeddings": 16, "patch_size": 2,
}  # fmt: skip
TOKENS = {"image_token_id": 39, "video_token_id": 38, "vision_start_token_id": 37, "vision_end_token_id": 36}
T = transformers


def written(kind: str, folder: Path) -> tuple[torch.nn.Module, Path]:
    """A checkpoint that transformers wrote, and the model it came from."""
    model = {
        "dense": lambda: T.Qwen3_5ForCausalLM(T.Qwen3_5TextConfig(**DENSE)),
        "tied": lambda: T.Qwen3_5ForCausalLM(T.Qwen3_5TextConfig(**DENSE, tie_word_embeddings=True)),
        "moe": lambda: T.Qwen3_5MoeForCausalLM(T.Qwen3_5MoeTextConfig(**MOE)),
        "multimodal": lambda: T.Qwen3_5ForConditionalGeneration(
            T.Qwen3_5Config(text_config=DENSE, vision_config=VISION, **TOKENS)
        ),
        "multimodal tied": lambda: T.Qwen3_5ForConditionalGeneration(
            T.Qwen3_5Config(
                text_config={**DENSE, "tie_word_embeddings": True},
                vision_config=VISION,
                tie_word_embeddings=True,
                **TOKENS,
            )
        ),
        "multimodal moe": lambda: T.Qwen3_5MoeForConditionalGeneration(
            T.Qwen3_5MoeConfig(text_config=MOE, vision_config=VISION, **TOKENS)
        ),
    }[kind]()
    randomise(model, seed=1)
    model.eval().save_pretrained(folder)
    return model, folder


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def about_a_picture(model: torch.nn.Module) -> torch.Tensor:
    """Logits of a prompt with one image of 2×1 cells; zeros for a model without eyes."""
    ids = torch.tensor([[1, 2, 37, 39, 39, 36, 3]])
    pixels = torch.randn(8, 24, generator=torch.Generator().manual_seed(1))
    shown = {
        "pixel_values": pixels,
        "image_grid_thw": torch.tensor([[1, 4, 2]]),
        "mm_token_type_ids": (ids == 39).int(),
    }
    with torch.no_grad():
        return model(input_ids=ids, **shown).logits


KINDS = ["dense", "tied", "moe", "multimodal", "multimodal tied", "multimodal moe"]


@pytest.mark.parametrize("kind", KINDS)
def test_loads_what_transformers_writes(kind: str, tmp_path: Path) -> None:
    reference, folder = written(kind, tmp_path / "ckpt")
    qwen = lab.load(folder)
    torch.testing.assert_close(logits(qwen.model), logits(reference), atol=1e-4, rtol=1e-4)
    assert qwen.report is not None and qwen.report.ignored == []
    if kind.startswith("multimodal"):
        torch.testing.assert_close(about_a_picture(qwen.model), about_a_picture(reference), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["multimodal", "multimodal tied", "multimodal moe"])
def test_a_language_model_alone_is_read_out_of_a_multimodal_checkpoint(kind: str, tmp_path: Path) -> None:
    """Where config.json has no vision, the tower's tensors are left out, and the report says so."""
    reference, folder = written(kind, tmp_path / "ckpt")
    whole = json.loads((folder / "config.json").read_text())
    text = whole["text_config"] | {"tie_word_embeddings": whole["tie_word_embeddings"]}
    (folder / "config.json").write_text(json.dumps(text))
    qwen = lab.load(folder)
    assert type(qwen.model) is lab.TextModel
    torch.testing.assert_close(logits(qwen.model), logits(reference), atol=1e-4, rtol=1e-4)
    visual = [name for name in reference.state_dict() if name.startswith("model.visual.")]
    assert qwen.report is not None and qwen.report.ignored == sorted(visual)
    assert f"{len(visual)} × model.visual.*" in repr(qwen.report)


def test_the_towers_tensors_are_strict_both_ways(tmp_path: Path) -> None:
    reference, folder = written("multimodal", tmp_path / "ckpt")
    state = {n: t.clone() for n, t in reference.state_dict().items()}
    name = "model.visual.blocks.0.attn.qkv.bias"
    for change, words in (
        (lambda t: {n: x for n, x in t.items() if n != name}, f"{name} is missing"),
        (lambda t: t | {name: torch.zeros(3)}, f"{name} has shape"),
        (lambda t: t | {"model.visual.extra.weight": torch.zeros(3)}, "model.visual.extra.weight is not part"),
    ):
        rewrite(folder, lambda _, change=change: change(state))
        with pytest.raises(lab.CheckpointError, match=words):
            lab.load(folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_transformers_loads_what_we_write(kind: str, dtype: str, tmp_path: Path) -> None:
    _, folder = written(kind, tmp_path / "ckpt")
    qwen = lab.load(folder, dtype=dtype)
    saved = lab.save(qwen, tmp_path / "saved")
    back = T.AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32).eval()
    again = lab.load(saved)
    assert torch.equal(logits(again.model), logits(qwen.model))
    assert str(again.model.embed_tokens.weight.dtype) == f"torch.{dtype}"
    torch.testing.assert_close(logits(lab.load(saved, dtype="float32").model), logits(back), atol=1e-4, rtol=1e-4)
    name = "Qwen3_5Moe" if "moe" in kind else "Qwen3_5"
    seeing = kind.startswith("multimodal")
    assert type(T.AutoModel.from_pretrained(saved)).__name__ == name + ("Model" if seeing else "TextModel")
    if seeing:
        whole = T.AutoModelForImageTextToText.from_pretrained(saved, dtype=torch.float32).eval()
        assert type(whole).__name__ == name + "ForConditionalGeneration"
        assert torch.equal(about_a_picture(again.model), about_a_picture(qwen.model))
        exact = lab.load(saved, dtype="float32").model
        torch.testing.assert_close(about_a_picture(exact), about_a_picture(whole), atol=1e-4, rtol=1e-4)


@settings(max_examples=30)
@given(data=st.data())
def test_random_architectures_survive_the_round_trip(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw, folder = data.draw(configs()), tmp_path_factory.mktemp("round")
    reference = reference_model(raw)
    reference.save_pretrained(folder / "theirs")
    ids = IDS % raw["vocab_size"]
    qwen = lab.load(folder / "theirs")
    lab.save(qwen, folder / "ours")
    with torch.no_grad():
        expected = reference(input_ids=ids).logits
        torch.testing.assert_close(qwen.model(ids).logits, expected, atol=1e-4, rtol=1e-4)
        back = T.AutoModelForCausalLM.from_pretrained(folder / "ours", experts_implementation="eager").eval()
        torch.testing.assert_close(back(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-5)


def rewrite(folder: Path, change) -> None:
    """Change the tensors of a one-file checkpoint."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("layout", ["fused", "one by one"])
def test_experts_in_both_layouts(layout: str, tmp_path: Path) -> None:
    reference, folder = written("multimodal moe", tmp_path / "ckpt")
    state = {n: t.clone() for n, t in reference.state_dict().items()}
    fused = [n for n in state if n.endswith((".experts.gate_up_proj", ".experts.down_proj"))]
    assert len(fused) == 8
    for name in fused if layout == "one by one" else ():
        stem, tensor = name.rsplit(".", 1)[0], state.pop(name)
        for e, expert in enumerate(tensor):
            parts = ("gate_proj", "up_proj") if name.endswith("gate_up_proj") else ("down_proj",)
            for part, rows in zip(parts, expert.chunk(len(parts)), strict=True):
                state[f"{stem}.{e}.{part}.weight"] = rows.clone()
    rewrite(folder, lambda _: state)
    torch.testing.assert_close(logits(lab.load(folder).model), logits(reference), atol=1e-4, rtol=1e-4)


def test_a_log_and_the_gated_norm_stay_float32_in_a_bfloat16_model(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    exact = load_file(folder / "model.safetensors")["model.layers.0.linear_attn.A_log"]

    def official(tensors):  # as the published files: everything bfloat16 but these two
        kept = ("A_log", "linear_attn.norm.weight")
        return {n: t if n.endswith(kept) else t.bfloat16() for n, t in tensors.items()}

    rewrite(folder, official)
    for dtype in (None, "bfloat16"):
        qwen = lab.load(folder, dtype=dtype)
        float32 = {n.split("mixer.")[1] for n, p in qwen.model.named_parameters() if p.dtype == torch.float32}
        assert float32 == {"A_log", "norm.weight"}
        assert torch.equal(qwen.model.layers[0].mixer.A_log, exact)
        saved = lab.save(qwen, tmp_path / f"saved {dtype}")
        assert load_file(saved / "model.safetensors")["model.layers.0.linear_attn.A_log"].dtype == torch.float32


def test_sharded_with_the_official_file_naming(tmp_path: Path) -> None:
    reference, folder = written("multimodal", tmp_path / "ckpt")
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, index = sorted(state), {}
    for i in range(3):
        file = f"model.safetensors-{i + 1:05d}-of-00003.safetensors"
        save_file({n: state[n] for n in names[i::3]}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names[i::3], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    torch.testing.assert_close(logits(lab.load(folder).model), logits(reference), atol=1e-4, rtol=1e-4)
    (folder / "model.safetensors-00002-of-00003.safetensors").unlink()
    with pytest.raises(lab.CheckpointError, match=r"lacks 1 of its 3 weight files, first model.safetensors-00002"):
        lab.load(folder)


def test_large_models_are_written_in_shards_that_transformers_reads(tmp_path: Path) -> None:
    from qwen35_lab.checkpoint import write_model

    reference, folder = written("moe", tmp_path / "ckpt")
    qwen = lab.load(folder)
    write_model(qwen.model, qwen.config, tmp_path / "shards", max_shard_bytes=50_000)
    assert len(list((tmp_path / "shards").glob("model-*-of-*.safetensors"))) > 2
    back = T.AutoModelForCausalLM.from_pretrained(tmp_path / "shards").eval()
    torch.testing.assert_close(logits(back), logits(reference), atol=1e-5, rtol=1e-5)
    assert torch.equal(logits(lab.load(tmp_path / "shards").model), logits(qwen.model))


def test_weights_are_mapped_from_the_file_not_copied(tmp_path: Path) -> None:
    """Loading in the file's dtype must not read the file: a page of it is read when it is used."""
    _, folder = written("dense", tmp_path / "ckpt")
    a, b = lab.load(folder).model, lab.load(folder).model
    address = a.layers[0].ffn.up_proj.weight.data_ptr()
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc/self/maps to see where a tensor lies")
    spans = [line.split() for line in maps.read_text().splitlines() if "model.safetensors" in line]
    assert any(int(low, 16) <= address < int(high, 16) for low, high in (s[0].split("-") for s in spans))
    with torch.no_grad():  # and writing to one model reaches neither the file nor another model
        before = b.embed_tokens.weight[0, 0].item()
        a.embed_tokens.weight += 1
    assert b.embed_tokens.weight[0, 0].item() == before
    assert lab.load(folder).model.embed_tokens.weight[0, 0].item() == before


# ---------------------------------------------------------------- what can be wrong with a checkpoint

BROKEN = {
    "missing tensor": (
        lambda t: {n: v for n, v in t.items() if n != "model.layers.2.mlp.up_proj.weight"},
        r"model\.layers\.2\.mlp\.up_proj\.weight is missing",
    ),
    "misshapen tensor": (
        lambda t: t | {"model.layers.3.self_attn.q_proj.weight": torch.zeros(64, 32)},
        r"q_proj\.weight has shape \[64, 32\], expected \[128, 32\]",
    ),
    "unknown tensor": (lambda t: t | {"model.layers.9.extra": torch.zeros(1)}, r"model\.layers\.9\.extra is not part"),
    "untied head missing": (
        lambda t: {n: v for n, v in t.items() if n != "lm_head.weight"},
        r"lm_head\.weight is missing",
    ),
    "no language model at all": (lambda t: {"something": torch.zeros(1)}, r"embed_tokens\.weight is missing.*more\)"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_checkpoint_that_does_not_match_names_the_tensor(case: str, tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    change, message = BROKEN[case]
    rewrite(folder, change)
    with pytest.raises(lab.CheckpointError, match=message) as caught:
        lab.load(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


def test_one_missing_expert_is_named(tmp_path: Path) -> None:
    _, folder = written("moe", tmp_path / "ckpt")
    state = load_file(folder / "model.safetensors")
    name = next((n for n in state if ".experts.3." in n), None)
    assert name, "transformers writes experts one by one"
    rewrite(folder, lambda t: {n: v for n, v in t.items() if n != name})
    with pytest.raises(lab.CheckpointError, match=name.replace(".", r"\.") + " is missing"):
        lab.load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.999])
def test_truncated_file(keep: float, tmp_path: Path) -> None:
    """A download that stopped anywhere: in the header's length, in the header, in the tensors."""
    _, folder = written("dense", tmp_path / "ckpt")
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(lab.CheckpointError, match=r"model\.safetensors is damaged or only half downloaded"):
        lab.load(folder)


def test_a_clone_without_its_large_files(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(lab.CheckpointError, match="run `git lfs pull`"):
        lab.load(folder)


def test_corrupted_header(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    file = folder / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[20:40] = b"\xff" * 20
    file.write_bytes(data)
    with pytest.raises(lab.CheckpointError, match="damaged"):
        lab.load(folder)


def test_corrupted_index(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    for text in ("{", "[]", '{"weight_map": 3}'):
        (folder / "model.safetensors.index.json").write_text(text)
        with pytest.raises(lab.CheckpointError, match=r"index\.json is damaged"):
            lab.load(folder)


def test_no_weights_and_pickled_weights(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    (folder / "model.safetensors").unlink()
    with pytest.raises(lab.CheckpointError, match="no weights"):
        lab.load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(lab.CheckpointError, match="only safetensors are read"):
        lab.load(folder)


def test_another_architecture(tmp_path: Path) -> None:
    T.LlamaConfig().save_pretrained(tmp_path)
    with pytest.raises(lab.ConfigError, match="`model_type` is 'llama'"):
        lab.load(tmp_path)


def test_names_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name, message in {
        "recal": "did you mean 'recall'",
        "qwen3.5-0.8b": "did you mean 'Qwen/Qwen3.5-0.8B'",
        "": "names no checkpoint",
        "nothing-like-it": "Hub id such as Qwen",
        "./no/such/folder": "There is no folder",
        str(tmp_path / "missing"): "There is no folder",
        "Qwen/Qwen3.5-0.8B": "not in the local cache and the Hub cannot be reached",
        "Qwen/no-such-model": "not in the local cache and the Hub cannot be reached",
        "a b/c d": "cannot be the name of a repository",
    }.items():
        with pytest.raises(lab.CheckpointError, match=message) as caught:
            lab.load(name)
        assert "\n" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(lab.ConfigError, match=r"config\.json cannot be read"):
        lab.load(tmp_path / "empty")


@pytest.mark.parametrize(("owner", "kind"), [("Qwen", "REAL"), ("someone", "OTHER")])
def test_a_hub_id_is_found_in_the_local_cache_without_a_network(
    owner: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / f"models--{owner}--tiny"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(commit)
    written("dense", repo / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    qwen = lab.load(f"{owner}/tiny")
    assert str(qwen.provenance) == f"{kind} · {owner}/tiny @ 01234567 · float32 · cpu"


@pytest.mark.parametrize("dtype", ["int8", "nonsense", torch.int64])
def test_unknown_dtype(dtype, tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    with pytest.raises(lab.InputError, match="dtype"):
        lab.load(folder, dtype=dtype)


def test_unavailable_device(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    for device in ("tpu-ish", "cuda:99"):
        with pytest.raises(lab.InputError, match="not available"):
            lab.load(folder, device=device)
    assert lab.load(folder, device="auto").device.type in {"cpu", "cuda", "mps"}


# ---------------------------------------------------------------- writing


def test_saving_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    qwen = lab.load(folder)
    target = lab.save(qwen, tmp_path / "out" / "model")
    with pytest.raises(lab.CheckpointError, match="exists"):
        lab.save(qwen, target)
    before = {p.name: p.read_bytes() for p in target.iterdir()}

    def full_disk(*args, **kwargs):
        Path(args[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    for fault, expected in (
        (full_disk, lab.CheckpointError),
        (lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt), KeyboardInterrupt),
    ):
        monkeypatch.setattr("qwen35_lab.checkpoint.save_file", fault)
        with pytest.raises(expected):
            lab.save(qwen, target, overwrite=True)
        with pytest.raises(expected):
            lab.save(qwen, tmp_path / "out" / "new")
        assert {p.name: p.read_bytes() for p in target.iterdir()} == before
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["model"], "a temporary folder was left behind"
    monkeypatch.undo()
    lab.save(qwen, target, overwrite=True)  # also onto the folder it may be mapped from
    mapped = lab.load(target)
    lab.save(mapped, target, overwrite=True)
    assert torch.equal(logits(mapped.model), logits(qwen.model))
    assert torch.equal(logits(lab.load(target).model), logits(qwen.model))


def test_write_folder_refuses_a_file_and_a_place_without_permission(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(lab.CheckpointError, match="is a file"), write_folder(tmp_path / "file", overwrite=True):
        pass
    with pytest.raises(lab.CheckpointError, match="could not be written"), write_folder(tmp_path / "file" / "below"):
        pass


def test_side_files_travel(tmp_path: Path) -> None:
    source = lab.load("recall")
    assert source.folder is not None
    saved = lab.save(source, tmp_path / "copy")
    assert lab.load(saved).tokenizer.get_vocab() == source.tokenizer.get_vocab()
    shutil.rmtree(saved)


def test_from_config_is_seeded_and_remembers(tmp_path: Path) -> None:
    a, b, c = (lab.from_config({"model_type": "qwen3_5_text", **DENSE}, seed=s) for s in (0, 0, 1))
    assert torch.equal(logits(a.model), logits(b.model)) and not torch.equal(logits(a.model), logits(c.model))
    with torch.no_grad():
        half_lives = []
        for layer in a.model.layers[:3]:
            g = layer.mixer.gates(torch.zeros(1, 1, 32))[1]
            half_lives += (-torch.log(torch.tensor(2.0)) / g).flatten().tolist()
    assert all(16 <= h <= 256 for h in half_lives), half_lives
    assert a.provenance.kind == "RANDOM"
    half = lab.from_config({"model_type": "qwen3_5_text", **DENSE}, dtype="bfloat16").model
    float32 = {n.split("mixer.")[1] for n, p in half.named_parameters() if p.dtype == torch.float32}
    assert float32 == {"A_log", "norm.weight"}
    with pytest.raises(lab.CheckpointError, match="no tokenizer"):
        a.generate("text")
    with safe_open(lab.save(a, tmp_path / "saved") / "model.safetensors", "pt") as file:
        assert "model.embed_tokens.weight" in file.keys()  # noqa: SIM118


def test_overwriting_replaces_checkpoints_only_and_follows_links(tmp_path: Path) -> None:
    qwen = lab.from_config({"model_type": "qwen3_5_text", **DENSE})
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(lab.CheckpointError, match="not a checkpoint and is not replaced"):
        lab.save(qwen, mine, overwrite=True)
    assert (mine / "thesis.txt").read_text() == "years of work"
    lab.save(qwen, tmp_path / "repository")
    (tmp_path / "repository" / "results").mkdir()
    with pytest.raises(lab.CheckpointError, match="holds results, which is no part of a checkpoint"):
        lab.save(qwen, tmp_path / "repository", overwrite=True)
    shutil.rmtree(tmp_path / "repository")
    lab.save(qwen, tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    lab.save(qwen, tmp_path / "link", overwrite=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "config.json").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "mine", "real"]


def test_a_config_changed_in_memory_is_the_one_that_is_written(tmp_path: Path) -> None:
    whole = lab.load_config("Qwen3.5-0.8B")
    text = lab.ModelConfig.from_dict({"model_type": "qwen3_5_text", **DENSE}).text
    for n, config in enumerate([replace(whole, text=text), lab.ModelConfig("qwen3_5_text", text)]):
        qwen = lab.from_config(config)
        saved = lab.save(qwen, tmp_path / str(n))
        assert torch.equal(logits(lab.load(saved).model), logits(qwen.model))
        back = T.AutoModelForCausalLM.from_pretrained(saved).eval()
        torch.testing.assert_close(logits(back), logits(qwen.model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
def test_half_downloaded_side_files(file: str, tmp_path: Path) -> None:
    folder = lab.save(lab.load("recall"), tmp_path / "copy")
    (folder / file).write_text((folder / file).read_text()[:40])
    with pytest.raises(lab.CheckpointError, match=r"cannot be read|is damaged"):
        lab.load(folder).generate("cat red . ? cat", 2)
    if file == "tokenizer.json":
        assert len(lab.load(folder).generate([2, 18], 1)) == 1, "ids need no tokenizer"


def test_a_revision_is_refused_where_there_is_none(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    for name in (folder, "recall"):
        with pytest.raises(lab.InputError, match="leave out revision"):
            lab.load(name, revision="v9.9")


def test_quantised_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    _, folder = written("dense", tmp_path / "ckpt")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(lab.ConfigError, match="quantization_config"):
        lab.load(folder)


def test_a_model_larger_than_the_machine_is_refused_before_it_is_made() -> None:
    with pytest.raises(lab.InputError, match=r"Qwen3\.5-397B-A17B takes 1,614 GB, and this machine has"):
        lab.from_config("Qwen3.5-397B-A17B")


@pytest.mark.parametrize(
    "make", [lambda: lab.load("recall"), lambda: lab.from_config(DENSE | {"model_type": "qwen3_5_text"})]
)
def test_weights_that_are_made_in_inference_mode_are_ordinary_ones(make):
    """They can learn; and PyTorch's product of one row with an inference tensor takes many times as long."""
    with torch.inference_mode():
        qwen = make()
    assert not any(weight.is_inference() for weight in qwen.model.parameters())
