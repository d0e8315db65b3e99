# SPDX-License-Identifier: Apache-2.0
# The front door: one verb for each thing that people do. `make help` lists them.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

cxx_files = git ls-files '*.h' '*.cc'
tests_of = ninja -C build/$(1) -t targets all | sed -n '/^cmake_/d;s/^\([a-z0-9_]*_test\): .*/\1/p'
threaded := $(foreach m,async store queue,$(if $(wildcard thaw/$(m)/*_test.cc),$(m)_test))

.PHONY: build setup test check check-v2 fix bench bench-arrivals bench-cold bench-peers demo
.PHONY: clean help soak sim
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

check: setup build/asan/build.ninja build/tsan/build.ninja  ## Sanitizers; freezing on cgroups v2
	ninja -C build/asan $$($(call tests_of,asan))
	ctest --preset asan -R '^unit\.'
	$(if $(threaded),ninja -C build/tsan $(threaded))
	ctest --preset tsan -R '^unit\.(async|store|queue)$$'
	$(MAKE) check-v2

check-v2: build/release/build.ninja  ## Freezing by cgroups v2, in a small virtual machine
	ninja -C build/release os_test guest_init
	python3 tests/guest/run.py build/release/guest_init \
	  'build/release/os_test:*froz*,*freez*,*thaw*,*overlay*' || [ $$? -eq 77 ]

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
