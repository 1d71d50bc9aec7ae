# Every figure that this project claims comes from a target here; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/acurast-relayer/target
export ACURAST_REPORTS ?= $(CURDIR)/target/reports
RELAYER := $(CARGO_TARGET_DIR)/debug/acurast-relayer

.PHONY: help setup build demo demo-journals test test-kms test-rust test-contracts test-devnet test-examples lint chaos-crash chaos-evm chaos-kafka sim soak

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: ## Install what is missing on a fresh Debian machine
	deploy/setup.sh

build: setup ## Build the relayer
	cargo build --workspace --locked

demo: build ## Run the main job end to end and show it (KEEP=1 leaves everything up, SEED=n repeats a run, JOURNAL=kafka)
	deploy/demo.sh

demo-journals: build ## The same demo on the embedded journal and on Kafka, and whether its job tables are equal (SEED=n, JOBS=n)
	deploy/demo-journals.sh

test: setup test-rust test-contracts test-devnet test-examples ## Run all tests

test-rust: setup
	deploy/test-rust.sh

test-contracts: setup
	cd contracts/evm && npm test

test-devnet: setup
	cd deploy/devnet && npm test

test-examples: build
	cd examples/subscribers && node --test test/*.test.mjs

test-kms: setup ## Build with the feature aws-kms and sign with keys of moto's KMS
	deploy/setup.sh --moto
	AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test cargo test --locked -p acurast-adapter-evm --features aws-kms --test signers

lint: setup ## Format, clippy, licences and advisories
	deploy/lint.sh

chaos-crash: build ## kill -9 the relayer at random moments while it settles (SEED=n, KILLS=n, JOBS=n)
	deploy/chaos-crash.sh

chaos-evm: build ## 2,000 deliveries under reorgs, spoilt requests and kill -9 (SEED=n, FULFILMENTS=n, FAULTS_PERMILLE=n)
	deploy/chaos-evm.sh

chaos-kafka: build ## 5,000 jobs on three replicas and three brokers, all of which are killed, paused and restarted (SEED=n, JOBS=n)
	deploy/chaos-kafka.sh

sim: setup ## Simulate, crashing at every journal and broadcast boundary (SCENARIOS=n, SEED=n; SEED= CRASH= TRACE=1 repeats one)
	cargo build --workspace --bin acurast-relayer-sim --locked
	$(CARGO_TARGET_DIR)/debug/acurast-relayer-sim $(if $(SCENARIOS),--scenarios $(SCENARIOS)) $(if $(SEED),--seed $(SEED)) $(if $(CRASH),--crash $(CRASH)) $(if $(TRACE),--trace) $(if $(MUTANT),--mutant $(MUTANT))

soak: setup ## Simulate for HOURS=n hours (SEED=n begins elsewhere)
	cargo build --workspace --bin acurast-relayer-sim --locked
	$(CARGO_TARGET_DIR)/debug/acurast-relayer-sim --hours $(or $(HOURS),1) $(if $(SEED),--seed $(SEED))
