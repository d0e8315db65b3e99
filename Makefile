# SPDX-License-Identifier: Apache-2.0
# The front door: one verb for each thing that people do. `make help` lists them.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

cxx_files = git ls-files '*.h' '*.cc'
tests_of = ninja -C build/$(1) -t targets all | sed -n '/^cmake_/d;s/^\([a-z0-9_]*_test\): .*/\1/p'
threaded := async store queue net control
empty :=
one_of = $(subst $(empty) $(empty),|,$(1))
fuzz_targets = ninja -C build/asan -t targets all | sed -n 's/^\([a-z0-9_]*_fuzz\): .*/\1/p'

.PHONY: build setup test check check-asan check-asan-e2e check-tsan check-v2 nightly lint coverage
.PHONY: fix bench bench-arrivals bench-cold bench-peers demo clean help soak sim redelivery fuzz
build: build/release/build.ninja  ## Build build/release/thaw (and the unit tests)
	ninja -C build/release

build/%/build.ninja: CMakePresets.json
	cmake --preset $*
	@touch $@

setup:  ## Install the Debian packages that are missing (root)
	tools/setup

test: setup  ## Build and run every test, the real clients included
	$(MAKE) build
	ctest --preset release --parallel 5 --no-tests=error --test-output-size-passed 1000000 \
	  --output-junit $(CURDIR)/build/release/tests.xml

check: setup  ## Sanitizers, fuzz targets; freezing on cgroups v2
	tools/steps check-asan check-asan-e2e check-tsan fuzz check-v2

check-asan: build/asan/build.ninja  ## All unit tests under address and undefined sanitizers
	ninja -C build/asan $$($(call tests_of,asan))
	ctest --preset asan -R '^unit\.'

# One file of tests with the real client, against a server under the address sanitizer.
check-asan-e2e: build/asan/build.ninja
	ninja -C build/asan thaw
	ctest --preset asan -R '^e2e\.calls$$' --no-tests=error

check-tsan: build/tsan/build.ninja  ## The modules with threads under the thread sanitizer
	ninja -C build/tsan $(addsuffix _test,$(threaded))
	ctest --preset tsan -R '^unit\.($(call one_of,$(threaded)))$$' --no-tests=error

fuzz: build/asan/build.ninja  ## Hostile bytes: make fuzz TARGET=http1 FUZZ_SECONDS=600
	ninja -C build/asan $(or $(TARGET:%=%_fuzz),$$($(fuzz_targets)))
	ctest --preset asan -R '^fuzz\.$(or $(TARGET),.*)$$' --parallel 2 --no-tests=error -V

check-v2: build/release/build.ninja  ## Freezing by cgroups v2, in a small virtual machine
	ninja -C build/release os_test guest_init
	python3 tests/guest/run.py build/release/guest_init \
	  'build/release/os_test:*froz*,*freez*,*thaw*,*overlay*' || [ $$? -eq 77 ]

lint:  ## clang-tidy over the C++ files: make lint SINCE=main
	tools/setup --checks
	tools/lint $(if $(SINCE),--since $(SINCE))

coverage: build/cov/build.ninja  ## Line coverage of the modules by unit tests, and its floor
	tools/setup --checks
	ninja -C build/cov $$($(call tests_of,cov))
	tools/coverage

nightly: setup  ## Everything that looks for faults, for hours; a table at the end
	tools/steps --keep-going --logs build/nightly check-asan check-asan-e2e check-tsan check-v2 \
	  lint coverage "sim FOR=600" "fuzz FUZZ_SECONDS=600" "redelivery CALLS=10000 KILLS=40" \
	  "soak MINUTES=30"

redelivery: build  ## Deaths under load; each call ends once: make redelivery CALLS=10000
	THAW_BIN=$(CURDIR)/build/release/thaw REDELIVERY_CALLS=$(or $(CALLS),300) \
	  REDELIVERY_KILLS=$(or $(KILLS),4) /usr/bin/python3 tests/e2e/redelivery_test.py

fix:  ## Format the C++ files
	$(cxx_files) | xargs -r clang-format-16 -i

bench: build  ## Measure; tables, and build/bench/*.json
	bench/run

bench-arrivals: build  ## Judge the keep-alive policy: make bench-arrivals SEEDS="101 102 103"
	build/release/arrivals_bench $(SEEDS)

bench-cold: build  ## Measure starts from zero at every level of the ladder (many minutes)
	python3 bench/cold/measure.py

bench-peers: setup build  ## Measure beside Ray Serve, BentoML and others (downloads 1.7 GB once)
	bench/peers/install
	python3 bench/peers/measure.py

soak: build  ## A mixed load, then rest: what has grown? make soak MINUTES=30
	python3 tests/soak/soak.py --minutes $(or $(MINUTES),30)

sim: build/release/build.ninja  ## The server's heart in virtual time: make sim FOR=60 FROM=1
	ninja -C build/release thaw_sim
	build/release/thaw_sim --from $(or $(FROM),1) --for $(or $(FOR),60) $(SEEDS)

demo: setup  ## Show it: a function and a real language model, by the real client
	$(MAKE) build
	tools/demo

clean:  ## Remove build/
	rm -rf build

help:  ## Show this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
