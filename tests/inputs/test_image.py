"""How large an image becomes: transformers' own numbers, for sizes of every shape."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from transformers import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

import qwen35_lab as lab
from qwen35_lab.inputs import ImageSettings, image_size

PUBLISHED = ImageSettings()
NANO = ImageSettings(patch_size=8, shortest_edge=1024, longest_edge=9216)
edges = some.integers(1, 7000)


@given(edges, edges, some.sampled_from([PUBLISHED, NANO]))
def test_sizes_are_those_of_transformers(height, width, settings):
    if max(height, width) > 200 * min(height, width):
        with pytest.raises(lab.InputError, match="cut it"):
            image_size(height, width, settings)
        return
    expected = smart_resize(height, width, settings.factor, settings.shortest_edge, settings.longest_edge)
    assert image_size(height, width, settings) == expected


@pytest.mark.parametrize("edge, rounded", [(16, 0), (48, 64), (80, 64), (112, 128)])
def test_halves_are_rounded_to_the_even_neighbour(edge, rounded):
    """As Python does: 1.5 cells are two, 2.5 cells are two."""
    settings = ImageSettings(shortest_edge=1)
    assert image_size(edge, 640, settings)[0] == max(rounded, 32 if rounded == 0 else 0)


@given(some.integers(8, 300), some.integers(8, 300))
def test_tokens_are_what_the_processor_makes(height, width):
    settings = {"shortest_edge": 4 * 64, "longest_edge": 30 * 64}
    processor = Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, temporal_patch_size=2, size=settings)
    made = processor(torch.zeros(3, height, width, dtype=torch.uint8), return_tensors="pt")
    found = ImageSettings.of(processor)
    assert found.tokens(height, width) == int(made["image_grid_thw"].prod()) // 4
    assert found.cells(height, width) == tuple((made["image_grid_thw"][0, 1:] // 2).tolist())


def test_a_config_gives_the_published_limits():
    for row in lab.family(predecessors=False):
        assert ImageSettings.of(lab.load_config(row["model"]).vision) == PUBLISHED


def test_an_image_without_pixels_is_refused():
    with pytest.raises(lab.InputError, match="nothing to see"):
        image_size(0, 40, PUBLISHED)
