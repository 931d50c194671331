# SPDX-License-Identifier: Apache-2.0
"""The services through which others read and set log levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import LoggerLevel, SetLoggerLevelsResult
from rcl_interfaces.srv import GetLoggerLevels, SetLoggerLevels

from rclpy import logging

if TYPE_CHECKING:
    from rclpy.node import Node


class LoggingService:
    """Serves get_logger_levels and set_logger_levels."""

    def __init__(self, node: Node) -> None:
        node.create_service(GetLoggerLevels, "~/get_logger_levels", self._get)
        node.create_service(SetLoggerLevels, "~/set_logger_levels", self._set)

    def _get(self, request: Any, response: Any) -> Any:
        for name in request.names:
            level = logging.get_logger_level(name)
            response.levels.append(LoggerLevel(name=name, level=int(level)))
        return response

    def _set(self, request: Any, response: Any) -> Any:
        for wanted in request.levels:
            result = SetLoggerLevelsResult(successful=True)
            try:
                logging.set_logger_level(wanted.name, wanted.level)
            except ValueError as error:
                result = SetLoggerLevelsResult(successful=False, reason=str(error))
            response.results.append(result)
        return response
