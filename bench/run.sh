#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the benchmarks on a stack of their own (var/bench), so that a stack in use is not disturbed, and takes it down again.
# Must never compare figures of different runs: both sides of a ratio are measured in turn in one run.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export GWASUWON_VAR=$ROOT/var/bench
cd "$ROOT"
trap './dev down >/dev/null 2>&1 || true' EXIT
./dev down --wipe >/dev/null # each run begins with empty tables
./dev up --kind release --no-seed
node bench/run.mjs "$@"
