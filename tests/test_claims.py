"""The ledger of the article's claims: numbers are computed anew, and the verdicts follow from them."""

import nbformat
import pytest

import qwen35_lab as lab
from qwen35_lab.analysis.recount import RECOUNT, recount
from qwen35_lab.claims import ARTICLE, MARKS, SECTIONS, VERDICTS, ArticleClaim, coverage, notebook_file, page
from qwen35_lab.cli import main
from qwen35_lab.paths import data_path

CLAIMS = lab.article_claims()
COMPUTED = [claim for claim in CLAIMS if claim.computed_by]
ROOT = data_path().parent


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_what_is_computed_is_what_the_truth_says(claim):
    assert claim.agrees(), f"{claim.computed_by} gives {claim.recounted()}, not {claim.value}"


@pytest.mark.parametrize("claim", [claim for claim in COMPUTED if claim.said], ids=lambda claim: claim.id)
def test_the_verdict_follows_from_the_numbers(claim):
    assert claim.holds() == (claim.verdict == "true")


def test_every_section_of_the_article_has_claims_and_every_verdict_occurs():
    assert {claim.section for claim in CLAIMS} == set(SECTIONS)
    assert {claim.verdict for claim in CLAIMS} == set(VERDICTS) == set(MARKS)
    assert len(COMPUTED) >= len(CLAIMS) / 2


def test_claims_are_found_by_section_verdict_and_id():
    found = lab.article_claims(section="experts", verdict="wrong")
    assert [claim.id for claim in found] == ["share-4-3"]
    assert lab.article_claim("share-4-3").recounted() == pytest.approx(100 * 11 / 512)
    for wrong in ({"section": "exprts"}, {"verdict": "false"}):
        with pytest.raises(lab.InputError, match="There is no"):
            lab.article_claims(**wrong)
    with pytest.raises(lab.InputError, match="There is no claim"):
        lab.article_claim("nothing")
    with pytest.raises(lab.InputError, match="is not computed"):
        lab.article_claim("policy").recounted()


def test_a_wrong_number_would_be_seen():
    made = ArticleClaim("x", "experts", "y", "true", "z", "4.3", 'experts_share("397B-A17B")', "4.3", None, "s", "d")
    assert not made.agrees() and not made.holds()


@pytest.mark.parametrize(
    "call",
    ["print(1)", "experts", "experts(open('x'))", "__import__('os')", "score(*[1])", "1 + 1", "", "(lambda: 1)()"],
)
def test_only_calls_of_known_functions_are_computed(call):
    with pytest.raises(lab.InputError, match="cannot be computed"):
        recount(call)


def test_every_function_of_the_recount_is_used():
    used = {claim.computed_by.split("(")[0] for claim in COMPUTED}
    assert used | {"active_share", "checkpoint_billions", "kv_saving", "times_dearer"} >= set(RECOUNT)


def test_the_page_in_docs_is_current(capsys):
    assert (ROOT / "docs" / "claims.md").read_text(encoding="utf-8") == page(), "run qwen35-lab claims --markdown"
    assert main(["claims", "--markdown"]) == 0
    assert capsys.readouterr().out == page()


def test_a_terminal_gets_the_claims_under_a_heading_and_their_sections(capsys):
    wrong = lab.article_claims(verdict="wrong")
    assert main(["claims", "--verdict", "wrong"]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == f"{ARTICLE}: {len(wrong)} of {len(CLAIMS)} claims, wrong"
    assert sum(line.startswith("✗ ") for line in lines) == len(wrong)
    assert [line.lower() for line in lines if line.lower() in {title.lower() for title in SECTIONS.values()}] == [
        title.lower() for name, title in SECTIONS.items() if any(claim.section == name for claim in wrong)
    ]
    assert main(["claims"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{ARTICLE}: {len(CLAIMS)} claims"


# ------------------------------------------------------------------------- coverage


def test_every_section_is_covered_by_a_notebook_that_exists():
    there = {anchor.section for anchor in coverage() if notebook_file(anchor.notebook)}
    assert there == set(SECTIONS)


@pytest.mark.parametrize("anchor", coverage(), ids=lambda anchor: f"{anchor.section}-{anchor.notebook}")
def test_the_cell_that_covers_a_section_exists(anchor):
    """A notebook that is still to come has no cells; once it is there, name one in data/coverage.csv."""
    if not (file := notebook_file(anchor.notebook)):
        assert 0 <= int(anchor.notebook) <= 15
        return
    cells = {cell.id for cell in nbformat.read(ROOT / "notebooks" / file, as_version=4).cells}
    assert anchor.cell in cells, f"{file} has no cell {anchor.cell!r}; name one of its cells in data/coverage.csv"
