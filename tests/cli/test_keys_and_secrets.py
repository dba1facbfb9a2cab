"""`riverflow keys` and `riverflow secrets`: beside a server, and before there is one."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from riverflow.cli import run

from .commands import run as run_process
from .commands import started, until

OLD = "b2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb2xkb28="
NEW = "bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmU="


class Done(NamedTuple):
    """What a command left."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`riverflow …` in a folder of its own; keywords are its environment."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("RIVERFLOW_", "OPENAI_"))]:
                patch.delenv(name)
            for name, value in environ.items():
                patch.setenv(name, value)
            status = run(arguments)
        return Done(status, *capsys.readouterr())

    return command


def call(origin: str, key: str, path: str = "/console/project") -> httpx.Response:
    return httpx.get(f"{origin}{path}", headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=10)


def test_a_key_made_on_the_command_line_opens_a_server_that_has_no_other(command: Command, tmp_path: Path) -> None:
    refused = run_process(tmp_path, "serve", "--port", "0")
    assert refused.returncode == 1
    assert "riverflow keys create" in refused.stderr

    made = command("keys", "create", "ops", "--days", "30")
    key = made.out.strip()
    assert re.fullmatch(r"mr_live_[\w-]{43}", key)
    assert key not in made.err
    [listed] = json.loads(command("keys", "list", "--json").out)
    assert (listed["name"], listed["status"], listed["hint"]) == ("ops", "active", f"mr_live_…{key[-4:]}")
    assert listed["expires_at"] is not None
    assert key not in command("keys", "list").out

    with started(tmp_path, "serve", "--port", "0") as server:
        found = re.search(r"http://\S+", until(server, "serves"))
        assert found is not None
        assert call(found[0], key).status_code == 200
        assert command("keys", "revoke", listed["id"]).status == 0
        for _ in range(500):  # within a second: the server looks for changes that often
            if call(found[0], key).status_code == 401:
                break
        assert call(found[0], key).status_code == 401


def test_scopes_and_projects(command: Command) -> None:
    made = json.loads(command("keys", "create", "ci", "--scope", "submit", "--scope", "read", "--json").out)
    assert made["scopes"] == ["read", "submit"]
    assert made["key"].startswith("mr_live_")
    for arguments, said in (
        (("create", "x", "--project", "blue"), "no project 'blue'; there are: default"),
        (("revoke", "key_none"), "no key 'key_none'"),
    ):
        done = command("keys", *arguments)
        assert (done.status, said in done.err) == (1, True), done.err
    assert command("keys", "create", "x", "--scope", "everything").status == 2
    both = command("keys", "list", "--app", "app:river", "--config", "x.toml")
    assert (both.status, "not both" in both.err) == (2, True)


def test_an_object_in_code_is_found(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "app_with_keys", None)
    del sys.modules["app_with_keys"]
    source = "from riverflow import Riverflow\nriver = Riverflow(database_url='sqlite:///of_the_app.db')\n"
    (tmp_path / "app_with_keys.py").write_text(source)
    assert command("keys", "create", "x", "--app", "app_with_keys:river").status == 0
    assert (tmp_path / "of_the_app.db").exists()
    assert not (tmp_path / "riverflow.db").exists()


def test_a_new_key_is_32_random_bytes(command: Command, tmp_path: Path) -> None:
    keys = {command("secrets", "new-key").out.strip() for _ in range(2)}
    assert len(keys) == 2
    assert {len(base64.b64decode(key)) for key in keys} == {32}
    assert not list(tmp_path.iterdir()), "no database is needed for it"


def test_the_secret_key_is_replaced(command: Command, tmp_path: Path) -> None:
    """Both keys, then rotate, then the new one alone; what lay open before there was a key is sealed as well."""
    command("keys", "create", "x")
    assert command("secrets", "status").out == "unencrypted: 1 document\n"
    assert "1 document" in command("secrets", "rotate", RIVERFLOW_SECRET_KEY=OLD).err
    both = {"RIVERFLOW_SECRET_KEY": f"{NEW},{OLD}"}
    counts = re.findall(r": (\d) document", command("secrets", "status", **both).out)
    assert counts == ["0", "1", "0"]
    assert "1 document" in command("secrets", "rotate", **both).err
    assert "0 documents" in command("secrets", "rotate", **both).err
    assert command("keys", "list", RIVERFLOW_SECRET_KEY=NEW).status == 0
    lost = command("keys", "list", RIVERFLOW_SECRET_KEY=OLD)
    assert (lost.status, "RIVERFLOW_SECRET_KEY" in lost.err) == (1, True)
    assert NEW not in lost.err + lost.out
    assert command("secrets", "rotate").status == 1
    with closing(sqlite3.connect(tmp_path / "riverflow.db")) as db:
        [(body,)] = db.execute("SELECT body FROM documents WHERE kind = 'project'").fetchall()
    assert b"whsec_" not in body


def test_nothing_deleted_or_sealed_since_is_left_in_a_compact_file(command: Command, tmp_path: Path) -> None:
    """A secret from before there was a key lies in the file until it is written anew."""
    assert command("keys", "create", "first", RIVERFLOW_ENV="development").status == 0
    canary = "whsec_" + base64.b64encode(b"canary" * 6).decode()
    with closing(sqlite3.connect(tmp_path / "riverflow.db")) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("INSERT INTO documents VALUES ('p', 'webhook', 'ep', 1, ?, 0)", (canary * 400,))
        db.commit()
        db.execute("DELETE FROM documents WHERE name = 'ep'")
        db.commit()

    def kept() -> bool:
        return any(canary.encode() in path.read_bytes() for path in tmp_path.glob("riverflow.db*"))

    assert kept()
    done = command("compact", RIVERFLOW_ENV="development")
    assert (done.status, done.err.strip()) == (0, "the database is compact")
    assert not kept()
    with closing(sqlite3.connect(tmp_path / "riverflow.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        held = command("compact", RIVERFLOW_ENV="development")
    assert held.status == 1
    assert "locked by another process" in held.err
