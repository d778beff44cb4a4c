"""Charts of caches: what is drawn is what was measured or counted, and captions say it."""

import math
from itertools import pairwise

import pytest
import torch
from small import IDS, small

from qwen35_lab.analysis import cache_growth as growth_of
from qwen35_lab.analysis import take_back
from qwen35_lab.family import OFFICIAL, load_config, memory
from qwen35_lab.views import cache_growth, cache_sizes, rollback_errors
from qwen35_lab.views.caches import APART, CONTEXTS, KIB, size


@pytest.fixture(scope="module")
def growth():
    return growth_of(small(), IDS)


def test_growth_stacks_both_kinds_up_to_what_was_predicted(growth):
    figure = cache_growth(growth)
    linear, full, predicted = (torch.tensor(trace.y) * KIB for trace in figure.data)
    torch.testing.assert_close(linear, growth.measured[:, :3].sum(1).float())
    torch.testing.assert_close(full, growth.measured[:, 3].float())
    torch.testing.assert_close(linear + full, predicted)
    assert figure.data[0].stackgroup == figure.data[1].stackgroup and figure.data[1].fillpattern.shape
    assert f"and {size(int(growth.measured[-1, :3].sum()))} after {len(IDS)}" in figure.caption()
    assert "the attention layer" in figure.caption() and "to the byte" in figure.caption()


def test_growth_that_was_not_predicted_is_said(growth):
    wrong = type(growth)(growth.kinds, growth.measured, growth.predicted + 1, growth.provenance)
    assert "to the byte" not in cache_growth(wrong).caption()


def test_every_model_has_its_curve_and_models_with_one_cache_share_it():
    figure = cache_sizes()
    curves = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert list(curves) == ["0.8B and 2B", "4B and 9B", "27B", "35B-A3B", "122B-A10B", "397B-A17B"]
    assert [note.text for note in figure.layout.annotations] == list(curves)
    for name in OFFICIAL:
        curve = next(c for label, c in curves.items() if name.removeprefix("Qwen3.5-") in label.split(" and "))
        assert list(curve.y) == [memory(load_config(name), n).cache for n in CONTEXTS]
        assert (curve.line.dash == "dash") == ("-A" in name)
    heights = sorted(note.y for note in figure.layout.annotations)
    assert min(b - a for a, b in pairwise(heights)) > APART - 1e-9, "names stand apart"
    assert "between 1,536 and 6,144 tokens" in figure.caption() and figure.provenance().startswith("PUBLISHED")


def test_a_diamond_is_where_keys_and_values_outweigh_the_states():
    diamonds = [trace for trace in cache_sizes(["0.8B"]).data if trace.mode == "markers"]
    found = memory(load_config("0.8B"), round(diamonds[0].x[0]))
    assert found.kv == found.state and diamonds[0].y[0] == found.cache


def test_half_the_bytes_for_keys_and_values_of_half_the_size():
    wide, narrow = (cache_sizes(["27B"], dtype).data[0].y[-1] for dtype in ("bfloat16", "fp8"))
    assert 1.9 < wide / narrow < 2


def test_rollback_errors_are_drawn_by_way_and_exact_ones_are_open():
    qwen = small()
    found = take_back(qwen, IDS[:6], IDS[6:])
    figure = rollback_errors(found)
    assert [trace.name for trace in figure.data] == ["replay", "record", "crop"]
    for trace, errors in zip(figure.data, found.logits.tolist(), strict=True):
        assert list(trace.customdata) == errors
        assert [y >= 1e-8 for y in trace.y] == [True] * len(errors)
        assert [symbol.endswith("-open") for symbol in trace.marker.symbol] == [error < 1e-8 for error in errors]
    assert figure.data[0].marker.symbol[-1].endswith("-open"), "nothing kept: the snapshot itself"
    assert len({trace.marker.symbol[0].removesuffix("-open") for trace in figure.data}) == 3, "not by colour alone"


@pytest.mark.parametrize(
    "value, said", [(512, "512 B"), (2048, "2 KiB"), (3 * 2**30, "3 GiB"), (math.pi * 2**20, "3.14 MiB")]
)
def test_bytes_are_said_in_their_unit(value, said):
    assert size(value) == said
