"""The price explorer in a real browser, without JupyterLab: nothing is cut off, however large or narrow."""

import pytest

from qwen35_lab.prices import price_list
from qwen35_lab.views import price_explorer
from qwen35_lab.views.price_explorer import PROMPTS, REQUESTS

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

OFFERS = [offer for offer in price_list(date="2026-03-11") if not offer.free and offer.model.startswith("Qwen3.5-397B")]
CUT = """[...document.querySelectorAll('.q35-name, .q35-number, .q35-tag')]
    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.textContent)"""


@pytest.mark.parametrize("width", [390, 480, 620, 960])
def test_nothing_is_cut_off_at_the_largest_bill(open_widget, tmp_path, width):
    most = {"requests": len(REQUESTS) - 1, "prompt": PROMPTS.index(180_000), "cached": 10}
    shown = price_explorer(OFFERS, {"English": 1.0}, own={"8 GPUs at $2.50 an hour": 14_400.0}, **most)
    assert max(usd or 0 for _, usd in shown.costs()) > 1e6
    (tmp_path / "page.html").write_text(shown.html(), encoding="utf-8")
    page = open_widget(tmp_path / "page.html", width)
    assert page.evaluate(CUT) == [] and page.errors == []
    assert "US$ a month" in page.locator(".q35-heading").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
