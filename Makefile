# Every target sets up what it needs by itself; see .ci/setup.

DEMO_ARGS ?=
BENCH_ARGS ?=
MAJORS ?= 14 15 16 17 18
MAJOR ?= 18
TEXTS ?= 1000000
SESSIONS ?= 100000
FUZZ_SECONDS ?= 300
ROUNDS ?= 20000
# PgBouncer's executable to compare with; without one, pgweir is measured alone.
export PGWEIR_BENCH_PGBOUNCER ?= $(shell command -v pgbouncer 2>/dev/null)
ifeq ($(PGWEIR_BENCH_PGBOUNCER),)
unexport PGWEIR_BENCH_PGBOUNCER
endif

.DEFAULT_GOAL := help
.PHONY: help demo test test-majors test-sessions test-timeouts test-regression test-route test-django test-guard test-oracle \
	fuzz build bench bench-counts

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## throw-away Postgres, pgweir in front of it, traffic (DEMO_ARGS="--seconds 5")
	@.ci/setup demo
	@cargo build --release
	@cargo run --quiet --release -- demo $(DEMO_ARGS)

test: ## everything that we check: format, lints, a short demo, all tests
	@.ci/setup test
	@.ci/test

test-majors: ## the behaviour tests with real Postgres 14 to 18, about 30 minutes (MAJORS="17 18")
	@.ci/setup majors
	@.ci/postgres $(MAJORS)
	@.ci/test-majors $(MAJORS)

test-sessions: ## generated sessions, twelve on two servers, against Postgres, about 30 minutes (SESSIONS=100000)
	@.ci/setup test
	@PGWEIR_SESSIONS=$(SESSIONS) cargo test --release --test it -- --nocapture generated_sessions

test-timeouts: ## statements that end around their limit, 20,000 for each protocol and belt and a million simulated, about 25 minutes (ROUNDS=20000)
	@.ci/setup test
	@PGWEIR_SIMULATED_TIMEOUTS=1000000 cargo test --release --lib -- --nocapture timeouts::race
	@PGWEIR_TIMEOUT_ROUNDS=$(ROUNDS) PGWEIR_TIMEOUTS=long cargo test --release --test it -- --nocapture timeouts::

test-route: ## a million statements and a million reads behind writes over a primary and two replicas, ten promotions
	@.ci/setup test
	@PGWEIR_ROUTE=1000000 PGWEIR_PAIRS=1000000 PGWEIR_PROMOTIONS=10 cargo test --release --test it -- --nocapture route::

test-regression: ## Postgres' own regression scripts, straight and through pgweir, about 20 minutes (MAJOR=18, PGWEIR_SQL_CORPUS)
	@.ci/setup majors
	@.ci/postgres $(MAJOR)
	@.ci/test-regression $(MAJOR)

test-oracle: ## what we read in SQL against Postgres' own parser, on generated texts (TEXTS=1000000)
	@.ci/setup majors
	@PGWEIR_ORACLE_TEXTS=$(TEXTS) cargo test --test oracle -- --nocapture

fuzz: ## any bytes through the lexer and the recognisers, 5 minutes for each target (FUZZ_SECONDS=300)
	@.ci/setup fuzz
	@.ci/fuzz $(FUZZ_SECONDS)

test-django: ## Django's own tests, straight and through pgweir, with psycopg 2 and 3, about 80 minutes
	@.ci/setup test
	@cargo test --quiet --test drivers -- --ignored --nocapture --test-threads=1 django_suite_whole

test-guard: ## the guard's proofs on Postgres, and real migrations through it, about 3 minutes
	@.ci/setup test
	@PGWEIR_GUARD=long cargo test --test it -- --nocapture guard::
	@PGWEIR_GUARD=long cargo test --test drivers -- --nocapture migrations::

build: ## target/release/pgweir
	@.ci/setup build
	@cargo build --release

bench: ## compare with PgBouncer, about 15 minutes (PGWEIR_BENCH_PGBOUNCER, BENCH_ARGS; see benches/README.md)
	@.ci/setup bench
	@cargo build --release
	@benches/compare.py $(BENCH_ARGS)

bench-counts: ## of that, the figures that a busy machine hardly moves: system calls, instructions, memory
	@.ci/setup bench
	@cargo build --release
	@benches/compare.py --figures calls,instructions,idle $(BENCH_ARGS)
