"""The picture ruler: its rules are the package's, in the browser too, and everybody gets to see something."""

import io
import json
import random
import shutil
import subprocess

import numpy as np
import pytest
import torch
from inputs.seeing import frames, seeing
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.inputs import ImageSettings, VideoSettings, image_size
from qwen35_lab.inputs.video import sample_frames, timestamps, video_size
from qwen35_lab.views import picture_ruler
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.size_ruler import BEFORE, FPS, LENGTHS, RATES, Kind
from qwen35_lab.views.widget import HERE

OFFICIAL = lab.load_config("0.8B")
PRICES = {"one": 0.6, "other": 2.0}


def ruler(**at):
    kinds = {"official": OFFICIAL, "tiny": seeing()}
    pictures = {"a": frames(1, 32, 48)[0], "b": frames(1, 24, 24, seed=1)[0]}
    return picture_ruler(
        kinds, pictures, frames(4, 16, 24), PRICES, priced="on a day", provenance="PUBLISHED · x", **at
    )  # fmt: skip


# ------------------------------------------------------------------------- the rules

ASK = """
const { settings, asked } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(asked.map(([height, width, seconds, fps, rate]) => {
  const s = settings[0], f = settings[1], total = Math.round(seconds * fps);
  const chosen = sampleFrames(total, fps, f, rate);
  return { image: imageSize(height, width, s), chosen, film: videoSize(chosen.length, height, width, f),
    times: timestamps(chosen, fps, f.pair), stamps: timestamps(chosen, fps, f.pair).map(stamp),
    tokens: filmOf(seconds, fps, rate, height, width, f).tokens };
})));
"""


@pytest.mark.skipif(
    not shutil.which("node"), reason="node is not installed; the browser tests read some of the numbers"
)
@pytest.mark.parametrize("source", [OFFICIAL, seeing()], ids=["official", "tiny"])
def test_the_browsers_rules_are_the_packages(source):
    kind = Kind.of("x", source)
    draw, asked = random.Random(4), []
    for _ in range(250):
        height, width = (round(10 ** draw.uniform(1.3, 3.6)) for _ in range(2))
        asked.append(
            (height, width, draw.choice([1, 2, 3.5, 15, 61, 400, 3600]), draw.choice([24, 25, 30]), draw.choice(RATES))
        )
    asked += [(n * 16, m * 16, 1, 24, 2) for n in range(2, 12) for m in (3, 5, 8, 21)]  # halves of a cell
    script = (HERE / "size_ruler_rules.js").read_text(encoding="utf-8") + ASK
    told = kind.describe()
    question = json.dumps({"settings": [told["image"], told["film"]], "asked": asked})
    answer = subprocess.run(["node", "-e", script], input=question, capture_output=True, text=True, check=True).stdout
    for (height, width, seconds, fps, rate), found in zip(asked, json.loads(answer), strict=True):
        chosen = sample_frames(round(seconds * fps), fps, kind.film, rate=rate)
        assert found["chosen"] == chosen
        assert found["image"] == list(image_size(height, width, kind.image))
        assert found["film"] == list(video_size(len(chosen), height, width, kind.film))
        assert found["times"] == (times := timestamps(chosen, fps, 2))
        assert found["stamps"] == [f"{time:.1f}" for time in times]
        assert found["tokens"] == np.prod(found["film"]) // kind.film.factor**2 * len(found["times"])


# ------------------------------------------------------------------------- what it says


def test_a_picture_is_measured_by_the_processors_rules():
    shown = ruler(width=416, height=288, cell=44, price=1)
    found = shown.measured()
    assert found["tokens"] == ImageSettings.of(OFFICIAL.vision).tokens(288, 416) == 9 * 13
    assert found["where"] == (BEFORE, BEFORE + 3, BEFORE + 5)
    assert found["usd"] == pytest.approx(117 * 1000 * 2.0 / 1e6)  # a thousand pictures
    assert "tokens 117" in shown.alt() and "416 × 288" in shown.alt()
    assert f"position {BEFORE + 13}" in shown._said()


def test_the_settings_of_a_model_are_its_processors():
    qwen = seeing()
    shown = ruler(width=160, height=320, kind=1)
    assert shown.measured()["tokens"] == ImageSettings.of(qwen.processor).tokens(320, 160)
    made = qwen.processor(images=torch.zeros(3, 320, 160, dtype=torch.uint8), return_tensors="pt")
    assert shown.measured()["tokens"] == int(made["image_grid_thw"].prod()) // 4


def test_a_film_is_measured_by_the_processors_rules():
    shown = ruler(view=1, width=640, height=352, length=5, rate=2)
    frames_, seconds = shown.measured()["frames"], LENGTHS[5]
    assert len(frames_) == seconds * RATES[2] and frames_[-1] == seconds * FPS - 1
    assert shown.measured()["tokens"] == 20 * 11 * len(frames_) // 2
    assert shown.measured()["usd"] == pytest.approx(220 * 3600 * 0.6 / 1e6)  # one moment a second
    assert "tokens a second 220" in shown.alt()


def test_a_long_film_is_seen_less_often_and_smaller():
    short, long = (ruler(view=1, width=640, height=352, length=n).measured() for n in (3, len(LENGTHS) - 1))
    limits = VideoSettings.of(None, OFFICIAL.vision)
    assert len(long["frames"]) == limits.max_frames
    assert long["size"] < short["size"]
    assert long["size"][0] * long["size"][1] * len(long["frames"]) <= limits.longest_edge


def test_every_pair_follows_the_axis_that_the_model_gives_it():
    told = Kind.of("x", OFFICIAL).describe()
    assert told["axes"][:6] == [0, 1, 2, 0, 1, 2]
    assert [told["axes"].count(axis) for axis in range(3)] == [*OFFICIAL.text.rope.mrope_section] == [11, 11, 10]
    for axis in range(3):  # a step along one axis turns its pairs, and no others
        where = torch.zeros(3, 1, 2, dtype=torch.long)
        where[axis, 0, 1] = 1
        _, sin = lab.model.rope.rotary_angles(where, OFFICIAL.text.head_dim, OFFICIAL.text.rope, torch.float64)
        turned = (sin[0, 1, : len(told["axes"])] != 0).nonzero()[:, 0].tolist()
        assert turned == [n for n, own in enumerate(told["axes"]) if own == axis]


def test_it_sends_its_pictures_and_where_it_began():
    shown = ruler(width=416, height=288)
    data = json.loads(shown.payload)
    assert [picture["name"] for picture in data["pictures"]] == ["a", "b"] and data["badge"] == "PUBLISHED"
    assert json.loads(shown.start)["width"] == 416 and len(shown.payload) < 200_000
    assert "on a day" in data["caption"]
    assert "q35-size_ruler" in shown.html()


@pytest.mark.parametrize("view", [0, 1])
def test_the_static_twin_is_a_picture_in_colour(view):
    image = Image.open(io.BytesIO(ruler(view=view, width=416, height=288).static()))
    assert image.width == WIDTH * SCALE and image.height > 200 * SCALE
    assert len(set(image.convert("RGB").resize((200, 120), Image.Resampling.NEAREST).get_flattened_data())) > 40


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(lab.InputError, match="no eyes"):
        picture_ruler(
            {"x": lab.load("recall")}, {"a": frames(1, 8, 8)[0]}, frames(2, 8, 8), PRICES, priced="", provenance=""
        )
    with pytest.raises(lab.InputError, match="at least one"):
        picture_ruler({}, {}, frames(2, 8, 8), PRICES, priced="", provenance="")
