"""The language model once more, slowly: one token, one layer, one head at a time, in float64, with numpy.

A referee for edits. It shares nothing with `qwen35_lab.model` but the names of weights and taps: written from the
equations (arXiv 2412.06464, eq. 10; `modeling_qwen3_5.py` and `modeling_qwen3_5_moe.py` in transformers), with no
cache, no chunks, no batch, no hooks. Whatever is computed at a token passes through one function, which may replace
it, and everything after that reads the replacement.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy import ndarray as Array

from qwen35_lab.model import TextModel

# change(tap name, value at one token, token) -> the value to go on with
Change = Callable[[str, Array, int], Array]


def unchanged(name: str, value: Array, token: int) -> Array:
    return value


@dataclass(frozen=True)
class Router:
    """How every layer's router is turned."""

    top_k: int | None = None  # None: as configured
    masked: frozenset[int] = frozenset()
    clones: Mapping[int, int] = field(default_factory=dict)  # expert -> the one whose weights it has
    shared: bool = True


def slow_forward(
    model: TextModel, ids: list[int], change: Change = unchanged, router: Router | None = None
) -> dict[str, list[Array]]:
    """What every tap of one sequence holds, after its change: tap name -> one array per token.

    The axes are the tap's without batch and token: beta [head], state [head, key, value], router_logits [expert];
    scores and weights [head, tokens so far].
    """
    return Slow(model, change, router or Router()).forward(ids)


class Slow:
    def __init__(self, model: TextModel, change: Change, router: Router):
        self.config, self.router = model.config, router
        assert self.config.rope.type == "default", "this referee has no YaRN"
        self.weights = {name: w.detach().double().numpy() for name, w in model.state_dict().items()}
        self.change = change
        self.values: dict[str, list[Array]] = {}

    def tap(self, name: str, value: Array, token: int) -> Array:
        value = self.change(name, value, token)
        self.values.setdefault(name, []).append(value)
        return value

    def linear(self, name: str, x: Array) -> Array:
        bias = self.weights.get(f"{name}.bias")
        return self.weights[f"{name}.weight"] @ x + (0 if bias is None else bias)

    def norm(self, name: str, x: Array) -> Array:
        """The residual stream's norm, whose weight is stored as the difference from one."""
        return unit_rms(x, self.config.rms_norm_eps) * (1 + self.weights[f"{name}.weight"])

    def forward(self, ids: list[int]) -> dict[str, list[Array]]:
        table = self.weights["embed_tokens.weight"]
        stream = [self.tap("embed", table[i], t) for t, i in enumerate(ids)]
        for n in range(self.config.num_hidden_layers):
            stream = self.layer(n, stream)
        head = self.weights.get("lm_head.weight", table)
        for t, x in enumerate(stream):
            self.tap("logits", head @ self.tap("final", self.norm("norm", x), t), t)
        return self.values

    def layer(self, n: int, stream: list[Array]) -> list[Array]:
        at = f"layers.{n}"
        mixer = self.attention if self.config.layer_types[n] == "full_attention" else self.deltanet
        feed_forward = self.experts if self.config.num_experts else self.swiglu
        stream = [self.tap(f"{at}.input", x, t) for t, x in enumerate(stream)]
        mixed = mixer(f"{at}.mixer", [self.norm(f"{at}.mixer_norm", x) for x in stream])
        left = []
        for t, (x, y) in enumerate(zip(stream, mixed)):
            x = self.tap(f"{at}.after_mixer", x + y, t)
            x = x + feed_forward(f"{at}.ffn", self.norm(f"{at}.ffn_norm", x), t)
            left.append(self.tap(f"{at}.output", x, t))
        return left

    # ------------------------------------------------------------------------------- Gated DeltaNet

    def deltanet(self, at: str, xs: list[Array]) -> list[Array]:
        c = self.config
        heads, K, V = c.linear_num_value_heads, c.linear_key_head_dim, c.linear_value_head_dim
        sharing = heads // c.linear_num_key_heads
        S = np.zeros((heads, K, V))
        projected = [self.linear(f"{at}.in_proj_qkv", x) for x in xs]
        answers = []
        for t, x in enumerate(xs):
            q, k, v = self.convolved_heads(at, projected[: t + 1])
            q, k, v = (self.tap(f"{at}.{name}", value, t) for name, value in (("q", q), ("k", k), ("v", v)))
            beta = self.tap(f"{at}.beta", sigmoid(self.linear(f"{at}.in_proj_b", x)), t)
            speed = np.logaddexp(0, self.linear(f"{at}.in_proj_a", x) + self.weights[f"{at}.dt_bias"])  # softplus
            g = self.tap(f"{at}.decay", -np.exp(self.weights[f"{at}.A_log"]) * speed, t)
            erase, write = np.zeros((heads, V)), np.zeros((heads, V))
            for h in range(heads):
                S[h] *= np.exp(g[h])
                erase[h] = beta[h] * (k[h // sharing] @ S[h])
                write[h] = beta[h] * v[h]
            erase, write = self.tap(f"{at}.erase", erase, t), self.tap(f"{at}.write", write, t)
            corrected = [S[h] + np.outer(k[h // sharing], write[h] - erase[h]) for h in range(heads)]
            S = self.tap(f"{at}.state", np.stack(corrected), t).copy()
            read = self.tap(f"{at}.read", np.stack([q[h // sharing] @ S[h] for h in range(heads)]), t)
            z = self.tap(f"{at}.z", self.linear(f"{at}.in_proj_z", x).reshape(heads, V), t)
            activated = silu(z) if c.output_gate == "silu" else sigmoid(z)
            y = np.stack([unit_rms(read[h], c.rms_norm_eps) for h in range(heads)]) * self.weights[f"{at}.norm.weight"]
            answers.append(self.tap(f"{at}.out", self.linear(f"{at}.out_proj", (y * activated).ravel()), t))
        return answers

    def convolved_heads(self, at: str, past: list[Array]) -> tuple[Array, Array, Array]:
        """q, k [key head, K] and v [value head, V] of the last of these tokens."""
        c, kernel = self.config, self.weights[f"{at}.conv.weight"][:, 0]
        taken = past[-kernel.shape[1] :]
        y = silu(np.sum([kernel[:, -1 - ago] * taken[-1 - ago] for ago in range(len(taken))], axis=0))
        keys = c.linear_num_key_heads * c.linear_key_head_dim
        q, k = y[:keys].reshape(c.linear_num_key_heads, -1), y[keys : 2 * keys].reshape(c.linear_num_key_heads, -1)
        q, k = (np.stack([head / np.sqrt(head @ head + 1e-6) for head in z]) for z in (q, k))
        return q / np.sqrt(c.linear_key_head_dim), k, y[2 * keys :].reshape(c.linear_num_value_heads, -1)

    # -------------------------------------------------------------------------------- full attention

    def attention(self, at: str, xs: list[Array]) -> list[Array]:
        c, D = self.config, self.config.head_dim
        heads, sharing = c.num_attention_heads, c.num_attention_heads // c.num_key_value_heads
        keys, values, answers = [], [], []
        for t, x in enumerate(xs):
            queries_and_gates = self.linear(f"{at}.q_proj", x).reshape(heads, 2, D)
            q = [self.turned(self.norm(f"{at}.q_norm", head), t) for head in queries_and_gates[:, 0]]
            raw = self.linear(f"{at}.k_proj", x).reshape(-1, D)
            k = [self.turned(self.norm(f"{at}.k_norm", head), t) for head in raw]
            q = self.tap(f"{at}.q", np.stack(q), t)
            keys.append(self.tap(f"{at}.k", np.stack(k), t))
            values.append(self.tap(f"{at}.v", self.linear(f"{at}.v_proj", x).reshape(-1, D), t))
            gate = self.tap(f"{at}.gate", sigmoid(queries_and_gates[:, 1]), t)
            scores = np.zeros((heads, t + 1))
            for h, j in product(range(heads), range(t + 1)):
                scores[h, j] = q[h] @ keys[j][h // sharing] / np.sqrt(D)
            scores = self.tap(f"{at}.scores", scores, t)
            weights = self.tap(f"{at}.weights", np.stack([softmax(row) for row in scores]), t)
            seen = [sum(weights[h, j] * values[j][h // sharing] for j in range(t + 1)) for h in range(heads)]
            answers.append(self.tap(f"{at}.out", self.linear(f"{at}.o_proj", (np.stack(seen) * gate).ravel()), t))
        return answers

    def turned(self, head: Array, position: int) -> Array:
        """One head's vector with its first features rotated, in pairs (i, i + half)."""
        rope = self.config.rope
        rotated = int(self.config.head_dim * rope.partial_rotary_factor)
        half = -(-rotated // 2)
        turned = head.copy()
        for i in range(half):
            angle = position * rope.theta ** (-2 * i / rotated)
            a, b = head[i], head[i + half]
            turned[i] = a * np.cos(angle) - b * np.sin(angle)
            turned[i + half] = b * np.cos(angle) + a * np.sin(angle)
        return turned

    # --------------------------------------------------------------------------------- feed-forward

    def swiglu(self, at: str, x: Array, t: int) -> Array:
        inner = silu(self.linear(f"{at}.gate_proj", x)) * self.linear(f"{at}.up_proj", x)
        return self.tap(f"{at}.out", self.linear(f"{at}.down_proj", inner), t)

    def experts(self, at: str, x: Array, t: int) -> Array:
        scores = self.linear(f"{at}.router", x)
        scores[list(self.router.masked)] = -np.inf
        p = softmax(self.tap(f"{at}.router_logits", scores, t))
        best_first = np.argsort(-p, kind="stable")
        ids = self.tap(f"{at}.expert_ids", best_first[: self.router.top_k or self.config.num_experts_per_tok], t)
        weights = self.tap(f"{at}.expert_weights", p[ids] / p[ids].sum(), t)
        answers = self.tap(f"{at}.expert_out", np.stack([self.expert(at, i, x) for i in ids]), t)
        shared_gate = sigmoid(self.linear(f"{at}.shared_gate_proj", x)) * self.router.shared
        shared_gate = self.tap(f"{at}.shared_gate", shared_gate, t)
        shared = self.swiglu(f"{at}.shared_expert", x, t)
        return self.tap(f"{at}.out", sum(w * y for w, y in zip(weights, answers)) + shared_gate * shared, t)

    def expert(self, at: str, index: int, x: Array) -> Array:
        index = self.router.clones.get(int(index), int(index))
        gate, up = np.split(self.weights[f"{at}.gate_up_proj"][index] @ x, 2)
        return self.weights[f"{at}.down_proj"][index] @ (silu(gate) * up)


def unit_rms(x: Array, eps: float) -> Array:
    return x / np.sqrt((x @ x) / len(x) + eps)


def sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def softmax(x: Array) -> Array:
    y = np.exp(x - x.max())
    return y / y.sum()
