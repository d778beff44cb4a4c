"""Say in one sentence what is wrong with this Python, if anything. Written to run on any Python, however old."""

import sys

if sys.version_info < (3, 11):
    found = "%d.%d (%s)" % (sys.version_info[0], sys.version_info[1], sys.executable)
    sys.exit("Python 3.11 or newer is needed, this is %s. Name another one: PYTHON=python3.12 make lab" % found)

try:
    import ensurepip
    import venv
except ImportError:
    sys.exit("%s has no venv module. On Debian and Ubuntu: apt install python3-venv" % sys.executable)
