"""What the driver makes of widgets that begin late, and of one that never does."""

import pytest
from browser.driver import LATE

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("browser")]

WIDGET = """
import anywidget
class Waits(anywidget.AnyWidget):
    _esm = "await new Promise(go => setTimeout(go, {})); export default {{ render({{ el }}) {{ el.append('here'); }} }}"
Waits()
"""


@pytest.mark.parametrize("milliseconds, faults", [(4_000, 0), (10**9, 1)], ids=["late", "never"])
def test_a_widget_that_begins_late_is_no_fault_and_one_that_never_does_is(sample, milliseconds, faults):
    lab = sample(WIDGET.format(milliseconds))
    assert lab.soon(lambda: lab.late)
    here = lab.page.get_by_text("here", exact=True)
    assert faults or lab.soon(here.is_visible)
    found = lab.errors()
    assert len(found) == faults and all(LATE in fault for fault in found), found
