# `make run` and `make test` do all their set-up; `make help` lists the rest.

# Where the database that `make run` serves listens, and where it lives. Empty DIR: scripts/run chooses.
PORT ?= 5432
DIR ?=
# A file of further sections of its supervisor.toml, such as examples/sidecars.toml.
PROGRAMS ?=
export PORT DIR PROGRAMS
# How long `make soak` runs, and where its choices begin; empty: the clock.
SECONDS = 600
SEED ?=

# cargo's own rule for the place of what it builds.
OUT = $(or $(CARGO_TARGET_DIR),target)
# Recursive: asked only by the recipes that need it, and after scripts/setup has seen that there is a rustc.
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

.DEFAULT_GOAL := help
.PHONY: run test test-containers soak lint build static images bench bench-containers help

help:
	@echo 'make run [PORT=5432] [DIR=/path]  run the supervisor in the foreground over a PostgreSQL of its own; Ctrl-C stops it'
	@echo '         [PROGRAMS=/more.toml]    with the programs of that file beside it, such as examples/sidecars.toml'
	@echo 'make test                         install what the tests need, then pass them all; needs root (asks sudo)'
	@echo 'make test-containers              build the images and run them in real containers; part of make test where docker answers'
	@echo 'make soak [SECONDS=600] [SEED=n]  random faults under load for so long; the laws of the house must hold through all'
	@echo 'make bench [ONLY=start] [ROUNDS=20] as an init, beside other inits; a whole run writes docs/benchmarks.md'
	@echo 'make bench-containers [ROUNDS=10] in containers, beside a shell entrypoint and supervisord; needs Docker'
	@echo 'make lint                         format, clippy, and the rules of this house (scripts/lint)'
	@echo 'make build                        the static programs: $(OUT)/release/polar-supervisor and polarctl'
	@echo 'make images                       all images of image.yml, pushed nowhere; needs Docker. docs/images.md: others, pushing'

run:
	@scripts/setup run
	@scripts/run check
	@$(MAKE) --no-print-directory build
	@exec scripts/run start '$(OUT)/release/polar-supervisor'

test:
	@scripts/setup test
	@scripts/test

test-containers:
	@scripts/setup test
	@scripts/setup images
	@$(MAKE) --no-print-directory build
	@scripts/test --test containers -- --test-threads=4

soak:
	@scripts/setup test
	@scripts/test --test soak -- $(SECONDS) $(SEED)

lint:
	@scripts/setup lint
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	@scripts/lint

# What the linker is told beside the usual; not the environment's.
LINK =
# PID 1 stays small. Relocations in the short form are understood by glibc from 2.36 on.
SMALL = -C link-arg=-Wl,-T,link/polar-supervisor.ld $(shell getconf GNU_LIBC_VERSION 2>/dev/null | \
  awk '{ split($$2, v, "."); if (v[1] > 2 || v[2] >= 36) print "-C link-arg=-Wl,-z,pack-relative-relocs" }')

# A static program runs on every distribution whatever its glibc. With an explicit --target the flag reaches the
# program and not the compiler's own plugins (proc-macros), which cannot be static.
build:
	@scripts/setup build >/dev/null
	@$(MAKE) --no-print-directory static PROGRAM=polar-supervisor FEATURES= LINK='$(SMALL)'
	@$(MAKE) --no-print-directory static PROGRAM=polarctl FEATURES='--features ctl'

# One program by one call of cargo: what another one needs must not become part of it. The names of functions are of the
# kind that says all types, so that link/used.ld can tell them apart.
static:
	@# cargo does not look at what the linker reads.
	@[ -z "$$(find link -newer '$(OUT)/release/$(PROGRAM)' 2>/dev/null)" ] || touch 'src/bin/$(PROGRAM).rs'
	RUSTFLAGS='$(RUSTFLAGS) -C target-feature=+crt-static -C symbol-mangling-version=v0' \
	  cargo rustc --release --locked --target $(HOST) --bin $(PROGRAM) $(FEATURES) -- $(LINK)
	@mkdir -p '$(OUT)/release'
	@cp '$(OUT)/$(HOST)/release/$(PROGRAM)' '$(OUT)/release/.$(PROGRAM)'
	@mv '$(OUT)/release/.$(PROGRAM)' '$(OUT)/release/$(PROGRAM)'
	@ldd '$(OUT)/release/$(PROGRAM)' 2>&1 | grep -qE 'statically linked|not a dynamic executable' || \
	  { echo 'build: $(OUT)/release/$(PROGRAM) is not static; ldd names what it wants:' >&2; ldd '$(OUT)/release/$(PROGRAM)' >&2; exit 1; }
	@echo "build: $(OUT)/release/$(PROGRAM), static, $$(( $$(stat -c %s '$(OUT)/release/$(PROGRAM)') / 1024 )) KiB"

# With no registry in reach, too: image.yml builds of packages, and the manager on the release of this very run. The
# images take the programs from target/, wherever cargo builds.
images:
	@scripts/setup images
	@$(MAKE) --no-print-directory build
	@[ '$(OUT)' -ef target ] || { mkdir -p target/release && cp '$(OUT)/release/polar-supervisor' '$(OUT)/release/polarctl' target/release/; }
	@./image -f image.yml --no-push --only polardb_pg_engine_test --only polardb_pg_engine_release --only polardb_pg_manager

bench:
	@scripts/setup bench
	@$(MAKE) --no-print-directory build
	@SUPERVISOR='$(OUT)/release/polar-supervisor' POLARCTL='$(OUT)/release/polarctl' scripts/test --bench init

bench-containers:
	@scripts/setup images
	@$(MAKE) --no-print-directory build
	@./image -f image.yml --no-push --only polardb_pg_engine_release
	@ENGINE_IMAGE=polardb_pg/polardb_pg_engine_release:latest scripts/test --bench containers
