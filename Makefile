# The only spelling of every habit. Each target does its own set-up.
SWIFT ?= swift
CONFIGURATION ?= release
BUILD = $(SWIFT) build -c $(CONFIGURATION)
MGLU = .build/$(CONFIGURATION)/mglu
SOURCES = Package.swift Sources Tests Examples Fuzz/Package.swift Fuzz/Sources

.PHONY: demo build minimal test kernels coverage examples interop sanitize fuzz soak format lint api docs bench
.PHONY: release library wheel test-python setup clean

demo: setup
	$(BUILD) --product mglu
	$(MGLU) demo $(if $(DATA),--data $(DATA))

build:
	$(BUILD)

# The program without the server and what it depends on.
minimal: setup
	$(BUILD) --product mglu --disable-default-traits --scratch-path .build/minimal

# Kernels that have not changed since Tests/Kernels/usage.txt was recorded are not compiled again, but for a
# sixteenth of them. KERNELS=all compiles every variant of every kernel for every generation of GPUs.
test: setup
	$(SWIFT) build --build-tests -c $(CONFIGURATION)
	MGLU_TEST_KERNELS=$(KERNELS) MGLU_NVRTC=$$(scripts/setup-nvrtc --path) SWIFT="$(SWIFT)" scripts/run-tests -c $(CONFIGURATION)

# Compiles what the tests of kernels compile, and records registers and spills in Tests/Kernels/usage.txt.
kernels: setup
	$(SWIFT) build --build-tests -c $(CONFIGURATION)
	rm -f .build/kernel-usage.txt
	MGLU_TEST_KERNELS=record MGLU_NVRTC=$$(scripts/setup-nvrtc --path) \
	  $(SWIFT) test --skip-build -c $(CONFIGURATION) --filter KernelCompilationTests
	LC_ALL=C sort -u .build/kernel-usage.txt >Tests/Kernels/usage.txt

# What share of the lines of Swift the tests run. FILTER names tests.
coverage: setup
	MGLU_NVRTC=$$(scripts/setup-nvrtc --path) SWIFT="$(SWIFT)" \
	  scripts/coverage $(if $(FILTER),--filter "$(FILTER)")

# A package of its own, as a user's would be. It shares the build folder, in which the compiler
# finds what `make test` or `make build` has compiled, so that only the examples are left.
examples: setup
	$(BUILD) --package-path Examples --scratch-path .build

# Against transformers and tokenizers, which it fetches into .build/interop. ONLY names a suite.
interop: setup
	$(BUILD) --product mglu
	$(BUILD) --product RenderTemplates
	MGLU=$(abspath $(MGLU)) RENDER_TEMPLATES=$(abspath $(dir $(MGLU))RenderTemplates) scripts/interop $(ONLY)

# libmglu.so with its header mglu.h, in .build/libmglu.
library:
	SWIFT="$(SWIFT)" scripts/library

# The Python package: wheel and sdist, in wheel-out.
wheel:
	SWIFT="$(SWIFT)" scripts/wheel

# Its tests, with torch in .build/test-python or of `make interop`. ONLY names a suite; with SMALL=1 they are
# skipped where pip finds no torch for CPUs alone.
test-python:
	SWIFT="$(SWIFT)" scripts/test-python $(if $(SMALL),--if-small) $(ONLY)

sanitize: setup
	SWIFT="$(SWIFT)" scripts/sanitize

# libFuzzer over the corpora of Fuzz, under sanitizers, for MINUTES in all; TARGETS names some, KEEP=1
# brings inputs that reach new code to Fuzz/corpus.
fuzz: setup
	SWIFT="$(SWIFT)" scripts/fuzz --configuration $(CONFIGURATION) --minutes $(or $(MINUTES),10) \
	  $(if $(TARGETS),--targets $(TARGETS)) $(if $(KEEP),--keep)

# A server and training under load, signals and failing writes, for MINUTES. MODEL names a model.
soak: setup
	$(BUILD) --product mglu
	scripts/soak --mglu $(MGLU) --minutes $(or $(MINUTES),10) $(if $(MODEL),--model $(MODEL))

format:
	$(SWIFT) format --in-place --recursive $(SOURCES)

lint:
	$(SWIFT) format lint --strict --recursive $(SOURCES)
	scripts/check-layers
	scripts/count-backend-requirements --check
	scripts/results --check

# The public API against that of the last tag.
api:
	SWIFT="$(SWIFT)" scripts/check-api

# The reference of every library that Package.swift names.
LIBRARIES = $(shell $(SWIFT) package dump-package | python3 -c 'import json, sys; \
  print(*(p["name"] for p in json.load(sys.stdin)["products"] \
    if "library" in p["type"] and p["name"][0] != "_"))')
docs:
	mkdir -p docs-out
	for target in $(or $(LIBRARIES),$(error Package.swift names no library)); do \
	  $(SWIFT) package --allow-writing-to-directory docs-out generate-documentation \
	    --target $$target --disable-indexing --warnings-as-errors \
	    --transform-for-static-hosting --hosting-base-path $$target \
	    --output-path docs-out/$$target || exit 1; done

# Needs python3 and, for the peers, PyTorch (apt-get install python3-torch) and, in the interpreter
# GGML=python, llama-cpp-python.
bench: setup
	@test -n "$(DATA)" || { echo "give a text: make bench DATA=input.txt" >&2; exit 1; }
	@python3 -c "import torch" || { echo "train_nano needs PyTorch" >&2; exit 1; }
	$(BUILD) --product mglu
	Benchmarks/ffn_cpu $(if $(GGML),--peer $(GGML))
	Benchmarks/decode_cpu
	Benchmarks/train_nano --data $(DATA) $(if $(LOSSES),--losses)
	scripts/results

# An archive of the program for this system, its checksum and the notes, in release-out.
release:
	SWIFT="$(SWIFT)" scripts/release

# Installs OpenBLAS through apt where no BLAS is found, with sudo where that asks for no password. It
# says so before; MGLU_BLAS=none keeps it from that.
setup:
	@scripts/setup-blas
	@scripts/setup-nvrtc

clean:
	rm -rf .build Examples/.build docs-out demo-out release-out wheel-out
