#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a command beside a real rclpy without installing ROS 2: scripts/with_rclpy.sh kilted make test
# rclpy, Fast DDS, messages and build tools come from unofficial wheels (ros-python-wheels on PyPI);
# of what they lack, tf2_msgs is built here, and launch, tf2_ros, `ros2` ... are those of embedded/.
# Wants Python 3.11, a C++ compiler and CMake. Use a checkout of its own: .venv and build/ are for
# one ROS 2 only.
set -euo pipefail
distro=${1:?usage: scripts/with_rclpy.sh jazzy|kilted COMMAND...}
shift
embedded=$(cd "$(dirname "$0")/../embedded" && pwd)
home=${XDG_CACHE_HOME:-$HOME/.cache}/zipmap_ros/rclpy-$distro
site=$home/lib/python3.11/site-packages
overlay=$home/overlay

case $distro in
    jazzy) ament_package='<0.17' also=(ament-cmake-{gmock,gtest,ros} python-cmake-module) ;;
    kilted) ament_package='==0.17.2' also=(ament-cmake-ros-core) ;;
    *) echo "with_rclpy: there are wheels of jazzy and kilted, not of $distro" >&2; exit 2 ;;
esac

install_wheels() {
    "${PYTHON:-python3.11}" -m venv --clear "$home"
    "$home/bin/pip" install "ros-$distro-rclpy[fastrtps]" "ros-$distro-common-interfaces" \
        "ros-$distro-rosidl-default-generators" "ros-$distro-rosidl-core-generators" \
        "ros-$distro-ament-cmake" "ros-$distro-ament-cmake-pytest" \
        "ros-$distro-ament-cmake-include-directories" "${also[@]/#/ros-$distro-}" \
        "ros-ament-package$ament_package" 'empy<4' colcon-common-extensions
    # Their CMake files name the headers of the Python that they were built with.
    local prefix
    prefix=$("$home/bin/python" -c 'import sys; print(sys.base_prefix)')
    grep -rlZ --include='*.cmake' /opt/python/ "$home" |
        xargs -0r sed -i -E "s#/opt/python/cp[0-9]+-cp[0-9]+#$prefix#g"
}

lay_packages() {
    mkdir -p "$overlay/rosidl_runtime_py" "$overlay/launch_pytest-1.0.dist-info"
    local package
    for package in cv_bridge diagnostic_updater launch launch_pytest launch_ros message_filters \
        ros2cli rosidl_embedded sensor_msgs_py tf2_geometry_msgs tf2_py tf2_ros; do
        ln -sfn "$embedded/src/$package" "$overlay/$package"
    done
    ln -sfn "$embedded/src/rclpy/impl/yaml_text.py" "$site/rclpy/impl/yaml_text.py"
    printf '[pytest11]\nlaunch_pytest = launch_pytest.plugin\n' \
        > "$overlay/launch_pytest-1.0.dist-info/entry_points.txt"
    printf 'Metadata-Version: 2.1\nName: launch-pytest\nVersion: 1.0\n' \
        > "$overlay/launch_pytest-1.0.dist-info/METADATA"
    ln -sfn "$embedded"/src/rosidl_runtime_py/*.py "$overlay/rosidl_runtime_py"
    # This one makes classes of its own, which rclpy does not take. It is a link: never write to it.
    rm -f "$overlay/rosidl_runtime_py/utilities.py"
    cat > "$overlay/rosidl_runtime_py/utilities.py" <<'PY'
from importlib import import_module


def get_interface(identifier):
    package, *_, name = identifier.split("/")
    return getattr(import_module(f"{package}.{'srv' if '/srv/' in identifier else 'msg'}"), name)


get_message = get_service = get_interface
PY
    printf '%s\n' '#!/usr/bin/env python3' 'import sys' 'from ros2cli.cli import main' \
        'sys.exit(main())' > "$home/bin/ros2"
    chmod +x "$home/bin/ros2"
}

build_tf2_msgs() {
    local source=$home/src/tf2_msgs
    mkdir -p "$source"
    cp -r "$embedded/src/rosidl_embedded/share/tf2_msgs/." "$source"
    cat > "$source/package.xml" <<'XML'
<package format="3">
  <name>tf2_msgs</name><version>0.0.0</version><description>The messages of tf2.</description>
  <maintainer email="tf2_msgs@example.com">zipmap_ros</maintainer><license>BSD</license>
  <buildtool_depend>ament_cmake</buildtool_depend>
  <depend>geometry_msgs</depend>
  <member_of_group>rosidl_interface_packages</member_of_group>
  <export><build_type>ament_cmake</build_type></export>
</package>
XML
    cat > "$source/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.16)
project(tf2_msgs)
find_package(ament_cmake REQUIRED)
find_package(geometry_msgs REQUIRED)
find_package(rosidl_default_generators REQUIRED)
file(GLOB interfaces RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" CONFIGURE_DEPENDS msg/*.msg srv/*.srv)
rosidl_generate_interfaces(tf2_msgs ${interfaces} DEPENDENCIES geometry_msgs)
ament_package()
CMAKE
    (cd "$home" && python -m colcon build --base-paths src --cmake-args -DBUILD_TESTING=OFF)
}

# As the setup.bash of a ROS 2 does.
source_wheels() {
    export ROS_DISTRO=$distro ROS_VERSION=2 ROS_PYTHON_VERSION=3 _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
    export AMENT_PREFIX_PATH=$home CMAKE_PREFIX_PATH=$home PYTHONPATH=$overlay:$site
    export PATH=$home/bin:$PATH LD_LIBRARY_PATH
    LD_LIBRARY_PATH=$home/lib$(printf ':%s' "$site"/ros_*.libs)
}

if [ ! -f "$home/ready" ]; then
    install_wheels
    source_wheels
    build_tf2_msgs
    touch "$home/ready"
fi
lay_packages
source_wheels
set +u
source "$home/install/local_setup.bash"
set -u
exec "$@"
