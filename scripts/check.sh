#!/usr/bin/env bash
# Checks the sources: types, formatting and lint, import rules. Runs all of them, even after one has failed.
set -u
cd "$(dirname "$0")/.." || exit 1

failed=()
check() {
  local what=$1
  shift
  echo "== $what"
  "$@" || failed+=("$what")
}

check types node_modules/.bin/tsc
check 'format and lint' node_modules/.bin/biome check --error-on-warnings
check 'import rules' node_modules/.bin/node scripts/check-imports.ts

if ((${#failed[@]})); then
  printf 'check failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
