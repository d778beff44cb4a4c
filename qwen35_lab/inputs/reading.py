"""Pictures and videos in the forms in which people have them -> PIL images and arrays of frames."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

Film = tuple[np.ndarray | Tensor, float | None]  # frames, and how many there are in a second, if that is known
CHANNELS = (1, 3, 4)  # grey, colours, colours and how opaque they are


def as_images(images: Any) -> list[Any]:
    """One image or several, in lists as deep as you like: paths, PIL images, arrays and tensors -> a flat list of PIL
    images of three channels. However a picture comes, it is the same one; what is transparent in it stands on white.

    Raises:
        InputError: not an image, one that cannot be read, one without pixels, or values that are no pixels'.
    """
    if isinstance(images, str | PathLike):
        return [_open_image(images)]
    if isinstance(images, list | tuple):
        return [found for each in images for found in as_images(each)]
    shape = getattr(images, "shape", None)
    if shape is not None:
        return [_drawn(each) for each in (images if len(shape) == 4 else [images])]
    if not hasattr(images, "convert"):
        raise InputError(f"An image is a path, a PIL image or an array, not a {type(images).__name__}.")
    return [as_rgb(images)]


def _open_image(path: str | PathLike[str]) -> Any:
    from PIL import Image, ImageOps

    shown = _short(fspath(path))
    if shown.startswith(("http:", "https:", "data:")):
        raise InputError(f"{shown} is an address, and nothing is fetched; save the picture, and pass its path.")
    try:
        with Image.open(path) as image:
            return as_rgb(ImageOps.exif_transpose(image))  # cameras store which side is up
    except InputError:
        raise
    except Exception as error:  # a damaged file shows itself in many ways
        raise InputError(f"{shown} cannot be read as an image ({_short(str(error))}); check the path.") from error


def as_rgb(image: Any) -> Any:
    """A PIL image with 8 bits a channel and no transparency, which goes on white, as transformers' image processors
    and qwen-vl-utils have it.

    Raises:
        InputError: no pixels, a damaged file behind it, or numbers that are no pixels'.
    """
    from PIL import Image

    if 0 in image.size:
        raise InputError(f"An image of {image.size[1]}×{image.size[0]} pixels shows nothing; pass another one.")
    try:
        if image.mode.startswith("I;16"):  # PIL would make everything above 255 white
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            check_pixels(torch.tensor(image.getextrema()))
        if "A" in image.getbands() or image.info.get("transparency") is not None:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        return image.convert("RGB")
    except InputError:
        raise
    except Exception as error:  # PIL reads a file only when its pixels are wanted
        raise InputError(f"An image cannot be read ({_short(str(error))}); pass another one.") from error


def _drawn(array: Any) -> Any:
    """An array [row, column, channel] or [channel, row, column] as an image; the first where it could be both."""
    from PIL import Image

    pixels = as_pixels(array)
    if pixels.ndim == 3 and pixels.shape[-1] not in CHANNELS and pixels.shape[0] in CHANNELS:
        pixels = pixels.permute(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[-1] not in CHANNELS or not pixels.numel():
        raise InputError(f"An image is [row, column, 3] or [3, row, column]; this one is {list(pixels.shape)}.")
    whole = (pixels.round() if pixels.is_floating_point() else pixels).to(torch.uint8).cpu().numpy()
    return as_rgb(Image.fromarray(whole[..., 0] if whole.shape[-1] == 1 else whole))


def as_pixels(array: Any) -> Tensor:
    """An array as a tensor, bytes or float32, from 0 to 255. Raises InputError if it is not that."""
    found = _as_tensor(array)
    if found.dtype != torch.uint8 and found.numel():
        check_pixels(found)
    return found


def _as_tensor(array: Any) -> Tensor:
    if isinstance(array, np.ndarray):
        array = np.require(array, requirements=("C", "W"))  # PIL's are not to be written to, of which torch warns
    try:
        found = torch.as_tensor(array).detach()
    except (TypeError, ValueError) as error:
        raise InputError("Pixels are numbers from 0 to 255; pass an array of them.") from error
    return found if found.dtype == torch.uint8 else found.float()


def check_pixels(values: Tensor) -> None:
    """Raises InputError for what is not from 0 to 255, or so dark that it must be meant from 0 to 1."""
    low, high = (float(value) for value in values.aminmax())
    if not (low >= 0 and high <= 255):  # nan too
        raise InputError(f"Pixels go from 0 to 255, and these from {low:g} to {high:g}; scale them.")
    if 0 < high <= 1:
        raise InputError("Pixels go from 0 to 255, and these from 0 to 1; multiply them by 255.")


def _short(text: str) -> str:
    """One line that can stand in a sentence."""
    line = text.strip().split("\n")[0].rstrip(".")
    return line if len(line) <= 200 else line[:199] + "…"


def as_films(videos: Any, fps: Sequence[float | None] | None = None) -> list[Film]:
    """One video or several: paths, arrays [frame, …], lists of frames, or lists of these.

    Frames know no rate; `{"video": frames, "fps": 2}` says how many were taken in a second.
    """
    films = list(_films(videos))
    if fps is None:
        return films
    if len(fps) != len(films):
        raise InputError(f"There are {len(films)} videos and the metadata of {len(fps)}; pass one for each.")
    return [(frames, known if rate is None else rate) for (frames, known), rate in zip(films, fps, strict=True)]


def as_videos(videos: Any) -> list[Any]:
    """One video or several as a list, in which paths stay paths: none is read, and a file knows its frame rate."""
    if isinstance(videos, str | PathLike | Mapping):
        return [videos]
    if isinstance(videos, list | tuple) and videos and not any(is_frame(each) for each in videos):
        return [found for each in videos for found in as_videos(each)]
    return [frames for frames, _ in as_films(videos)]


def _films(videos: Any) -> Iterator[Film]:
    if isinstance(videos, str | PathLike):
        yield read_video(videos)
    elif isinstance(videos, Mapping):
        yield from as_films([videos.get("video")], [videos.get("fps")])
    elif (shape := getattr(videos, "shape", None)) is not None:
        if len(shape) == 5:
            yield from ((each, None) for each in videos)
        else:
            yield videos, None
    elif isinstance(videos, list | tuple) and videos:
        if all(is_frame(each) for each in videos):
            yield _film(videos), None
        else:
            for each in videos:
                yield from _films(each)
    else:
        raise InputError(f"A video is a path, an array of frames or a list of them, not a {type(videos).__name__}.")


def is_frame(value: Any) -> bool:
    """A PIL image, or an array [row, column, channel]."""
    return hasattr(value, "convert") or len(getattr(value, "shape", ())) == 3


def _film(frames: Sequence[Any]) -> np.ndarray:
    made = [np.asarray(as_rgb(each)) if hasattr(each, "convert") else _as_tensor(each).cpu().numpy() for each in frames]
    first = made[0].shape
    if other := next((each.shape for each in made if each.shape != first), None):
        raise InputError(f"The frames of a video are of one shape, and these are {first} and {other}; resize them.")
    return np.stack(made)


def read_video(path: str | PathLike[str]) -> Film:
    """All frames of a video file, [frame, row, column, 3], and the frame rate, by PyAV.

    Raises:
        InputError: PyAV is not installed, or the file is no video.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            "Reading video files needs PyAV: pip install 'qwen35-lab[video]'; or pass the frames, as an array or as a "
            "list of PIL images."
        ) from error
    shown = _short(fspath(path))
    try:
        with av.open(fspath(path)) as file:
            stream = next(iter(file.streams.video), None)
            rate = stream.average_rate if stream else None
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)] if stream else []
    except Exception as error:  # a damaged file shows itself in many ways
        raise InputError(f"{shown} cannot be read as a video ({_short(str(error))}); check the path.") from error
    if not frames:
        raise InputError(f"{shown} holds no frames; check the file.")
    return _film(frames), float(rate) if rate else None
