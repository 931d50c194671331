# SPDX-License-Identifier: Apache-2.0
"""Installation by pip, for machines without ROS 2; colcon reads package.xml and CMakeLists.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r"<version>(.+)</version>", (ROOT / "package.xml").read_text()).group(1)
SHARE = Path("share/zipmap_ros")


def _shared(folder: str) -> tuple[str, list[str]]:
    """The files of one folder, as setuptools installs them below the package's share directory."""
    return str(SHARE / folder), [str(p.relative_to(ROOT)) for p in (ROOT / folder).glob("*.*")]


setup(
    name="zipmap_ros",
    version=VERSION,
    description="Streaming 3D reconstruction from a camera, as library and ROS 2 node",
    license="Apache-2.0",
    python_requires=">=3.10,<3.15",
    packages=find_packages(include=["zipmap_ros", "zipmap_ros.*"]),
    package_data={"zipmap_ros": ["py.typed", "weights/*"]},
    data_files=[
        (str(SHARE), ["package.xml"]),
        *map(_shared, ("msg", "srv", "launch", "config")),
        ("lib/zipmap_ros", ["scripts/stream_node", "scripts/camera_node", "scripts/viewer_node"]),
    ],
    install_requires=[
        "torch>=2.5,<3",
        "numpy>=1.21",
        "safetensors>=0.4",
        "transforms3d>=0.4.2",
        "opencv-python-headless>=4.9",
        "pillow>=9.1",
        "matplotlib>=3.7",
        "tqdm>=4.60",
        "rosbags>=0.11.6",
        "viser>=1.1,<2",
        "websockets>=13.1",
        "pyyaml>=5.4",
    ],
    extras_require={
        "dev": ["pytest", "pytest-timeout", "hypothesis", "psutil", "ruff", "mypy", "evo"],
    },
    entry_points={"console_scripts": ["zipmap=zipmap_ros.cli:main"]},
)
