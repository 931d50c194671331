# SPDX-License-Identifier: Apache-2.0
"""Node: run a ROS node."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from launch.actions import ExecuteProcess
from launch.descriptions import Executable
from launch.logging import get_logger
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..parameter_descriptions import Parameter
from ..substitutions import ExecutableInPackage, command_for
from ..utilities import (
    evaluate_parameters,
    make_namespace_absolute,
    normalize_parameters,
    normalize_remap_rules,
    prefix_namespace,
    to_yaml,
    validate_name,
    validate_namespace,
)

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext
    from launch.launch_description_entity import LaunchDescriptionEntity


class Node(ExecuteProcess):
    """Run a node; keyword arguments not named here go to `ExecuteProcess`.

    executable: its name in `package`, or a path or program where no package is given.
    name, namespace: of the node; its own where not given. A relative namespace is put into the
        one of `PushRosNamespace`.
    exec_name: label of the process, by default the executable's name.
    parameters: dictionaries and files, in order; the last definition of a parameter wins.
    remappings: pairs (from, to).
    arguments: words for the node. ros_arguments: words put after an own `--ros-args`.

    The command line is `executable [arguments] --ros-args [ros_arguments] --ros-args -r __node:=
    -r __ns:= -p/--params-file ... -r from:=to`.
    """

    UNSPECIFIED_NODE_NAME = "<node_name_unspecified>"
    UNSPECIFIED_NODE_NAMESPACE = ""

    def __init__(
        self,
        *,
        executable: SomeSubstitutionsType,
        package: SomeSubstitutionsType | None = None,
        name: SomeSubstitutionsType | None = None,
        namespace: SomeSubstitutionsType | None = None,
        exec_name: SomeSubstitutionsType | None = None,
        parameters: Sequence[Any] | None = None,
        remappings: Iterable[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] | None = None,
        ros_arguments: Iterable[SomeSubstitutionsType] | None = None,
        arguments: Iterable[SomeSubstitutionsType] | None = None,
        prefix: SomeSubstitutionsType | None = None,
        cwd: SomeSubstitutionsType | None = None,
        env: dict[Any, SomeSubstitutionsType] | None = None,
        additional_env: dict[Any, SomeSubstitutionsType] | None = None,
        **kwargs: Any,
    ) -> None:
        self.__package = package
        self.__node_executable = executable
        self.__name = None if name is None else normalize_to_list_of_substitutions(name)
        self.__namespace = (
            None if namespace is None else normalize_to_list_of_substitutions(namespace)
        )
        self.__parameters = normalize_parameters([] if parameters is None else parameters)
        self.__remappings = normalize_remap_rules(remappings or ())
        self.__words: list[SomeSubstitutionsType] = list(arguments or ())
        if ros_arguments is not None:
            self.__words += ["--ros-args", *ros_arguments]
        self.__words.append("--ros-args")
        self.__final_node_name: str | None = None
        self.__temporary_files: list[str] = []
        self.__process_options: dict[str, Any] = {
            "prefix": prefix,
            "cwd": cwd,
            "env": env,
            "additional_env": additional_env,
        }
        self.__exec_name = exec_name
        first = executable if package is None else ExecutableInPackage(executable, package)
        super().__init__(
            cmd=[first, *self.__words], name=exec_name, **self.__process_options, **kwargs
        )

    @property
    def node_package(self) -> SomeSubstitutionsType | None:
        """The package, as given."""
        return self.__package

    @property
    def node_executable(self) -> SomeSubstitutionsType:
        """The executable, as given."""
        return self.__node_executable

    @property
    def node_name(self) -> str:
        """The full name, `<node_name_unspecified>` for the part a launch file does not set."""
        if self.__final_node_name is None:
            raise RuntimeError("cannot access 'node_name' before executing action")
        return self.__final_node_name

    def is_node_name_fully_specified(self) -> bool:
        """Whether both name and namespace are set by the launch file."""
        return self.UNSPECIFIED_NODE_NAME not in self.node_name and self.node_name.startswith("/")

    def execute(self, context: LaunchContext) -> list[LaunchDescriptionEntity] | None:
        words = [*self.__words, *self._names(context)]
        words += self._global_parameters(context)
        words += self._own_parameters(context)
        words += self._remappings(context)
        executable = perform_substitutions(context, self.process_description.cmd[0])
        command = [executable] if self.__package is None else command_for(executable)
        self.process_description = Executable(
            cmd=[*command, *words],
            name=self.__exec_name or os.path.basename(executable),
            **self.__process_options,
        )
        entities = super().execute(context)
        future = self.get_asyncio_future()
        if future is not None:
            future.add_done_callback(lambda _: self._remove_temporary_files())
        return entities

    def _names(self, context: LaunchContext) -> list[str]:
        """Settle the node's name and namespace; the rules that give them to the node."""
        words = []
        name = self.UNSPECIFIED_NODE_NAME
        if self.__name is not None:
            name = perform_substitutions(context, self.__name)
            validate_name(name)
            words += ["-r", f"__node:={name}"]
        own = None if self.__namespace is None else perform_substitutions(context, self.__namespace)
        outer = context.launch_configurations.get("ros_namespace")
        namespace = make_namespace_absolute(prefix_namespace(outer, own))
        if namespace is not None:
            validate_namespace(namespace)
            words += ["-r", f"__ns:={namespace}"]
        base = self.UNSPECIFIED_NODE_NAMESPACE if namespace is None else namespace
        self.__final_node_name = f"{base.rstrip('/')}/{name}" if base else name
        return words

    @staticmethod
    def _global_parameters(context: LaunchContext) -> list[str]:
        words = []
        for item in context.launch_configurations.get("global_params", []):
            if isinstance(item, tuple):
                words += ["-p", f"{item[0]}:={to_yaml(item[1])}"]
            else:
                words += ["--params-file", item]
        return words

    def _own_parameters(self, context: LaunchContext) -> list[str]:
        words = []
        for item in evaluate_parameters(context, self.__parameters):
            if isinstance(item, Parameter):
                name, value = item.evaluate(context)
                words += ["-p", f"{name}:={to_yaml(value)}"]
            elif isinstance(item, pathlib.Path):
                if not item.is_file():
                    get_logger("launch_ros.actions.node").warning(
                        f"Parameter file path is not a file: {item}"
                    )
                    continue
                words += ["--params-file", str(item)]
            elif item:
                words += ["--params-file", self._write_parameters(item)]
        return words

    def _write_parameters(self, parameters: dict[str, Any]) -> str:
        node = self.node_name if self.is_node_name_fully_specified() else "/**"
        lines = [f"{to_yaml(node)}:", "  ros__parameters:"]
        lines += [f"    {to_yaml(name)}: {to_yaml(value)}" for name, value in parameters.items()]
        with tempfile.NamedTemporaryFile(
            "w", prefix="launch_params_", suffix=".yaml", delete=False, encoding="utf-8"
        ) as file:
            file.write("\n".join(lines) + "\n")
        self.__temporary_files.append(file.name)
        return file.name

    def _remove_temporary_files(self) -> None:
        for path in self.__temporary_files:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _remappings(self, context: LaunchContext) -> list[str]:
        rules = list(context.launch_configurations.get("ros_remaps", []))
        rules += [
            (perform_substitutions(context, source), perform_substitutions(context, target))
            for source, target in self.__remappings
        ]
        return [word for source, target in rules for word in ("-r", f"{source}:={target}")]
