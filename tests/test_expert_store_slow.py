"""A checkpoint of more than 6 GB at the widths of Qwen3.5-35B-A3B, in a process that takes at most 1.5 GB for it."""

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from official import raw_config
from official_layout import write_checkpoint

from qwen35_lab.memory import free

LAYERS = ["linear_attention", "linear_attention", "linear_attention", "full_attention"]

RUN = """
import json, sys
import torch
import qwen35_lab as lab

def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024

ids = torch.randint(0, 20_000, (1, 12), generator=torch.Generator().manual_seed(0))
lab.generate  # all of the package and of torch is there before it is measured
before = {key: status(key) for key in ("VmRSS", "RssAnon", "RssFile")}
qwen = lab.load(sys.argv[1], experts="disk", expert_budget="400 MB")
print(qwen.report, file=sys.stderr)
with torch.inference_mode():
    logits = qwen.model(ids).logits
new = qwen.generate(ids[0], max_new_tokens=24).tolist()
after = {key: status(key) - before[key] for key in before} | {"peak": status("VmHWM") - before["VmRSS"]}
print(qwen.experts, file=sys.stderr)
whole = lab.load(sys.argv[1])
with torch.inference_mode():
    same = torch.equal(logits, whole.model(ids).logits) and new == whole.generate(ids[0], max_new_tokens=24).tolist()
print(json.dumps(after | {"same": same, "tokens": len(new), "hit rate": qwen.experts.hit_rate,
                          "read": qwen.experts.read, "total": qwen.experts.total,
                          "finite": bool(logits.isfinite().all()), "spread": logits.float().std().item()}))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("apart", ["", "."], ids=["fused", "one by one"])
def test_six_gigabytes_of_experts_run_in_one_and_a_half(apart: str, tmp_path: Path) -> None:
    """`Vm` counts the pages of files that are mapped, too: `RssFile`. The system's cache of files counts for nobody."""
    if (
        not Path("/proc/self/status").exists()
        or shutil.disk_usage(tmp_path).free < 9e9
        or free(torch.device("cpu")) < 4e9
    ):
        pytest.skip("needs Linux, 9 GB of disk and 4 GB of memory")
    raw = deepcopy(raw_config("Qwen3.5-35B-A3B"))
    raw["text_config"] |= {"num_hidden_layers": len(LAYERS), "layer_types": LAYERS, "vocab_size": 20_000,
                           "mtp_num_hidden_layers": 0, "eos_token_id": 0}  # fmt: skip
    raw["vision_config"] |= {"depth": 1}
    raw |= {"image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4}
    folder = tmp_path / "large"
    try:
        write_checkpoint(folder, raw, shards=4, apart=apart)
        assert sum(file.stat().st_blocks * 512 for file in folder.glob("*.safetensors")) > 6e9
        done = subprocess.run([sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True)
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    print(done.stderr, json.dumps(found))
    assert found["same"] and found["tokens"] == 24 and found["finite"] and found["spread"] > 0.1
    assert max(found["peak"], found["VmRSS"], found["RssAnon"]) <= 1.5e9, found
    assert 0.01 < found["hit rate"] < 1 and found["read"] > 100, "the budget was felt; random routers repeat little"
