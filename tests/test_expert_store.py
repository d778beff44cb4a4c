"""Experts that stay in their files: the same numbers, from less memory; and what happens to a file that changes."""

import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product
from pathlib import Path

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.checkpoint import write_model
from qwen35_lab.expert_store import ExpertStore, is_on_disk
from qwen35_lab.memory import in_bytes, in_words, resident

DEEP = {"mtp_num_hidden_layers": 1}
LAYERS, EXPERTS, CHOSEN = 4, 6, 2
ONE = 3 * 24 * 8 * 4  # bytes of an expert in float32


def apart(file: Path) -> None:
    """Store the experts of a one-file checkpoint one by one."""
    found = {}
    for name, tensor in load_file(file).items():
        parts = {"gate_up_proj": ("gate_proj", "up_proj"), "down_proj": ("down_proj",)}.get(name.rpartition(".")[2])
        if parts is None or ".experts." not in name:
            found[name] = tensor
            continue
        for e, expert in enumerate(tensor):
            for part, rows in zip(parts, expert.chunk(len(parts)), strict=True):
                found[f"{name.rpartition('.')[0]}.{e}.{part}.weight"] = rows.clone()
    save_file(found, file, metadata={"format": "pt"})


def fused(folder: Path) -> None:
    lab.save(small(MOE, **DEEP), folder)


def one_by_one(folder: Path) -> None:
    fused(folder)
    apart(folder / "model.safetensors")


def shards(folder: Path) -> None:
    qwen = small(MOE, **DEEP)
    write_model(qwen.model, qwen.config, folder, max_shard_bytes=20_000)


def fp8(folder: Path) -> None:
    qwen = small(MOE, **DEEP)
    write_model(qwen.model, qwen.config, folder, fp8_block=(8, 8))


def fp8_fused(folder: Path) -> None:
    """As transformers stores them: stacks in FP8, with stacks of scales."""
    fp8(folder)
    found, stacks = {}, defaultdict(list)
    for name, tensor in load_file(folder / "model.safetensors").items():
        if match := re.fullmatch(r"(.+\.experts)\.(\d+)\.(gate|up|down)_proj\.weight(\w*)", name):
            stem, expert, part, scale = match.groups()
            stacks[f"{stem}.{'down' if part == 'down' else 'gate_up'}_proj{scale}"].append((int(expert), part, tensor))
        else:
            found[name] = tensor
    for name, parts in stacks.items():
        parts.sort(key=lambda each: each[:2])  # of each expert gate before up
        raw = torch.stack([tensor.view(torch.uint8) for *_, tensor in parts])
        found[name] = raw.view(parts[0][2].dtype).view(EXPERTS, -1, parts[0][2].shape[1])
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})


LAYOUTS = [fused, one_by_one, shards, fp8, fp8_fused]


@torch.inference_mode()
def logits(qwen: lab.Qwen) -> torch.Tensor:
    return qwen.model(torch.tensor([IDS])).logits[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lab.save(small(MOE), tmp_path / "model")
    return tmp_path / "model"


def on_disk(folder: Path, budget: int | str | None = 5) -> tuple[lab.Qwen, ExpertStore]:
    qwen = lab.load(folder, experts="disk", expert_budget=budget)
    assert qwen.experts is not None
    return qwen, qwen.experts


# ------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("write", LAYOUTS)
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_logits_are_those_of_the_loaded_model_to_the_bit(write: Callable[[Path], None], dtype, tmp_path):
    write(tmp_path / "x")
    whole = lab.load(tmp_path / "x", dtype=dtype)
    for budget in (1, None):
        found = lab.load(tmp_path / "x", dtype=dtype, experts="disk", expert_budget=budget)
        assert is_on_disk(found.model) and not is_on_disk(whole.model)
        for _ in range(2):
            assert torch.equal(logits(found), logits(whole))
        drafted, expected = (qwen.generate(IDS, max_new_tokens=5, speculative=2) for qwen in (found, whole))
        assert torch.equal(drafted, expected), "the MTP head has experts of its own"
        assert found.report is not None and whole.report is not None
        assert found.report.tensors == whole.report.tensors and found.report.bytes < whole.report.bytes


@pytest.mark.parametrize("store_as", [None, apart])
@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_an_expert_begins_as_far_behind_a_line_of_memory_as_in_the_loaded_model(store_as, dtype, tmp_path):
    """Else the last bits of its products could differ, on some machine."""
    lab.save(small(MOE, moe_intermediate_size=7), tmp_path / "x")
    if store_as:
        store_as(tmp_path / "x/model.safetensors")
    whole = lab.load(tmp_path / "x", dtype=dtype)
    store = lab.load(tmp_path / "x", dtype=dtype, experts="disk").experts
    assert store is not None
    begins = set()
    for n, e in product(range(LAYERS), range(EXPERTS)):
        ffn = whole.model.layers[n].ffn
        for part, loaded in zip(
            store.expert(f"layers.{n}.ffn", e), (ffn.gate_up_proj[e], ffn.down_proj[e]), strict=True
        ):
            assert torch.equal(part, loaded) and part.data_ptr() % 64 == loaded.data_ptr() % 64
            begins.add(part.data_ptr() % 64)
    assert len(begins) > 1


@pytest.mark.parametrize("odd", [1, 2, 3])
def test_a_file_whose_numbers_begin_at_odd_places_is_read(odd, folder):
    """The format asks for no alignment, and not all that write it give one."""
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    header = whole[8:end] + b" " * odd
    file.write_bytes(len(header).to_bytes(8, "little") + header + whole[end:])
    assert torch.equal(logits(on_disk(folder)[0]), logits(lab.load(folder)))


@pytest.mark.parametrize("write", LAYOUTS)
def test_only_the_chosen_experts_are_read(write, tmp_path):
    write(tmp_path / "x")
    qwen, store = on_disk(tmp_path / "x", EXPERTS * (LAYERS + 1))
    with lab.record(qwen.model, ["layers.*.ffn.expert_ids"]) as values:
        logits(qwen)
    chosen = sum(len(ids.unique()) for passes in values.values() for ids in passes)
    assert (store.asked, store.read, store.hit_rate) == (chosen, chosen, 0)
    assert 0 < chosen <= EXPERTS * LAYERS < store.total == EXPERTS * (LAYERS + 1)
    tensors = load_file(tmp_path / "x/model.safetensors") if write is not shards else {}
    if tensors:
        stored = sum(t.numel() * t.element_size() for n, t in tensors.items() if ".experts." in n)
        assert store.bytes_read * store.total == stored * chosen
    logits(qwen)
    assert (store.asked, store.read, store.hit_rate) == (2 * chosen, chosen, 0.5)


def test_traces_and_edits_of_experts_are_those_of_the_loaded_model(folder):
    whole, (found, _) = lab.load(folder), on_disk(folder)
    change = [lab.routing(top_k=3, mask=2, clone={0: 5}), lab.edit("layers.1.ffn.expert_out", token=3).scale(2)]
    for edits in ([], change):
        a, b = (each.trace(IDS, ["layers.*.ffn.*", "logits"], edits) for each in (whole, found))
        assert a.tensors.keys() == b.tensors.keys() and "layers.2.ffn.expert_out" in a.tensors
        assert all(torch.equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


@pytest.mark.parametrize("write", LAYOUTS)
def test_what_a_trace_has_read_serves_a_gradient(write, tmp_path):
    """A tensor made in inference mode does not."""
    write(tmp_path / "x")
    whole, (found, store) = lab.load(tmp_path / "x"), on_disk(tmp_path / "x", None)
    logits(found)
    grads = []
    for qwen in (whole, found):
        qwen.model(torch.tensor([IDS])).logits.square().mean().backward()
        grads.append(qwen.model.embed_tokens.weight.grad)
    assert store.hit_rate >= 0.5 and grads[0].abs().sum() > 0
    assert torch.equal(*grads)


def test_a_twin_has_the_same_experts(folder):
    qwen, store = on_disk(folder, EXPERTS * LAYERS)
    before, read, asked = logits(qwen), store.read, store.asked
    twin = qwen.twin()
    assert torch.equal(logits(twin), before)
    assert twin.experts is store and store.read == read and store.asked == 2 * asked


# ------------------------------------------------------------------------- what is kept


@given(st.lists(st.integers(0, 7), max_size=60), st.integers(1, 9))
def test_the_one_that_was_not_asked_for_the_longest_goes(asked, budget):
    """Against a list, the last used first."""
    store = _store(budget)
    recent: list[int] = []
    reads = 0
    for number in asked:
        reads += number not in recent
        recent = [number, *(n for n in recent if n != number)][:budget]
        gate_up, down = store.expert("ffn", number)
        assert gate_up.unique().tolist() == down.unique().tolist() == [number]
        assert store.bytes == len(recent) * store.size
    assert (store.asked, store.read) == (len(asked), reads)


class Numbers:
    """Stands for the tensors of a file: expert n is full of n, and takes a while to be read."""

    bytes = 0
    places: Mapping[str, object] = {}

    def __init__(self, seconds: float):
        self.seconds = seconds

    def read_expert(self, official, sources, index, dtype) -> torch.Tensor:
        time.sleep(self.seconds)
        return torch.full((2, 3), index, dtype=dtype)


def _store(budget: int, seconds: float = 0) -> ExpertStore:
    config = lab.ModelConfig.from_dict(MOE | {"num_experts": 8}).text
    store = ExpertStore(Numbers(seconds), config, torch.float32, "cpu")  # type: ignore[arg-type]
    model = torch.nn.ModuleDict({"ffn": torch.nn.Module()})
    for part in ("gate_up_proj", "down_proj"):
        store.take(model, f"ffn.{part}", part, [part])
    store.keep(budget)
    return store


def test_a_budget_is_a_number_or_a_size(folder):
    huge, counted = "9" * 400 + " TB", numpy.int64(7)
    for budget, room in (
        (7, 7),
        (counted, 7),
        (huge, 24),
        ("7 kB", 3),
        (f"{ONE} kB", 24),
        ("2.4kb", 1),
        (10**9, 24),
        (None, 24),
    ):
        qwen, store = on_disk(folder, budget)
        assert (store.size, store.budget, store.bytes) == (ONE, room, 0)
    assert "24 experts (55.3 kB) stay in the files; there is room for 24" in repr(qwen.report)
    assert "24 experts in files" in repr(qwen)
    assert "a token asks for 8. With room for fewer" in repr(on_disk(folder, 7)[0].report)
    assert repr(on_disk(folder, 8)[0].report).endswith("a token asks for 8.")


def test_without_a_budget_experts_take_half_of_what_is_free(folder, monkeypatch):
    monkeypatch.setattr("qwen35_lab.expert_store.free", lambda device: 11.9 * ONE)
    assert on_disk(folder, None)[1].budget == 5


@pytest.mark.parametrize("budget", [0, -3, 2.5, True, "2 kB", [4]])
def test_a_budget_without_an_expert_is_refused(budget, folder):
    with pytest.raises(lab.InputError, match=r"holds no expert; pass how many .* one takes 2\.3 kB"):
        on_disk(folder, budget)


@pytest.mark.parametrize("words", ["", "4", "GB", "4 Gb/s", "-1 GB", "4 GiB", "1,5 GB"])
def test_sizes_in_words(words):
    with pytest.raises(lab.InputError, match="is no size; write a number and one of"):
        in_bytes(words)
    assert [in_bytes(in_words(size)) for size in (12e3, 1.5e9, 4e12)] == [12e3, 1.5e9, 4e12]


def test_the_budget_can_be_changed_and_the_count_begun_anew(folder):
    qwen, store = on_disk(folder, None)
    before = logits(qwen)
    assert store.bytes == store.read * ONE > 3 * ONE
    store.keep(3)
    assert store.bytes == 3 * ONE
    assert torch.equal(logits(qwen), before) and store.bytes == 3 * ONE
    assert re.fullmatch(
        r"3 of 24 experts in memory, 6\.91 kB of 55\.3 kB; room for 3, [\d.]+% of \d+ times .*", repr(store)
    )
    store.forget()
    assert (store.bytes, store.asked, store.read, store.bytes_read) == (0, 0, 0, 0)
    assert "none asked for yet" in repr(store)


def test_a_larger_budget_is_never_asked_of_the_disk_more_often(folder):
    """LRU is a stack algorithm: what a small store holds, a larger one holds too (Mattson et al. 1970)."""
    rates = []
    qwen, store = on_disk(folder)
    for budget in (1, 4, 8, 9, 12, 16, 24):
        store.keep(budget)
        store.forget()
        qwen.generate(IDS, max_new_tokens=8)
        rates.append(store.hit_rate)
    assert all(small <= large for small, large in pairwise(rates))
    assert rates[0] == 0 and rates[-1] > 0.5


def test_threads_never_keep_more_than_there_is_room_for():
    store = _store(2, seconds=1e-3)

    def most(first: int) -> int:
        kept = []
        for n in range(20):
            store.expert("ffn", (first + n) % 8)
            kept.append(store.bytes // store.size)
        return max(kept)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(most, (0, 2, 4, 6))) == [2] * 4
    assert store.asked == 80


def test_threads_share_a_small_store(folder):
    """Three threads that push out each other's experts, with other texts; a barrier makes them begin together."""
    qwen, store = on_disk(folder, 2)
    texts = [IDS, IDS[::-1], [7] * 9]
    alone = [qwen.trace(ids, "logits")["logits"] for ids in texts]
    store.forget()
    barrier = threading.Barrier(len(texts))

    def wrong(n: int) -> int:
        barrier.wait(60)
        return sum(not torch.equal(qwen.trace(texts[n], "logits")["logits"], alone[n]) for _ in range(8))

    with ThreadPoolExecutor(len(texts)) as pool:
        assert list(pool.map(wrong, range(len(texts)))) == [0, 0, 0]
    assert store.bytes == 2 * ONE and 0 < store.read <= store.asked


# ------------------------------------------------------------------------- what is refused


def test_what_cannot_be_done_with_experts_on_disk_is_said(folder, tmp_path):
    qwen, _ = on_disk(folder)
    for work, words in (
        (lambda: lab.save(qwen, tmp_path / "y"), "are in files; load it without experts='disk', and save that"),
        (lambda: lab.save(qwen, tmp_path / "y", quantised="fp8"), "are in files"),
        (lambda: lab.load(folder, experts="disk", quantised="int8"), "leave out quantised=, or experts='disk'"),
        (lambda: lab.load(folder, experts="gpu"), "cannot be in 'gpu'; use experts='memory' or 'disk'"),
        (lambda: lab.load(folder, expert_budget=4), "add experts='disk', or leave it out"),
        (lambda: lab.load("recall", experts="disk"), "recall has no routed experts"),
        (lambda: lab.finetune.attach(qwen, ["experts"]), "stay in their files and cannot be tuned"),
    ):
        with pytest.raises(lab.InputError, match=re.escape(words)) as caught:
            work()
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "y").exists()
    assert lab.load(folder).experts is None
    assert not any("ffn.down_proj" in name for name in lab.finetune.attach(qwen).names)


def _damage(folder: Path, kind: str) -> None:
    file = folder / "model.safetensors"
    if kind == "deleted":
        file.unlink()
    elif kind == "replaced":
        beside = folder / "beside"
        lab.save(small(MOE, seed=1), beside)
        (beside / "model.safetensors").replace(file)
    elif kind == "cut short":
        os.truncate(file, file.stat().st_size // 4)
    elif kind == "cut short, with its old date":
        found = file.stat()
        os.truncate(file, 100)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif kind == "longer, with its old date":
        found = file.stat()
        file.write_bytes(file.read_bytes() + b"more")
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    else:
        with file.open("r+b") as opened:
            opened.seek(-4, os.SEEK_END)
            opened.write(b"\x00\x00\x80\x3f")


KINDS = ["written to", "replaced", "cut short", "cut short, with its old date", "longer, with its old date", "deleted"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_under_the_model_is_named(kind, folder):
    qwen, _ = on_disk(folder, 1)
    before = logits(qwen)
    _damage(folder, kind)
    words = r"model\.safetensors cannot be read any more" if kind == "deleted" else "has changed since this model"
    for _ in range(2):
        with pytest.raises(lab.CheckpointError, match=words + ".*load the model again") as caught:
            logits(qwen)
        assert "\n" not in str(caught.value)
    if kind == "replaced":
        assert not torch.equal(logits(on_disk(folder)[0]), before)


@pytest.mark.parametrize("write", [fused, one_by_one])
def test_a_checkpoint_that_does_not_match_names_the_expert(write, tmp_path):
    write(tmp_path / "x")
    file = tmp_path / "x/model.safetensors"
    tensors = load_file(file)
    name = next(n for n in tensors if ".experts." in n and "down" in n)
    for spoilt, words in (
        (tensors | {name: torch.zeros(3, 4)}, rf"{name} has shape \[3, 4\], expected"),
        ({n: t for n, t in tensors.items() if n != name}, f"{re.escape(name)} is missing"),
    ):
        save_file(spoilt, file, metadata={"format": "pt"})
        for experts in ("disk", "memory"):
            with pytest.raises(lab.CheckpointError, match=words):
                lab.load(tmp_path / "x", experts=experts)


def test_resident_memory_is_told():
    assert resident() > 50e6 or not Path("/proc/self/status").exists()
