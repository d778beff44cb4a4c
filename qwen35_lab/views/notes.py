"""Values that a notebook hands on: `qwen35-lab sweep` gathers them, a column for each name.

lab.note("accuracy", found.accuracy)
accuracy: 0.9987
"""

import json
import math
from typing import Any

from ..errors import InputError
from . import claims

_notes: dict[str, Any] = {}


def note(name: str, value: Any) -> None:
    """Print a value with its name, and keep it for the table of a run; a name noted twice has its last value.

    Args:
        value: a number, a truth value or a text; a tensor or array of one element counts as its element.
    Raises:
        InputError: anything else, or an empty name.
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"A note needs a name, and {name!r} is none; pass a few words, such as 'accuracy'.")
    found = _scalar(value)
    if found is None:
        raise InputError(f"{name!r} is a {type(value).__name__}; note a number, a truth value or a text.")
    _notes[name] = found
    print(f"{name}: {found if isinstance(found, str) else claims.show(found)}")


def noted() -> dict[str, Any]:
    """All that was noted in this kernel so far, in order."""
    return dict(_notes)


def record() -> str:
    """Claims and notes of this kernel as JSON. `qwen35_lab.jobs` asks for it when a notebook has ended."""
    made = [
        {
            "statement": claim.statement,
            "measured": claims.show(claim.measured) if (found := _scalar(claim.measured)) is None else _finite(found),
            "bound": claim.bound,
            "holds": claim.holds,
        }
        for claim in claims.made()
    ]
    return json.dumps({"claims": made, "values": {name: _finite(value) for name, value in _notes.items()}})


def _scalar(value: Any) -> Any:
    """A tensor's or an array's only element, or what is a plain value already; else None."""
    if hasattr(value, "item") and getattr(value, "size", None) is not None:
        count = value.numel() if hasattr(value, "numel") else value.size
        value = value.item() if count == 1 else None
    return value if isinstance(value, bool | int | float | str) else None


def _finite(value: Any) -> Any:
    """JSON knows neither nan nor inf: they travel as words."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
