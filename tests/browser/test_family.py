"""The family's table in a real browser."""

import pytest

import qwen35_lab as lab

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PAGE = '<body style="margin:0; font:13px system-ui, sans-serif; --jp-ui-font-size1:13px">{}</body>'


@pytest.mark.parametrize("predecessors", [False, True])
def test_no_column_is_cut_off_in_a_notebook(open_page, predecessors):
    page = open_page(PAGE.format(lab.family(predecessors=predecessors)._repr_html_()), 900)
    wide = page.locator("body > div").evaluate("box => [box.scrollWidth, box.clientWidth]")
    assert wide[0] <= wide[1], wide
