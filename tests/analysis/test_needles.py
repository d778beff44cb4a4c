"""One fact in a long text: the texts are what they say, and a cut takes from one layer what the text left there."""

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab import recall
from qwen35_lab.analysis import needles, told
from qwen35_lab.analysis.recall_map import needle_texts
from qwen35_lab.nano.world.phrasebook import LANGUAGES


@pytest.fixture(scope="module")
def qwen():
    return lab.load("recall")


@pytest.fixture(scope="module")
def nano():
    return lab.load("nano")


def words(ids):
    return recall.text(ids).split()


# ------------------------------------------------------------------------- texts


@pytest.mark.parametrize("depth, place", [(0.0, 0), (0.5, 4), (1.0, 8)])
def test_the_parts_of_a_text_are_the_needle_maps_own(depth, place):
    made = needles.recall_texts(9, depth, texts=5, seed=3)
    ids, answers = needle_texts(9, depth, texts=5, seed=3)
    assert torch.equal(torch.cat((made.document, made.question), dim=1), ids) and torch.equal(made.answers, answers)
    assert made.before.shape[1] == 3 * place and made.tokens == ids.shape[1]
    for row in range(5):
        key, value, _ = words(made.needle[row])
        assert words(made.question[row]) == ["?", key] and words(made.answers[row : row + 1]) == [value]
        assert key not in words(torch.cat((made.before[row], made.after[row])))


def test_the_other_needle_differs_in_its_value_alone():
    made = needles.recall_texts(4, 0.5, texts=30)
    assert torch.equal(made.other[:, [0, 2]], made.needle[:, [0, 2]])
    assert bool((made.other[:, 1] != made.needle[:, 1]).all()) and set(made.other[:, 1].tolist()) <= set(
        made.choices.tolist()
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_document_says_the_same_in_every_language_around_an_english_fact(nano, language):
    made = told.told_texts(nano, language, 4, 0.5, texts=3)
    text = nano.tokenizer.decode(torch.cat((made.document, made.question), dim=1)[1])
    name, value = nano.tokenizer.decode(made.needle[1]).strip(".").split(" likes ")
    opening, closing = nano.chat_prompt("DOCUMENT").split("DOCUMENT")
    told_part, asked = text.removeprefix(opening).removesuffix(closing).split("\n")
    assert asked == f"What does {name} like?" and nano.encode(value)[0, 0] == made.answers[1]
    around = told_part.split(f"{name} likes {value}.")
    said = [told.say(meaning, language) for meaning in told.MEANINGS]
    left = [part.strip() for part in around]
    assert len(left) == 2 and all(left)
    for line in sorted(said, key=len, reverse=True):
        left = [part.replace(line, "").strip() for part in left]
    assert left == ["", ""], "sentences of the phrase book and nothing else"


def test_the_same_meanings_in_every_language(nano):
    meanings = []
    for language in LANGUAGES:
        made = told.told_texts(nano, language, 5, 1.0, texts=1)
        said = {told.say(meaning, language): meaning for meaning in told.MEANINGS}
        text = nano.tokenizer.decode(made.before[0])
        meanings.append(sorted((text.find(line), repr(meaning)) for line, meaning in said.items() if line in text))
    assert len({tuple(meaning for _, meaning in found) for found in meanings[:3]}) == 1


@pytest.mark.parametrize(
    "language, length, depth, texts",
    [("Klingon", 3, 0, 2), ("English", 0, 0, 2), ("English", 3, 1.5, 2), ("English", 3, 0, 99), ("English", 3, 0, 0)],
)
def test_texts_that_cannot_be_made_are_refused(nano, language, length, depth, texts):
    with pytest.raises(lab.InputError):
        told.told_texts(nano, language, length, depth, texts=texts)


# ------------------------------------------------------------------------- cuts


def scores(qwen, ids, *edits):
    with torch.inference_mode(), qwen.edited(*edits):
        return qwen.model(ids).logits[:, -1]


def test_nothing_cut_is_the_plain_answer(qwen):
    made = needles.recall_texts(10, 0.3, texts=8)
    plain = scores(qwen, torch.cat((made.document, made.question), dim=1))[:, made.choices].argmax(-1)
    assert torch.equal(needles.right(qwen, made), made.choices[plain] == made.answers)
    assert needles.right(qwen, made).all()


def test_the_first_layer_is_the_memory_of_the_recall_model_and_attention_is_not(qwen):
    made = needles.recall_texts(12, 0.5, texts=16)
    for cut in needles.CUTS:
        assert needles.right(qwen, made, cut, 0).double().mean() < 0.5, cut
    for cut in ("silent", "emptied"):
        assert needles.right(qwen, made, cut, 3).double().mean() > 0.9, cut


def test_several_cuts_of_one_reading_are_those_of_readings_of_their_own(qwen):
    made = needles.recall_texts(8, 0.5, texts=16)
    cuts = [("frozen", 0), ("emptied", 3), (None, 0), ("silent", 1), ("emptied", 0), ("frozen", 2), (None, 0)]
    alone = torch.stack([needles.right(qwen, made, *cut) for cut in cuts])
    assert torch.equal(needles.rights(qwen, made, cuts), alone)
    assert alone[2].all() and not alone[0].all() and not alone[4].all()


def test_an_emptied_attention_layer_has_no_keys_before_the_question(qwen):
    """Against a cache whose keys and values are really gone, read token by token."""
    made = needles.recall_texts(10, 0.3, texts=4)
    cache = qwen.model.new_cache()
    with torch.inference_mode():
        qwen.model(made.document, cache=cache)
        moment = cache.snapshot()
        with qwen.edited(*needles._emptied(cache, 3)):
            ours = qwen.model(made.question, cache=cache).logits[:, -1]
        cache.restore(moment)
        memory = cache.layers[3]
        memory.k_buffer, memory.v_buffer, memory.length = memory.k_buffer[:, :0], memory.v_buffer[:, :0], 0
        for token in made.question.split(1, dim=1):
            gone = qwen.model(token, cache=cache).logits[:, -1]
    torch.testing.assert_close(ours, gone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, scores(qwen, torch.cat((made.document, made.question), dim=1)), atol=1e-4)


@pytest.mark.parametrize("depth", [0.0, 0.5])
def test_a_layer_frozen_over_the_needle_does_not_know_its_value(qwen, depth):
    """All DeltaNet layers of a model with a single one: what follows is the same whatever the value was."""
    one = lab.load("microscope")
    made = needles.recall_texts(8, depth, texts=6)
    swapped = needles.Texts(made.before, made.other, made.after, made.question, made.needle, made.answers, made.choices)
    states = []
    for texts in (made, swapped):
        cache = one.model.new_cache()
        with torch.inference_mode():
            needles._read(one, cache, texts.before)
            moment = cache.snapshot()
            needles._read(one, cache, texts.needle)
            needles._put_back(cache, 0, moment)
            needles._read(one, cache, texts.after)
        states.append(cache.layers[0].state)
    torch.testing.assert_close(*states)
    known = needles.right(one, made).double().mean()
    assert needles.right(one, made, "frozen", 0).double().mean() < known - 0.3


def test_the_reading_hangs_on_the_needle_from_the_needle_on(qwen):
    made = needles.recall_texts(16, 0.5, texts=4)
    found = needles.reading_of(qwen, made)
    share = made.before.shape[1] / made.document.shape[1]
    early = int(share * needles.PIECES)
    assert found.shape == (4, needles.PIECES + 1) and bool(found[3].isnan().all())
    assert found[:3, : early + 1].abs().max() == 0 < found[:3, early + 2].min() and found[0, -1] > 0.5
    assert found[0, -1] > 3 * found[1:3, -1].max()


def test_a_grid_holds_every_cut_of_every_cell(qwen):
    found = needles.needle_cuts(
        qwen, lambda n, d: needles.recall_texts(n, d, texts=2), (2, 5), (0.0, 1.0), cuts=("emptied",)
    )
    assert found.tokens.tolist() == [[8, 8], [17, 17]] and found.chance == 1 / 16 and found.texts == 2
    assert found.recall.shape == (2, 2) and found.cut["emptied"].shape == (2, 2, 4)
    assert bool(found.cut["silent"].isnan().all()) and bool(found.cut["emptied"].isfinite().all())


@pytest.mark.parametrize("lengths, depths, cuts", [((), (0.0,), ()), ((4,), (), ()), ((4,), (0.0,), ("burnt",))])
def test_a_grid_that_is_none_is_refused(qwen, lengths, depths, cuts):
    with pytest.raises(lab.InputError, match="lengths, depths"):
        needles.needle_cuts(qwen, needles.recall_texts, lengths, depths, cuts=cuts)


# ------------------------------------------------------------------------- pieces


def test_one_piece_is_the_whole_text_and_many_still_find_the_needle(qwen):
    made = needles.recall_texts(12, 0.0, texts=8)
    assert torch.equal(needles.in_chunks(qwen, made, 36), needles.right(qwen, made))
    assert needles.in_chunks(qwen, made, 9).double().mean() > 0.6
    with pytest.raises(lab.InputError, match="0 tokens"):
        needles.in_chunks(qwen, made, 0)


def test_every_seed_of_the_recall_model_ships_with_its_number():
    names = recall.recalls()
    assert names[0] == "recall" and len(names) >= 3
    for name in names[1:]:
        other = lab.load(name)
        assert name == f"recall-seed{other.provenance.seed}"
        assert recall.score(other.model, texts=64, seed=recall.TEST + 200_000).accuracy > 0.98
