"""Wrong answers to the exercises of notebook 13."""

from ..agents import CALL_MISTAKES, MASK_MISTAKES, RETRY_MISTAKES
from ..verdict import Mistake
from .pairs import listed

WRONG: dict[str, tuple[Mistake, ...]] = {
    "13.1": listed(CALL_MISTAKES), "13.2": listed(MASK_MISTAKES), "13.3": listed(RETRY_MISTAKES),
}  # fmt: skip
