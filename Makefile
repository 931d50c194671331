# SPDX-License-Identifier: Apache-2.0
# Every target sets up what it needs first (scripts/setup.sh), which takes no time once done.
SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c
.PHONY: demo test lint pytest setup bench bench-gpu train

# Empty: 20, and in a terminal on until Ctrl-C.
DEMO_SECONDS ?=
VIDEO ?=
CHECKPOINT ?=
RUN := source .venv/bin/activate; [ ! -f install/setup.bash ] || source install/setup.bash;

test: lint pytest

setup:
	@scripts/setup.sh

lint: setup
	@$(RUN) ruff check . && ruff format --check . && mypy

demo: setup
	@$(RUN) python scripts/demo.py $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS)) \
		$(if $(VIDEO),--video "$(VIDEO)") $(if $(CHECKPOINT),--checkpoint "$(CHECKPOINT)")

# One compute thread: tests launch processes of their own beside themselves.
pytest: setup
	@$(RUN) export OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1}; \
	if [ -f install/setup.bash ]; then \
		python -m colcon test --event-handlers console_direct+; \
		python -m colcon test-result --verbose; \
	else scripts/test.sh; fi

# What map, network, node and wire cost on this machine, in less than ten minutes.
# RESULTS=benchmark/results/cpu keeps what each prints as JSON in files that begin so.
RESULTS ?=
bench: setup
	@$(RUN) python benchmark/mapping.py $(if $(RESULTS),--save "$(RESULTS)_mapping.json")
	@$(RUN) python benchmark/network.py all $(if $(RESULTS),--save "$(RESULTS).json")
	@$(RUN) python benchmark/node.py --seconds 10 $(if $(RESULTS),--save "$(RESULTS)_node.json")
	@$(RUN) python benchmark/middleware.py $(if $(RESULTS),--save "$(RESULTS)_middleware.json")

# The network at its official size; every answer is written as it comes.
GPU_RESULTS ?= benchmark/results/gpu.json
bench-gpu: setup
	@$(RUN) python benchmark/network.py all --size official --device cuda --dtype bfloat16 \
		--save "$(GPU_RESULTS)"

train: setup
	@$(RUN) zipmap train --out runs/small
