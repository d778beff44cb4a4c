"""What has run for the gallery is kept, until it changes."""

import nbformat
import pytest
from gallery import __main__ as gallery


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "ROOT", tmp_path)

    def notebook(source: str):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(made, tmp_path / "one.ipynb")
        return tmp_path / "one.ipynb"

    return notebook


def test_a_notebook_runs_once_and_again_when_it_has_changed(notebook, tmp_path, capfd):
    source = "open('runs', 'a').write('x'); print('ran')"
    kept = gallery.execute(notebook(source), tmp_path)
    assert nbformat.read(kept, as_version=4).cells[0].outputs[0].text == "ran\n"
    assert gallery.execute(tmp_path / "one.ipynb", tmp_path) == kept
    assert (tmp_path / "runs").read_text() == "x"
    assert gallery.execute(notebook(source + "\n"), tmp_path) != kept
    assert (tmp_path / "runs").read_text() == "xx"
    assert "WARNING" not in capfd.readouterr().err, "what kernels say to each other is nobody's affair"


def test_nothing_is_kept_of_a_notebook_that_fails(notebook, tmp_path):
    with pytest.raises(Exception, match="broken"):
        gallery.execute(notebook("raise ValueError('broken')"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.ipynb"]
