"""A copy of a model with one mistake in it, to be found by comparing traces.

The weights are shared with the original and untouched: the mistake is in the code of one module, where comparing
parameters finds nothing. Each is one that people have really made.
"""

import copy
import difflib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from ..config import FULL, LINEAR
from ..errors import InputError
from ..model.deltanet import CausalConv
from ..model.mlp import SwiGLU
from ..model.norm import GatedRMSNorm, RMSNorm, rms_normalise, wide
from ..model.taps import Tap
from ..qwen import Qwen
from .numbers import shown


def _plain_weight(norm: RMSNorm, x: Tensor) -> Tensor:
    return (rms_normalise(wide(x), norm.eps) * wide(norm.weight)).to(x.dtype)


def _conv_reversed(conv: CausalConv, x: Tensor, state: Tensor | None, real: Tensor | None) -> tuple[Tensor, Tensor]:
    flipped = CausalConv(1, 1)
    flipped.weight = nn.Parameter(conv.weight.flip(-1), requires_grad=False)
    return flipped.forward(x, state, real)


def _gate_first(norm: GatedRMSNorm, x: Tensor, gate: Tensor) -> Tensor:
    gated = wide(x) * norm.activate(wide(gate))
    return (rms_normalise(gated, norm.eps) * wide(norm.weight)).to(gate.dtype)


def _not_normalised(norm: RMSNorm, x: Tensor) -> Tensor:
    return (wide(x) * (1 + wide(norm.weight))).to(x.dtype)


def _wrong_branch(ffn: SwiGLU, x: Tensor) -> Tensor:
    return ffn.out(ffn.down_proj(ffn.gate_proj(x) * F.silu(ffn.up_proj(x))))


@dataclass(frozen=True)
class Bug:
    module: str  # inside a layer
    forward: Callable[..., Tensor | tuple[Tensor, Tensor]]  # takes the module first
    story: str
    kind: str | None = None  # layers that have the module; None for all


BUGS = (
    Bug("mixer_norm", _plain_weight, "it multiplies by w where this family multiplies by 1 + w"),
    Bug("mixer.conv", _conv_reversed, "its kernel runs backwards in time", LINEAR),
    Bug("mixer.norm", _gate_first, "it applies the gate before the norm, which then undoes much of it", LINEAR),
    Bug("mixer.k_norm", _not_normalised, "it forgets to divide by the root mean square", FULL),
    Bug("ffn_norm", _plain_weight, "it multiplies by w where this family multiplies by 1 + w"),
    Bug("ffn", _wrong_branch, "it activates the up branch instead of the gate"),
)


def plant(qwen: Qwen, seed: int) -> Qwen:
    """A copy of `qwen` that shares its weights and has one wrong module; the same one for the same seed."""
    bug = BUGS[seed % len(BUGS)]
    layers = [n for n, kind in enumerate(qwen.config.text.layer_types) if bug.kind in (None, kind)]
    if not layers or (bug.module == "ffn" and qwen.config.text.is_moe):
        raise InputError(f"This model has no place for the mistake of seed {seed}; try another seed.")
    name = f"layers.{random.Random(seed).choice(layers)}.{bug.module}"
    shared = {id(tensor): tensor for tensor in qwen.model.parameters()}
    model = copy.deepcopy(qwen.model, shared)
    module = model.get_submodule(name)
    module.forward = lambda *args: bug.forward(module, *args)
    broken = Qwen(model, qwen.config, replace(qwen.provenance, name=f"{qwen.provenance.name} with a mistake"))
    broken.folder, broken.report = qwen.folder, qwen.report
    return broken


def planted(qwen: Qwen) -> tuple[str, Bug] | None:
    """The module that was made wrong, and how; None for a model without a planted mistake."""
    for name, module in qwen.model.named_modules():
        if "forward" in vars(module):
            part = name.split(".", 2)[2]
            return name, next(bug for bug in BUGS if bug.module == part)
    return None


PARTS = ("mixer_norm", "mixer", "ffn_norm", "ffn")  # of a layer, in the order in which they run


def check_planted(answer: object, given: object) -> tuple[bool, str]:
    """Judge the name of a module against the planted mistake."""
    if not isinstance(given, Qwen) or (found := planted(given)) is None:
        return False, "Pass the broken model too: lab.check(…, your_answer, given=broken)."
    truth, bug = found
    if not isinstance(answer, str):
        return False, 'Answer with the name of a module, for example "layers.0.mixer.out_proj".'
    modules = dict(given.model.named_modules())
    name = answer.strip().removeprefix("model.")
    if name == truth:
        return True, f"`{truth}` it is: {bug.story}."
    if name not in modules or not name:
        return False, _no_module(answer, name, given)
    if isinstance(modules[name], Tap):
        return False, f"`{name}` is a value. Which module makes it? `print(broken.model)` shows the modules of a layer."
    if truth.startswith(f"{name}."):
        return False, f"The mistake is inside `{name}`: name the part of it that is wrong."
    if name.startswith(f"{truth}."):
        return False, f"`{name}` itself is right; look at the module it is a part of."
    here, there = _place(name), _place(truth)
    if here == there:
        return False, (
            f"The right half of the right layer, but `{name}` works as it should. "
            "Which of the values made there differ, and which do not?"
        )
    if here < there:
        return False, f"Up to `{name}` and in it, both models still agree; the mistake comes later."
    return False, f"`{name}` works as it should: what it is given is wrong already. The mistake comes earlier."


def _no_module(answer: str, name: str, broken: Qwen) -> str:
    if name in dict(broken.model.named_parameters()):
        return f"`{name}` is a weight, and both models share their weights; name the module whose code is wrong."
    modules = [each for each, module in broken.model.named_modules() if each and not isinstance(module, Tap)]
    near = difflib.get_close_matches(name, modules, n=1)
    hint = f"did you mean `{near[0]}`?" if near else 'a name looks like "layers.0.mixer.out_proj".'
    return f"The model has no module {shown(answer)}; {hint} `print(broken.model)` shows them all."


def _place(name: str) -> tuple[int, int]:
    """Layer and part of the layer; the embedding comes first, final norm and head last."""
    words = name.split(".")
    if words[0] != "layers":
        return (-1, 0) if words[0].startswith("embed") else (10**6, 0)
    part = words[2] if len(words) > 2 else PARTS[0]
    order = {"input": -1, "after_mixer": 2, "output": 4}
    return int(words[1]), order.get(part, PARTS.index(part) if part in PARTS else 0)
