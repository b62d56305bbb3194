# The front door; meson and ninja do the building. Bare `make` says what there is.

BUILD ?= build
PREFIX ?= /usr/local
# Seconds that each fuzz target runs.
SECONDS_EACH ?= 30
# A part of a test's name, to run only those: make test ONLY=store
ONLY ?=
# WERROR=1 makes every warning an error, as development and CI do.
WERROR ?=

export BUILD PREFIX WERROR

.PHONY: help deps build run test redis-suite check asan tsan fuzz bench coverage install uninstall deb clean
.DEFAULT_GOAL := help

help: ## this list
	@echo "forebay: a cache, limits and a queue in front of everything slow"
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20
	@echo
	@echo "Start with \`make run\`. Settings: ONLY=name (test, bench), SECONDS_EACH=30 (fuzz), WERROR=1,"
	@echo "PREFIX=/usr/local and DESTDIR= (install), BUILD=build (the folder that is built in)."

deps: ## install the Debian packages that the build needs, where they are missing
	@tools/bootstrap run

build: ## build the program, build/forebay, and the library
	@tools/build $(BUILD)

run: deps build ## build a catalogue from this machine's packages and serve it: the quick start
	@tools/quickstart

test: ## every test: unit, fuzz corpora, models, simulation, system
	@tools/bootstrap test
	@tools/test $(BUILD) $(ONLY)

redis-suite: ## Redis's own test suite, from Debian's sources of it (docs/redis.md)
	@tools/bootstrap test
	@tools/build $(BUILD)
	@tools/redis-suite $(BUILD)

check: ## layers, names, headers, static analysis
	@tools/bootstrap dev
	@tools/build $(BUILD)
	@tools/check $(BUILD)

asan: ## every test under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/bootstrap test
	@SANITIZE=address,undefined tools/test build-asan $(ONLY)

tsan: ## the tests with threads under ThreadSanitizer
	@tools/bootstrap test
	@SANITIZE=thread SUITES=unit,system,stress tools/test build-tsan $(ONLY)

fuzz: ## every fuzz target for SECONDS_EACH seconds
	@tools/bootstrap dev
	@tools/fuzz $(SECONDS_EACH) $(ONLY)

bench: ## the benchmarks, beside peers (docs/benchmarks.md); ONLY=memory is one
	@tools/bootstrap bench
	@tools/bench $(BUILD) $(ONLY)

coverage: ## which lines the tests reach: a report, and build-coverage/coverage.html
	@tools/bootstrap dev
	@tools/coverage

install: build ## install program, libraries, headers, manual, completion below $(DESTDIR)$(PREFIX)
	@meson install -C $(BUILD) --no-rebuild --quiet $(if $(DESTDIR),--destdir "$(abspath $(DESTDIR))")
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" -eq 0 ]; then ldconfig; fi
	@echo "installed below $(DESTDIR)$(PREFIX)"

uninstall: ## remove what the last `make install` from this folder put there
	@test -e $(BUILD)/meson-logs/install-log.txt || { echo "nothing was installed from $(BUILD)"; exit 1; }
	@grep -v '^#' $(BUILD)/meson-logs/install-log.txt | while IFS= read -r path; do \
		if [ -d "$$path" ] && [ ! -L "$$path" ]; then \
			rmdir --ignore-fail-on-non-empty "$$path" || exit 1; \
		else \
			rm -f "$$path" || exit 1; \
		fi; \
	done
	@if [ "$$(id -u)" -eq 0 ]; then ldconfig; fi
	@echo "removed what $(BUILD)/meson-logs/install-log.txt lists"

deb: ## build Debian packages, in build-deb/packages
	@tools/bootstrap deb
	@tools/make-deb

clean: ## remove what was built (the catalogue of the quick start stays)
	rm -rf build build-asan build-tsan build-fuzz build-coverage build-mutations build-deb
