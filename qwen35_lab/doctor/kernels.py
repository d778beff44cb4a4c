"""Which code computes the two kinds of layers here, and why this one."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch.nn.attention import SDPBackend

from .report import Finding

TOPIC = "kernels"
COMPILERS = ("g++", "clang++", "c++", "cl")
# (package, what it has, who would use it)
OPTIONAL = (
    ("fla", "flash-linear-attention", "the delta rule as a CUDA kernel (Triton)"),
    ("causal_conv1d", "causal-conv1d", "DeltaNet's convolution as a CUDA kernel"),
)


def look() -> Iterator[Finding]:
    yield attention_kernel()
    yield Finding(
        TOPIC, "delta rule", "fine",
        "Ours in PyTorch: in chunks for a text, step by step for one token; a loop when something inside is recorded. "
        "On a CPU without gradients their fast forms.",
        value={"prefill": "chunked", "decode": "recurrent"},
    )  # fmt: skip
    for module, name, what in OPTIONAL:
        yield _optional(module, name, what)
    yield _compiler()


def chosen_backend(device: str = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """The kernel that PyTorch takes for causal attention of this family's shape: "FLASH_ATTENTION", "MATH", …"""
    q, k = (torch.empty(1, heads, 32, 256, device=device, dtype=dtype) for heads in (8, 2))
    choice = torch._fused_sdp_choice(  # pyright: ignore[reportPrivateImportUsage]
        q, k, k, None, 0.0, True, enable_gqa=True
    )
    return next(name for name, member in SDPBackend.__members__.items() if member.value == choice)


def attention_kernel() -> Finding:
    """Which kernel attention runs on; without a fused one the whole map of who reads whom is formed."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backend = chosen_backend(device, torch.bfloat16 if device == "cuda" else torch.float32)
    allowed = {
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "memory-efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
    }
    value, off = {"device": device, "backend": backend, "allowed": allowed}, [n for n, on in allowed.items() if not on]
    if backend != "MATH":
        says = f"Fused on {device} ({backend}): no map of who reads whom is formed."
        return Finding(TOPIC, "attention kernel", "fine", says, value=value)
    why = f"because {' and '.join(off)} is switched off" if off else "because this PyTorch has no fused one here"
    fix = "torch.backends.cuda.enable_flash_sdp(True)" if "flash" in off else "Install a PyTorch build for this device."
    says = f"The fallback on {device} (MATH), {why}: memory and time grow with the square of the text."
    return Finding(TOPIC, "attention kernel", "problem", says, fix, value)


def _optional(module: str, name: str, what: str) -> Finding:
    there, cuda = find_spec(module) is not None, torch.cuda.is_available()
    ours = module == "fla" and there and cuda
    value = {"installed": there, "used": ours}
    if not cuda:
        state = "installed, and without use here" if there else "not installed, and not needed"
        return Finding(TOPIC, name, "fine", f"{state.capitalize()}: {what} runs on NVIDIA GPUs only.", value=value)
    if ours:
        says = f"Installed: 16-bit models take {what}, transformers' and this package's (QWEN35_LAB_FLA=off: not ours)."
        return Finding(TOPIC, name, "fine", says, value=value)
    if there:
        says = f"Installed: transformers can use {what}; this package's own code does not."
        return Finding(TOPIC, name, "fine", says, value=value)
    says = f"Not installed: {what.split(' as ')[0]} is computed in plain PyTorch."
    return Finding(TOPIC, name, "note", says, f"For speed: pip install {name}", value)


def _compiler() -> Finding:
    off = [n for n in ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE") if os.environ.get(n, "0") not in ("0", "")]
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    triton = find_spec("triton") is not None
    value = {"compiler": found and os.path.basename(found), "triton": triton, "switched_off": off}
    if off:
        return Finding(
            TOPIC, "torch.compile", "note", f"Switched off by {' and '.join(off)}.", f"unset {off[0]}", value
        )
    if found is None:
        says = "It has no C++ compiler to work with; this package does not need it."
        return Finding(TOPIC, "torch.compile", "note", says, "Install g++ or clang if you want to compile.", value)
    says = f"It would use {os.path.basename(found)}{' and Triton' if triton else ''}; this package does not need it."
    return Finding(TOPIC, "torch.compile", "fine", says, value=value)
