"""The clock wall: the browser's rules are the package's, and what it says and draws is what was computed."""

import io
import json
import shutil
import subprocess

import pytest
import torch
from PIL import Image

import qwen35_lab as lab
from qwen35_lab.analysis.clocks import kernel, rope_spectrum, unseen
from qwen35_lab.views import clock_wall
from qwen35_lab.views.clock_wall import FACTORS, PLACES, Clocks, place_of, position_of
from qwen35_lab.views.clock_wall_png import shortened
from qwen35_lab.views.pen import SCALE, WIDTH
from qwen35_lab.views.widget import HERE

OFFICIAL, NATIVE = lab.load_config("0.8B"), 262_144


@pytest.fixture(scope="module")
def nano():
    return lab.load("nano").config


def wall(nano, **at):
    kinds = {"official": OFFICIAL, "tiny": nano}
    return clock_wall(kinds, native={"tiny": 512}, provenance="PUBLISHED · configs", **at)


# ------------------------------------------------------------------------- the rules

ASK = """
const { kinds, factors, places } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(kinds.map(kind => factors.map(factor => {
  const clocks = clocksOf(kind, factor), temperature = attentionFactor(factor) ** 2;
  return { temperature, positions: places.map(place => positionOf(place, kind.native)),
    speeds: clocks.map(clock => clock.speed), did: clocks.map(clock => clock.did),
    fresh: places.map(place => clocks.map(clock => isUnseen(clock, positionOf(place, kind.native)))),
    kernel: [0, 1, 17, 5000, 1000000].map(d => kernelOf(clocks, temperature, d)) };
}))));
"""


@pytest.mark.skipif(
    not shutil.which("node"), reason="node is not installed; the browser tests read some of the numbers"
)
def test_the_browsers_rules_are_the_packages(nano):
    kinds = [Clocks("official", OFFICIAL.text), Clocks("tiny", nano.text, 512)]
    places = [*range(0, PLACES + 1, 7), PLACES]
    question = json.dumps({"kinds": [k.describe() for k in kinds], "factors": FACTORS, "places": places})
    script = (HERE / "clock_wall_rules.js").read_text(encoding="utf-8") + ASK
    answer = subprocess.run(["node", "-e", script], input=question, capture_output=True, text=True, check=True).stdout
    for kind, found in zip(kinds, json.loads(answer), strict=True):
        for factor, said in zip(FACTORS, found, strict=True):
            spectrum = kind.spectrum(factor)
            assert said["positions"] == [position_of(place, spectrum.native) for place in places]
            assert said["temperature"] == pytest.approx(spectrum.temperature, rel=1e-12)
            torch.testing.assert_close(torch.tensor(said["speeds"], dtype=torch.float64), spectrum.slowed)
            assert said["did"] == spectrum.kinds
            assert said["fresh"] == [unseen(spectrum, position).tolist() for position in said["positions"]]
            near = kernel(spectrum, [0, 1, 17, 5000, 1_000_000])
            torch.testing.assert_close(torch.tensor(said["kernel"], dtype=torch.float64), near, rtol=1e-6, atol=1e-7)


def test_the_slider_goes_from_zero_to_four_native_lengths():
    positions = [position_of(place, NATIVE) for place in range(PLACES + 1)]
    assert positions[0] == 0 and positions[-1] == 4 * NATIVE and positions == sorted(positions)
    for position in (1, 300, NATIVE, 4 * NATIVE):
        near = positions[place_of(position, NATIVE)]
        assert abs(near - position) <= 1.05 * min(abs(each - position) for each in positions)


# ------------------------------------------------------------------------- what it says


def test_it_says_what_the_spectrum_says(nano):
    shown = wall(nano, factor=4, position=NATIVE)
    facts = {name: value for name, value, _ in shown.facts()}
    assert facts["clocks that had not once been round"] == "10 of 32"
    assert facts["left alone, blended, divided by the factor"] == "15, 7, 10"
    assert facts["attention factor, on cos and sin"] == "1.1386" and facts["q·k of rotated features"] == "× 1.296"
    assert facts["hands where they never stood"] == "0" and "every hand stands" in shown.said()
    assert "32 clocks" in shown.caption() and "37,969,062" in shown.caption()
    for told in ("10 of 32", "15, 7, 10", "× 1.296"):
        assert told in shown.alt()


def test_beyond_the_training_hands_stand_where_they_never_stood(nano):
    shown = wall(nano, position=300_000)
    assert ("hands where they never stood", "10", True) in shown.facts()
    assert "10 hands stand at angles that training never showed" in shown.said()
    shown.factor = FACTORS.index(4)
    assert "every hand" in shown.said() and shown.spectrum().factor == 4


def test_another_model_has_its_own_clocks(nano):
    shown = wall(nano)
    shown.kind, shown.place = 1, PLACES
    assert len(shown.spectrum().own) == 8 and shown.position() == 4 * 512
    assert torch.equal(shown.spectrum().own, rope_spectrum(nano, 1).own)


@pytest.mark.parametrize("at", [{}, {"factor": 2.5, "position": 900_000}, {"position": 0}])
def test_the_static_twin_draws_every_clock(nano, at):
    image = Image.open(io.BytesIO(wall(nano, **at).static())).convert("RGB")
    assert image.width == WIDTH * SCALE and image.height > 400 * SCALE
    blue = [colour for count, colour in image.getcolors(1 << 24) if colour[2] > 150 and colour[0] < 40 and count > 99]
    orange = [colour for count, colour in image.getcolors(1 << 24) if colour[0] > 190 and colour[2] < 40 and count > 99]
    assert blue and bool(orange) == (at.get("position") != 0)


def test_the_page_holds_all_it_needs(nano):
    shown = wall(nano, factor=2, position=1000)
    data = json.loads(shown.payload)
    assert [kind["name"] for kind in data["kinds"]] == ["official", "tiny"] and data["badge"] == "PUBLISHED"
    assert json.loads(shown.start) == {"kind": 0, "factor": FACTORS.index(2), "place": place_of(1000, NATIVE)}
    assert len(shown.payload) < 20_000 and "q35-clock_wall" in shown.html()


def test_large_numbers_are_written_short():
    assert [shortened(10**n) for n in range(7)] == ["1", "10", "100", "1,000", "10k", "100k", "1M"]


def test_what_has_no_clocks_is_refused(nano):
    with pytest.raises(lab.InputError, match="at least one config"):
        clock_wall({}, provenance="")
    with pytest.raises(lab.InputError, match="no factor 5"):
        wall(nano, factor=5)
    with pytest.raises(lab.InputError, match="no position -1"):
        wall(nano, position=-1)
