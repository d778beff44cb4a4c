"""Writes golden_video.json, what transformers' own video processor makes of random clips. It needs torchvision, which
the tests do without: `PYTHONPATH=tests python tests/inputs/make_golden.py`, with the version noted in the file."""

import json
from pathlib import Path

import numpy as np
import transformers
from inputs.seeing import frames

GOLDEN = Path(__file__).with_name("golden_video.json")
PUBLISHED = {
    "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip
PICKED = 24  # values kept of every clip


def picked(values: int) -> np.ndarray:
    return np.linspace(0, values - 1, PICKED).astype(int)


def draw(random: np.random.RandomState) -> dict:
    """A clip and how it is to be looked at."""
    count = int(random.randint(2, 40))
    calls = [{}, {}, {"fps": int(random.choice([1, 4, 10]))}, {"num_frames": int(random.randint(2, count + 1))}]
    return {
        "clip": [count, int(random.randint(8, 150)), int(random.randint(8, 150)), int(random.randint(1000))],
        "fps": [None, 1.0, 5.0, 23.976, 30.0][random.randint(5)],
        "size": {
            "shortest_edge": int(random.choice([4096, 100_000])),
            "longest_edge": int(random.choice([200_000, 1_000_000])),
        },
        "cap_pixels_per_frame": bool(random.rand() < 0.3),
        "call": [*calls, {"do_sample_frames": False}][random.randint(5)],
    }


def answer(case: dict) -> dict:
    """What transformers makes of it."""
    processor = transformers.Qwen3VLVideoProcessor(
        **PUBLISHED, size=dict(case["size"]), cap_pixels_per_frame=case["cap_pixels_per_frame"]
    )
    count, height, width, seed = case["clip"]
    metadata = [{"total_num_frames": count, "fps": case["fps"], "frames_indices": list(range(count))}]
    call = dict(case["call"]) | ({"fps": None} if "num_frames" in case["call"] else {})
    made = processor(
        [frames(count, height, width, seed)], video_metadata=metadata, return_metadata=True, return_tensors="pt", **call
    )
    found = made["video_metadata"][0]
    times = transformers.Qwen3VLProcessor._calculate_timestamps(None, found.frames_indices, found.fps or 24)
    pixels = made["pixel_values_videos"].flatten().numpy()
    return {
        "grid": made["video_grid_thw"][0].tolist(),
        "seconds": [round(float(time), 6) for time in times],
        "pixels": [round(float(x), 6) for x in pixels[picked(len(pixels))]],
        "mean": round(float(pixels.mean(dtype=np.float64)), 6),
    }


if __name__ == "__main__":
    random = np.random.RandomState(0)
    cases = [case | {"answer": answer(case)} for case in (draw(random) for _ in range(40))]
    lines = ",\n".join(json.dumps(case) for case in cases)
    GOLDEN.write_text(f'{{"transformers": "{transformers.__version__}", "cases": [\n{lines}\n]}}\n')
