"""The models: which of the shipped ones are whole, and which of the eight would fit this machine."""

from collections.abc import Iterator
from typing import Any

import torch

from .. import memory
from ..analysis.devices import Device
from ..analysis.fit import CONTEXTS, PRECISIONS, will_it_fit
from ..checkpoint import read_model
from ..config import ModelConfig
from ..errors import LabError
from ..family import OFFICIAL, load_config
from ..paths import data_path
from .report import Finding

TOPIC = "models"


def look() -> Iterator[Finding]:
    yield shipped()
    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    for place in (
        Device("memory of this machine", memory.free(torch.device("cpu")), "cpu"),
        *(Device(f"GPU {n}", torch.cuda.mem_get_info(n)[0]) for n in gpus),
    ):
        yield family_fits(place)
        yield mixtures_on_disk(place)


def shipped() -> Finding:
    """Read every model that ships, strictly: each tensor there, none too many, all of the right shape."""
    folders = sorted(path.parent for path in data_path().glob("*/model.safetensors"))
    faults = {}
    for folder in folders:
        try:
            read_model(folder, ModelConfig.from_file(folder))
        except LabError as error:
            faults[folder.name] = str(error)
    value = {"whole": [folder.name for folder in folders if folder.name not in faults], "faults": faults}
    if faults or not folders:
        says = " ".join(faults.values()) or "There is none: the data of this package are missing."
        return Finding(TOPIC, "shipped models", "problem", says, "Install the package again, or `git restore data`.",
                       value)  # fmt: skip
    return Finding(TOPIC, "shipped models", "fine", f"{', '.join(value['whole'])} are whole.", value=value)


def family_fits(place: Device) -> Finding:
    """A table: for each of the eight and each precision, the longest of `CONTEXTS` that fits into what is free."""
    rows = [fit for name in OFFICIAL for dtype in PRECISIONS for fit in _fits(name, dtype, place)]
    longest = {}
    for row in rows:
        key = row["model"], row["dtype"]
        longest[key] = max(longest.get(key, 0), row["context"] if row["fits"] else 0)
    lines = ["model".ljust(18) + "".join(dtype.rjust(10) for dtype in PRECISIONS)]
    for name in OFFICIAL:
        cells = (longest[name, dtype] for dtype in PRECISIONS)
        lines.append(name.ljust(18) + "".join((f"{n // 1024}k" if n else "–").rjust(10) for n in cells))
    count = sum(longest[name, PRECISIONS[-1]] > 0 for name in OFFICIAL)
    says = f"{count} of the eight fit, in four bits, into the {memory.in_words(place.bytes)} that are free. "
    tried = ", ".join(f"{n // 1024}k" for n in CONTEXTS)
    says += f"The longest of {tried} tokens (k: 1,024), in an engine that computes in such weights; this package holds "
    says += "FP8 in 16 bits:\n" + "\n".join(lines)
    fix = "lab.will_it_fit(…) has it term by term." if count else "Free some memory; the shipped models need little."
    return Finding(TOPIC, f"what fits, {place.name}", "fine" if count else "note", says, fix, rows)


def mixtures_on_disk(place: Device) -> Finding:
    """The longest of `CONTEXTS` that fits where routed experts stay in their files, for each mixture of experts."""
    rows = [
        {**fit, "experts": "disk"}
        for name in OFFICIAL
        if load_config(name).text.is_moe
        for fit in _fits(name, "bfloat16", place, experts="disk")
    ]
    longest = {row["model"]: 0 for row in rows} | {row["model"]: row["context"] for row in rows if row["fits"]}
    told = ", ".join(f"{name} {f'up to {n // 1024}k' if n else 'not'}" for name, n in longest.items())
    says = "Mixtures whose experts stay in their files, with room for those of one token, in bfloat16: "
    fix = "lab.load(…, experts='disk'); what expert_budget= adds to that room makes it quicker." * any(longest.values())
    return Finding(TOPIC, f"experts on disk, {place.name}", "fine", f"{says}{told}.", fix, rows)


def _fits(name: str, dtype: str, place: Device, experts: str = "memory") -> Iterator[dict[str, Any]]:
    for context in CONTEXTS:
        found = will_it_fit(name, dtype, context, device=place, experts=experts)
        yield {"model": name, "dtype": dtype, "context": context, "bytes": found.total, "fits": found.fits}
