"""Write executed notebooks as web pages that need neither a kernel nor a network.

    python tools/gallery.py EXECUTED.ipynb... --to FOLDER

Formulas become MathML. Charts are drawn by the plotly.js of the Python package, which is put beside the pages. Our own
widgets keep reacting: all they know is in the notebook's widget state, and `gallery.js` stands in for the kernel.
Other widgets show the picture or text that came with them.
"""

import argparse
import json
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from plotly.offline import get_plotlyjs

HERE = Path(__file__).resolve().parent
PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js %}{% endblock %}{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}"""  # each of them asks a server for a script


class Renderer(IPythonRenderer):
    """Markdown whose formulas the browser sets by itself."""

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def inline_math(self, body: str) -> str:
        return convert(body)


def export(notebook: nbformat.NotebookNode, folder: Path, name: str) -> Path:
    """The page of an executed notebook, as `folder/name.html`; with charts, plotly.min.js is written there too."""
    page = nbformat.from_dict(notebook)  # a copy: the notebook keeps its outputs
    states = page.metadata.pop("widgets", {}).get(STATES, {}).get("state", {})
    for output in (output for cell in page.cells for output in cell.get("outputs", [])):
        if "data" in output:
            output["data"] = readable(output["data"], states)
    exporter = HTMLExporter(raw_template=TEMPLATE, exclude_anchor_links=True)
    exporter.register_filter("markdown2html", lambda text: MarkdownWithMath(Renderer(escape=False)).render(text))
    html, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": name}})
    ours = f"<script>{(HERE / 'gallery.js').read_text(encoding='utf-8')}</script>"
    if "data-plotly" in html:
        (folder / "plotly.min.js").write_text(get_plotlyjs(), encoding="utf-8")
        ours = '<script src="plotly.min.js" charset="utf-8"></script>' + ours
    target = folder / f"{name}.html"
    target.write_text(html.replace("</body>", f"{ours}</body>"), encoding="utf-8")
    return target


def readable(data: dict, states: dict) -> dict:
    """One output's data, with HTML in place of what only a running Jupyter could show."""
    if PLOTLY in data:
        return {"text/html": holder("plotly", {key: data[PLOTLY][key] for key in ("data", "layout")})}
    state = states.get(data.get(WIDGET, {}).get("model_id"), {}).get("state", {})
    if "_esm" in state:
        return {"text/html": holder("widget", state)}
    return {kind: value for kind, value in data.items() if kind != WIDGET}


def holder(kind: str, content: dict) -> str:
    """An element that gallery.js finds, with what belongs into it."""
    return f'<div class="q35-{kind}"><script type="application/json" data-{kind}>{in_html(content)}</script></div>'


def in_html(content: dict) -> str:
    return json.dumps(content).replace("</", "<\\/").replace("<!--", "<\\u0021--")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=Path("gallery"), help="the folder for the pages")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks:
        print(export(nbformat.read(path, as_version=4), options.to, path.stem))


if __name__ == "__main__":
    main()
