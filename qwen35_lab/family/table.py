"""The family as a table: one row per model, for reading in a notebook, in a terminal, and from code."""

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ..config import FULL, LINEAR
from .models import OFFICIAL, PREDECESSORS, full_name, load_any, published
from .sizes import break_even_tokens, kv_bytes_per_token, parameters, state_bytes, weight_bytes

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column as shown: header, unit, and how to write a row's value."""

    header: str
    unit: str
    text: Callable[[Row], str]


def _scaled(key: str, divisor: float, digits: int) -> Callable[[Row], str]:
    return lambda row: f"{row[key] / divisor:,.{digits}f}" if row[key] else "–"


def _pad(column: int, cell: str, width: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)  # names left, numbers right


def _layers(row: Row) -> str:
    return f"{row['linear_layers']} + {row['full_layers']}"


def _experts(row: Row) -> str:
    return f"{row['num_experts_per_tok']} of {row['num_experts']}" if row["num_experts"] else "–"


@dataclass(frozen=True, repr=False)
class FamilyTable:
    """Iterate for rows, index by model name (`table["0.8B"]`), or take `rows()`: dicts in plain units, unrounded.

    Keys of a row: model, generation, released, hidden_size, linear_layers, full_layers, num_experts,
    num_experts_per_tok, max_position_embeddings; parameters, active_parameters, active_without_embedding,
    published_parameters (None where none was noted); weight_bytes, kv_bytes_per_token, kv_bytes (at `tokens`),
    state_bytes; break_even_tokens.
    """

    _rows: tuple[Row, ...]
    tokens: int  # length of the sequence whose KV cache is shown
    dtype: str  # of weights, keys and values

    def rows(self) -> list[Row]:
        return [dict(row) for row in self._rows]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows())

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> Row:
        wanted = full_name(name, [row["model"] for row in self._rows])
        return next(dict(row) for row in self._rows if row["model"] == wanted)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns as shown, in order, after the model's name."""
        return (
            Column("released", "", lambda row: row["released"]),
            Column("parameters", "10⁹", _scaled("parameters", 1e9, 2)),
            Column("active", "10⁹", _scaled("active_parameters", 1e9, 2)),
            Column("experts", "per token", _experts),
            Column("layers", "linear + full", _layers),
            Column("width", "features", lambda row: f"{row['hidden_size']:,}"),
            Column("weights", "GB", _scaled("weight_bytes", 1e9, 2)),
            Column("KV cache", "KiB/token", _scaled("kv_bytes_per_token", 2**10, 0)),
            Column("KV cache", f"GiB at {self.tokens:,}", _scaled("kv_bytes", 2**30, 2)),
            Column("state", "MiB", _scaled("state_bytes", 2**20, 0)),
            Column("KV = state", "tokens", _scaled("break_even_tokens", 1, 0)),
        )

    @property
    def caption(self) -> str:
        return (
            "Computed from each model's config.json. Parameters: the whole checkpoint, vision tower and MTP head "
            "included; active: what works on one token of text, both token tables included. "
            f"Weights and KV cache in {self.dtype}, one sequence; the DeltaNet state is the same at any length, and "
            "the KV cache outgrows it at the last column's length."
        )

    def __repr__(self) -> str:
        """The table in plain text, numbers right-aligned under header and unit."""
        lines = [
            ["model", *(column.header for column in self.columns)],
            ["", *(c.unit for c in self.columns)],
        ]
        lines += [[row["model"], *(column.text(row) for column in self.columns)] for row in self._rows]
        widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
        aligned = ["  ".join(map(_pad, range(len(widths)), line, widths)) for line in lines]
        aligned.insert(2, "─" * len(aligned[0]))
        return "\n".join([*aligned, "", *textwrap.wrap(self.caption, len(aligned[0]))])

    def _repr_html_(self) -> str:
        """The same table for Jupyter, in the theme's own colours; without a style sheet it is still a plain table."""
        heads = "".join(
            f'<th scope="col" style="{HEAD}">{escape(c.header)}<br><small>{escape(c.unit) or "&nbsp;"}</small></th>'
            for c in self.columns
        )
        body = "".join(self._html_row(n) for n in range(len(self)))
        return (
            f'<div style="overflow-x:auto"><table style="{TABLE}">'
            f'<caption style="{CAPTION}">{escape(self.caption)}</caption>'
            f'<thead><tr><th scope="col" style="{HEAD};text-align:left">model</th>{heads}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _html_row(self, n: int) -> str:
        row = self._rows[n]
        starts_group = n > 0 and self._rows[n - 1]["generation"] != row["generation"]
        rule = RULE if n == 0 or starts_group else ""
        cells = "".join(f'<td style="{NUMBER};{rule}">{escape(c.text(row))}</td>' for c in self.columns)
        return f'<tr><th scope="row" style="{NAME};{rule}">{escape(row["model"])}</th>{cells}</tr>'


TABLE = (
    "border-collapse:collapse;font-variant-numeric:tabular-nums;"
    "font-size:var(--jp-ui-font-size1,inherit);color:var(--jp-ui-font-color1,inherit)"
)
CAPTION = "caption-side:bottom;text-align:left;padding-top:0.5em;color:var(--jp-ui-font-color2,inherit)"
HEAD = "text-align:right;vertical-align:bottom;padding:0.2em 0.35em"  # in as many lines as it takes
NUMBER = "text-align:right;white-space:nowrap;padding:0.2em 0.35em"
NAME = "text-align:left;white-space:nowrap;padding:0.2em 0.35em"
RULE = "border-top:1px solid var(--jp-border-color1,currentColor)"


def family(*, predecessors: bool = True, tokens: int = 32_768, dtype: str = "bfloat16") -> FamilyTable:
    """The eight Qwen3.5 models, after their nine predecessors, as a table computed from the shipped configs.

    `tokens` is the sequence length at which the KV cache is shown; `dtype` that of weights, keys and values.
    """
    names = (PREDECESSORS if predecessors else ()) + OFFICIAL
    return FamilyTable(tuple(_row(name, tokens, dtype) for name in names), tokens, dtype)


def _row(name: str, tokens: int, dtype: str) -> Row:
    config, facts = load_any(name), published()[name]
    counts, text = parameters(config), config.text
    per_token = kv_bytes_per_token(config, dtype)
    return {
        "model": name,
        "generation": facts.generation,
        "released": facts.released,
        "hidden_size": text.hidden_size,
        "linear_layers": text.layer_types.count(LINEAR),
        "full_layers": text.layer_types.count(FULL),
        "num_experts": text.num_experts,
        "num_experts_per_tok": text.num_experts_per_tok,
        "max_position_embeddings": text.max_position_embeddings,
        "parameters": counts.total,
        "active_parameters": counts.active,
        "active_without_embedding": counts.active_without_embedding,
        "published_parameters": facts.parameters,
        "weight_bytes": weight_bytes(config, dtype),
        "kv_bytes_per_token": per_token,
        "kv_bytes": per_token * tokens,
        "state_bytes": state_bytes(config),
        "break_even_tokens": break_even_tokens(config, dtype),
    }
