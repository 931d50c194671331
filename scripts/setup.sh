#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes .venv with all that the Makefile's targets need; returns at once when nothing has changed.
# With a ROS 2 sourced, the environment sees its packages and the workspace is built by colcon;
# without one, the runtime in embedded/ is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.10 to 3.14 is needed; name one with: make PYTHON=/path/to/python3"
}

# What colcon does not ask for is missed only when a node starts.
check_ros() {
    "$python" -c 'import colcon_core, colcon_output, colcon_ros' ||
        fail "colcon is missing; install it with: sudo apt install python3-colcon-common-extensions"
    "$python" -c 'import diagnostic_updater, launch_pytest, launch_ros, sensor_msgs_py, tf2_ros' ||
        fail "packages of ROS 2 are missing, see above; install those that package.xml names with: \
rosdep install --from-paths . --ignore-src"
}

make_venv() {
    "$python" -c 'import ensurepip' 2>/dev/null ||
        fail "Python's venv module is missing; install it with: sudo apt install python3-venv"
    if [ "$ros" = yes ]; then
        "$python" -m venv --system-site-packages .venv
    else
        "$python" -m venv .venv
    fi
}

# The default Linux wheels of torch carry 3 GB of CUDA; without an NVIDIA GPU the small ones do.
install_torch() {
    local torch cpu=https://download.pytorch.org/whl/cpu
    torch=$(grep '^torch==' requirements-dev.txt)
    if ! command -v nvidia-smi >/dev/null && "$venv_python" -c "
import urllib.request
urllib.request.urlopen('$cpu/torch/', timeout=5)" 2>/dev/null; then
        "$venv_python" -m pip install "$torch" --extra-index-url "$cpu"
    else
        "$venv_python" -m pip install "$torch"
    fi
}

# Cyclone DDS has no wheel for Python 3.14; of the one for 3.13 the C library works, which is all
# that the runtime uses.
install_cyclonedds() {
    "$venv_python" -c 'import sys; sys.exit(sys.version_info < (3, 14))' || return 0
    "$venv_python" -m pip install --no-deps --only-binary=:all: --python-version 3.13 --upgrade \
        --target "$("$venv_python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
        "$(grep -o 'cyclonedds[^"]*' embedded/pyproject.toml)"
}

install_packages() {
    say "1/3 Python environment: .venv ($python)"
    [ -x "$venv_python" ] || make_venv
    say "2/3 torch"
    install_torch
    say "3/3 zipmap_ros and what it needs"
    if [ "$ros" = yes ]; then
        # ROS 2's compiled modules (of its messages) are bound to the numpy that came with them; its
        # plugins of pytest, up to Kilted (Python 3.12), to pytest 7.
        local numpy pytest
        numpy=$("$python" -c 'import numpy; print(numpy.__version__)')
        pytest=$("$python" -c 'import sys; print("==7.4.4" if sys.version_info < (3, 14) else "")')
        grep -v '^pytest==' requirements-dev.txt > .venv/requirements.txt
        "$venv_python" -m pip install -r .venv/requirements.txt -e '.[dev]' "pytest$pytest" \
            "numpy==$numpy"
    else
        install_cyclonedds
        "$venv_python" -m pip install -r requirements-dev.txt -e embedded -e '.[dev]'
    fi
    "$venv_python" -c 'import cv2, torch' ||
        fail "OpenCV or torch cannot be loaded, see above; a missing system library usually comes \
with: sudo apt install libglib2.0-0 libgomp1"
}

ros=no
if [ -n "${ROS_DISTRO:-}" ] && "${PYTHON:-python3}" -c 'import rclpy' 2>/dev/null; then
    ros=yes
fi
python=$(find_python)
venv_python=$PWD/.venv/bin/python
[ "$ros" = no ] || check_ros

hash=$({ echo "$ros" "$PWD"; cat scripts/setup.sh requirements-dev.txt setup.py package.xml \
    embedded/pyproject.toml; } | sha256sum | cut -c1-16)
stamp=.venv/installed-$hash
if [ ! -f "$stamp" ]; then
    install_packages
    rm -f .venv/installed-*
    touch "$stamp"
fi

if [ "$ros" = yes ]; then
    say "colcon build (ROS 2 $ROS_DISTRO)"
    . .venv/bin/activate
    python -m colcon build --symlink-install
fi
