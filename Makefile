# `make test` and `make demo` do all set-up themselves; `make setup` alone prepares .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PAGES := src/sanjin/api/console_files/.built
KERNELS := src/sanjin/kernels/__pycache__/.compiled

.PHONY: setup demo demo-engines demo-parallel demo-training test lint system bench docs lock clean

# Both at once: compiling the kernels and building the pages take a minute each.
setup: $(STAMP)
	@$(MAKE) --no-print-directory -j 2 $(PAGES) $(KERNELS)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q $(VENV)/lib src || true  # sandboxed jobs cannot write bytecode
	touch $@

# The compiled loops of replays and of live nodes, once.
$(KERNELS): $(STAMP) $(wildcard src/sanjin/kernels/*.py)
	$(BIN)/sanjin replay made --jobs 500 --output json >/dev/null 2>&1 || true
	$(BIN)/sanjin replay made --jobs 20 --through-node --output json >/dev/null 2>&1 || true
	@mkdir -p $(@D) && touch $@

# The console's pages; with the Node that is among the requirements, and libraries from npm.
$(PAGES): $(STAMP) $(shell find console src/sanjin/model src/sanjin/api -name node_modules -prune -o -name generated -prune \
  -o -name console_files -prune -o -name __pycache__ -prune -o -type f -print)
	@if $(BIN)/python console/build.py; then touch $@; else \
	  echo "The console is not built (see above); all else works, and make setup tries again. 控制台尚未构建,其余可用。"; fi

# System packages that tests want: installed where this runs as root with apt, else skipped there.
system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  missing=""; for p in $$(grep -v '^#' system-packages.txt); do \
	    dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	  if [ -n "$$missing" ]; then apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi; \
	fi

demo: setup
	$(BIN)/sanjin demo

# Shanxi with eleven real Slurm clusters, a Ray cluster and processes on this machine; as root.
demo-engines: setup system
	$(BIN)/python benchmarks/demo_engines.py

# A parallel computation over two Slurm clusters, Ray and processes that survives losses; as root.
demo-parallel: setup system
	$(BIN)/python benchmarks/demo_parallel.py

# A training run that stops when power gets dear and goes on at another site; with a real Slurm as root.
demo-training: setup system
	$(BIN)/python benchmarks/demo_training.py

lint: $(PAGES)
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/pyright --threads 2
	$(BIN)/python console/build.py --check

test: $(STAMP)
	@$(MAKE) --no-print-directory -j 2 $(KERNELS) lint system
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Each prints a table and ends with one line of JSON.
bench: setup
	@for b in $$(ls benchmarks/*.py | grep -v -e common.py -e demo_); do echo "== $$b"; $(BIN)/python $$b || exit 1; done

# The reference, from the code; a test says when it is old.
docs: setup
	$(BIN)/python docs/generate.py

# After a change of dependencies in pyproject.toml.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --all-extras --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
