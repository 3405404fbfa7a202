# The front door. Every target first installs the Debian packages that are missing; the work itself is in
# CMake presets and in tools/.
MAKEFLAGS += --no-print-directory
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SWITCHES ?= 1000000000

.DEFAULT_GOAL := help
.PHONY: help setup build dev demo test model bench bench-all bench-disks bench-micro bench-net polling lint format fuzz soak coverage install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## install the Debian packages that are missing
	@tools/setup

build: setup ## the release build, in build/release
	@tools/build release

dev: setup ## the developer's build with all unit tests, in build/dev
	@tools/build dev

demo: build ## boot a real guest on the daemon and compare polling off and on
	@tools/demo

test: setup ## everything that CI runs; "tools/test --help" has its parts
	@tools/test

model: setup ## model-check the switch protocol; tests/model/README.md
	@tests/model/run

bench: build ## measure; results in build/bench
	@bench/run

bench-all: build ## every benchmark, half an hour, and what they find into docs/benchmarks.md
	@tools/setup tools/packages-bench.txt
	@bench/all

bench-disks: build ## measure what polling does for reads, and what idle machines cost; results in build/bench
	@bench/disks

bench-micro: setup ## time the hot parts by themselves, and count their instructions beside bench/instructions.json
	@tools/setup tools/packages-bench.txt
	@tools/build release sidecore-micro
	@build/release/bin/sidecore-micro
	@bench/instructions

bench-net: build ## measure network devices, beside DPDK's vhost; results in build/bench
	@tools/setup tools/packages-bench.txt
	@bench/net

polling: build ## simulate: the tables and plots of docs/polling.md
	@tools/polling-report

lint: setup ## formatting, structure and clang-tidy over the whole tree
	@tools/test --only source --only tidy

format: setup ## rewrite the sources as .clang-format wants them
	@tools/format

fuzz: setup ## every fuzzer for FUZZ_SECONDS (60)
	@tools/test --only fuzz --fuzz-seconds $(FUZZ_SECONDS)

soak: setup ## SWITCHES (10^9) mode switches with a racing driver, none of which may lose a wake-up; hours
	@tools/build dev soak_test
	@SIDECORE_SWITCHES=$(SWITCHES) build/dev/tests/soak/soak_test

coverage: setup ## line coverage of the unit tests, in build/coverage/report
	@tools/coverage

install: build ## install the release build below PREFIX (/usr/local), DESTDIR is honoured
	@cmake --install build/release --prefix $(PREFIX)

clean: ## remove build/
	@rm -rf build
