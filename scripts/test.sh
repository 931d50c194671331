#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The tests of the package and of the embedded runtime side by side: both wait much of their time.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'wait; rm -f "$log"' EXIT
# What a script starts beside itself ignores Ctrl-C otherwise.
env --default-signal=INT python -m pytest embedded/test > "$log" 2>&1 &
embedded=$!

python -m pytest test
status=$?
wait "$embedded" || status=1
echo "embedded/test:"
cat "$log"
exit "$status"
