"""Pictures and videos in the forms in which people have them -> PIL images and arrays of frames."""

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import InputError

Film = tuple[np.ndarray | Tensor, float | None]  # frames, and how many there are in a second, if that is known


def as_images(images: Any) -> list[Any]:
    """One image or several, in lists as deep as you like: paths, PIL images, arrays and tensors -> a flat list."""
    if isinstance(images, str | PathLike):
        return [_open_image(images)]
    if isinstance(images, list | tuple):
        return [found for each in images for found in as_images(each)]
    shape = getattr(images, "shape", None)
    if shape is not None and len(shape) == 4:
        return list(images)
    if shape is None and not hasattr(images, "convert"):
        raise InputError(f"An image is a path, a PIL image or an array, not a {type(images).__name__}.")
    return [images]


def _open_image(path: str | PathLike[str]) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")  # cameras store which side is up
    except OSError as error:
        raise InputError(f"{fspath(path)} cannot be read as an image ({error}); check the path.") from error


def as_films(videos: Any, fps: Sequence[float | None] | None = None) -> list[Film]:
    """One video or several: paths, arrays [frame, …], lists of frames, or lists of these."""
    films = list(_films(videos))
    if fps is None:
        return films
    if len(fps) != len(films):
        raise InputError(f"There are {len(films)} videos and the metadata of {len(fps)}; pass one for each.")
    return [(frames, known if rate is None else rate) for (frames, known), rate in zip(films, fps, strict=True)]


def _films(videos: Any) -> Iterator[Film]:
    if isinstance(videos, str | PathLike):
        yield read_video(videos)
    elif (shape := getattr(videos, "shape", None)) is not None:
        if len(shape) == 5:
            yield from ((each, None) for each in videos)
        else:
            yield videos, None
    elif isinstance(videos, list | tuple) and videos:
        if all(is_frame(each) for each in videos):
            yield np.stack([_frame(each) for each in videos]), None
        else:
            for each in videos:
                yield from _films(each)
    else:
        raise InputError(f"A video is a path, an array of frames or a list of them, not a {type(videos).__name__}.")


def is_frame(value: Any) -> bool:
    """A PIL image, or an array [row, column, channel]."""
    return hasattr(value, "convert") or len(getattr(value, "shape", ())) == 3


def _frame(value: Any) -> np.ndarray:
    return np.asarray(value.convert("RGB") if hasattr(value, "convert") else value)


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
    try:
        with av.open(fspath(path)) as file:
            stream = file.streams.video[0]
            rate = stream.average_rate
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
    except (OSError, ValueError, IndexError) as error:  # PyAV's own errors are of these kinds too
        raise InputError(f"{fspath(path)} cannot be read as a video ({error}); check the path.") from error
    if not frames:
        raise InputError(f"{fspath(path)} holds no frames; check the file.")
    return np.stack(frames), float(rate) if rate else None
