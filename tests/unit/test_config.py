"""Settings: three sources, one order, every mistake named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from riverflow.config import Settings, read_file
from riverflow.errors import ConfigError


def test_defaults_are_those_of_production() -> None:
    settings = Settings.load()
    assert settings.env == "production"
    assert not settings.development
    assert settings.api_key is None
    assert settings.max_body_bytes == 10 * 1024 * 1024
    assert settings.callback_timeout == 300
    assert settings.delivery_timeout == 30
    assert settings.token_rule == "resume"


def test_keyword_before_environment_before_file_before_default() -> None:
    file = {"lease": 1, "heartbeat": 1, "token_ttl": 1}
    environ = {"RIVERFLOW_LEASE": "2", "RIVERFLOW_HEARTBEAT": "2"}
    settings = Settings.load({"lease": 3}, environ=environ, file=file)
    assert (settings.lease, settings.heartbeat, settings.token_ttl, settings.drain_timeout) == (3, 2, 1, 10)


def test_the_environment_is_text_and_becomes_what_the_setting_is() -> None:
    environ = {
        "RIVERFLOW_DATABASE_URL": "sqlite:////var/lib/river.db",
        "RIVERFLOW_API_KEY": "mr_live_1",
        "RIVERFLOW_ENV": "development",
        "RIVERFLOW_PUBLIC_URL": "https://api.example.com/river",
        "RIVERFLOW_MAX_BODY_BYTES": "1000",
        "RIVERFLOW_CALLBACK_TIMEOUT": "1.5",
        "UNRELATED": "x",
        "RIVERFLOW_UNRELATED": "x",
    }
    settings = Settings.load(environ=environ)
    assert settings.database_url == "sqlite:////var/lib/river.db"
    assert settings.api_key == "mr_live_1"
    assert settings.development
    assert settings.max_body_bytes == 1000
    assert settings.callback_timeout == 1.5


def test_openais_variables_have_their_customary_names_and_ours_win() -> None:
    assert Settings.load(environ={"OPENAI_API_KEY": "sk-1"}).openai_api_key == "sk-1"
    both = {
        "OPENAI_API_KEY": "sk-1",
        "RIVERFLOW_OPENAI_API_KEY": "sk-2",
        "OPENAI_BASE_URL": "http://localhost:11434/v1",
    }
    settings = Settings.load(environ=both)
    assert (settings.openai_api_key, settings.openai_base_url) == ("sk-2", "http://localhost:11434/v1")


BAD: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"keywords": {"leese": 1}}, ("unknown setting 'leese'", "lease")),
    ({"file": {"leese": 1}}, ("configuration file", "'leese'")),
    ({"keywords": {"lease": "soon"}}, ("keyword lease",)),
    ({"environ": {"RIVERFLOW_LEASE": "soon"}}, ("environment variable RIVERFLOW_LEASE",)),
    ({"file": {"lease": "soon"}}, ("configuration file",)),
    ({"keywords": {"lease": 0}}, ("keyword lease",)),
    ({"keywords": {"max_body_bytes": 0}}, ("keyword max_body_bytes",)),
    ({"keywords": {"env": "staging"}}, ("keyword env", "staging")),
    ({"keywords": {"token_rule": "loose"}}, ("keyword token_rule",)),
    ({"keywords": {"public_url": "api.example.com"}}, ("public_url", "https://api.example.com/river")),
    ({"keywords": {"public_url": "ftp://api.example.com"}}, ("public_url",)),
    ({"keywords": {"public_url": "https://"}}, ("public_url",)),
    ({"keywords": {"public_url": "https://example.com/?x=1"}}, ("public_url",)),
    ({"keywords": {"database_url": "river.db"}}, ("database_url", "sqlite:////absolute/path.db")),
]


@pytest.mark.parametrize(("sources", "said"), BAD, ids=str)
def test_a_mistake_is_named_with_its_place(sources: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.load(sources.pop("keywords", None), **sources)
    assert all(part in str(refused.value) for part in said), str(refused.value)


def test_a_repr_shows_no_secret() -> None:
    settings = Settings.load(
        {
            "api_key": "SECRET-1",
            "openai_api_key": "SECRET-2",
            "database_url": "postgresql://user:SECRET-3@host/db",
            "plugins": {"openai": {"api_key": "SECRET-4"}},
            "lease": 7,
        }
    )
    assert "SECRET" not in repr(settings)
    assert "SECRET" not in f"{settings}"
    assert "lease=7" in repr(settings)


def test_a_mistake_in_a_secret_does_not_show_it() -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.load({"api_key": ["SECRET"]})
    assert "SECRET" not in str(refused.value)


# The file ---------------------------------------------------------------------------------------------------

TOML = """
lease = 5
public_url = "https://api.example.com/river"

[[workflows]]
name = "movie"
provider = "echo"
event_name = "new_movie"
cache_fields = ["user_id"]
fallbacks = [{provider = "openai", model = "gpt-4o"}]
pipeline = [{name = "generate", kind = "generate"}, {name = "finalise", kind = "finalise"}]

[[endpoints]]
url = "asgi:///hook"
secret = "whsec_x"
events = ["new_movie"]

[[structured_outputs]]
name = "movie"
schema = {type = "object"}

[plugins.openai]
base_url = "http://localhost:11434/v1"
"""


def test_a_file_holds_settings_and_declarations(tmp_path: Path) -> None:
    path = tmp_path / "riverflow.toml"
    path.write_text(TOML)
    values, declared = read_file(path)
    settings = Settings.load(file=values)
    assert settings.lease == 5
    assert settings.plugins == {"openai": {"base_url": "http://localhost:11434/v1"}}
    [workflow] = declared.workflows
    assert (workflow.name, workflow.cache_fields, workflow.fallbacks[0].model) == ("movie", ("user_id",), "gpt-4o")
    assert workflow.pipeline is not None
    assert declared.endpoints[0].url == "asgi:///hook"
    assert declared.structured_outputs[0].schema == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lease = ", "not TOML"),
        ("[[workflows]]\nprovider = 'echo'", "name"),
        ("[[workflows]]\nname = 5", "$.workflows[0].name"),
        ("[[endpoints]]\nurl = 'asgi:///x'", "secret"),
        ("workflows = 5", "$.workflows"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "riverflow.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_file(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_file(tmp_path / "missing.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not TOML"):
        read_file(binary)
