"""Downloads, through the front door, from a Hub of our own: whole, broken, refused, interrupted, at the same time."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
import torch
from hub_server import COMMIT, Fault, HubServer
from safetensors.torch import load_file, save_file

import qwen35_lab as lab
from qwen35_lab import hub as download
from qwen35_lab.hub import transfer
from qwen35_lab.paths import data_path

REPO = "Qwen/Qwen3.5-0.8B"
SHARD = "model.safetensors-00002-of-00004.safetensors"
SHARDS = {f"model.safetensors-{n:05d}-of-00004.safetensors" for n in (1, 2, 3, 4)}
NEEDED = {
    "chat_template.jinja", "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer_config.json", "video_preprocessor_config.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The nano as Qwen publishes: four shards by their naming, an index, and files that nobody here needs."""
    folder = tmp_path_factory.mktemp("published") / "repository"
    shutil.copytree(data_path("nano"), folder)
    tensors, index = load_file(folder / "model.safetensors"), {}
    (folder / "model.safetensors").unlink()
    for n in range(4):
        names = sorted(tensors)[n::4]
        file = f"model.safetensors-{n + 1:05d}-of-00004.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    (folder / download.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "onnx").mkdir()
    for name in (
        "pytorch_model.bin",
        "model-Q4_K_M.gguf",
        ".gitattributes",
        "onnx/model.safetensors",
        "model.extra.safetensors",
    ):
        (folder / name).write_bytes(b"nobody needs this")
    return folder


@pytest.fixture
def repository(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "repository"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no patience."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(transfer, "PAUSES", (0, 0, 0))
    return tmp_path / "cache"


@pytest.fixture
def hub(repository: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({REPO: repository}, branches=("main", "refs/pr/1")) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server


def is_the_nano(qwen: lab.Qwen) -> bool:
    wanted = lab.load("nano").model.state_dict()
    return all(torch.equal(tensor, wanted[name]) for name, tensor in qwen.model.state_dict().items())


def blobs(cache: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(cache.glob("models--*/blobs/*"))}


def unfinished(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.name.endswith((".incomplete", ".tmp"))]


def snapshot(cache: Path) -> Path:
    return cache / "models--Qwen--Qwen3.5-0.8B" / "snapshots" / COMMIT


# ---------------------------------------------------------------------- what is fetched, and from where


def test_a_checkpoint_is_fetched_once_and_only_what_is_needed(hub: HubServer, cache: Path) -> None:
    qwen = lab.load(REPO)
    assert is_the_nano(qwen)
    assert str(qwen.provenance) == f"REAL · {REPO} @ {COMMIT[:8]} · float32 · cpu"
    there = {path.name for path in snapshot(cache).iterdir()}
    assert there == NEEDED | SHARDS | {download.INDEX}
    asked = [path.rsplit("/", 1)[-1] for method, path in hub.asked if method == "GET" and "/resolve/" in path]
    assert sorted(asked) == sorted(there), "each file once"
    assert unfinished(cache) == []

    hub.asked.clear()
    assert lab.load(REPO).tokenizer.chat_template == qwen.tokenizer.chat_template
    assert hub.asked == [("GET", f"/api/models/{REPO}")], "the only question is whether there is a newer commit"


def test_the_cache_is_everybodys(hub: HubServer, cache: Path) -> None:
    """huggingface_hub finds our files, we find its, and each file has the name that its bytes give it."""
    from huggingface_hub import scan_cache_dir, snapshot_download

    lab.load(REPO)
    hub.asked.clear()
    names = [*SHARDS, *NEEDED]
    assert snapshot_download(REPO, allow_patterns=names, endpoint=hub.endpoint) == str(snapshot(cache))
    assert hub.downloads() == []
    (found,) = scan_cache_dir(cache).repos
    assert found.repo_id == REPO and [r.commit_hash for r in found.revisions] == [COMMIT] and "main" in found.refs
    for path in cache.glob("models--*/blobs/*"):
        data = path.read_bytes()
        assert path.name in {
            hashlib.sha256(data).hexdigest(),
            hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        }

    shutil.rmtree(cache)
    snapshot_download(REPO, endpoint=hub.endpoint)
    hub.asked.clear()
    assert is_the_nano(lab.load(REPO))
    assert hub.downloads() == []


def test_a_token_goes_to_the_hub_and_to_nobody_else(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.gated.add(REPO)
    assert is_the_nano(lab.load(REPO))
    assert hub.tokens == {"hub": {"Bearer hf_secret"}, "cdn": {None}}


def test_a_repository_on_xet_is_read_over_http(hub: HubServer) -> None:
    """Xet would begin a file anew after an interruption; the Hub serves the same files without it."""
    hub.xet = True
    assert is_the_nano(lab.load(REPO))
    assert not any("xet" in path for _, path in hub.asked)


def test_a_mirror_is_named_in_the_call_or_in_the_environment(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT")
    assert is_the_nano(lab.load(REPO, endpoint=hub.endpoint + "/"))
    shutil.rmtree(cache)
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)  # after huggingface_hub was imported, which reads it only then
    assert len(lab.load_tokenizer(REPO)) == 2048
    assert not any(name.endswith(".safetensors") for name in hub.downloads()[-20:] if (snapshot(cache) / name).exists())
    for wrong in ("hf-mirror.example", "ftp://x", 7):
        with pytest.raises(lab.InputError, match="pass the address of a mirror"):
            lab.load(REPO, endpoint=wrong)  # type: ignore[arg-type]


def test_a_tokenizer_comes_without_the_weights(hub: HubServer, cache: Path) -> None:
    tokenizer = lab.load_tokenizer(REPO, revision="main")
    assert len(tokenizer) == 2048 and tokenizer.chat_template == lab.load("nano").tokenizer.chat_template
    assert {path.name for path in snapshot(cache).iterdir()} == NEEDED | {download.INDEX}
    assert is_the_nano(lab.load(REPO)), "and the weights when they are needed"


@pytest.mark.parametrize("revision", ["main", "refs/pr/1", COMMIT])
def test_revisions(revision: str, hub: HubServer, cache: Path) -> None:
    assert lab.load(REPO, revision=revision).provenance.revision == COMMIT
    hub.asked.clear()
    lab.load(REPO, revision=revision)
    assert len(hub.asked) == (0 if revision == COMMIT else 1), "a commit never changes: no network"
    with pytest.raises(lab.CheckpointError, match=r"has no revision 'v9\.9'; pass a branch"):
        lab.load(REPO, revision="v9.9")


def test_a_newer_commit_shares_what_has_not_changed(hub: HubServer, cache: Path, repository: Path) -> None:
    lab.load(REPO)
    hub.commits[REPO], old = "f" * 40, hub.commits[REPO]
    (repository / "generation_config.json").write_text('{"eos_token_id": [1]}')
    hub.asked.clear()
    assert lab.load(REPO).provenance.revision == "f" * 40
    assert hub.downloads() == ["generation_config.json"]
    hub.commits[REPO] = old
    assert lab.load(REPO).provenance.revision == old


def test_two_revisions_differ_in_the_cache_of_a_machine_without_a_network(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.load(REPO)
    for offline in ("switched off", "server gone"):
        if offline == "switched off":
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        else:
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
            hub.die()
        assert is_the_nano(lab.load(REPO))
        assert lab.load(REPO, revision="main").provenance.revision == COMMIT
        with pytest.raises(
            lab.CheckpointError, match="not completely in the local cache and the Hub cannot be reached"
        ):
            lab.load(REPO, revision="refs/pr/1")
        with pytest.raises(lab.CheckpointError, match=r"is not in the local cache .*did you mean 'Qwen/Qwen3.5-0.8B'"):
            lab.load("Qwen/Qwen3.5-0.8")


# ---------------------------------------------------------------------- connections that break, servers that lie


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_drops_half_way_is_taken_up_again(ranges: bool, hub: HubServer, cache: Path) -> None:
    size = (hub.repositories[REPO] / SHARD).stat().st_size
    hub.faults[SHARD] = Fault(drop_after=size // 2)
    hub.faults["/config.json"] = Fault(drop_after=100)
    if not ranges:
        hub.faults[f"/{SHARD}"] = Fault(times=9, no_ranges=True)
    assert is_the_nano(lab.load(REPO))
    assert hub.sent[SHARD] == (size if ranges else size + size // 2)
    assert unfinished(cache) == []


def test_a_download_goes_on_where_an_earlier_one_was_given_up(hub: HubServer, cache: Path) -> None:
    size = (hub.repositories[REPO] / SHARD).stat().st_size
    hub.faults[SHARD] = Fault(drop_after=size // 2)
    hub.faults["/" + SHARD] = Fault(times=5, status=503)
    with pytest.raises(lab.CheckpointError, match=f"{SHARD} could not be downloaded .the server answers 503.*is kept"):
        lab.load(REPO)
    parts = [part.stat().st_size for part in unfinished(cache)]  # others may have been on their way, on a busy machine
    assert size // 2 in parts
    hub.faults.clear()
    assert is_the_nano(lab.load(REPO))
    assert hub.sent[SHARD] == size, "no byte came twice"
    assert unfinished(cache) == []


def test_a_rotten_part_of_a_crash_is_thrown_away(hub: HubServer, cache: Path) -> None:
    """Zeros that a file system left, and one part longer than its file."""
    places = {f["path"]: f for f in hub.files(REPO) if "lfs" in f and f["path"] in SHARDS}
    blobs = snapshot(cache).parents[1] / "blobs"
    blobs.mkdir(parents=True)
    for extra, name in zip((-1000, 0, 1000), sorted(places)):
        file = places[name]
        (blobs / f"{file['lfs']['oid']}.incomplete").write_bytes(bytes(file["size"] + extra))
    (blobs / next(f["oid"] for f in hub.files(REPO) if f["path"] == "config.json")).write_bytes(b"{")  # cut short
    assert is_the_nano(lab.load(REPO))
    assert unfinished(cache) == []


def test_damage_in_the_cache_is_mended(hub: HubServer, cache: Path) -> None:
    """A blob that is too short, one that is gone, and a link that is gone."""
    lab.load(REPO)
    first, second, third = sorted(SHARDS)[:3]
    os.truncate((snapshot(cache) / first).resolve(), 100)
    (snapshot(cache) / second).resolve().unlink()
    (snapshot(cache) / third).unlink()
    (snapshot(cache) / "config.json").resolve().unlink()
    hub.asked.clear()
    assert is_the_nano(lab.load(REPO))
    assert set(hub.downloads()) == {first, second, "config.json"}


@pytest.mark.parametrize("name", [SHARD, "tokenizer.json", "config.json"])
def test_wrong_bytes_are_named_and_do_not_enter_the_cache(name: str, hub: HubServer, cache: Path) -> None:
    hub.faults[f"/{name}"] = Fault(flip=True)
    with pytest.raises(
        lab.CheckpointError, match=f"^{name} came with other bytes than its repository promises"
    ) as caught:
        lab.load(REPO)
    assert "\n" not in str(caught.value)
    file = next(f for f in hub.files(REPO) if f["path"] == name)
    assert not any(file.get("lfs", file)["oid"] in path.name for path in cache.rglob("*") if path.suffix != ".lock")
    assert not (snapshot(cache) / name).exists()
    assert is_the_nano(lab.load(REPO)), "the next try fetches it anew"
    assert unfinished(cache) == []


def test_wrong_bytes_after_an_interruption_too(hub: HubServer, cache: Path) -> None:
    size = (hub.repositories[REPO] / SHARD).stat().st_size
    hub.faults[SHARD] = Fault(drop_after=size * 3 // 4, flip=True)
    with pytest.raises(lab.CheckpointError, match="other bytes"):
        lab.load(REPO)
    assert [path for path in unfinished(cache) if path.stat().st_size == size] == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_that_is_busy_is_asked_again(status: int, hub: HubServer) -> None:
    hub.faults[SHARD] = Fault(times=2, status=status, headers={"Retry-After": "0"})
    hub.faults["/config.json"] = Fault(times=1, status=status)
    assert is_the_nano(lab.load(REPO))


def test_a_server_is_waited_for_as_long_as_it_asks(hub: HubServer) -> None:
    hub.faults[SHARD] = Fault(status=429, headers={"Retry-After": "1"})
    began = time.monotonic()
    lab.load(REPO)
    assert time.monotonic() - began > 1
    assert transfer._pause(None, 1) == transfer.PAUSES[1]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_refused_is_named(status: int, hub: HubServer) -> None:
    hub.faults[SHARD] = Fault(times=9, status=status)
    with pytest.raises(
        lab.CheckpointError, match=f"{SHARD} could not be downloaded .the server answers {status}"
    ) as caught:
        lab.load(REPO)
    assert alone(caught.value)


def test_a_server_that_falls_silent_is_given_up(hub: HubServer, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1.5)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 1.5)
    monkeypatch.setattr(transfer, "PAUSES", (0, 0))
    hub.faults[SHARD] = Fault(wait=4)
    assert is_the_nano(lab.load(REPO)), "once is no reason"
    shutil.rmtree(cache)
    hub.faults[SHARD] = Fault(times=99, wait=4)
    with pytest.raises(lab.CheckpointError, match=f"{SHARD} could not be downloaded"):
        lab.load(REPO)
    shutil.rmtree(cache)
    hub.faults[f"/api/models/{REPO}"] = Fault(wait=4)
    with pytest.raises(
        lab.CheckpointError, match=r"not in the local cache and the Hub cannot be reached \(.*time"
    ) as caught:
        lab.load(REPO)
    assert alone(caught.value)


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Qwen/Qwen3.5-0.8", r"The Hub has no Qwen/Qwen3.5-0.8 that you may read; did you mean 'Qwen/Qwen3.5-0.8B'\?"),
        ("qwen/qwen-3.5-9b-base", "did you mean 'Qwen/Qwen3.5-9B-Base'"),
        ("Qwen/Qwen3.5-35B", "did you mean 'Qwen/Qwen3.5-35B-A3B'"),
        ("someone/secret", "check the name, or log in with `hf auth login`"),
        ("a b/c d", "'a b/c d' cannot be the name of a repository"),
        ("Qwen3.5-0.8B", "did you mean 'Qwen/Qwen3.5-0.8B'"),
    ],
)
def test_names_that_lead_nowhere(name: str, words: str, hub: HubServer) -> None:
    with pytest.raises(lab.CheckpointError, match=words) as caught:
        lab.load(name)
    assert "\n" not in str(caught.value) and alone(caught.value)


def alone(error: BaseException) -> bool:
    """Whether a traceback ends with this error, and shows no other above it."""
    return error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)


def test_a_gated_repository_says_where_its_terms_are(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    hub.gated.add(REPO)
    with pytest.raises(lab.CheckpointError, match=f"asks for its terms to be accepted; do so on {hub.endpoint}/{REPO}"):
        lab.load(REPO)


@pytest.mark.parametrize(
    ("status", "words"), [(429, "too many requests"), (503, "it answers 503"), (403, "answers 403")]
)
def test_a_hub_that_does_not_answer_is_replaced_by_the_cache(
    status: int, words: str, hub: HubServer, cache: Path
) -> None:
    hub.faults[f"/api/models/{REPO}"] = Fault(times=1, status=status)
    with pytest.raises(
        lab.CheckpointError, match=f"not in the local cache, and .* does not serve it now .*{words}"
    ) as caught:
        lab.load(REPO)
    assert alone(caught.value)
    lab.load(REPO)
    hub.faults[f"/api/models/{REPO}"] = Fault(times=1, status=status)
    assert is_the_nano(lab.load(REPO))


def test_what_is_no_hub_is_no_mirror(hub: HubServer) -> None:
    with pytest.raises(
        lab.CheckpointError, match="/cdn does not answer as the Hub does; open it in a browser"
    ) as caught:
        lab.load("someone/thing", endpoint=hub.endpoint + "/cdn")
    assert not alone(caught.value), "the sentence is a guess"
    hub.commits[REPO] = "main"
    with pytest.raises(lab.CheckpointError, match="does not say which files"):
        lab.load(REPO)


def test_official_fp8_files_have_names_of_their_own(hub: HubServer, repository: Path, cache: Path) -> None:
    """layers-0 … outside, mtp: the index says so, and nothing else does."""
    names = dict(zip(sorted(SHARDS), ("layers-0", "layers-1", "outside", "mtp"), strict=True))
    for old, new in names.items():
        (repository / old).rename(repository / f"{new}.safetensors")
    index = (repository / download.INDEX).read_text()
    for old, new in names.items():
        index = index.replace(old, f"{new}.safetensors")
    (repository / download.INDEX).write_text(index)
    (repository / "model.extra.safetensors").unlink()
    assert is_the_nano(lab.load(REPO))
    assert {path.stem for path in snapshot(cache).glob("*.safetensors")} == {*names.values()}


def test_a_model_of_another_family_is_refused_before_its_weights_come(hub: HubServer, repository: Path) -> None:
    config = json.loads((repository / "config.json").read_text())
    for change, words in (
        ({"model_type": "llama"}, "`model_type` is 'llama'"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
    ):
        (repository / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(lab.ConfigError, match=words):
            lab.load(REPO)
    assert not any(name.endswith(".safetensors") for name in hub.downloads())


def test_a_repository_without_safetensors_is_refused_before_anything_comes(hub: HubServer, repository: Path) -> None:
    for path in [*repository.glob("*.safetensors"), repository / download.INDEX]:
        path.unlink()
    with pytest.raises(lab.CheckpointError, match=r"no checkpoint in safetensors with a config.json, only .bin, .gguf"):
        lab.load(REPO)
    assert hub.downloads() == []


def test_an_index_that_names_what_is_not_there(hub: HubServer, repository: Path) -> None:
    (repository / SHARD).unlink()
    with pytest.raises(lab.CheckpointError, match=f"lacks {SHARD}, which its own index names"):
        lab.load(REPO)


@pytest.mark.parametrize(
    ("name", "hash", "words"),
    [
        ("../../../../mine.txt", "0" * 64, "which lies outside its folder; do not load it"),
        ("/tmp/mine.txt", "0" * 64, "which lies outside its folder; do not load it"),
        ("..\\..\\mine.txt", "0" * 64, "which lies outside its folder; do not load it"),
        ("D:mine.txt", "0" * 64, "which lies outside its folder; do not load it"),
        ("mine.safetensors", "../../../mine.txt", "does not say which files"),
    ],
)
def test_what_lies_outside_the_cache_is_neither_fetched_nor_removed(
    name: str, hash: str, words: str, hub: HubServer, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server, or whoever made the repository, wants to write where it has no business."""
    (mine := tmp_path / "mine.txt").write_text("kept")
    files = hub.files
    more = {"type": "file", "path": name, "size": 9, "oid": "0" * 40, "lfs": {"oid": hash, "size": 9, "pointerSize": 1}}
    monkeypatch.setattr(hub, "files", lambda repo: [*files(repo), more])
    index = json.loads((repository / download.INDEX).read_text())
    index["weight_map"]["model.norm.weight"] = name
    (repository / download.INDEX).write_text(json.dumps(index))
    with pytest.raises(lab.CheckpointError, match=words) as caught:
        lab.load(REPO)
    assert "\n" not in str(caught.value) and mine.read_text() == "kept"
    assert not {path for path in hub.downloads() if "mine" in path} | SHARDS & {*hub.downloads()}


@pytest.mark.parametrize("field", ["size", "oid"])
def test_a_file_of_which_nothing_is_known_is_not_fetched(
    field: str, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hub.files
    monkeypatch.setattr(hub, "files", lambda repo: [file | {field: None} for file in files(repo)])
    with pytest.raises(lab.CheckpointError, match=r"does not say which files .* has, with sizes and hashes"):
        lab.load(REPO)
    assert hub.downloads() == []


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a b", "a\\b", 3])
def test_a_revision_that_git_could_not_have_is_refused(revision: str, hub: HubServer) -> None:
    with pytest.raises(lab.InputError, match="pass the name of a branch, a tag or a commit"):
        lab.load(REPO, revision=revision)
    assert hub.asked == []


def test_a_token_that_is_not_accepted_is_not_blamed_on_the_hub(hub: HubServer) -> None:
    said = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.faults[f"/api/models/{REPO}"] = Fault(status=401, headers=said)
    with pytest.raises(lab.CheckpointError, match=r"does not accept your token; log in with `hf auth login` again\.$"):
        lab.load(REPO)


def test_a_server_that_always_begins_anew_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks off now here, now there, and is never further than it was."""
    lengths = [3, 2] * 10

    def pieces(url: str, have: int) -> Iterator[tuple[int, bytes]]:
        if not lengths:
            pytest.fail("it asks for ever")
        yield 0, b"x" * lengths.pop()
        raise ConnectionError("it hung up")

    monkeypatch.setattr(transfer, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(transfer, "_pieces", pieces)
    remote = transfer.Remote("model.safetensors", "", 4, "0" * 64)
    with pytest.raises(lab.CheckpointError, match=r"could not be downloaded \(it hung up\); try again"):
        transfer.fetch(remote, tmp_path / "blob", tmp_path / "lock", lambda count: None, Event())
    assert len(lengths) > 10 and not (tmp_path / "blob").exists()


# ---------------------------------------------------------------------- disks


def test_a_disk_without_space_is_noticed_before_the_first_byte(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9, 4_000_000))
    with pytest.raises(lab.CheckpointError, match=r"needs 9\.\d+ MB more, and the disk of .* has 4 MB; free some"):
        lab.load(REPO)
    assert hub.downloads() == [] and not cache.exists()
    assert len(lab.load_tokenizer(REPO)) == 2048, "for which there is space"


def test_a_disk_that_fills_up_leaves_a_clean_cache(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, room = transfer._Part.put, [3_000_000]

    def full(part: transfer._Part, at: int, piece: bytes) -> None:
        room[0] -= len(piece)
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        put(part, at, piece)

    monkeypatch.setattr(transfer._Part, "put", full)
    with pytest.raises(
        lab.CheckpointError, match=r"could not be written to .*No space left on device.*free some"
    ) as caught:
        lab.load(REPO)
    assert "\n" not in str(caught.value)
    assert unfinished(cache) == []
    finished = blobs(cache)
    monkeypatch.undo()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    hub.asked.clear()
    assert is_the_nano(lab.load(REPO, endpoint=hub.endpoint))
    assert not set(hub.downloads()) & {
        path.name for path in snapshot(cache).iterdir() if path.resolve().name in finished
    }


ONE_LOAD = """
import os, sys
import qwen35_lab as lab
print("ready", flush=True)
try:
    qwen = lab.load(sys.argv[1])
except lab.CheckpointError as error:
    sys.exit(f"refused: {error}")
print("loaded", sum(float(p.double().sum()) for p in qwen.model.parameters()), flush=True)
if len(sys.argv) > 2:  # once more, as somebody who may read the cache and not write to it
    if os.geteuid() == 0:
        os.seteuid(65534)
    for name in sys.argv[2:]:
        try:
            print("loaded", lab.load(name).provenance.revision)
        except lab.CheckpointError as error:
            print("refused", error)
"""


def another_process(hub: HubServer, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    settings = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(cache.parent), "HF_HUB_CACHE": str(cache)}
    settings["HF_HUB_OFFLINE"] = "0"
    return subprocess.Popen(
        [sys.executable, "-c", ONE_LOAD, REPO, *arguments], env=os.environ | settings, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_process_that_is_stopped_leaves_what_the_next_one_needs(
    blow: signal.Signals, hub: HubServer, cache: Path
) -> None:
    size = (hub.repositories[REPO] / SHARD).stat().st_size
    hub.faults[SHARD] = Fault(pause=0.3)
    process = another_process(hub, cache)
    wait_for(lambda: hub.sent[SHARD] > size // 4)
    process.send_signal(blow)
    _, words = process.communicate(timeout=200)
    assert hub.sent[SHARD] < size, "it ends at once"
    assert process.returncode != 0 and ("KeyboardInterrupt" in words) == (blow == signal.SIGINT)
    parts = {path.stat().st_size for path in unfinished(cache)}
    assert parts and not (cache / "models--Qwen--Qwen3.5-0.8B" / "refs" / "main").exists()
    hub.starts.clear()
    assert is_the_nano(lab.load(REPO))
    (start,) = [start for name, start in hub.starts if name == SHARD]
    assert 0 < start < size and start in parts
    assert unfinished(cache) == []


def test_two_processes_download_each_file_once(hub: HubServer, cache: Path) -> None:
    for name in SHARDS:
        hub.faults[name] = Fault(pause=0.01)
    both = [another_process(hub, cache) for _ in range(2)]
    told = [process.communicate(timeout=250) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert told[0][0] == told[1][0]
    assert {name: hub.sent[name] for name in SHARDS} == {n: (hub.repositories[REPO] / n).stat().st_size for n in SHARDS}
    assert is_the_nano(lab.load(REPO)) and unfinished(cache) == []


def test_a_cache_that_may_only_be_read(hub: HubServer, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is loaded; what is not there is refused in a sentence."""
    hub.repositories["someone/copy"], hub.commits["someone/copy"] = published, COMMIT
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders cannot be entered by others
        Path(folder).chmod(0o755)
        cache = Path(folder, "cache")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        lab.load(REPO)
        for path in (cache, *(p for p in cache.rglob("*") if p.is_dir())):
            path.chmod(0o555)
        told, words = (process := another_process(hub, cache, REPO, "someone/copy")).communicate(timeout=200)
        for path in (cache, *(p for p in cache.rglob("*") if p.is_dir())):
            path.chmod(0o755)
        assert process.returncode == 0, words
        *_, read, refused = told.splitlines()
        assert read == f"loaded {COMMIT}"
        assert re.match(r"refused .* could not be written to .*Permission denied.*set HF_HOME to a folder", refused)


def test_the_bar_counts_bytes_that_come_and_those_that_have_come(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = []

    class Bar(download.tqdm):
        def __init__(self, *args: object, **settings: object):
            super().__init__(*args, **settings)
            bars.append(self)

    monkeypatch.setattr(download, "tqdm", Bar)
    whole = sum((hub.repositories[REPO] / name).stat().st_size for name in SHARDS)
    hub.faults[SHARD] = Fault(drop_after=1_000_000)
    hub.faults["/" + SHARD] = Fault(times=4, status=503)
    with pytest.raises(lab.CheckpointError):
        lab.load(REPO)
    hub.faults.clear()
    capsys.readouterr()
    lab.load(REPO)
    big = [bar for bar in bars if bar.total > 1e6]
    assert big[0].total == whole and big[0].desc == REPO
    assert big[-1].n == big[-1].total <= whole, "what was there counts, and nothing counts twice"
    shown = capsys.readouterr().err
    assert "B/s" in shown and "Fetching" not in shown and "Reconstruct" not in shown
    shutil.rmtree(cache)
    monkeypatch.setattr("huggingface_hub.utils.are_progress_bars_disabled", lambda: True)
    capsys.readouterr()
    lab.load(REPO)
    assert capsys.readouterr().err == ""
