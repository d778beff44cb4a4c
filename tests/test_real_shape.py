"""Qwen3.5-0.8B with random weights, in the official layout: text, vision and MTP head; loaded, compared, run.

Each step has a process of its own, so that peak memory is that step's alone.
"""

from pathlib import Path

import pytest
from official import raw_config
from official_layout import write_checkpoint
from resident import STATUS, run

import qwen35_lab as lab

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOAD = """
before = status("VmRSS")
qwen = lab.load(sys.argv[1])
loaded = status("VmHWM") - before
touch(qwen)
in_memory = status("VmHWM") - before
ids = torch.arange(40) * 1000
new = qwen.generate(ids, max_new_tokens=8).tolist()
print(json.dumps({"loaded": loaded, "in_memory": in_memory, "running": status("VmHWM") - before, "new": new,
                  "drafted": len(qwen.generate(ids, max_new_tokens=8, speculative=2)), "tensors": qwen.report.tensors,
                  "ignored": len(qwen.report.ignored), "provenance": str(qwen.provenance)}))
"""

PEAK = """
qwen = lab.load(sys.argv[1])
touch(qwen)
qwen.generate(torch.arange(int(sys.argv[2])) * 1000 % 248_000, max_new_tokens=8)
print(json.dumps({"peak": status("VmHWM")}))
"""

COMPARE = """
import transformers
transformers.logging.set_verbosity_error()
ids = torch.randint(0, 248_000, (2, 70), generator=torch.Generator().manual_seed(0))
mask = torch.ones_like(ids)
mask[0, :9] = 0

@torch.no_grad()
def ours(dtype):
    return lab.load(sys.argv[1], dtype=dtype).model(ids, attention_mask=mask, logits_to_keep=20).logits.float()

def reference(dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=dtype).eval()

@torch.no_grad()
def theirs(model):
    return model(input_ids=ids, attention_mask=mask, logits_to_keep=20).logits.float()

model = reference(torch.float32)
truth = theirs(model)
found = {"float32": (ours("float32") - truth).abs().max().item(), "scale": truth.abs().max().item()}
prompt = torch.arange(40)[None] * 1000
found["greedy"] = model.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None)[0, 40:].tolist()
found["our greedy"] = lab.load(sys.argv[1], dtype="float32").generate(prompt, max_new_tokens=8).tolist()
del model
found["bfloat16"] = (ours("bfloat16") - truth).abs().mean().item()
found["their bfloat16"] = (theirs(reference(torch.bfloat16)) - truth).abs().mean().item()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("shape") / "random-0.8B"
    write_checkpoint(target, raw_config("Qwen3.5-0.8B"))
    return target


def test_loading_takes_no_more_memory_than_the_file(folder: Path) -> None:
    if not STATUS.exists():
        pytest.skip("peak memory is read from /proc")
    (file,) = folder.glob("*.safetensors")
    size = file.stat().st_size
    assert file.name == "model.safetensors-00001-of-00001.safetensors"
    assert abs(size - 1_746_942_600) < 20_000, "the published file's size, but for the length of its header"
    found = run(LOAD, folder)
    ratios = {key: round(found[key] / size, 3) for key in ("loaded", "in_memory", "running")}
    print(ratios)
    assert found["in_memory"] <= 1.2 * size, ratios
    assert len(found["new"]) == 8 and found["ignored"] == 0, "the vision tower and the MTP head are read too"
    assert found["tensors"] == 320 + 153 + 15 and found["drafted"] == 8
    assert found["provenance"].startswith("OTHER · random-0.8B · bfloat16")


@pytest.mark.parametrize("tokens", [40, 900])
def test_it_takes_what_was_told_before_it_was_there(folder: Path, tokens: int) -> None:
    """Resident bytes of a process of its own, against `will_it_fit`: at most 10 % too little, or 25 % too much.

    The files that transformers writes have no MTP head, and their tower is in memory like the rest.
    """
    if not STATUS.exists():
        pytest.skip("peak memory is read from /proc")
    told = lab.will_it_fit("Qwen3.5-0.8B", context=tokens + 8)
    predicted = told.total - told.terms["MTP head"]
    found = run(PEAK, folder, tokens)["peak"]
    print({"predicted": predicted, "measured": found, "ratio": round(predicted / found, 3)})
    assert 0.9 * found <= predicted <= 1.25 * found


def test_it_equals_transformers(folder: Path) -> None:
    found = run(COMPARE, folder)
    print(found)
    assert found["float32"] <= 1e-4 * max(1, found["scale"])
    assert found["our greedy"] == found["greedy"]
    assert found["bfloat16"] <= 1.1 * found["their bfloat16"], "bfloat16 is further from float32 than transformers' is"
