# One virtual environment, made on first use. `make demo` and `make test` need nothing else than Python 3.11, pip, git, make and gcc.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-fast test-ray lint fmt vectors bench clean

demo: $(READY)
	$(BIN)/pouw demo

test: lint test-fast test-ray

# The rules, the stores and their properties, with the coverage that consensus/ and storage/ have to keep; then the rest
# that needs no Ray: some of it waits for processes, so a third file runs beside two. Long files come first, by name.
RULES := tests/contracts tests/properties tests/unit/consensus tests/unit/storage
IN_ORDER := --dist loadfile --no-loadscope-reorder
test-fast: $(READY)
	$(BIN)/pytest -n 2 $(IN_ORDER) $(RULES) --cov=consensus --cov=storage --cov-branch --cov-report=term:skip-covered --cov-fail-under=95
	$(BIN)/pytest -n 3 $(IN_ORDER) -m "not ray and not gpu" $(addprefix --ignore=,$(RULES) tests/ray)

# Real actors on private local clusters, two files at a time: a site waits most of the while it starts.
test-ray: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile -m "ray and not gpu"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Golden vectors, rebuilt from fixed keys; git must be clean afterwards.
vectors: $(READY)
	$(BIN)/python -m tests.vectors.build
	git diff --exit-code -- tests/vectors

bench: $(READY)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY),) $(if $(QUICK),--quick,)

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(READY)
