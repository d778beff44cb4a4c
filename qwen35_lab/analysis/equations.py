"""The equation of every tap: what the line of source that makes the value computes.

`EQUATIONS[class][tap]`, with the class of `model/` that owns the tap. The markup is TeX's for sub- and superscripts,
`S_{t−1}^⊤`, and nothing else. Symbols: t token, ℓ layer, h residual stream, W weights, ⊙ product feature by feature,
⊗ outer product, σ sigmoid; the others as in `model/delta_rule.py`. Biases, where a config has them, are left out.

`reads` names the taps whose values go into the equation, as paths inside the layer; `STREAM` is the residual stream as
it was left last.
"""

from dataclasses import dataclass

STREAM = "stream"


@dataclass(frozen=True)
class Equation:
    text: str
    reads: tuple[str, ...] = ()
    where: str = ""  # what the letters stand for


_X = "x = RMSNorm(h_ℓ^{in})"
_CONV = f"conv runs over this token and the few before it; {_X}"
_TURN = f"R_t turns part of each head by the token's position; {_X}"
_SEEN = "R_p turns each head by the patch's row and column; x = LayerNorm(x^{in})"
_MIXER, _FFN = ("input",), ("after_mixer",)

EQUATIONS: dict[str, dict[str, Equation]] = {
    "TextModel": {
        "embed": Equation("h_t = E[token_t]", (), "E is the embedding table, one row per token of the vocabulary"),
        "final": Equation("f_t = RMSNorm(h_t)", (STREAM,), "h as the last layer leaves it"),
        "logits": Equation("logits_t = U f_t", ("final",), "U is the embedding table E again where the two are tied"),
    },
    "MultimodalModel": {
        "embed": Equation(
            "h_t = E[token_t], or the next cell of a picture at its placeholders", ("vision.merged",),
            "E is the embedding table, one row per token of the vocabulary",
        ),
    },
    "VisionTower": {
        "patches": Equation("x_p = W_p pixels_p + b_p", (), "p patch: 16×16 pixels of two frames in the family"),
        "positions": Equation(
            "e_p = Σ_i λ_i E_i", (), "E is a square table of positions; i the four of them round the patch's place"
        ),
        "merged": Equation(
            "y_c = W_2 gelu(W_1 [LayerNorm(x_p) for the patches p of cell c] + b_1) + b_2", (STREAM,),
            "x as the last block leaves it",
        ),
    },
    "VisionBlock": {
        "input": Equation("x_p^{in} = x_p^{out} of the block before", (STREAM,), "in the first block, x_p + e_p"),
        "after_attention": Equation(
            "x_p^{mid} = x_p^{in} + attention(LayerNorm(x^{in}))_p", ("input", "attention.out")
        ),
        "output": Equation("x_p^{out} = x_p^{mid} + mlp(LayerNorm(x_p^{mid}))", ("after_attention", "mlp.out")),
    },
    "VisionAttention": {
        "q": Equation("q_p = R_p W_q x_p", ("input",), _SEEN),
        "k": Equation("k_p = R_p W_k x_p", ("input",), _SEEN),
        "v": Equation("v_p = W_v x_p", ("input",), "x = LayerNorm(x^{in})"),
        "scores": Equation(
            "s_{p r} = q_p · k_r / √d within a frame, else −∞", ("attention.q", "attention.k"), "d features per head"
        ),
        "weights": Equation("a_{p r} = e^{s_{p r}} / Σ_n e^{s_{p n}}", ("attention.scores",)),
        "out": Equation("out_p = W_{out} Σ_r a_{p r} v_r", ("attention.weights", "attention.v")),
    },
    "VisionMLP": {
        "out": Equation("out_p = W_2 gelu(W_1 x_p)", ("after_attention",), "x = LayerNorm(x^{mid})"),
    },
    "MTPHead": {
        "embed_norm": Equation("e_t = RMSNorm(E[token_{t+1}])", ("embed",), "E is the embedding table"),
        "hidden_norm": Equation("f̂_t = RMSNorm(f_t)", ("final",), "f is what the main model's head reads"),
        "joined": Equation("x_t = W [e_t ; f̂_t]", ("mtp.embed_norm", "mtp.hidden_norm"), "one above the other"),
        "final": Equation("y_t = RMSNorm(h_t)", (STREAM,), "h as the head's layer leaves it"),
        "logits": Equation("logits_t = U y_t", ("mtp.final",), "U is the main model's head; a guess at token t + 2"),
    },
    "Block": {
        "input": Equation("h_ℓ^{in} = h_{ℓ−1}^{out}", (STREAM,), "in the first layer, the embedding"),
        "after_mixer": Equation("h_ℓ^{mid} = h_ℓ^{in} + mixer(RMSNorm(h_ℓ^{in}))", ("input", "mixer.out")),
        "output": Equation("h_ℓ^{out} = h_ℓ^{mid} + ffn(RMSNorm(h_ℓ^{mid}))", ("after_mixer", "ffn.out")),
    },
    "GatedDeltaNet": {
        "q": Equation("q_t = K^{−½} a_t / ‖a_t‖,   a = silu(conv(W_q x))", _MIXER, f"K features per key; {_CONV}"),
        "k": Equation("k_t = a_t / ‖a_t‖,   a = silu(conv(W_k x))", _MIXER, _CONV),
        "v": Equation("v_t = silu(conv(W_v x))_t", _MIXER, _CONV),
        "decay": Equation(
            "g_t = −e^{A_{log}} softplus(W_a x_t + dt_{bias})", _MIXER,
            f"A_{{log}} and dt_{{bias}} are learned, one each per head; {_X}",
        ),
        "beta": Equation("β_t = σ(W_b x_t)", _MIXER, _X),
        "erase": Equation(
            "erase_t = β_t (e^{g_t} S_{t−1})^⊤ k_t", ("mixer.beta", "mixer.decay", "mixer.k"),
            "S as the last token left it",
        ),
        "write": Equation("write_t = β_t v_t", ("mixer.beta", "mixer.v")),
        "state": Equation(
            "S_t = e^{g_t} S_{t−1} + k_t ⊗ (write_t − erase_t)",
            ("mixer.decay", "mixer.k", "mixer.write", "mixer.erase"),
        ),
        "z": Equation("z_t = W_z x_t", _MIXER, _X),
        "read": Equation("o_t = S_t^⊤ q_t", ("mixer.q", "mixer.state")),
        "out": Equation(
            "out_t = W_{out} (o_t / rms(o_t) ⊙ w ⊙ φ(z_t))", ("mixer.read", "mixer.z"),
            "φ is silu, or σ where the config says so",
        ),
    },
    "GatedAttention": {
        "v": Equation("v_t = W_v x_t", _MIXER, _X),
        "q": Equation("q_t = R_t RMSNorm(W_q x_t)", _MIXER, _TURN),
        "k": Equation("k_t = R_t RMSNorm(W_k x_t)", _MIXER, _TURN),
        "scores": Equation(
            "s_{i j} = q_i · k_j / √d for j ≤ i, else −∞", ("mixer.q", "mixer.k"),
            "token i asks, token j is asked; d features per head",
        ),
        "weights": Equation("a_{i j} = e^{s_{i j}} / Σ_{n ≤ i} e^{s_{i n}}", ("mixer.scores",)),
        "gate": Equation("γ_t = σ(W_γ x_t)", _MIXER, _X),
        "out": Equation("out_t = W_{out} (γ_t ⊙ Σ_j a_{t j} v_j)", ("mixer.weights", "mixer.v", "mixer.gate")),
    },
    "SwiGLU": {
        "out": Equation(
            "out_t = W_{down} (silu(W_{gate} x_t) ⊙ W_{up} x_t)", _FFN, "x = RMSNorm(h_ℓ^{mid})"
        ),
    },
    "SparseMoE": {
        "router_logits": Equation("r_t = W_r x_t", _FFN, "x = RMSNorm(h_ℓ^{mid})"),
        "expert_ids": Equation("chosen_t = top-k(softmax(r_t))", ("ffn.router_logits",)),
        "expert_weights": Equation(
            "p_i = e^{r_i} / Σ_{j ∈ chosen} e^{r_j} for i ∈ chosen", ("ffn.router_logits", "ffn.expert_ids")
        ),
        "expert_out": Equation(
            "y_i = W_i^{down} (silu(W_i^{gate} x_t) ⊙ W_i^{up} x_t) for i ∈ chosen", ("after_mixer", "ffn.expert_ids"),
            "x = RMSNorm(h_ℓ^{mid})",
        ),
        "shared_gate": Equation("γ_t = σ(w · x_t)", _FFN, "x = RMSNorm(h_ℓ^{mid})"),
        "out": Equation(
            "out_t = Σ_{i ∈ chosen} p_i y_i + γ_t shared(x_t)",
            ("ffn.expert_weights", "ffn.expert_out", "ffn.shared_gate", "ffn.shared_expert.out"),
        ),
    },
}  # fmt: skip
