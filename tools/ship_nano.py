"""Put a trained and scored nano into data/, with the record of its training.

    python tools/ship_nano.py runs/nano

data/nano becomes what the run has learnt; data/nano-training says how, so that a test can begin the run again and
compare: settings, losses step by step, the tower as it was when the rest began, scores.
"""

import argparse
import shutil
import sys
from pathlib import Path

from qwen35_lab.errors import CheckpointError, LabError
from qwen35_lab.files import write_file, write_folder
from qwen35_lab.nano.publish import MODEL
from qwen35_lab.nano.train import TOWER

DATA = Path(__file__).resolve().parents[1] / "data"
RECORD = ("run.json", "curves.json", "tower.json", TOWER, "scores.json")


def ship(run: Path) -> None:
    missing = [name for name in (f"{MODEL}/config.json", *RECORD) if not (run / name).exists()]
    if missing:
        raise CheckpointError(f"{run} has no {missing[0]}; train to the end, then `qwen35-lab score nano {run}`.")
    with write_folder(DATA / "nano", overwrite=True) as beside:
        for path in (run / MODEL).iterdir():
            shutil.copyfile(path, beside / path.name)
    for name in RECORD:
        with write_file(DATA / "nano-training" / name) as beside:
            shutil.copyfile(run / name, beside)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of the run")
    try:
        ship(parser.parse_args().run)
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
