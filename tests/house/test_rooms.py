"""The shape of the house: layers, small rooms, public names."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import riverflow

PACKAGE = Path(riverflow.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_MODULE = 350
MAX_FUNCTION = 60


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_public(path: Path) -> bool:
    return not any(part.startswith("_") for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__")


def code_lines(source: str) -> int:
    """Lines without the blank ones, the comments and the docstrings."""
    quoted: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            quoted.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(
        1 for number, line in lines if number not in quoted and line.strip() and not line.strip().startswith("#")
    )


def functions(source: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def test_the_layers_hold() -> None:
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_room_is_large() -> None:
    large = {name_of(path): lines for path in MODULES if (lines := code_lines(path.read_text())) > MAX_MODULE}
    assert large == {}


def test_no_function_is_long() -> None:
    long = {
        f"{name_of(path)}.{name}": lines
        for path in MODULES
        for name, lines in functions(path.read_text())
        if lines > MAX_FUNCTION
    }
    assert long == {}


def test_every_module_says_what_it_is_for() -> None:
    assert [name_of(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_no_room_is_called_after_nothing() -> None:
    assert not {path.stem.strip("_") for path in MODULES} & {"utils", "util", "helpers", "common", "core", "misc"}


def has_content(path: Path) -> bool:
    """Whether there is more than a docstring."""
    return len(ast.parse(path.read_text()).body) > 1


def rank(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name: the order that ruff's RUF022 keeps."""
    if name.isupper():
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


PUBLIC = [path for path in MODULES if is_public(path) and has_content(path)]


@pytest.mark.parametrize("path", PUBLIC, ids=name_of)
def test_what_a_public_module_exports_is_there_and_sorted(path: Path) -> None:
    module = importlib.import_module(name_of(path))
    exported: list[str] = module.__all__
    assert len(set(exported)) == len(exported)
    assert exported == sorted(exported, key=rank)
    missing = [name for name in exported if not hasattr(module, name)]
    assert missing == []


def test_the_packages_own_names_have_docstrings_and_nothing_else_is_public() -> None:
    for name in riverflow.__all__:
        value = getattr(riverflow, name)
        assert name == "hookimpl" or value.__doc__, name
    submodules = {path.stem for path in PACKAGE.iterdir()}
    public = {name for name in vars(riverflow) if name[0] not in "_@"}  # pytest leaves `@…`
    assert public - submodules == set(riverflow.__all__)


def test_importing_it_starts_nothing() -> None:
    """No thread, no event loop, no heavy library that only serving or testing needs."""
    code = (
        "import sys, threading\nfrom riverflow import *\n"
        "assert threading.active_count() == 1\n"
        "heavy = {'uvicorn', 'sqlite3', 'jsonschema_rs', 'pytest', 'click', 'sse_starlette'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
