#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests in two halves side by side, as those of processes and nodes wait much of their time.
set -uo pipefail
cd "$(dirname "$0")/.."

network=(test/test_{model,training,evaluation,synthetic}*.py)
log=$(mktemp)
trap 'wait; rm -f "$log"' EXIT
# What a script starts beside itself ignores Ctrl-C otherwise.
env --default-signal=INT bash -c '
    python -m pytest embedded/test; status=$?
    python -m pytest "$@" || status=1
    exit "$status"
' beside "${network[@]}" > "$log" 2>&1 &
beside=$!

python -m pytest test "${network[@]/#/--ignore=}"
status=$?
wait "$beside" || status=1
echo "embedded/test, then the network's:"
cat "$log"
exit "$status"
