# SPDX-License-Identifier: Apache-2.0
"""The web server of the viewer: viser, kept to this machine and to pages of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import logging
import socket
import warnings
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import viser
import websockets.asyncio.server
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

# No page of another site may show ours in itself, transparent and under the pointer.
NEVER_FRAMED = {"X-Frame-Options": "DENY", "Content-Security-Policy": "frame-ancestors 'none'"}
FRAMES = {"iframe", "frame", "embed", "object"}


class ViewerError(ValueError):
    """Something the viewer cannot do; the message says what to do about it."""


class Server(viser.ViserServer):
    """viser without its offer to pass the scene on to a server elsewhere."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Never: what the robot sees stays here."""
        return None


def open_server(host: str, port: int) -> Server:
    """Listen on exactly this address. Raises ViewerError where it is taken or not ours."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ViewerError(
                f"the viewer cannot listen on {host}:{port} ({error.strerror or error}): "
                "set viewer_port to another port, or viewer_host to an address of this machine"
            ) from error
    # Whoever connects and says nothing is no error of ours.
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    # Nor is a page that goes while something is sent to it.
    warnings.filterwarnings("ignore", r"Queued a \w+ on a closed connection")
    with _own_pages_only(host), contextlib.redirect_stdout(io.StringIO()):
        # Without a label the page says whether it is connected.
        return Server(host=host, port=port, verbose=False)


@contextlib.contextmanager
def _own_pages_only(host: str) -> Iterator[None]:
    """Have servers opened meanwhile refuse what `foreign` finds.

    Browsers let any page open a WebSocket to 127.0.0.1; without this, one that is merely open in
    another tab could press our buttons.
    """
    serve = websockets.asyncio.server.serve

    def guarded(*args: Any, process_request: Callable, **kwargs: Any) -> Any:
        @functools.wraps(process_request)
        def check(connection: Any, request: Request) -> Response | None:
            reason = foreign(request.headers, host)
            answer = _refusal(reason) if reason else process_request(connection, request)
            if answer is not None:
                answer.headers.update(NEVER_FRAMED)
            return answer

        return serve(*args, process_request=check, **kwargs)

    websockets.asyncio.server.serve = guarded  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        websockets.asyncio.server.serve = serve  # type: ignore[misc]


def _refusal(reason: str) -> Response:
    body = reason.encode()
    size = Headers({"Content-Length": str(len(body))})
    return Response(HTTPStatus.FORBIDDEN, "Forbidden", size, body)


def foreign(headers: Headers, host: str) -> str:
    """Why a request does not come from the viewer's own page; empty when it does.

    The Origin must be the Host that was asked; a page is never one inside another; a server of this
    machine alone must be asked by a name of this machine, which keeps out names made to point here
    (DNS rebinding).
    """
    asked = headers.get("Host", "")
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != asked:
        return f"pages of {origin} may not use this viewer"
    if headers.get("Sec-Fetch-Dest") in FRAMES:
        return "this viewer may not be shown inside another page: open it by itself"
    name = urlsplit(f"//{asked}").hostname or ""
    if is_local(host) and not is_local(name):
        return f"this viewer is not called {name}: open it as 127.0.0.1 or localhost"
    return ""


def is_local(name: str) -> bool:
    """Whether a host name or address means this machine alone."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"
