# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node: declared, checked, set, announced."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import (
    ListParametersResult,
    ParameterDescriptor,
    ParameterEvent,
    ParameterType,
    ParameterValue,
    SetParametersResult,
)
from rcl_interfaces.msg import Parameter as ParameterMsg

from rclpy._rclpy_pybind11 import RCLError
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy.impl.parameter_checks import descriptor_violation, is_listed
from rclpy.parameter import PARAMETER_SEPARATOR_STRING, Parameter
from rclpy.validate_parameter_name import validate_parameter_name

if TYPE_CHECKING:
    from rclpy.clock import Clock
    from rclpy.publisher import Publisher

PreSetCallback = Callable[[list[Parameter]], list[Parameter]]
OnSetCallback = Callable[[list[Parameter]], SetParametersResult]
PostSetCallback = Callable[[list[Parameter]], None]


class NodeParameters:
    """The part of a node that keeps its parameters."""

    def _ros_init_parameters(self, overrides: dict[str, Parameter], allow_undeclared: bool) -> None:
        self._parameters: dict[str, Parameter] = {}
        self._descriptors: dict[str, ParameterDescriptor] = {}
        self._parameter_overrides = overrides
        self._allow_undeclared_parameters = allow_undeclared
        self._ros_pre_set: list[PreSetCallback] = []
        self._ros_on_set: list[OnSetCallback] = []
        self._ros_post_set: list[PostSetCallback] = []
        self._parameter_event_publisher: Publisher | None = None

    def get_clock(self) -> Clock:
        """The node's clock."""
        raise NotImplementedError()

    def get_fully_qualified_name(self) -> str:
        """Namespace and name."""
        raise NotImplementedError()

    # Declaring

    def declare_parameter(
        self,
        name: str,
        value: Any = None,
        descriptor: ParameterDescriptor | None = None,
        ignore_override: bool = False,
    ) -> Parameter:
        """Declare a parameter; an override from the command line or a file wins over `value`.

        `value` may be a Parameter.Type: no default. Raises ParameterAlreadyDeclaredException,
        InvalidParameterException, InvalidParameterValueException, InvalidParameterTypeException.
        """
        arguments = (name, value, descriptor or ParameterDescriptor())
        return self.declare_parameters("", [arguments], ignore_override)[0]

    def declare_parameters(
        self,
        namespace: str,
        parameters: Iterable[tuple],
        ignore_override: bool = False,
    ) -> list[Parameter]:
        """Declare (name), (name, value) or (name, value, descriptor), names after `namespace`."""
        declared = []
        entries = []
        for entry in parameters:
            name = self._ros_full_parameter_name(namespace, entry)
            if name in self._parameters:
                declared.append(name)
            entries.append((name, entry))
        if declared:
            raise ParameterAlreadyDeclaredException(declared)
        return [self._ros_declare(name, entry, ignore_override) for name, entry in entries]

    @staticmethod
    def _ros_full_parameter_name(namespace: str, entry: tuple) -> str:
        if not 1 <= len(entry) <= 3:
            raise TypeError(f"Invalid parameter tuple length: {len(entry)}")
        if not isinstance(entry[0], str):
            raise TypeError(f"Expected first element to be str, got {type(entry[0])}")
        name = f"{namespace}{PARAMETER_SEPARATOR_STRING}{entry[0]}" if namespace else entry[0]
        validate_parameter_name(name)
        return name

    def _ros_declare(self, name: str, entry: tuple, ignore_override: bool) -> Parameter:
        value = entry[1] if len(entry) > 1 else None
        descriptor = copy.deepcopy(entry[2]) if len(entry) > 2 else ParameterDescriptor()
        descriptor.name = name
        if isinstance(value, Parameter.Type):
            if value is Parameter.Type.NOT_SET:
                raise ValueError(
                    f"Cannot declare parameter {{{name}}} as statically typed of type NOT_SET"
                )
            if descriptor.dynamic_typing:
                raise ValueError(
                    f"When declaring parameter {{{name}}} passing a descriptor with "
                    "`dynamic_typing=True` is not allowed when the parameter type is explicit"
                )
            descriptor.type = value.value
            value = None
        elif value is None and not descriptor.dynamic_typing:
            warnings.warn(
                f"when declaring parameter named '{name}', declaring a parameter only providing "
                "its name is deprecated: pass a default value, a type, or a descriptor with "
                "`dynamic_typing=True`",
                stacklevel=4,
            )
            descriptor.dynamic_typing = True
        elif value is not None and not descriptor.dynamic_typing:
            descriptor.type = Parameter.Type.from_parameter_value(value).value
        override = None if ignore_override else self._parameter_overrides.get(name)
        if override is not None:
            value = override.value
        parameter = self._ros_typed(name, value, descriptor)
        self._ros_check_first_value(parameter, descriptor)
        self._descriptors[name] = descriptor
        self._ros_store([parameter])
        for post_set in list(self._ros_post_set):
            post_set([parameter])
        return parameter

    @staticmethod
    def _ros_typed(name: str, value: Any, descriptor: ParameterDescriptor) -> Parameter:
        """A parameter of the declared type where an empty list leaves the type open."""
        is_array = descriptor.type >= ParameterType.PARAMETER_BYTE_ARRAY
        if isinstance(value, (list, tuple)) and not value and is_array:
            return Parameter(name, Parameter.Type(descriptor.type), list(value))
        return Parameter(name, value=value)

    def _ros_check_first_value(self, parameter: Parameter, descriptor: ParameterDescriptor) -> None:
        is_set = parameter.type_ is not Parameter.Type.NOT_SET
        if is_set:
            self._ros_check_type(parameter, descriptor)
        reason = descriptor_violation(parameter, descriptor) if is_set else ""
        if not reason:
            result = self._ros_judge([parameter])
            reason = "" if result.successful else result.reason or "refused"
        if reason:
            raise InvalidParameterValueException(parameter.name, parameter.value, reason)

    def _ros_judge(self, parameters: list[Parameter]) -> SetParametersResult:
        """What the callbacks say to a change."""
        for on_set in list(self._ros_on_set):
            result = on_set(parameters)
            if not isinstance(result, SetParametersResult):
                reason = "Callback returned an invalid type"
                warnings.warn(f"{reason}, it should return SetParameterResult.", stacklevel=4)
                return SetParametersResult(successful=False, reason=reason)
            if not result.successful:
                return result
        return SetParametersResult(successful=True)

    @staticmethod
    def _ros_check_type(parameter: Parameter, descriptor: ParameterDescriptor) -> None:
        if not descriptor.dynamic_typing and parameter.type_.value != descriptor.type:
            raise InvalidParameterTypeException(parameter, Parameter.Type(descriptor.type).name)

    def undeclare_parameter(self, name: str) -> None:
        """Forget a parameter.

        Raises ParameterNotDeclaredException, ParameterImmutableException where it is read-only.
        """
        self._ros_require(name)
        if self._descriptors[name].read_only:
            raise ParameterImmutableException(name)
        parameter = self._parameters.pop(name)
        del self._descriptors[name]
        self._ros_announce(deleted=[parameter])

    def _ros_require(self, name: str) -> None:
        if name not in self._parameters:
            raise ParameterNotDeclaredException(name)

    # Reading

    def has_parameter(self, name: str) -> bool:
        """Whether it is declared."""
        return name in self._parameters

    def get_parameter(self, name: str) -> Parameter:
        """A parameter.

        Raises ParameterNotDeclaredException, ParameterUninitializedException where it was
        declared with a type only and has no value.
        """
        if name in self._parameters:
            parameter = self._parameters[name]
            if (
                parameter.type_ is Parameter.Type.NOT_SET
                and not self._descriptors[name].dynamic_typing
            ):
                raise ParameterUninitializedException(name)
            return parameter
        if self._allow_undeclared_parameters:
            return Parameter(name, Parameter.Type.NOT_SET, None)
        raise ParameterNotDeclaredException(name)

    def get_parameters(self, names: list[str]) -> list[Parameter]:
        """Several; see `get_parameter`. Raises TypeError where a name is no str."""
        if not all(isinstance(name, str) for name in names):
            raise TypeError("All names must be instances of type str")
        return [self.get_parameter(name) for name in names]

    def get_parameter_or(self, name: str, alternative_value: Parameter | None = None) -> Parameter:
        """A parameter, or the alternative where it has no value."""
        if alternative_value is None:
            alternative_value = Parameter(name, Parameter.Type.NOT_SET)
        parameter = self._parameters.get(name)
        if parameter is None or parameter.type_ is Parameter.Type.NOT_SET:
            return alternative_value
        return parameter

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        """Those whose names begin with `prefix.`, by the rest of their names."""
        start = f"{prefix}{PARAMETER_SEPARATOR_STRING}" if prefix else ""
        return {
            name.removeprefix(start): parameter
            for name, parameter in self._parameters.items()
            if name.startswith(start)
        }

    def get_parameter_type(self, name: str) -> int:
        """Number of a parameter's type; see `get_parameter` for what it raises."""
        if name in self._parameters:
            return self._parameters[name].type_.value
        if self._allow_undeclared_parameters:
            return Parameter.Type.NOT_SET.value
        raise ParameterNotDeclaredException(name)

    def get_parameter_types(self, names: list[str]) -> list[int]:
        """Those of several."""
        return [self.get_parameter_type(name) for name in names]

    def describe_parameter(self, name: str) -> ParameterDescriptor:
        """Descriptor of a parameter; raises ParameterNotDeclaredException."""
        if name in self._descriptors:
            descriptor = copy.deepcopy(self._descriptors[name])
            descriptor.type = self._parameters[name].type_.value or descriptor.type
            return descriptor
        if self._allow_undeclared_parameters:
            return ParameterDescriptor(name=name)
        raise ParameterNotDeclaredException(name)

    def describe_parameters(self, names: list[str]) -> list[ParameterDescriptor]:
        """Descriptors of several."""
        return [self.describe_parameter(name) for name in names]

    def set_descriptor(
        self,
        name: str,
        descriptor: ParameterDescriptor,
        alternative_value: ParameterValue | None = None,
    ) -> ParameterValue:
        """Replace a descriptor; the value has to fit it, or the alternative takes its place.

        Its type has to be given too, unless it is `dynamic_typing`. Returns the value. Raises
        ParameterNotDeclaredException, ParameterImmutableException, InvalidParameterValueException.
        """
        if name not in self._parameters:
            return self.get_parameter(name).get_parameter_value()
        if self._descriptors[name].read_only:
            raise ParameterImmutableException(name)
        parameter = self.get_parameter(name)
        reason = self._ros_misfit(parameter, descriptor)
        if reason and alternative_value is not None:
            given = ParameterMsg(name=name, value=alternative_value)
            parameter = Parameter.from_parameter_msg(given)
            reason = self._ros_misfit(parameter, descriptor)
        if reason:
            raise InvalidParameterValueException(name, parameter.value, reason)
        self._descriptors[name] = copy.deepcopy(descriptor)
        self._descriptors[name].name = name
        self._parameters[name] = parameter
        return parameter.get_parameter_value()

    def list_parameters(self, prefixes: list[str], depth: int) -> ListParametersResult:
        """Names and prefixes as declared, at most `depth` levels below those given (0: all)."""
        if not isinstance(depth, int) or depth < 0:
            raise ValueError(f"depth must be a non-negative int, not {depth!r}")
        names, found = [], {}
        for name in self._parameters:
            if is_listed(name, prefixes, depth):
                names.append(name)
                if PARAMETER_SEPARATOR_STRING in name:
                    found[name.rpartition(PARAMETER_SEPARATOR_STRING)[0]] = True
        return ListParametersResult(names=names, prefixes=list(found))

    # Setting

    def set_parameters(self, parameter_list: list[Parameter]) -> list[SetParametersResult]:
        """Set each by itself; a refusal is in its result.

        Raises ParameterNotDeclaredException at the first that is not there: those before are set.
        """
        return [self._ros_set([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> SetParametersResult:
        """Set all or none. Raises ParameterNotDeclaredException."""
        return self._ros_set(parameter_list)

    def _ros_require_declared(self, parameter_list: list[Parameter]) -> None:
        if not all(isinstance(parameter, Parameter) for parameter in parameter_list):
            raise TypeError("parameter must be instance of type 'rclpy.parameter.Parameter'")
        missing = [p.name for p in parameter_list if p.name not in self._parameters]
        if missing and not self._allow_undeclared_parameters:
            raise ParameterNotDeclaredException(missing)

    def _ros_set(self, parameters: list[Parameter]) -> SetParametersResult:
        for pre_set in list(self._ros_pre_set):
            parameters = pre_set(parameters)
            if not parameters:
                return SetParametersResult(
                    successful=False,
                    reason="parameter list cannot be empty, this might be due to "
                    "pre_set_parameters_callback modifying the original parameters list.",
                )
        self._ros_require_declared(parameters)
        parameters = [
            self._ros_typed(p.name, p.value, self._descriptors.get(p.name, ParameterDescriptor()))
            for p in parameters
        ]
        for parameter in parameters:
            reason = self._ros_refusal(parameter)
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        result = self._ros_judge(parameters)
        if not result.successful:
            return result
        for parameter in parameters:
            self._descriptors.setdefault(
                parameter.name, ParameterDescriptor(name=parameter.name, dynamic_typing=True)
            )
        self._ros_store(parameters)
        for parameter in parameters:
            is_last = self._parameters.get(parameter.name) is parameter
            if is_last and parameter.type_ is Parameter.Type.NOT_SET:  # which undeclares it
                del self._parameters[parameter.name], self._descriptors[parameter.name]
        for post_set in list(self._ros_post_set):
            post_set(parameters)
        return SetParametersResult(successful=True)

    def _ros_refusal(self, parameter: Parameter) -> str:
        descriptor = self._descriptors.get(parameter.name)
        if descriptor is None:
            return ""
        if descriptor.read_only:
            return f"Trying to set a read-only parameter: {parameter.name}."
        return self._ros_misfit(parameter, descriptor)

    @staticmethod
    def _ros_misfit(parameter: Parameter, descriptor: ParameterDescriptor) -> str:
        """Why a parameter does not fit a descriptor, empty where it does."""
        if parameter.type_ is Parameter.Type.NOT_SET:
            return "" if descriptor.dynamic_typing else "Static parameter cannot be undeclared"
        if not descriptor.dynamic_typing and parameter.type_.value != descriptor.type:
            expected = Parameter.Type(descriptor.type)
            return f"Wrong parameter type, expected '{expected}' got '{parameter.type_}'"
        return descriptor_violation(parameter, descriptor)

    def _ros_store(self, parameters: list[Parameter]) -> None:
        new, changed, deleted = [], [], []
        for parameter in parameters:
            before = self._parameters.get(parameter.name)
            if parameter.type_ is Parameter.Type.NOT_SET and before is not None:
                if before.type_ is not Parameter.Type.NOT_SET:
                    deleted.append(before)
            elif before is None or before.type_ is Parameter.Type.NOT_SET:
                if parameter.type_ is not Parameter.Type.NOT_SET:
                    new.append(parameter)
            else:
                changed.append(parameter)
            self._parameters[parameter.name] = parameter
        self._ros_announce(new, changed, deleted)

    def _ros_announce(
        self,
        new: Iterable[Parameter] = (),
        changed: Iterable[Parameter] = (),
        deleted: Iterable[Parameter] = (),
    ) -> None:
        publisher = self._parameter_event_publisher
        if publisher is None or not (new or changed or deleted):
            return
        event = ParameterEvent(
            stamp=self.get_clock().now().to_msg(),
            node=self.get_fully_qualified_name(),
            new_parameters=[p.to_parameter_msg() for p in new],
            changed_parameters=[p.to_parameter_msg() for p in changed],
            deleted_parameters=[p.to_parameter_msg() for p in deleted],
        )
        with suppress(RCLError):  # parameters outlive their context, whoever listened does not
            publisher.publish(event)

    # Callbacks

    def add_pre_set_parameters_callback(self, callback: PreSetCallback) -> None:
        """Have `callback(parameters)` return what is to be set instead."""
        self._ros_pre_set.insert(0, callback)

    def add_on_set_parameters_callback(self, callback: OnSetCallback) -> None:
        """Have `callback(parameters)` accept or refuse, with a reason."""
        self._ros_on_set.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: PostSetCallback) -> None:
        """Call `callback(parameters)` after they were set."""
        self._ros_post_set.insert(0, callback)

    def remove_pre_set_parameters_callback(self, callback: PreSetCallback) -> None:
        """Take it back; raises ValueError where it was not added."""
        self._ros_pre_set.remove(callback)

    def remove_on_set_parameters_callback(self, callback: OnSetCallback) -> None:
        """Take it back; raises ValueError where it was not added."""
        self._ros_on_set.remove(callback)

    def remove_post_set_parameters_callback(self, callback: PostSetCallback) -> None:
        """Take it back; raises ValueError where it was not added."""
        self._ros_post_set.remove(callback)
