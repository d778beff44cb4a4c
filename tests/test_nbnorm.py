"""The normal form of notebooks keeps what people write and drops what programs leave behind."""

import json

import nbnorm


def saved_by_an_editor() -> dict:
    return {
        "cells": [
            {"cell_type": "markdown", "id": "title", "metadata": {"editable": True}, "source": "# Été\n"},
            {
                "cell_type": "code",
                "id": "sum",
                "execution_count": 7,
                "metadata": {"tags": ["parameters"], "execution": {"iopub.status.busy": "…"}},
                "outputs": [{"output_type": "stream", "name": "stdout", "text": ["2\n"]}],
                "source": ["\n", "a = 1\n", "a + 1"],
            },
        ],
        "metadata": {
            "kernelspec": {"name": "my-env", "display_name": "My env", "language": "python"},
            "language_info": {"version": "3.11.7"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
            "execution": {"timeout": 300},
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def test_only_what_a_person_wrote_is_kept():
    text, code = nbnorm.normalise(saved_by_an_editor())["cells"]
    assert text == {"cell_type": "markdown", "id": "title", "metadata": {}, "source": ["# Été"]}
    assert code["source"] == ["a = 1\n", "a + 1"]
    assert code["metadata"] == {"tags": ["parameters"]}
    assert code["outputs"] == [] and code["execution_count"] is None


def test_metadata_name_the_kernel_and_the_time_limit_only():
    metadata = nbnorm.normalise(saved_by_an_editor())["metadata"]
    assert metadata == {"kernelspec": nbnorm.KERNEL, "execution": {"timeout": 300}}


def test_writing_twice_changes_nothing(tmp_path, capsys):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(saved_by_an_editor()), encoding="utf-8")
    assert nbnorm.main(["--check", str(path)]) == 1
    assert nbnorm.main(["--write", str(path)]) == 0
    once = path.read_bytes()
    assert nbnorm.main(["--check", str(path)]) == 0
    assert nbnorm.main(["--write", str(path)]) == 0
    assert path.read_bytes() == once
    assert "Été" in once.decode("utf-8")
