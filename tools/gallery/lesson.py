"""An executed notebook as a web page.

Formulas become MathML. Charts are drawn by the plotly.js of the Python package, which is put beside the pages. Our own
widgets keep reacting: all they know is in the notebook's widget state, and `stand_in.js` stands in for the kernel.
Other widgets show the picture or text that came with them.
"""

import json
from pathlib import Path

import launch
import nbformat
from nbconvert import HTMLExporter
from plotly.offline import get_plotlyjs

from . import shell
from .prose import render

CHART, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js %}{% endblock %}{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}"""  # each of them asks a server for a script


def export(
    notebook: nbformat.NotebookNode, folder: Path, name: str, *, title: str = "", top: str = "", bottom: str = ""
) -> Path:
    """The page of an executed notebook, as `folder/name.html`; with charts, plotly.min.js is written there too.

    Args:
        title: of the page, in place of its name.
        top, bottom: HTML around the notebook, with the site's looks; none for a page that stands alone.
    """
    page = nbformat.from_dict(notebook)  # a copy: the notebook keeps its outputs
    states = page.metadata.pop("widgets", {}).get(STATES, {}).get("state", {})
    page.metadata["title"] = title or name
    page.cells = [cell for cell in page.cells if not launch.installs(cell)]
    for output in (output for cell in page.cells for output in cell.get("outputs", [])):
        if "data" in output:
            output["data"] = readable(output["data"], states)
    exporter = HTMLExporter(raw_template=TEMPLATE, exclude_anchor_links=True)
    exporter.register_filter("markdown2html", render)
    html, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": name}})
    scripts = f"<script>{shell.asset('stand_in.js')}</script>"
    if "data-plotly" in html:
        (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
        scripts = '<script src="plotly.min.js" charset="utf-8"></script>' + scripts
    target = folder / f"{name}.html"
    target.write_text(shell.dress(html, top, bottom, scripts), encoding="utf-8")
    return target


def readable(data: dict, states: dict) -> dict:
    """One output's data, with HTML in place of what only a running Jupyter could show."""
    if CHART in data:
        return {"text/html": holder("plotly", {key: data[CHART][key] for key in ("data", "layout")})}
    state = states.get(data.get(WIDGET, {}).get("model_id"), {}).get("state", {})
    if "_esm" in state:
        return {"text/html": holder("widget", state)}
    return {kind: value for kind, value in data.items() if kind != WIDGET}


def holder(kind: str, content: dict) -> str:
    """An element that stand_in.js finds, with what belongs into it."""
    return f'<div class="q35-{kind}"><script type="application/json" data-{kind}>{in_html(content)}</script></div>'


def in_html(content: dict) -> str:
    return json.dumps(content).replace("</", "<\\/").replace("<!--", "<\\u0021--")
