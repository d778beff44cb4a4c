"""What the tensors of a checkpoint are called, and what our parameters are.

Official names: the checkpoints on the Hub, and `transformers/models/qwen3_5*/modeling_*.py`; for `mtp.*`,
`qwen3_5_mtp.py` in vLLM.
"""

from .config import FULL, LINEAR, TextConfig, VisionConfig

# official name, ours; both without prefix, {n} is the layer
OUTER = (
    ("embed_tokens.weight", "embed_tokens.weight"),
    ("norm.weight", "norm.weight"),
)
EVERY_LAYER = (
    ("layers.{n}.input_layernorm.weight", "layers.{n}.mixer_norm.weight"),
    ("layers.{n}.post_attention_layernorm.weight", "layers.{n}.ffn_norm.weight"),
)
DELTANET = (
    ("layers.{n}.linear_attn.in_proj_qkv.weight", "layers.{n}.mixer.in_proj_qkv.weight"),
    ("layers.{n}.linear_attn.in_proj_z.weight", "layers.{n}.mixer.in_proj_z.weight"),
    ("layers.{n}.linear_attn.in_proj_b.weight", "layers.{n}.mixer.in_proj_b.weight"),
    ("layers.{n}.linear_attn.in_proj_a.weight", "layers.{n}.mixer.in_proj_a.weight"),
    ("layers.{n}.linear_attn.conv1d.weight", "layers.{n}.mixer.conv.weight"),
    ("layers.{n}.linear_attn.A_log", "layers.{n}.mixer.A_log"),
    ("layers.{n}.linear_attn.dt_bias", "layers.{n}.mixer.dt_bias"),
    ("layers.{n}.linear_attn.norm.weight", "layers.{n}.mixer.norm.weight"),
    ("layers.{n}.linear_attn.out_proj.weight", "layers.{n}.mixer.out_proj.weight"),
)
ATTENTION = (
    ("layers.{n}.self_attn.q_proj.weight", "layers.{n}.mixer.q_proj.weight"),
    ("layers.{n}.self_attn.k_proj.weight", "layers.{n}.mixer.k_proj.weight"),
    ("layers.{n}.self_attn.v_proj.weight", "layers.{n}.mixer.v_proj.weight"),
    ("layers.{n}.self_attn.o_proj.weight", "layers.{n}.mixer.o_proj.weight"),
    ("layers.{n}.self_attn.q_norm.weight", "layers.{n}.mixer.q_norm.weight"),
    ("layers.{n}.self_attn.k_norm.weight", "layers.{n}.mixer.k_norm.weight"),
)
ATTENTION_BIAS = tuple(
    (f"layers.{{n}}.self_attn.{p}_proj.bias", f"layers.{{n}}.mixer.{p}_proj.bias") for p in ("q", "k", "v", "o")
)
DENSE = (
    ("layers.{n}.mlp.gate_proj.weight", "layers.{n}.ffn.gate_proj.weight"),
    ("layers.{n}.mlp.up_proj.weight", "layers.{n}.ffn.up_proj.weight"),
    ("layers.{n}.mlp.down_proj.weight", "layers.{n}.ffn.down_proj.weight"),
)
MOE = (
    ("layers.{n}.mlp.gate.weight", "layers.{n}.ffn.router.weight"),
    ("layers.{n}.mlp.experts.gate_up_proj", "layers.{n}.ffn.gate_up_proj"),
    ("layers.{n}.mlp.experts.down_proj", "layers.{n}.ffn.down_proj"),
    ("layers.{n}.mlp.shared_expert.gate_proj.weight", "layers.{n}.ffn.shared_expert.gate_proj.weight"),
    ("layers.{n}.mlp.shared_expert.up_proj.weight", "layers.{n}.ffn.shared_expert.up_proj.weight"),
    ("layers.{n}.mlp.shared_expert.down_proj.weight", "layers.{n}.ffn.shared_expert.down_proj.weight"),
    ("layers.{n}.mlp.shared_expert_gate.weight", "layers.{n}.ffn.shared_gate_proj.weight"),
)
VISION = (
    ("visual.patch_embed.proj.{part}", "vision.patch_embed.{part}"),
    ("visual.merger.norm.{part}", "vision.merger.norm.{part}"),
    ("visual.merger.linear_fc1.{part}", "vision.merger.linear_fc1.{part}"),
    ("visual.merger.linear_fc2.{part}", "vision.merger.linear_fc2.{part}"),
)
VISION_BLOCK = (
    ("visual.blocks.{n}.norm1.{part}", "vision.blocks.{n}.norm1.{part}"),
    ("visual.blocks.{n}.norm2.{part}", "vision.blocks.{n}.norm2.{part}"),
    ("visual.blocks.{n}.attn.qkv.{part}", "vision.blocks.{n}.attention.qkv.{part}"),
    ("visual.blocks.{n}.attn.proj.{part}", "vision.blocks.{n}.attention.proj.{part}"),
    ("visual.blocks.{n}.mlp.linear_fc1.{part}", "vision.blocks.{n}.mlp.linear_fc1.{part}"),
    ("visual.blocks.{n}.mlp.linear_fc2.{part}", "vision.blocks.{n}.mlp.linear_fc2.{part}"),
)
MTP = (
    ("mtp.fc.weight", "mtp.fc.weight"),
    ("mtp.norm.weight", "mtp.norm.weight"),
    ("mtp.pre_fc_norm_embedding.weight", "mtp.pre_fc_norm_embedding.weight"),
    ("mtp.pre_fc_norm_hidden.weight", "mtp.pre_fc_norm_hidden.weight"),
)
NO_PREFIX = ("lm_head.", "mtp.")  # these stand beside the language model
PREFIXES = ("model.language_model.", "model.")  # multimodal checkpoints, text-only ones


def name_map(config: TextConfig) -> dict[str, str]:
    """Our parameter name -> official name without prefix, of the language model and of its MTP head."""
    rows = list(OUTER)
    for n, kind in enumerate(config.layer_types):
        rows += _layer_rows(config, kind, n)
    if config.mtp_num_hidden_layers:
        rows += [*MTP, *((f"mtp.{a}", f"mtp.{b}") for a, b in _layer_rows(config, FULL, 0))]
    if not config.tie_word_embeddings:
        rows.append(("lm_head.weight", "lm_head.weight"))
    return {ours: official for official, ours in rows}


def _layer_rows(config: TextConfig, kind: str, n: int) -> list[tuple[str, str]]:
    mixer = DELTANET if kind == LINEAR else ATTENTION + (ATTENTION_BIAS if config.attention_bias else ())
    return [(a.format(n=n), b.format(n=n)) for a, b in EVERY_LAYER + mixer + (MOE if config.is_moe else DENSE)]


def vision_names(config: VisionConfig | None) -> dict[str, str]:
    """The same for the vision tower."""
    rows = [("visual.pos_embed.weight", "vision.pos_embed.weight")]
    for part in ("weight", "bias"):
        rows += [(a.format(part=part), b.format(part=part)) for a, b in VISION]
        blocks = range(config.depth if config else 0)
        rows += [(a.format(n=n, part=part), b.format(n=n, part=part)) for n in blocks for a, b in VISION_BLOCK]
    return {ours: official for official, ours in rows} if config else {}


def official_name(name: str, prefix: str) -> str:
    """The heads and the vision tower stand outside the language model's prefix."""
    if name.startswith("visual."):
        return "model." + name
    return name if name.startswith(NO_PREFIX) else prefix + name
