"""However a picture comes, it is the same picture; and what is none is refused in a sentence."""

import warnings

import numpy as np
import pytest
import torch
from inputs.seeing import frames, picture
from PIL import Image
from transformers import Qwen2VLImageProcessorPil

from qwen35_lab.errors import InputError
from qwen35_lab.inputs.reading import as_images

PIXELS = frames(1, 48, 32)[0]
WHITE = (255, 255, 255)


def seen(image) -> np.ndarray:
    (found,) = as_images(image)
    assert found.mode == "RGB"
    return np.asarray(found)


@pytest.mark.parametrize(
    "form",
    [
        Image.fromarray(PIXELS),
        PIXELS.transpose(2, 0, 1),
        PIXELS.astype(np.float64),
        PIXELS.astype(np.int32),
        torch.tensor(PIXELS),
        torch.tensor(PIXELS).float().requires_grad_(),
        torch.tensor(PIXELS).bfloat16() * 1.0,
        PIXELS[None],
        Image.fromarray(PIXELS).convert("RGBA"),
    ],
)
def test_a_picture_in_any_form_is_the_same_picture(form) -> None:
    if isinstance(form, torch.Tensor) and form.dtype == torch.bfloat16:
        assert np.abs(seen(form).astype(int) - PIXELS).max() <= 1
    else:
        assert np.array_equal(seen(form), PIXELS)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "PA", "I", "F"])
def test_every_mode_is_seen_as_transformers_sees_it(mode: str, tmp_path) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    processor = Qwen2VLImageProcessorPil(patch_size=4, size={"shortest_edge": 64, "longest_edge": 10**6})
    expected = processor([image], return_tensors="pt")
    found = processor(as_images(image), return_tensors="pt")
    assert torch.equal(found["pixel_values"], expected["pixel_values"])


def test_what_is_transparent_stands_on_white(tmp_path) -> None:
    """As transformers' processors and qwen-vl-utils have it; the colour that a file keeps under it is never meant."""
    image = Image.fromarray(np.dstack((PIXELS, np.zeros_like(PIXELS[..., 0]))))
    image.save(tmp_path / "clear.png")
    palette = Image.fromarray(PIXELS[..., 0] // 32 * 0, "P")
    palette.putpalette([9, 9, 9])
    palette.info["transparency"] = 0
    for form in (image, tmp_path / "clear.png", np.asarray(image), palette):
        assert (seen(form) == 255).all()
    half = Image.new("RGBA", (4, 4), (255, 0, 0, 128))
    assert tuple(seen(half)[0, 0]) == (255, 127, 127)


def test_sixteen_bits_become_eight_and_not_white(tmp_path) -> None:
    grey = PIXELS[..., 0]
    image = Image.fromarray(grey.astype(np.uint16) * 257)
    image.save(tmp_path / "deep.png")
    for form in (image, tmp_path / "deep.png"):
        assert np.array_equal(seen(form), np.repeat(grey[..., None], 3, axis=-1))


def test_the_channels_come_last_where_they_could_be_either() -> None:
    """Three rows or one: transformers would take the rows for channels."""
    for rows in (1, 3, 4):
        assert np.array_equal(seen(PIXELS[:rows]), PIXELS[:rows])


def test_a_camera_s_note_of_which_side_is_up_is_heeded(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn to the right
    Image.fromarray(PIXELS).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(seen(tmp_path / "turned.png"), np.rot90(PIXELS, -1))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (PIXELS / 255, "from 0 to 1; multiply them by 255"),
        (PIXELS > 127, "from 0 to 1; multiply them by 255"),
        (np.where(np.arange(3), PIXELS, np.nan), "these from nan to nan"),
        (PIXELS.astype(float) - 128, "these from -"),
        (PIXELS.astype(np.uint16) * 257, "to 6.*; scale them"),
        (PIXELS.astype(object), "Pixels are numbers"),
        (PIXELS[..., 0], r"this one is \[48, 32\]"),
        (PIXELS[:0], r"this one is \[0, 32, 3\]"),
        (PIXELS[None, None], r"this one is \[1, 1, 48, 32, 3\]"),
        (Image.new("RGB", (0, 5)), "5×0 pixels shows nothing"),
        (Image.fromarray(np.full((4, 4), 1e6, np.float32)), "from 1e[+]06 to 1e[+]06"),
        ("https://somewhere.example/a.png", "is an address, and nothing is fetched"),
        ("data:image/png;base64," + "A" * 9999, "A… is an address"),
        ("no\0name", "cannot be read as an image"),
        (None, "not a NoneType"),
    ],
)
def test_what_is_no_picture_is_refused_in_a_sentence(image, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        as_images(image)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", ["png", "gif", "bmp", "tiff", "jpeg"])
def test_a_damaged_file_is_refused_in_a_sentence_or_shows_something(kind: str, tmp_path) -> None:
    path, draws = tmp_path / f"a.{kind}", np.random.RandomState(0)
    picture(24, 24).save(path)
    whole, refused = path.read_bytes(), 0
    for n in range(150):
        damaged = bytearray(whole[: draws.randint(len(whole))] if n % 3 == 0 else whole)
        for place in draws.randint(min(len(damaged), 120) or 1, size=4) if damaged else ():
            damaged[place] = draws.randint(256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's, of very large pictures
            try:
                as_images(path)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 40


def test_a_file_that_ends_early_is_noticed_though_pil_reads_late(tmp_path) -> None:
    picture(64, 64).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:150])
    with Image.open(tmp_path / "a.png") as image, pytest.raises(InputError, match="An image cannot be read"):
        as_images(image)
