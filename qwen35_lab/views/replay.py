"""Write by write: what a small memory keeps, at every setting of erase, fading and write strength."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..analysis.recorded import mixer_values
from ..analysis.replay import keys_with_cosine, replay
from ..config import LINEAR
from ..errors import InputError
from ..trace import Trace
from .cinema import CELLS, SIDE, followed_keys, key_name, strength
from .deck import Axis, Bars, Curves, Deck, Dial, Heat, Strip, shrink
from .words import listed, short, signed

WRITES = (
    ("cat", "red"), ("dog", "blue"), ("fox", "gold"), ("cat", "green"),
    ("owl", "teal"), ("dog", "pink"), ("cat", "gold"), ("fox", "blue"),
)  # fmt: skip
ERASE, DECAY = (0.0, 0.25, 0.5, 0.75, 1.0), (0.7, 0.85, 0.95, 1.0)
BETA, COSINE = (0.25, 0.5, 0.75, 1.0), (0.0, 0.3, 0.6)
FEATURES = 8
DIALS = ("erase λ", "decay α", "strength β", "key cosine", "write")
PROVENANCE = "RANDOM · toy keys and values, no model · float64"


def write_replay(writes: Sequence[tuple[str, str]] = WRITES) -> Deck:
    """A row of key → value writes, the memory S after each, and what every key now returns, under five dials.

    Values are one-hot, so that a column of S belongs to a value; keys have length one, and any two of them the cosine
    of the dial. λ = 0 only adds, λ = 1 is the delta rule.

    Args:
        writes: (key, value) names, up to 7 different keys.
    Raises:
        InputError: no writes, or too many different keys.
    """
    keys, values = (list(dict.fromkeys(column)) for column in zip(*writes, strict=True)) if writes else ([], [])
    if not 1 <= len(keys) < FEATURES:
        raise InputError(f"There are {len(keys)} different keys; pass writes with 1 to {FEATURES - 1}.")
    at = [keys.index(key) for key, _ in writes]
    stored = [values.index(value) for _, value in writes]
    K = torch.stack([keys_with_cosine(len(keys), cosine, FEATURES) for cosine in COSINE])  # [cosine, key, feature]
    S = torch.stack([_replayed(k[at], torch.eye(len(values))[stored]) for k in K], dim=3)  # [λ, α, β, cosine, step, …]
    returned = torch.einsum("cnk,labcskv->labcsnv", K, S).round(decimals=9) + 0.0  # […, step, key, value]
    ideal = _ideal(at, stored, len(keys), len(values))
    right, wrong = _right_and_wrong(returned, ideal)
    value, key = Axis("value", values), Axis("key", keys)
    return Deck(
        [
            Strip(["nothing", *(f"{k}→{v}" for k, v in writes)], dial="write"),
            Heat("Memory S", S, DIALS, Axis("key feature"), value),
            Heat("What each key now returns", returned, DIALS, key, value, text=True,
                 reading="{row} returns of {column}"),
            Heat("What it should return", ideal, ("write",), key, value, signed=False, limit=1.0, text=True,
                 reading="the last value of {row} is {column}:"),
            Bars("The last value, and the strongest other one", keys, {"last value": right, "other": wrong}, DIALS),
        ],
        [
            Dial(DIALS[0], ERASE, start=-1), Dial(DIALS[1], DECAY, start=-1), Dial(DIALS[2], BETA, start=-1),
            Dial(DIALS[3], COSINE, start=1),
            Dial(DIALS[4], ["nothing", *(f"{k}→{v}" for k, v in writes)], start=-1, play=True),
        ],
        caption=_caption(writes, right, wrong),
        provenance=PROVENANCE,
    )  # fmt: skip


def memory_replay(
    trace: Trace, layer: int, head: int, keys: Sequence[int] | None = None, erase: Sequence[float] = ERASE
) -> Deck:
    """A traced head's own writes, replayed at other strengths of erasing; the rest of the model is not run again.

    Args:
        trace: with the mixer's k, v, beta and decay.
        keys: tokens whose keys are followed; by default those of the cinema, `followed_keys`.
        erase: settings of the dial λ; 1 is what the model did.
    Raises:
        InputError: something was not recorded, or there is no such head or token.
    """
    k, v, beta, g = mixer_values(trace, layer, LINEAR, ("k", "v", "beta", "decay"))
    T, heads = beta.shape
    if not -heads <= head < heads:
        raise InputError(f"Layer {layer} has {heads} heads; pass a head from 0 to {heads - 1}.")
    head %= heads
    k, v, beta, g = k[:, head * k.shape[1] // heads], v[:, head], beta[:, head], g[:, head].double()
    S = replay(k, v, beta, g.exp(), torch.tensor(erase, dtype=torch.float64)[:, None])[:, 1:]  # [λ, token, K, V]
    own = replay(k, v, beta, g.exp())[1:]  # as the model did it
    followed = followed_keys(keys, own, k.double(), v.double(), beta * v.norm(dim=-1))
    curves = {key_name(trace.tokens, n): torch.stack([strength(s, k[n], v[n], n) for s in S]) for n in followed}
    norm, tokens = torch.linalg.matrix_norm(S), Axis("token", trace.tokens)
    rows = min(SIDE, max(8, int((CELLS / (T * len(erase))) ** 0.5)))
    over = ("erase λ", "token")
    said = [f"{short(float(norm[n, -1]))} with λ = {setting:g}" for n, setting in enumerate(erase)]
    return Deck(
        [
            Strip(trace.tokens, beta * v.norm(dim=-1), title="written, β‖v‖", signed=False),
            Heat(f"Memory S, layer {layer}, head {head}", shrink(shrink(S, rows, 2), rows, 3), over,
                 Axis("key feature"), Axis("value feature")),
            Curves("What keys return, share of their value", tokens, curves, over[:1], cursor="token"),
            Curves("Size, Frobenius norm", tokens, {"‖S‖": norm}, over[:1], cursor="token"),
        ],
        [Dial(over[0], erase, start=-1), Dial("token", trace.tokens, start=-1, play=True)],
        caption=f"Layer {layer}, head {head}, the same {T} writes: ‖S‖ ends at {listed([said[0], said[-1]])}. "
        f"In the end, λ = {erase[0]:g}: {_still(curves, 0)}; λ = {erase[-1]:g}: {_still(curves, -1)}.",
        provenance=trace.provenance,
    )  # fmt: skip


def _still(curves: dict[str, Tensor], setting: int) -> str:
    """How much of each followed value is returned in the end, in words."""
    return "returned of " + ", ".join(f"“{name}” {signed(curve[setting, -1])}" for name, curve in curves.items())


def _replayed(keys: Tensor, values: Tensor) -> Tensor:
    """S [λ, α, β, step, K, V] for all settings of the dials."""
    lam, alpha, beta = (torch.tensor(dial, dtype=torch.float64)[:, None] for dial in (ERASE, DECAY, BETA))
    return replay(keys, values, beta, alpha[:, None], lam[:, None, None])


def _ideal(at: Sequence[int], stored: Sequence[int], keys: int, values: int) -> Tensor:
    """One where a value was written last under a key: [step, key, value]."""
    now, found = torch.zeros(keys, values, dtype=torch.float64), []
    found.append(now.clone())
    for key, value in zip(at, stored, strict=True):
        now[key] = torch.eye(values, dtype=torch.float64)[value]
        found.append(now.clone())
    return torch.stack(found)


def _right_and_wrong(returned: Tensor, ideal: Tensor) -> tuple[Tensor, Tensor]:
    """What each key returns of its last value, and of the strongest other one; nan before it was written. [..., key]"""
    wanted = ideal.bool().expand_as(returned)
    written = ideal.any(-1).expand(returned.shape[:-1])
    right = torch.where(wanted, returned, 0.0).sum(-1).masked_fill(~written, torch.nan)
    return right, returned.masked_fill(wanted, -torch.inf).amax(-1).masked_fill(~written, torch.nan)


def _caption(writes: Sequence[tuple[str, str]], right: Tensor, wrong: Tensor) -> str:
    """What the two ends of the erase dial do to the writes, the other dials where they start."""
    lead = (right - wrong)[:, -1, -1, 1, -1]  # [λ, key]
    good, least = (lead > 1e-9).sum(-1).tolist(), lead.amin(-1)  # a tie is no answer
    return (
        f"After {len(writes)} writes, keys of cosine {COSINE[1]:g} and nothing faded: with λ = 1, "
        f"{good[-1]} of {right.shape[-1]} keys return their last value most strongly; with λ = 0, {good[0]}. The "
        f"smallest lead over another value is {signed(least[-1])} with λ = 1 and {signed(least[0])} with λ = 0."
    )
