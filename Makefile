# SPDX-License-Identifier: Apache-2.0
# Every target is listed by `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON := /usr/bin/python3.11
VENV := $(CURDIR)/.venv
BUILD := $(CURDIR)/build

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	touch $@

.PHONY: enclave mate protos build
enclave: ## build the LibOS image build/libos.elf
	$(MAKE) -C enclave BUILD=$(BUILD)

mate: ## build the untrusted loader build/mate
	$(MAKE) -C mate BUILD=$(BUILD)

protos: $(VENV)/.installed ## generate the gRPC stubs
	$(MAKE) -C protos PYTHON=$(VENV)/bin/python

build: $(VENV)/.installed enclave mate protos ## build everything; programs appear in .venv/bin
	$(MAKE) -C teemate_runtime VENV=$(VENV)
