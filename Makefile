# make lab    open the notebooks          make test   run every check
# Everything is installed into .venv beside this file; nothing else is installed.
# Written for the make that macOS ships (3.81): no newer features, and only relative paths, so that a folder
# with spaces in its name works.

PYTHON ?= python3
LAB_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=
GALLERY_ARGS ?=

BIN := .venv/bin
REQUIREMENTS := pyproject.toml constraints.txt

.PHONY: help lab test lint bench gallery clean

help:
	@echo 'make lab     open the notebooks in JupyterLab (the first call installs them)'
	@echo '             more arguments: make lab LAB_ARGS="--no-browser --port 8899"'
	@echo 'make test    check style and types, then run all tests and all notebooks'
	@echo '             a part of it:   make test PYTEST_ARGS="-m '"'not slow and not browser'"'"'
	@echo 'make lint    only style and types'
	@echo 'make gallery run all notebooks and write them as web pages into site (elsewhere: GALLERY_ARGS="--to DIR")'
	@echo 'make bench   measure speed, side by side with transformers (in two minutes: BENCH_ARGS=--quick)'
	@echo 'make clean   remove .venv and what the tools left behind'
	@echo 'Another Python, for a new .venv: PYTHON=python3.12 make lab'

lab: .venv/.installed
	exec $(BIN)/python -m jupyterlab --config tools/jupyter/lab_config.py \
		$$(test "$$(id -u)" != 0 || echo --allow-root) $(LAB_ARGS)

# Two workers, one thread each: PyTorch's own threads would fight over the cores, and one thread adds up its
# sums in the same order every time.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/nbnorm.py --check
	$(BIN)/python tools/launch.py --check
	$(BIN)/pyright --pythonpath $(BIN)/python

gallery: .venv/.installed-test
	OMP_NUM_THREADS=1 PYTHONPATH=tools $(BIN)/python -m gallery $(GALLERY_ARGS)

bench: .venv/.installed-test
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/bench.py $(BENCH_ARGS)

clean:
	rm -rf .venv build dist site site-executed .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

# The files .venv/.* below are stamps: a second call has nothing to do until pyproject.toml or constraints.txt
# changes.
.venv/.installed: .venv/.created $(REQUIREMENTS)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[suite]'
	@touch $@

.venv/.installed-test: .venv/.created $(REQUIREMENTS)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ .venv/.installed

.venv/.created:
	@"$(PYTHON)" tools/check_python.py
	"$(PYTHON)" -m venv --clear .venv
	@touch $@
