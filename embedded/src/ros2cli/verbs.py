# SPDX-License-Identifier: Apache-2.0
"""Verbs of a command, as sub-parsers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

Verb = Callable[[argparse.Namespace], Any]
_LEAST = 1e-9


class Verbs:
    """The verbs of one command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._subparsers = parser.add_subparsers(
            title="Verbs", metavar=f"Call `{parser.prog} <verb> -h` for more detailed usage."
        )

    def add(self, name: str, main: Verb) -> argparse.ArgumentParser:
        """Add a verb; its help is the first line of the function's docstring."""
        summary = (main.__doc__ or "").splitlines()[0]
        parser = self._subparsers.add_parser(name, help=summary, description=summary)
        parser.set_defaults(main=main, parser=parser)
        return parser


def non_negative_int(text: str) -> int:
    """Read an integer from 0 on."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("value must be non-negative integer")
    return value


def positive_int(text: str) -> int:
    """Read an integer from 1 on."""
    value = int(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("value must be a positive integer")
    return value


def positive_float(text: str) -> float:
    """Read a number above 0, of seconds or hertz that a clock can count."""
    value = float(text)
    if not _LEAST <= value <= 1 / _LEAST:
        raise argparse.ArgumentTypeError(f"value must be from {_LEAST} to {1 / _LEAST}")
    return value


def regex(text: str) -> re.Pattern[str]:
    """Read a regular expression."""
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"'{text}' is no regular expression: {error}") from error
