"""The truth from outside: transformers' own classes, in float32 as published, and lifted to float64.

transformers computes norms, softmaxes and the recurrence in float32 whatever the model's dtype. To compare to 1e-9 its
own source is executed once more with that one thing changed: every float32 in it reads float64.
"""

import copy
import importlib
import inspect
import types
from functools import cache
from typing import Any

import torch
import transformers
from torch import Tensor

from qwen35_lab.checkpoint import name_map, official_name, vision_names
from qwen35_lab.config import ModelConfig
from qwen35_lab.model import Cache, MultimodalModel, TextModel
from qwen35_lab.model.cache import DeltaNetMemory

transformers.logging.set_verbosity_error()

FLOAT64 = (
    ("torch.float32", "torch.float64"),
    (".float()", ".double()"),
    ("dtype=torch.float)", "dtype=torch.float64)"),
    ("dtype=torch.float,", "dtype=torch.float64,"),
)


@cache
def lifted(module: str) -> types.ModuleType:
    """A transformers module with float32 replaced by float64 throughout."""
    original = importlib.import_module(module)
    source = inspect.getsource(original)
    for old, new in FLOAT64:
        source = source.replace(old, new)
    made = types.ModuleType(module + "_float64")
    made.__package__, made.__file__ = original.__package__, original.__file__
    importlib.import_module("sys").modules[made.__name__] = made
    exec(compile(source, made.__name__, "exec"), made.__dict__)
    if module.startswith("transformers.models."):
        made.ROPE_INIT_FUNCTIONS = lifted("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS
    return made


def reference_model(raw: dict[str, Any], dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.nn.Module:
    """transformers' model of a text-only config, with weights at which every parameter matters."""
    family = "qwen3_5_moe" if raw["model_type"].startswith("qwen3_5_moe") else "qwen3_5"
    name = f"transformers.models.{family}.modeling_{family}"
    module = lifted(name) if dtype == torch.float64 else importlib.import_module(name)
    kind = "Qwen3_5Moe" if family == "qwen3_5_moe" else "Qwen3_5"
    config = getattr(transformers, f"{kind}TextConfig")(**raw)
    config._experts_implementation = "eager"  # its grouped product wants widths that are multiples of 16 bytes
    model = getattr(module, f"{kind}ForCausalLM")(config).eval().to(dtype)
    rotary = model.model.rotary_emb
    if (
        dtype == torch.float64 and rotary.rope_type == "yarn"
    ):  # transformers' weight initialisation made it float32 again
        rotary.inv_freq, rotary.attention_scaling = module.ROPE_INIT_FUNCTIONS["yarn"](config)
    randomise(model, seed)
    return model


def multimodal_reference(raw: dict[str, Any], dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.nn.Module:
    """The same of a config with `text_config` and `vision_config`."""
    name = f"transformers.models.{raw['model_type']}.modeling_{raw['model_type']}"
    module = lifted(name) if dtype == torch.float64 else importlib.import_module(name)
    kind = {"qwen3_5": "Qwen3_5", "qwen3_5_moe": "Qwen3_5Moe"}[raw["model_type"]]
    if dtype == torch.float64:  # these two come from outside the module, and would not be lifted
        parts = {"text": f"{kind}TextModel", "vision": f"{kind}VisionModel"}
        make = lambda config: getattr(module, parts[config.model_type.rsplit("_", 1)[-1]])(config)  # noqa: E731
        module.AutoModel = types.SimpleNamespace(from_config=make)
        module.get_vision_interpolation_indices_and_weights = lifted(
            "transformers.vision_utils"
        ).get_vision_interpolation_indices_and_weights
    config = getattr(transformers, f"{kind}Config")(**copy.deepcopy(raw))
    config.text_config._experts_implementation = "eager"
    model = getattr(module, f"{kind}ForConditionalGeneration")(config).eval().to(dtype)
    if dtype == torch.float64:  # made float32 again on the way, see above
        rotary = model.model.visual.rotary_pos_emb
        rotary.inv_freq = rotary.compute_axial_rope_parameters(config.vision_config)[0]
        rotary = model.model.language_model.rotary_emb
        if rotary.rope_type == "yarn":
            rotary.inv_freq, rotary.attention_scaling = module.ROPE_INIT_FUNCTIONS["yarn"](config.text_config)
    randomise(model, seed)
    return model


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int) -> None:
    """Weights far from the tidy initial ones: norm weights off 0, half-lives from half a token to hundreds."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        if name.endswith("A_log"):
            value = noise * 1.5 - 2
        elif name.endswith("dt_bias"):
            value = noise
        elif p.ndim == 1:
            value = (1 if "linear_attn.norm" in name else 0) + 0.3 * noise
        else:
            value = noise * (1.0 if "embed" in name or "conv1d" in name else p.shape[-1] ** -0.5)
        p.copy_(value)


def ours_like(reference: torch.nn.Module, raw: dict[str, Any]) -> TextModel:
    """Our model with the reference's weights, through the name map that loading uses."""
    config = ModelConfig.from_dict(raw)
    state = reference.state_dict()
    model = TextModel(config.text).to(next(reference.parameters()).dtype).eval()
    names = name_map(config.text)
    model.load_state_dict({ours: state[official_name(theirs, "model.")] for ours, theirs in names.items()})
    return model


def seeing_like(reference: torch.nn.Module, raw: dict[str, Any]) -> MultimodalModel:
    """The same for a model with eyes."""
    config = ModelConfig.from_dict(raw)
    state = reference.state_dict()
    model = MultimodalModel(config).to(next(reference.parameters()).dtype).eval()
    names = name_map(config.text) | vision_names(config.vision)
    model.load_state_dict(
        {ours: state[official_name(theirs, "model.language_model.")] for ours, theirs in names.items()}
    )
    return model


def memories(cache: Any) -> list[tuple[Tensor, ...]]:
    """What a cache holds, layer by layer, in our layout: (state, conv) or (k, v). Takes ours and transformers'."""
    found = []
    for layer in cache.layers:
        if isinstance(cache, Cache):
            found.append((layer.state, layer.conv) if isinstance(layer, DeltaNetMemory) else (layer.k, layer.v))
        elif hasattr(layer, "recurrent_states"):
            conv = layer.conv_states[0].mT  # transformers keeps one input more than the convolution can still see
            found.append((layer.recurrent_states[0], conv[:, 1:]))
        else:
            found.append((layer.keys.transpose(1, 2), layer.values.transpose(1, 2)))
    return found


def grow(reference: torch.nn.Module, ids: Tensor, **kwargs: Any) -> Any:
    with torch.no_grad():
        return reference(input_ids=ids, use_cache=True, **kwargs)
