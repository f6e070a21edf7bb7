# Everything that is done with this repository, by the name it is known by. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help servers operator up down demo test bench lint fmt crds

LAB = cargo run --quiet --example lab --

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

servers: ## Find or build the real servers (the first time about 20 minutes); prints their folder
	@bash hack/servers.sh

operator:
	@bash hack/servers.sh >/dev/null
	@cargo build --bin vault-jwt-operator --example lab

up: operator ## Start control plane, Vault and operator on loopback; prints how to use them
	@$(LAB) up

down: ## End what `make up` started
	@$(LAB) down

demo: operator ## Show on the terminal what the operator does, against real servers
	@$(LAB) demo

test: servers ## Run all tests against real servers
	cargo test

bench: ## Measure against real servers; a table, and JSON in target/bench.json
	@bash hack/servers.sh >/dev/null
	cargo build --release --bin vault-jwt-operator --example lab
	cargo run --quiet --release --example lab -- bench

lint: ## Format check, clippy, licences and advisories of dependencies, documentation
	cargo fmt --check
	cargo clippy --all-targets -- --deny warnings
	bash hack/deny.sh
	RUSTDOCFLAGS='--deny warnings' cargo doc --no-deps --document-private-items

fmt: ## Format the code
	cargo fmt

crds: ## Generate crds/ from the code
	bash hack/crds.sh
