"""Where the files that ship with the package lie: configs, small trained checkpoints, tables, media.

In a wheel they are packed inside the package; in a checkout (editable install) they lie in `data/` beside it.
"""

from pathlib import Path

from .errors import LabError


def data_path(*parts: str) -> Path:
    """Where something shipped lies: `data_path("family", "README.md")`; without parts, the data folder itself."""
    package = Path(__file__).parent
    for root in (package / "data", package.parent / "data"):
        found = root.joinpath(*parts)
        if found.exists():
            return found
    raise LabError(
        f"The package's data file {Path('data', *parts).as_posix()} is not installed; "
        "reinstall qwen35_lab, or work in a complete checkout of its repository."
    )
