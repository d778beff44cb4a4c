"""The first checker of notebook 09: right snapshots pass however they are written, each mistake has its diagnosis."""

import copy

import pytest
import torch
from answers import written

import qwen35_lab as lab
from qwen35_lab.analysis import gap
from qwen35_lab.exercises.snapshots import MISTAKES, TRIALS, hybrid, keeping, right, stages, trials


def deep(cache):
    kept, length = copy.deepcopy(cache.layers), cache.length

    def back():
        cache.layers, cache.length = copy.deepcopy(kept), length

    return back


def own(cache):
    moment = cache.snapshot()
    return lambda: cache.restore(moment)


def in_place(cache):
    """Into the memories that are there, and keys and values only copied on the way back."""
    kept, length = [dict(vars(layer)) for layer in cache.layers], cache.length

    def back():
        cache.length = length
        for layer, held in zip(cache.layers, kept, strict=True):
            vars(layer).update(held)
            if "shared" in held:
                layer.shared = True

    return back


@pytest.mark.parametrize("answer", [deep, own, in_place, keeping()])
def test_a_right_snapshot_passes_however_it_is_written(answer):
    verdict = lab.check("09.1", answer)
    assert verdict, verdict
    assert f"in {TRIALS} random texts" in verdict.message


IN_PLACE = """
    def snapshot(cache):
        kept, length = [dict(vars(layer)) for layer in cache.layers], cache.length

        def back():
            cache.length = length
            for layer, held in zip(cache.layers, kept):
                vars(layer).update(held)
                if "shared" in held:
                    layer.shared = True

        return back
"""
UPDATE = "vars(layer).update(held)"
DEEP = """
    import copy

    def snapshot(cache):
        kept, length = copy.deepcopy(cache.layers), cache.length

        def back():
            cache.layers, cache.length = copy.deepcopy(kept), length

        return back
"""
WRONG = {
    "Nothing goes back": (DEEP, [("copy.deepcopy(cache.layers)", "cache.layers"), ("copy.deepcopy(kept)", "kept"),
                                 ("cache.layers, cache.length =", "_ ="), ], ),
    "Keys and values are cropped": (IN_PLACE, [(UPDATE, "if 'shared' in held: vars(layer).update(held)")]),
    "`state` does not go back": (IN_PLACE, [(UPDATE, "held.pop('state', None); vars(layer).update(held)")]),
    "`conv` does not go back": (IN_PLACE, [(UPDATE, "held.pop('conv', None); vars(layer).update(held)")]),
    "keep the keys and values that were taken back": (
        IN_PLACE, [(UPDATE, "if 'state' in held: vars(layer).update(held)")]
    ),
    "the position of a later one": (IN_PLACE, [("cache.length = length", "pass")]),
    "It goes back once": (DEEP, [("= copy.deepcopy(kept), length", "= kept, length")]),
    "two share their keys and values": (IN_PLACE, [("layer.shared = True", "pass")]),
    "The cache is empty afterwards": (DEEP, [
        ("copy.deepcopy(kept), length", "[type(layer)() for layer in kept], 0")
    ]),
    "returns nothing yet": (DEEP, [("return back", "return None")]),
    "return a function without arguments": (DEEP, [("return back", "return kept")]),
    "not a mistake this checker knows": (IN_PLACE, [
        (UPDATE, "vars(layer).update({name: 1.1 * x if name == 'state' else x for name, x in held.items()})")
    ]),
    "must take one argument, (cache)": (DEEP, [("def snapshot(cache)", "def snapshot()")]),
    "raises AttributeError": (DEEP, [("cache.length\n", "cache.size\n")]),
}  # fmt: skip


@pytest.mark.parametrize("diagnosis", WRONG)
def test_a_wrong_snapshot_is_told_what_is_wrong(diagnosis):
    source, edits = WRONG[diagnosis]
    verdict = lab.check("09.1", written(source, *edits))
    assert not verdict
    assert diagnosis in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here():
    for diagnosis, _ in MISTAKES:
        assert sum(words in diagnosis for words in WRONG) == 1, diagnosis


@torch.no_grad()
def test_the_mistakes_differ_from_the_right_answer_and_from_each_other():
    """Else a diagnosis could be another mistake's; where the model cannot read on, what it raises tells."""
    seen = [torch.cat([part for trial in trials() for part in right(trial)])]
    for diagnosis, mistake in MISTAKES:
        try:
            found = torch.cat([part for trial in trials() for part in stages(mistake, trial)])
        except Exception as error:
            found = str(error)
        assert all(apart(found, other) for other in seen), diagnosis
        seen.append(found)


def apart(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return type(a) is not type(b) or a != b
    return gap(a, b) > 1e-3


def test_the_model_of_the_checker_has_both_kinds_of_layers():
    assert {"linear_attention", "full_attention"} == set(hybrid().config.layer_types)


def test_a_snapshot_instead_of_the_function_is_told_so():
    assert "Pass the function itself" in lab.check("09.1", hybrid().new_cache().snapshot()).message
