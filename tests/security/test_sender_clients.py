"""Sender case 35: nothing in riverflow speaks to the network but the clients behind the guard."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import riverflow

PACKAGE = Path(riverflow.__file__).parent
PLUGINS = PACKAGE.parent / "plugins"

# fmt: off
CLIENTS = frozenset((
    "aiohttp", "ftplib", "grpc", "h11", "h2", "http.client", "httpcore", "httptools", "httpx", "imaplib", "niquests",
    "poplib", "pycurl", "pyreqwest", "requests", "smtplib", "telnetlib", "urllib.request", "urllib3", "xmlrpc.client",
))
DIALS = frozenset((
    "connect_ex", "connect_tcp", "connect_unix", "create_connection", "create_datagram_endpoint",
    "create_unix_connection", "open_connection", "open_unix_connection", "sock_connect",
))
# fmt: on
GUARDED = ("builtin/http/",)
NOT_SERVING = ("bench/", "testing/")  # a load generator and test suites: they call what they have started themselves


def speakers(source: str) -> Iterator[str]:
    """What in a module's source could open a connection of its own: imports of clients, and calls that dial."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names if is_client(alias.name))
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found = [f"{module}.{alias.name}" for alias in names]
                yield from (name for name in found if is_client(module) or is_client(name))
            case ast.Call(func=ast.Attribute(attr=name)) if name in DIALS:
                yield name
            case ast.Call(func=ast.Attribute(attr="connect", value=value)) if "sock" in ast.unparse(value):
                yield ast.unparse(node.func)
            case ast.Call(func=ast.Name(id=name)) if name in DIALS:
                yield name
            case ast.Call(
                func=ast.Attribute(attr="import_module") | ast.Name(id="__import__"),
                args=[ast.Constant(value=str(name))],
            ):
                if is_client(name):
                    yield name


def is_client(name: str) -> bool:
    return any(name == client or name.startswith(f"{client}.") for client in CLIENTS)


def modules() -> list[Path]:
    return [*PACKAGE.rglob("*.py"), *PLUGINS.rglob("*.py")]


def place(path: Path) -> str:
    return path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else PLUGINS.parent).as_posix()


def test_only_the_guarded_room_builds_clients() -> None:
    """Sender case 35: providers, tokens, key sets, images, notifications, demos – whatever it is for."""
    found = {
        place(path): said
        for path in modules()
        if not place(path).startswith((*GUARDED, *NOT_SERVING)) and (said := sorted(set(speakers(path.read_text()))))
    }
    assert found == {}


def test_the_clients_dial_what_the_guard_vetted() -> None:
    """Sender case 35: in the guarded room every module that can dial knows the guard's destinations."""
    rooms = [path for path in (PACKAGE / "builtin/http").glob("*_client.py") if list(speakers(path.read_text()))]
    assert len(rooms) == 2
    for path in rooms:
        assert "from .guard import Destination, Guard" in path.read_text(), path


@pytest.mark.parametrize(
    "source",
    [
        "import httpx",
        "import http.client",
        "from http import client",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import requests as r",
        "def f():\n    import aiohttp",
        "socket.create_connection(('a', 1))",
        "from socket import create_connection\ncreate_connection(('a', 1))",
        "await asyncio.open_connection('a', 1)",
        "await loop.create_connection(P, 'a', 1)",
        "sock.connect(('a', 1))",
        "importlib.import_module('urllib3.util')",
        "__import__('requests')",
    ],
)
def test_it_would_be_found(source: str) -> None:
    """Sender case 35: each way to open a connection is seen."""
    assert list(speakers(source))


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import urlsplit",
        "import http",
        "from http import HTTPStatus",
        "sqlite3.connect('x')",
        "import requests_like",
    ],
)
def test_what_opens_no_connection_is_left_alone(source: str) -> None:
    assert not list(speakers(source))
