"""The gallery: executed notebooks, and what the documentation says, as a site that needs no kernel and no network.

    make gallery                                      (site/index.html)
    PYTHONPATH=tools python -m gallery --to FOLDER

It works from a plain file server and from disk: nothing is fetched, all pages are files that link to each other.
"""

from .lesson import CHART, STATES, WIDGET, export
from .shell import header
from .site import assets, build

__all__ = ["CHART", "STATES", "WIDGET", "assets", "build", "export", "header"]
