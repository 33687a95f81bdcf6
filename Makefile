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

.PHONY: setup
setup: ## install the Debian packages that are needed and missing
	.ci/setup.sh

$(VENV)/.installed: setup.cfg pyproject.toml | setup
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
	$(MAKE) -C zygote/front VENV=$(VENV)
	$(MAKE) -C zygote/template VENV=$(VENV)

.PHONY: programs
programs: ## build the test programs
	$(MAKE) -C tests/programs BUILD=$(BUILD)/programs

PYTEST := $(VENV)/bin/python -m pytest
# What `make test-soak` asks for; `make test` takes the smaller defaults of tests/integration/sizes.py.
SOAK := TEEMATE_TEST_ROW=1000 TEEMATE_TEST_AT_ONCE=64 TEEMATE_TEST_KILLS=200

.PHONY: test test-unit test-integration test-soak lint fmt
test: setup build programs ## run all tests: unit, fuzz (short), linters, integration, kernel module in QEMU (root)
	$(PYTEST) tests/unit tests/fuzz tests/integration tests/vm/test_module.py

test-unit: build programs ## run the tests that need no root
	$(PYTEST) tests/unit tests/fuzz

test-integration: setup build ## run the tests against containerd, dockerd and runc (root)
	$(PYTEST) tests/integration

test-soak: setup build ## 1,000 containers in a row, 64 at once, 200 killed at random moments (root)
	$(SOAK) $(PYTEST) tests/integration/test_scale.py tests/integration/test_shim_failures.py

lint: $(VENV)/.installed protos ## run the linters only
	$(PYTEST) tests/unit/test_linters.py

fmt: $(VENV)/.installed ## format Python and C
	$(VENV)/bin/ruff check --fix --quiet enclave_host teemate_runtime shim zygote tests bench examples
	$(VENV)/bin/ruff format --quiet enclave_host teemate_runtime shim zygote tests bench examples
	git ls-files '*.c' '*.h' | xargs clang-format -i

.PHONY: demo bench clean
demo: setup build ## the main job: 16 containers in one shared enclave beside 16 dedicated ones (root)
	$(VENV)/bin/python -m examples.demo

bench: setup build ## measure against native and dedicated; figures in build/bench (root)
	$(VENV)/bin/python -m bench

clean: ## remove what the build made
	rm -rf $(BUILD) $(VENV)

.PHONY: test-vm test-vm-debug
test-vm: setup build programs ## boot Debian's 6.1 and 6.12 kernels in QEMU and test the kernel module on them
	$(MAKE) -C tests/vm test-vm

test-vm-debug: $(VENV)/.installed ## build a kernel with KASAN, lockdep, kmemleak and fault injection; test the module on it
	$(MAKE) -C tests/vm test-vm-debug
