"""A config -> the name and shape of every tensor of its checkpoint. All counts are sums over this table.

Names are those of the published files, experts fused. `Qwen3.5-397B-A17B` stores the experts of its MTP layer, and
the predecessors store all of theirs, one by one (`experts.K.gate_proj.weight` ...): other tensors, the same numbers.

Reference: `transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py`; the MTP head, which transformers leaves out,
follows the index of the published files.
"""

import re
from math import prod

from ..config import FULL, LINEAR, ModelConfig, TextConfig, VisionConfig
from ..errors import InputError
from .predecessors import PredecessorConfig

Config = ModelConfig | PredecessorConfig
Shapes = dict[str, tuple[int, ...]]

COMPONENTS = {  # component -> pattern of its tensors' names, tried in this order
    "mtp": r"^mtp\.",
    "vision": r"^model\.visual\.",
    "head": r"^lm_head\.",
    "embedding": r"\.embed_tokens\.",
    "deltanet": r"\.linear_attn\.",
    "attention": r"\.self_attn\.",
    "router": r"\.mlp\.gate\.",
    "routed_experts": r"\.mlp\.experts\.",
    "shared_experts": r"\.mlp\.shared_expert",  # the expert and its gate
    "dense_ffn": r"\.mlp\.",
    "norms": r"norm\.weight$",  # of the residual stream; a mixer's own norms count as the mixer
}


def tensor_shapes(config: Config) -> Shapes:
    """Every tensor of the checkpoint that `config` describes: official name -> shape (rows out, columns in)."""
    text = config.text
    flat = isinstance(config, PredecessorConfig) or config.model_type.endswith("_text")
    root = "model." if flat else "model.language_model."
    shapes: Shapes = {f"{root}embed_tokens.weight": (text.vocab_size, text.hidden_size)}
    for layer, kind in enumerate(text.layer_types):
        shapes |= _under(f"{root}layers.{layer}.", _layer(config, kind))
    shapes[f"{root}norm.weight"] = (text.hidden_size,)
    if not text.tie_word_embeddings:
        shapes["lm_head.weight"] = (text.vocab_size, text.hidden_size)
    if config.vision is not None:
        shapes |= _under("model.visual.", _vision(config.vision))
    if text.mtp_num_hidden_layers:
        shapes |= _under("mtp.", _mtp(config))
    return shapes


def component(name: str) -> str:
    """Which of `COMPONENTS` a tensor belongs to, from its official name."""
    for part, pattern in COMPONENTS.items():
        if re.search(pattern, name):
            return part
    raise InputError(f"{name!r} is not the name of a tensor of this family; see the keys of tensor_shapes(config).")


def parameter_count(shapes: Shapes) -> int:
    """How many numbers the tensors hold: the sum over tensors of the product of their sizes."""
    return sum(prod(shape) for shape in shapes.values())


def is_float32(name: str) -> bool:
    """Whether the Qwen3.5 checkpoints keep this tensor in float32 beside bfloat16: `A_log` and the gated norm's weight.

    They do so in every DeltaNet layer (an audit of the 397B's index counts 90 such tensors, 2 x 45 layers).
    """
    return name.endswith((".linear_attn.A_log", ".linear_attn.norm.weight"))


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


def _layer(config: Config, kind: str) -> Shapes:
    """One decoder layer: a mixer and a feed-forward, each behind a norm."""
    text = config.text
    mixer = {LINEAR: ("linear_attn.", _deltanet), FULL: ("self_attn.", _attention)}[kind]
    norms = {f"{name}_layernorm.weight": (text.hidden_size,) for name in ("input", "post_attention")}
    return norms | _under(mixer[0], mixer[1](config)) | _under("mlp.", _moe(text) if text.is_moe else _ffn(text))


def _deltanet(config: Config) -> Shapes:
    """Gated DeltaNet: projections to q, k, v, z (output gate), b (write strength) and a (decay), and a causal conv."""
    text = config.text
    heads, hidden = text.linear_num_value_heads, text.hidden_size
    key_dim = text.linear_num_key_heads * text.linear_key_head_dim
    value_dim = heads * text.linear_value_head_dim
    if config.model_type == "qwen3_next":  # the same rows, in two tensors
        projections = {"qkvz": 2 * key_dim + 2 * value_dim, "ba": 2 * heads}
    else:
        projections = {"qkv": 2 * key_dim + value_dim, "z": value_dim, "b": heads, "a": heads}
    return {
        **{f"in_proj_{name}.weight": (rows, hidden) for name, rows in projections.items()},
        "conv1d.weight": (2 * key_dim + value_dim, 1, text.linear_conv_kernel_dim),
        "A_log": (heads,),
        "dt_bias": (heads,),
        "norm.weight": (text.linear_value_head_dim,),
        "out_proj.weight": (hidden, value_dim),
    }


def _attention(config: Config) -> Shapes:
    """Grouped-query attention with per-head norms. Since Qwen3-Next, q_proj makes the gate too: twice the rows."""
    text = config.text
    queries, keys = (heads * text.head_dim for heads in (text.num_attention_heads, text.num_key_value_heads))
    gated = config.model_type not in ("qwen3", "qwen3_moe")
    rows = {
        "q_proj": 2 * queries if gated else queries,
        "k_proj": keys,
        "v_proj": keys,
        "o_proj": text.hidden_size,
    }
    shapes: Shapes = {
        f"{name}.weight": (size, queries if name == "o_proj" else text.hidden_size) for name, size in rows.items()
    }
    if text.attention_bias:
        shapes |= {f"{name}.bias": (size,) for name, size in rows.items()}
    return shapes | {"q_norm.weight": (text.head_dim,), "k_norm.weight": (text.head_dim,)}


def _swiglu(hidden: int, width: int) -> Shapes:
    return {
        "gate_proj.weight": (width, hidden),
        "up_proj.weight": (width, hidden),
        "down_proj.weight": (hidden, width),
    }


def _ffn(text: TextConfig) -> Shapes:
    return _swiglu(text.hidden_size, text.intermediate_size)


def _moe(text: TextConfig) -> Shapes:
    """Router, fused experts (gate rows, then up rows), and since Qwen3-Next one shared expert behind a scalar gate."""
    experts, hidden, width = text.num_experts, text.hidden_size, text.moe_intermediate_size
    shapes: Shapes = {
        "gate.weight": (experts, hidden),
        "experts.gate_up_proj": (experts, 2 * width, hidden),
        "experts.down_proj": (experts, hidden, width),
    }
    if text.shared_expert_intermediate_size:
        shapes |= _under("shared_expert.", _swiglu(hidden, text.shared_expert_intermediate_size))
        shapes["shared_expert_gate.weight"] = (1, hidden)
    return shapes


def _mtp(config: Config) -> Shapes:
    """Multi-token prediction: join the next token's embedding to the hidden state, then full-attention layers.

    It uses the main model's embedding table and head.
    """
    hidden = config.text.hidden_size
    shapes: Shapes = {"fc.weight": (hidden, 2 * hidden)}
    shapes |= {f"{name}.weight": (hidden,) for name in ("pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")}
    for layer in range(config.text.mtp_num_hidden_layers):
        shapes |= _under(f"layers.{layer}.", _layer(config, FULL))
    return shapes


def _with_bias(name: str, rows: int, *columns: int) -> Shapes:
    return {f"{name}.weight": (rows, *columns), f"{name}.bias": (rows,)}


def _layer_norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _vision(vision: VisionConfig) -> Shapes:
    """A ViT with biases everywhere; the merger turns spatial_merge_size**2 patches into one token of width H."""
    width, inner = vision.hidden_size, vision.intermediate_size
    patch = (vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size)
    merged = width * vision.spatial_merge_size**2
    shapes = _with_bias("patch_embed.proj", width, *patch)
    shapes["pos_embed.weight"] = (vision.num_position_embeddings, width)
    block = _layer_norm("norm1", width) | _layer_norm("norm2", width)
    block |= _with_bias("attn.qkv", 3 * width, width) | _with_bias("attn.proj", width, width)
    block |= _with_bias("mlp.linear_fc1", inner, width) | _with_bias("mlp.linear_fc2", width, inner)
    for n in range(vision.depth):
        shapes |= _under(f"blocks.{n}.", block)
    shapes |= _layer_norm("merger.norm", width)
    shapes |= _with_bias("merger.linear_fc1", merged, merged)
    return shapes | _with_bias("merger.linear_fc2", vision.out_hidden_size, merged)
