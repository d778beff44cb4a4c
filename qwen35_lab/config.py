"""`config.json` -> frozen dataclasses, checked.

Reads every layout in which Qwen3.5 and Qwen3.6 configs occur: multimodal (text nested under `text_config`) or
text-only (flat), dense or mixture-of-experts, `layer_types` spelled out or implied by `full_attention_interval`.
Anything else is refused with the name of the field that does not fit.

Reference: `transformers/models/qwen3_5/configuration_qwen3_5.py` and `.../qwen3_5_moe/configuration_qwen3_5_moe.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .errors import ConfigError
from .fp8 import FIELD, BlockFP8, parse_fp8
from .reader import Reader

LINEAR, FULL = "linear_attention", "full_attention"
MODEL_TYPES = ("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text")


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding of the full-attention layers."""

    theta: float = 10_000.0
    partial_rotary_factor: float = 0.25  # share of each head that is rotated
    mrope_section: tuple[int, int, int] = (11, 11, 10)  # rotary pairs for time, height, width
    type: str = "default"  # "default" or "yarn"
    factor: float = 1.0  # YaRN: how many times longer than the original context
    original_max_position_embeddings: int | None = None  # YaRN: the context the model was trained on
    attention_factor: float | None = None  # YaRN: scale of cos and sin; None -> 0.1 ln(factor) + 1
    beta_fast: float = 32.0  # YaRN: pairs that turn more often than this keep their frequency
    beta_slow: float = 1.0  # YaRN: pairs that turn less often are slowed by `factor`
    truncate: bool = True  # YaRN: round the ends of the ramp to whole pairs


@dataclass(frozen=True)
class TextConfig:
    """The language model. Sizes are counts of features unless the comment says otherwise."""

    vocab_size: int  # rows of the embedding table
    hidden_size: int  # width of the residual stream
    num_hidden_layers: int
    num_attention_heads: int  # query heads of a full-attention layer
    num_key_value_heads: int  # key/value heads shared by groups of query heads
    head_dim: int  # features per attention head
    linear_num_key_heads: int  # DeltaNet: query/key heads
    linear_num_value_heads: int  # DeltaNet: value heads, each with a state of its own
    linear_key_head_dim: int  # DeltaNet: rows of a state
    linear_value_head_dim: int  # DeltaNet: columns of a state
    layer_types: tuple[str, ...]  # which mixer each layer has
    intermediate_size: int = 0  # width of a dense feed-forward; 0 in MoE models
    num_experts: int = 0  # 0 in dense models
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0  # width of one routed expert
    shared_expert_intermediate_size: int = 0
    linear_conv_kernel_dim: int = 4  # DeltaNet: tokens seen by the causal convolution
    output_gate: str = "silu"  # DeltaNet: activation of the output gate z
    state_dtype: str = "float32"  # DeltaNet: dtype in which the state is kept (`mamba_ssm_dtype`)
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 262_144
    attention_bias: bool = False
    tie_word_embeddings: bool = False
    mtp_num_hidden_layers: int = 0  # layers of the multi-token-prediction head
    eos_token_id: tuple[int, ...] = ()
    pad_token_id: int | None = None
    initializer_range: float = 0.02
    dtype: str | None = None  # dtype the checkpoint was published in
    rope: RopeConfig = field(default_factory=RopeConfig)

    @property
    def is_moe(self) -> bool:
        return self.num_experts > 0


@dataclass(frozen=True)
class VisionConfig:
    """The vision tower."""

    depth: int
    hidden_size: int
    intermediate_size: int
    num_heads: int
    out_hidden_size: int  # width after the merger = width of the language model
    patch_size: int = 16  # pixels
    temporal_patch_size: int = 2  # frames
    spatial_merge_size: int = 2  # patches per side that become one token
    in_channels: int = 3
    num_position_embeddings: int = 2304  # a square table, interpolated to the image's grid
    hidden_act: str = "gelu_pytorch_tanh"


@dataclass(frozen=True)
class ModelConfig:
    """A whole checkpoint's configuration. `raw` keeps the file's own words, for what this package does not read."""

    model_type: str
    text: TextConfig
    vision: VisionConfig | None = None
    image_token_id: int | None = None
    video_token_id: int | None = None
    vision_start_token_id: int | None = None
    vision_end_token_id: int | None = None
    fp8: BlockFP8 | None = None  # the files hold matrices in FP8 with scales; None for unquantised ones
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "ModelConfig":
        """Parse a `config.json` that was already read; `ConfigError` names the first field that does not fit."""
        get = Reader(raw)
        model_type = raw.get("model_type")
        if model_type not in MODEL_TYPES:
            raise ConfigError(
                f"The field `model_type` is {model_type!r}, which is not of the Qwen3.5 family; "
                f"load a checkpoint whose `model_type` is one of {', '.join(MODEL_TYPES)}."
            )
        fp8 = parse_fp8(raw[FIELD]) if raw.get(FIELD) else None
        nested = raw.get("text_config")
        if nested is None and not model_type.endswith("_text"):
            raise get.error("text_config", f"is missing from a {model_type} config")
        # one value decides for the whole checkpoint, the outermost, as in transformers
        tied = get.flag("tie_word_embeddings", False)
        inner = get if nested is None else Reader(nested, "text_config.")
        text = _parse_text(inner, moe="_moe" in model_type, tied=tied)
        if not text.eos_token_id:
            text = replace(text, eos_token_id=_token_ids(get, "eos_token_id"))
        if text.dtype is None:
            text = replace(text, dtype=get.name("dtype") or get.name("torch_dtype"))
        seen = None if nested is None else raw.get("vision_config")
        vision = None if seen is None else _parse_vision(Reader(seen, "vision_config."))
        tokens = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
        return cls(model_type, text, vision, **{name: get.token(name) for name in tokens}, fp8=fp8, raw=dict(raw))

    @classmethod
    def from_file(cls, path: str | Path) -> "ModelConfig":
        """Read and parse a `config.json`, or the one in a folder."""
        path = Path(path)
        path = path / "config.json" if path.is_dir() else path
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not valid JSON ({error}); download the file again.") from error
        return cls.from_dict(raw)

    @property
    def is_multimodal(self) -> bool:
        return self.vision is not None


def _parse_text(get: Reader, *, moe: bool, tied: bool) -> TextConfig:
    raw = get.raw
    get.choice("hidden_act", "silu", ("silu",))
    if not get.flag("attn_output_gate", True):
        raise get.error("attn_output_gate", "is off, but this family's full attention is gated")
    if get.flag("mtp_use_dedicated_embeddings", False):
        raise get.error("mtp_use_dedicated_embeddings", "is on, but this family's MTP head shares the token tables")
    if raw.get("mlp_only_layers"):
        raise get.error("mlp_only_layers", "is not empty, but in this family every layer has a mixer")
    if raw.get("num_experts") and not moe:
        raise get.error("num_experts", "is set, but `model_type` names a dense model")
    sizes = ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"]
    sizes += [f"linear_{name}" for name in ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim")]
    sizes += (
        ["num_experts", "num_experts_per_tok", "moe_intermediate_size", "shared_expert_intermediate_size"]
        if moe
        else ["intermediate_size"]
    )
    values: dict[str, Any] = {name: get.size(name) for name in sizes}
    values["head_dim"] = get.size("head_dim", 256)
    values["linear_conv_kernel_dim"] = get.size("linear_conv_kernel_dim", 4)
    values["max_position_embeddings"] = get.size("max_position_embeddings", 32_768)
    values["layer_types"] = _layer_types(get, values["num_hidden_layers"])
    for whole, part in (
        ("num_attention_heads", "num_key_value_heads"),
        ("linear_num_value_heads", "linear_num_key_heads"),
    ):
        if values[whole] % values[part]:
            raise get.error(whole, f"is {values[whole]}, not a multiple of `{part}` = {values[part]}")
    if moe and values["num_experts_per_tok"] > values["num_experts"]:
        raise get.error(
            "num_experts_per_tok", f"is {values['num_experts_per_tok']}, more than the {values['num_experts']} experts"
        )
    rope = _parse_rope(get, values["max_position_embeddings"])
    if (rotated := int(values["head_dim"] * rope.partial_rotary_factor)) % 2 and rotated == values["head_dim"]:
        raise get.error("head_dim", f"is {rotated}, but features are rotated in pairs")
    gate = get.choice("output_gate_type", "silu", ("silu", "swish", "sigmoid"))
    return TextConfig(
        **values,
        output_gate="silu" if gate == "swish" else gate,
        state_dtype=get.choice("mamba_ssm_dtype", "float32", ("float32", "bfloat16", "float16", "float64")),
        rms_norm_eps=get.number("rms_norm_eps", 1e-6, positive=True),
        attention_bias=get.flag("attention_bias", False),
        tie_word_embeddings=tied,
        mtp_num_hidden_layers=get.size("mtp_num_hidden_layers", 0, least=0),
        eos_token_id=_token_ids(get, "eos_token_id"),
        pad_token_id=get.token("pad_token_id"),
        initializer_range=get.number("initializer_range", 0.02),
        dtype=get.name("dtype") or get.name("torch_dtype"),
        rope=rope,
    )


def _token_ids(get: Reader, name: str) -> tuple[int, ...]:
    """One id, a list of them, or none."""
    value = get.raw.get(name)
    ids = () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)
    if not all(isinstance(token, int) and not isinstance(token, bool) and token >= 0 for token in ids):
        raise get.error(name, f"is {value!r}, not a token id or a list of them")
    return ids


def _layer_types(get: Reader, layers: int) -> tuple[str, ...]:
    listed = get.raw.get("layer_types")
    if listed is None:
        every = get.size("full_attention_interval", 4)
        return tuple(FULL if (n + 1) % every == 0 else LINEAR for n in range(layers))
    if not isinstance(listed, list | tuple) or len(listed) != layers:
        found = f"has {len(listed)} entries" if isinstance(listed, list | tuple) else f"is {listed!r}"
        raise get.error("layer_types", f"{found}, but `num_hidden_layers` is {layers}")
    for n, kind in enumerate(listed):
        if kind not in (LINEAR, FULL):
            raise get.error(f"layer_types[{n}]", f"is {kind!r}, not {LINEAR} or {FULL}")
    return tuple(listed)


def _parse_rope(get: Reader, max_positions: int) -> RopeConfig:
    """`rope_parameters` (transformers 5), or the older `rope_theta` beside `rope_scaling`."""
    raw = get.raw
    if raw.get("rope_parameters") and raw.get("rope_scaling"):
        raise get.error("rope_scaling", "stands beside `rope_parameters`, and only one of them can hold")
    field = "rope_scaling" if raw.get("rope_scaling") else "rope_parameters"
    rope = Reader(raw.get(field) or {}, f"{get.where}{field}.")
    rope.raw = {k: raw[k] for k in ("rope_theta", "partial_rotary_factor") if k in raw} | dict(rope.raw)
    kind = rope.raw.get("rope_type") or rope.raw.get("type") or "default"
    kind = "default" if kind == "mrope" else kind  # an older name for the same thing
    if kind not in ("default", "yarn"):
        raise rope.error("rope_type", f"is {kind!r}, not default or yarn")
    section = rope.raw.get("mrope_section", (11, 11, 10))
    if not isinstance(section, list | tuple) or [type(n) for n in section] != [int] * 3:
        raise rope.error("mrope_section", f"is {section!r}, not three whole numbers (time, height, width)")
    if not rope.flag("mrope_interleaved", True):
        raise rope.error("mrope_interleaved", "is off, but this family interleaves its rotary sections")
    common = RopeConfig(
        theta=rope.number("rope_theta", 10_000.0, positive=True),
        partial_rotary_factor=rope.number("partial_rotary_factor", 0.25),
        mrope_section=(section[0], section[1], section[2]),
        type=kind,
    )
    if min(common.mrope_section) < 0:
        raise rope.error("mrope_section", f"is {section!r}; its counts cannot be negative")
    for name in ("mscale", "mscale_all_dim"):
        if rope.raw.get(name) is not None:
            raise rope.error(name, "is set, but this family's YaRN has no such term")
    if not 0 <= common.partial_rotary_factor <= 1:
        raise rope.error("partial_rotary_factor", f"is {common.partial_rotary_factor}, not between 0 and 1")
    if kind == "default":
        return common
    scaled = rope.raw.get("attention_factor") is not None
    return replace(
        common,
        factor=rope.number("factor", positive=True),
        original_max_position_embeddings=rope.size("original_max_position_embeddings", max_positions),
        attention_factor=rope.number("attention_factor") if scaled else None,
        beta_fast=rope.number("beta_fast", 32.0, positive=True),
        beta_slow=rope.number("beta_slow", 1.0, positive=True),
        truncate=rope.flag("truncate", True),
    )


def _parse_vision(get: Reader) -> VisionConfig:
    sizes = {
        f.name: get.size(f.name, None if f.default is MISSING else f.default)
        for f in fields(VisionConfig)
        if f.name != "hidden_act"
    }
    width, heads = sizes["hidden_size"], sizes["num_heads"]
    if width % heads:
        raise get.error("hidden_size", f"is {width}, not a multiple of `num_heads` = {heads}")
    rope = Reader(get.raw.get("rope_parameters") or {}, f"{get.where}rope_parameters.")
    if (theta := rope.number("rope_theta", 10_000.0)) != 10_000.0:
        raise rope.error("rope_theta", f"is {theta}, but this family's vision tower uses 10000")
    if get.raw.get("deepstack_visual_indexes"):
        raise get.error("deepstack_visual_indexes", "is not empty, but this family feeds only the last block on")
    return VisionConfig(**sizes, hidden_act=get.name("hidden_act") or "gelu_pytorch_tanh")
