# One command for each thing a newcomer wants; `make help` lists them.
# Needed: make, and Python 3.11 to 3.13 (PYTHON=… names one). All else goes into .venv.

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt

# Without a build cage, so that the build backend comes from constraints.txt as well; bytecode is
# left to the first import of each module, which halves the time of a set-up.
INSTALL = $(PIP_INSTALL) hatchling && $(PIP_INSTALL) --no-build-isolation --editable

USER_EXTRAS := pretrained,onnx
DEVELOPER_EXTRAS := dev,pretrained,keras-files,lora,onnx,parquet,search,tensorboard

# A set-up that was broken off may have left half a package, so the next one begins anew.
define begin_setup
	@test ! -e .venv/unfinished || rm -rf .venv
	@python=$$(tools/find_python.sh) && "$$python" tools/make_venv.py .venv
	@touch .venv/unfinished
endef

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

.venv/ready-to-use: pyproject.toml constraints.txt
	$(begin_setup)
	@echo "Installing headstart into .venv; the first time this takes a minute or two."
	@$(INSTALL) '.[$(USER_EXTRAS)]'
	@touch $@ && rm .venv/unfinished

.venv/ready-to-develop: pyproject.toml constraints.txt
	$(begin_setup)
	@echo "Installing headstart and its tools into .venv; the first time this takes a minute or two."
	@$(INSTALL) '.[$(DEVELOPER_EXTRAS)]'
	@touch .venv/ready-to-use $@ && rm .venv/unfinished

.PHONY: setup
setup: .venv/ready-to-develop  ## make .venv with headstart and the developers' tools

.PHONY: demo
demo: .venv/ready-to-use  ## answer the first question on real pictures, in about a minute
	$(BIN)/headstart compare examples/sandals_or_shirts.toml

# A process a core, each with one thread: small networks gain nothing from more threads.
.PHONY: test
test: setup  ## the whole suite; make test ARGS="-k words" runs a part
	@HEADSTART_CHROMIUM=$$($(BIN)/python tools/browser.py .venv/chromium) && \
	export HEADSTART_CHROMIUM OMP_NUM_THREADS=1 && \
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile $(ARGS)

.PHONY: fuzz
fuzz:  ## the property tests alone, with other examples each time
	@$(MAKE) test ARGS="--hypothesis-profile=fuzz -m hypothesis $(ARGS)"

.PHONY: check
check: setup  ## formatting, lint, types, and the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: bench
bench: setup  ## what is measured, as ratios: every file of benchmarks/, one after another
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file" || exit 1; done

.PHONY: league
league: setup  ## every strategy on real tasks, into docs/strategies.md; goes on where it was stopped
	$(BIN)/python benchmarks/league/league.py --write $(ARGS)

.PHONY: docs
docs: setup  ## the reference of the Python API, into build/docs
	$(BIN)/python tools/reference.py build/docs

.PHONY: clean
clean:  ## remove .venv and all that is made again; studies and models stay
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
