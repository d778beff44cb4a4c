"""Every checker rejects every wrong answer that is listed for it, and says what the list says."""

import pytest

from qwen35_lab.exercises import CHECKS, WRONG
from qwen35_lab.exercises.verdict import run_check

LISTED = [(exercise, n, mistake) for exercise, mistakes in WRONG.items() for n, mistake in enumerate(mistakes)]

# The signatures of mistakes that the curriculum names, and words of their diagnoses.
NAMED = {
    "00.1": ("counted twice", "for every layer", "keys and values for every layer"),
    "00.3": ("some of it was so before",),
    "01.1": ("split at blanks", "divide by characters", "leave special tokens out"),
    "01.2": ("no role of its own", "line break after <|im_end|> is missing"),
    "01.3": ("upside down", "belongs later"),
    "05.1": ("rotate all features", "pair neighbours", "Wrong section"),
    "05.3": ("--rope-scaling is gone", "YaRN is static"),
    "06.1": ("A factor of 2 is missing", "causal half is forgotten", "projections are forgotten"),
    "06.2": ("keys and values for all layers",),
    "07.1": ("not renormalised", "softmax comes after top-k", "experts in the wrong order"),
    "07.2": ("two softmaxes", "chosen experts alone. ", "chosen experts alone, "),
    "07.3": ("all experts", "shared expert is missing", "counted twice"),
    "10.1": ("goes away from zero", "stand for NaN", "equal steps of 2⁻⁹"),
    "10.2": ("each block has its own", "turned over", "−128 has no partner", "becomes NaN"),
    "10.3": ("Leave out `", "saves too little"),
    "11.1": ("charged twice", "cost nothing", "is None)", "divide by a thousand", "Thinking is forgotten"),
    "12.1": ("piece is decoded on its own", "splitlines", "cut off"),
    "12.2": ("you read on", "nothing comes after it"),
    "12.3": ("names the role only", "n − 1 gaps", "both lanes count"),
    "14.1": ("corrupt run itself", "words that are no answers"),
    "14.2": ("That is the rank", "the rank is its exponential", "participation ratio", "stable rank"),
    "14.3": ("forget the context", "for every layer", "Round down", "divide by the tokens of a page"),
    "15.1": ("The scale is missing", "frozen weight is missing"),
    "15.2": ("every `model.` is replaced", "`lm_head` keeps its name"),
    "02.1": ("multiply by w.", "eps stands outside", "eps is missing", "rounds before the end", "`.to(x.dtype)`"),
    "03.1": ("computed before the decay", "treat S as [V, K]", "β is missing", "The erase is missing"),
    "03.2": ("divide each key by its length", "are not orthogonal"),
    "04.1": ("last chunk is dropped", "memory starts empty", "hand the state over", "inverse is missing"),
    "04.3": ("as in a fresh model of transformers",),
    "08.1": ("goes on at its height", "goes on at its width", "max(h, w) positions, not h·w"),
    "09.1": ("Keys and values are cropped", "two share their keys"),
    "13.1": ("first call only", "not closed is none"),
    "13.2": ("forget what is already written", "need not finish"),
    "13.3": ("mistake that stays", "over the budget"),
    "09.2": ("two halves are swapped", "Both norms miss the 1"),
}


@pytest.mark.parametrize("exercise", CHECKS)
def test_every_exercise_lists_wrong_answers(exercise):
    assert len(WRONG.get(exercise, ())) >= 3, "list them in qwen35_lab/exercises/wrong/"


@pytest.mark.parametrize("exercise, n, mistake", LISTED, ids=[f"{exercise}-{n}" for exercise, n, _ in LISTED])
def test_a_listed_wrong_answer_is_rejected_with_its_diagnosis(exercise, n, mistake):
    verdict = run_check(CHECKS, exercise, mistake.answer, mistake.given() if mistake.given else None)
    assert not verdict
    assert mistake.diagnosis in verdict.message, verdict


@pytest.mark.parametrize("exercise", NAMED)
def test_the_mistakes_that_the_curriculum_names_are_listed(exercise):
    diagnoses = [mistake.diagnosis for mistake in WRONG[exercise]]
    assert [words for words in NAMED[exercise] if not any(words in diagnosis for diagnosis in diagnoses)] == []
