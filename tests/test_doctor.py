"""The doctor: it sees what is planted, says how to mend it, survives what is broken, and changes nothing."""

import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from importlib.metadata import version
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement

import qwen35_lab as lab
from qwen35_lab import doctor as front_door
from qwen35_lab.analysis import Device
from qwen35_lab.cli import main
from qwen35_lab.doctor import kernels, machine, models, offline, traps, versions, widgets
from qwen35_lab.doctor.report import STATES, Finding, Report

QUICK = ["versions", "kernels", "machine", "traps", "widgets", "files and the Hub"]
PROBES = sys.modules["qwen35_lab.doctor"].PROBES


@pytest.fixture(scope="module")
def report():
    return lab.doctor()


# ------------------------------------------------------------------------- the report


def test_every_finding_is_a_sentence_with_a_state_and_a_fix_where_one_is_due(report):
    assert lab.doctor is front_door and list(report.topics()) == list(PROBES)
    assert len({finding.name for finding in report}) == len(report) > 20
    for finding in report:
        assert finding.state in STATES
        assert finding.says.split("\n")[0].endswith((".", ":")), finding
        assert finding.state == "fine" or finding.fix, finding


def test_as_json_it_has_the_shape_that_the_docstring_says(report):
    data = json.loads(report.to_json())
    assert set(data) == {"format", "package", "counts", "findings"} and data["format"] == 1
    assert sum(data["counts"].values()) == len(data["findings"]) == len(report)
    for finding in data["findings"]:
        assert set(finding) == {"topic", "name", "state", "says", "fix", "value"}


def test_it_reads_as_text_and_as_html(report):
    text, html = repr(report), report._repr_html_()
    assert max(map(len, text.splitlines())) <= 120
    for finding in report:
        assert finding.name in text and finding.name in html
    bad = Report([Finding("a", "b<", "problem", "It is <broken>.", "mend & go")], "1")._repr_html_()
    assert "&lt;broken&gt;" in bad and "mend &amp; go" in bad and "<details open>" in bad


def test_it_is_found_by_name_and_by_place(report):
    assert report["torch"].topic == "versions" and report[0] is next(iter(report))
    assert "torch" in report and "tensorflow" not in report
    with pytest.raises(lab.InputError, match="no finding 'tensorflow'"):
        report["tensorflow"]


def test_topics_can_be_chosen():
    assert {finding.topic for finding in lab.doctor("traps")} == {"traps"}
    assert list(lab.doctor(["traps", "machine"]).topics()) == ["traps", "machine"]
    with pytest.raises(lab.InputError, match="no topic 'weather'"):
        lab.doctor("weather")


def test_a_probe_that_fails_is_a_finding_and_the_others_go_on(monkeypatch):
    def broken():
        yield Finding("kernels", "first", "fine", "It works.")
        raise OSError("no such library\nand more")

    monkeypatch.setitem(PROBES, "kernels", broken)
    found = lab.doctor(["kernels", "traps"])
    assert found["first"].state == "fine"
    failed = found["kernels: failed"]
    assert failed.state == "problem" and "OSError: no such library" in failed.says and "\n" not in failed.says
    assert found["default dtype"].state == "fine"


def test_it_changes_nothing():
    def settings():
        return (torch.get_default_dtype(), torch.get_num_threads(), torch.get_float32_matmul_precision(),
                torch.backends.cuda.flash_sdp_enabled(), torch.is_grad_enabled(), torch.get_rng_state().tolist(),
                dict(os.environ), sorted(os.listdir()))  # fmt: skip

    before = settings()
    lab.doctor(QUICK)
    assert settings() == before


@pytest.mark.parametrize("topic", QUICK)
def test_every_probe_survives_broken_modules(topic, monkeypatch):
    """Whatever cannot be imported or read: a finding, not an exception."""

    def refuse(*args, **options):
        raise RuntimeError("broken")

    for module, name in ((torch, "get_num_threads"), (torch, "_fused_sdp_choice"), (torch, "get_default_dtype"),
                         (versions.metadata, "version"), (offline, "_cache"), (widgets, "_installed")):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    assert f"{topic}: failed" in lab.doctor(topic)


# ------------------------------------------------------------------------- the command line


def test_the_command_says_the_same(capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["qwen35_lab.doctor"], "PROBES", {"traps": traps.look})
    assert main(["doctor"]) == 0
    assert "default dtype: float32" in capsys.readouterr().out
    torch.set_default_dtype(torch.float64)
    try:
        assert main(["doctor", "--json"]) == 1
    finally:
        torch.set_default_dtype(torch.float32)
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["problem"] == 1 and found["findings"][0]["value"] == "float64"


@pytest.mark.slow
def test_it_works_from_outside_without_a_network(tmp_path):
    command = [sys.executable, "-m", "qwen35_lab", "doctor", "--json"]
    env = os.environ | {"PYTHONPATH": os.getcwd(), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "new")}
    found = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    findings = {finding["name"]: finding for finding in json.loads(found.stdout)["findings"]}
    assert findings["Hub"]["value"]["offline"] and not (tmp_path / "new").exists(), "it made nothing"
    assert findings["front end"]["value"] == {"front_end": None, "kernel": False}
    assert found.returncode == any(f["state"] == "problem" for f in findings.values())


# ------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    "found, state, said",
    [
        ("2.13.0", "fine", "tested with 2.13.0"),
        ("2.11.0+cu128", "fine", "2.11.0+cu128"),
        ("2.10.0", "problem", ">=2.11 is needed"),
        (None, "problem", "not installed"),
        ("3.0.0", "note", "newer series"),
    ],
)
def test_versions_are_judged(found, state, said):
    finding = versions.judge("torch", found, Requirement("torch>=2.11"), "2.13.0")
    assert finding.state == state and said in finding.says
    assert (state == "fine") == (not finding.fix)


def test_tested_versions_are_those_of_the_constraints():
    tested = versions.tested_versions()
    assert set(versions.LOOKED_AT) <= set(tested) and re.match(r"\d+\.\d+", tested["torch"])


def test_one_line_says_that_all_is_there_or_what_to_type(monkeypatch):
    said = versions.ready()
    assert re.match(r"qwen35_lab \S+ is ready", said) and version("torch") in said
    have = versions.installed
    monkeypatch.setattr(versions, "installed", lambda name: {"peft": "0.1", "jupyterlab": None}.get(name, have(name)))
    assert "%pip install --no-deps 'peft>=0.19' in" in versions.ready()


def test_an_extra_brings_what_the_extras_in_it_ask_for():
    assert {"peft", "torchao", "llguidance"} == versions.required("suite").keys() - versions.required().keys()
    assert "pytest" not in versions.required("suite")


@pytest.mark.parametrize(
    "found, state", [("3.10.4", "problem"), ("3.11.9", "fine"), ("3.13.0", "fine"), ("3.15.1", "note")]
)
def test_pythons_are_judged(found, state):
    assert versions._python(found).state == state


# ------------------------------------------------------------------------- kernels


def test_a_fused_kernel_that_is_switched_off_is_seen_and_the_fix_mends_it():
    assert kernels.attention_kernel().state == "fine"
    torch.backends.cuda.enable_flash_sdp(False)
    try:
        sick = kernels.attention_kernel()
        assert sick.state == "problem" and sick.value["backend"] == "MATH" and "flash is switched off" in sick.says
        exec(sick.fix)
        assert kernels.attention_kernel().state == "fine"
    finally:
        torch.backends.cuda.enable_flash_sdp(True)


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    assert kernels._compiler().state == "note"
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    assert "TORCHDYNAMO_DISABLE" in kernels._compiler().says


@pytest.mark.parametrize("cuda, there, state", [(False, True, "fine"), (True, True, "fine"), (True, False, "note")])
def test_gpu_kernels_matter_only_with_a_gpu(monkeypatch, cuda, there, state):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(kernels, "find_spec", lambda name: object() if there else None)
    assert kernels._optional("fla", "flash-linear-attention", "the delta rule as a CUDA kernel").state == state


# ------------------------------------------------------------------------- machine


@pytest.mark.parametrize("used, cores, state", [(4, 2, "problem"), (1, 8, "note"), (1, 2, "fine"), (8, 8, "fine")])
def test_threads_are_judged(used, cores, state):
    finding = machine.threads(used, cores)
    assert finding.state == state and finding.value == {"threads": used, "cores": cores}


def test_a_containers_quota_counts(monkeypatch, tmp_path):
    monkeypatch.setattr(machine.memory, "CGROUPS", tmp_path)
    without = machine.usable_cores()
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert machine.usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores() == without


def test_little_memory_is_a_problem():
    assert machine._memory(1e9, 8e9).state == "problem" and machine._memory(5e9, 8e9).state == "fine"


@pytest.mark.parametrize("capability, state", [((7, 5), "note"), ((9, 0), "fine")])
def test_a_gpu_that_cannot_compute_in_bfloat16_is_noted(monkeypatch, capability, state):
    gpu = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 1, mem_get_info=lambda n: (5e9, 6e9),
        get_device_name=lambda n: "GTX", get_device_capability=lambda n: capability,
    )  # fmt: skip
    monkeypatch.setattr(machine.torch, "cuda", gpu)
    (finding,) = machine._gpus()
    assert finding.name == "GPU 0" and finding.state == state and "5 GB of 6 GB" in finding.says


# ------------------------------------------------------------------------- traps


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_changed_default_dtype_is_seen_and_the_fix_mends_it(dtype):
    torch.set_default_dtype(dtype)
    try:
        sick = lab.doctor("traps")["default dtype"]
        assert sick.state == "problem" and sick.value in str(dtype)
        exec(sick.fix)
        assert traps.default_dtype().state == "fine"
    finally:
        torch.set_default_dtype(torch.float32)


def test_rounded_products_are_noted():
    torch.set_float32_matmul_precision("medium")
    try:
        assert traps.matmul_precision().state == "note"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_slow_bfloat16_is_noted():
    assert traps.bfloat16(3.0, 1.0).state == "note" and "3.0 times" in traps.bfloat16(3.0, 1.0).says
    assert traps.bfloat16(0.5, 1.0).state == "fine" and min(traps.times()) > 0


def test_variables_are_told_with_what_they_do():
    assert traps.environment({}).value == {}
    assert traps.environment({"OMP_NUM_THREADS": "1", "HOME": "x"}).value == {"OMP_NUM_THREADS": "1"}
    forced = traps.environment({"VLLM_ATTENTION_BACKEND": "XFORMERS"})
    assert forced.state == "note" and "unset VLLM_ATTENTION_BACKEND" in forced.fix


# ------------------------------------------------------------------------- widgets, files, the Hub


@pytest.mark.parametrize(
    "variables, modules, kernel, place",
    [
        ({}, set(), False, ""),
        ({}, set(), True, "Jupyter"),
        ({"VSCODE_PID": "1"}, set(), True, "VS Code"),
        ({"VSCODE_PID": "1"}, set(), False, ""),
        ({"COLAB_RELEASE_TAG": "x"}, set(), True, "Colab"),
        ({}, {"google.colab"}, True, "Colab"),
    ],
)
def test_the_front_end_is_told_apart(monkeypatch, variables, modules, kernel, place):
    monkeypatch.setattr(widgets, "has_kernel", lambda: kernel)
    assert widgets.where(variables, modules) == place
    assert widgets.front_end(place).value["kernel"] == bool(place)


def test_a_missing_extension_is_a_problem_where_a_page_waits_for_it(monkeypatch):
    monkeypatch.setattr(widgets, "_installed", lambda folder: None)
    states = {place: widgets.extension("anywidget", "anywidget", place).state for place in ("", "Jupyter", "Colab")}
    assert states == {"": "note", "Jupyter": "problem", "Colab": "fine"}


def test_offline_is_seen_and_a_hub_that_does_not_answer_too(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert not offline.switch().value["offline"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert offline.switch().state == "note" and "HF_HUB_OFFLINE" in offline.switch().says
    gone = offline.reach("http://127.0.0.1:9")  # nobody listens there
    assert gone.state == "note" and gone.value is False and "does not answer" in gone.says


def test_the_hub_is_asked_only_if_told_to(monkeypatch):
    asked = []
    monkeypatch.setattr(offline.urllib.request, "urlopen", lambda *a, **k: asked.append(a) or nullcontext())
    assert "Hub reachable" not in lab.doctor("files and the Hub") and not asked
    assert lab.doctor("files and the Hub", hub=True)["Hub reachable"].state == "fine" and asked


def test_a_full_disk_and_a_locked_folder_are_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(offline.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e9))
    assert offline._room(tmp_path / "not" / "there").state == "note"
    monkeypatch.setattr(offline.os, "access", lambda folder, mode: False)
    assert offline._room(tmp_path).state == "problem"


def test_weights_in_the_cache_are_named(tmp_path):
    folder = tmp_path / "models--Qwen--Qwen3.5-2B" / "snapshots" / "abc"
    folder.mkdir(parents=True)
    assert offline._cached(tmp_path).value == []
    (folder / "model.safetensors").touch()
    assert offline._cached(tmp_path).value == ["Qwen3.5-2B"]


# ------------------------------------------------------------------------- models


def test_a_damaged_model_is_named(monkeypatch, tmp_path):
    lab.load("recall").save(tmp_path / "good")
    lab.load("recall").save(tmp_path / "bad")
    weights = tmp_path / "bad" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    monkeypatch.setattr(models, "data_path", lambda: tmp_path)
    found = models.shipped()
    assert found.state == "problem" and found.value["whole"] == ["good"] and list(found.value["faults"]) == ["bad"]


def test_the_table_of_what_fits_is_will_it_fits(report):
    found = models.family_fits(Device("here", 25e9, "cpu"))
    assert len(found.value) == 8 * 4 * 3 and "Qwen3.5-397B-A17B" in found.says
    for row in found.value[::7]:
        told = lab.will_it_fit(row["model"], row["dtype"], row["context"], device=Device("here", 25e9, "cpu"))
        assert (row["bytes"], row["fits"]) == (told.total, told.fits)
    assert re.search(r"Qwen3.5-9B +32k .*\nQwen3.5-27B +– +– +– +\d", found.says)
    stored = models.mixtures_on_disk(Device("here", 25e9, "cpu"))
    assert {row["model"] for row in stored.value} == {"Qwen3.5-35B-A3B", "Qwen3.5-122B-A10B", "Qwen3.5-397B-A17B"}
    for row in stored.value:
        told = lab.will_it_fit(row["model"], context=row["context"], device=Device("x", 25e9, "cpu"), experts="disk")
        assert (row["bytes"], row["fits"]) == (told.total, told.fits)
    assert "Qwen3.5-35B-A3B up to 256k, " in stored.says and stored.says.endswith("Qwen3.5-397B-A17B not.")
    assert "experts='disk'" in stored.fix and not models.mixtures_on_disk(Device("here", 0.0, "cpu")).fix
    nothing = models.family_fits(Device("here", 0.0, "cpu"))
    assert nothing.state == "note" and not any(row["fits"] for row in nothing.value)
