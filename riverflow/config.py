"""Settings: one frozen struct from keywords, environment and file, validated once.

Precedence: keyword, then environment, then file, then default. This module reads no environment or file by
itself at import; `Settings.load` is told which.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from .errors import ConfigError
from .models import Endpoint, StructuredOutput, Workflow
from .retry import policy_of

__all__ = ["Declarations", "Settings", "open_part", "read_file"]

logger = logging.getLogger("riverflow.config")

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=0)]  # 0: none


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one Riverflow runs. Each field is also an environment variable: `RIVERFLOW_` + the name in upper case
    (`plugins` apart); OpenAI's two have their customary names `OPENAI_BASE_URL` and `OPENAI_API_KEY` as well."""

    database_url: str = "sqlite:///riverflow.db"
    api_key: str | None = None
    env: Literal["production", "development"] = "production"
    public_url: str | None = None
    webhook_secret: str | None = None
    secret_key: str | None = None
    max_body_bytes: Count = 10 * 1024 * 1024
    callback_timeout: Seconds = 300.0
    max_callback_timeout: Seconds = 86_400.0
    delivery_timeout: Seconds = 30.0
    retry: str | tuple[float, ...] = "modelriver"
    endpoint_concurrency: Count = 100
    endpoint_disable_after: Annotated[float, msgspec.Meta(ge=0)] = 5 * 86_400.0  # 0: never
    provider_timeout: Seconds = 300.0
    token_ttl: Seconds = 300.0
    token_rule: Literal["resume", "strict"] = "resume"
    heartbeat: Seconds = 15.0
    lease: Seconds = 10.0
    close_grace: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    concurrency: Count = 1000
    max_backlog: Count = 10_000
    max_running: Limit = 0
    idempotency_ttl: Seconds = 86_400.0
    allowed_origins: str | tuple[str, ...] | None = None
    trusted_proxies: int | str | tuple[str, ...] = ()
    rate_limit_unkeyed: Limit = 300
    rate_limit_rationed: Limit = 60
    rate_limit_ip: Limit = 0
    rate_limit_key: Limit = 0
    rate_limit_user: Limit = 0
    rate_limit_project: Limit = 0
    drain_timeout: Seconds = 10.0
    retention_days: Annotated[float, msgspec.Meta(ge=0)] = 30.0  # 0: for ever
    payload_days: Annotated[float, msgspec.Meta(ge=0)] = 0.0  # 0: as long as the run
    dead_letter_days: Annotated[float, msgspec.Meta(ge=0)] = 30.0  # 0: as long as the run
    keep_answers: Literal["own", "failed", "all", "none"] = "own"
    egress_allow: str | tuple[str, ...] = ()
    egress_ports: int | str | tuple[int, ...] = ()
    http_client: Literal["auto", "httptools", "httpx"] = "auto"
    notifier: str = "auto"
    openai_base_url: str = "https://api.openai.com/v1"
    openai_api_key: str | None = None
    plugins: Mapping[str, Mapping[str, Any]] = {}

    @property
    def development(self) -> bool:
        """Whether http, loopback and private targets are allowed."""
        return self.env == "development"

    @property
    def secret_names(self) -> frozenset[str]:
        """The settings whose values are shown to nobody."""
        return _SECRET

    def __repr__(self) -> str:
        shown = (
            f"{name}={'…' if value and name in _SECRET else repr(open_part(value))}"
            for name, value in msgspec.structs.asdict(self).items()
        )
        return f"Settings({', '.join(shown)})"

    @classmethod
    def load(
        cls,
        keywords: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        file: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Merge the three sources. Raises ConfigError that names the setting and where it came from."""
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        known = cls.__struct_fields__

        def take(name: str, value: Any, source: str) -> None:
            values[name], sources[name] = value, source

        for name, value in (file or {}).items():
            if name not in known:
                raise ConfigError(f"configuration file: unknown setting {name!r}; known are {', '.join(known)}")
            take(name, value, "configuration file")
        meant = {variable for name in known for variable in _variables(name)}
        for variable in environ or {}:
            if variable.startswith("RIVERFLOW_") and variable not in meant:
                logger.warning("the environment variable %s is no setting of riverflow's; it is ignored", variable)
        for name in known:
            for variable in _variables(name):
                if variable in (environ or {}):
                    take(name, (environ or {})[variable], f"environment variable {variable}")
        for name, value in (keywords or {}).items():
            if name not in known:
                raise ConfigError(f"unknown setting {name!r}; known are {', '.join(known)}")
            take(name, value, f"keyword {name}")
        types = cls.__annotations_resolved__()  # half a millisecond: once, not for each
        for name, value in values.items():
            field = types[name]
            try:
                values[name] = msgspec.convert(value, field, strict=False)
            except msgspec.ValidationError as error:
                choices = ", ".join(map(str, get_args(field))) if get_origin(field) is Literal else ""
                cure = f"; one of {choices}" if choices else ""
                raise ConfigError(f"{sources[name]}: {error}{cure}") from None
        settings = cls(**values)
        settings._check()
        return settings

    @classmethod
    def __annotations_resolved__(cls) -> dict[str, Any]:
        return {field.name: field.type for field in msgspec.structs.fields(cls)}

    def _check(self) -> None:
        try:
            policy_of(self.retry)
        except ValueError as error:
            raise ConfigError(f"retry: {error}") from None
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
                raise ConfigError(
                    f"public_url {self.public_url!r}: give scheme, host and prefix, such as "
                    "https://api.example.com/river"
                )
        if "://" not in self.database_url:
            raise ConfigError(f"database_url {self.database_url!r}: give a URL, such as sqlite:////absolute/path.db")


def open_part(value: Any) -> Any:
    """A setting as anybody may read it: of a URL, neither who logs in there nor what is asked."""
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    return f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}"


_SECRET = frozenset({"api_key", "webhook_secret", "secret_key", "openai_api_key", "database_url", "plugins"})


def _variables(name: str) -> tuple[str, ...]:
    if name == "plugins":
        return ()
    variable = f"RIVERFLOW_{name.upper()}"
    return (name.upper(), variable) if name.startswith("openai_") else (variable,)


class Declarations(msgspec.Struct, frozen=True, kw_only=True):
    """What a configuration file declares beside settings."""

    workflows: tuple[Workflow, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    structured_outputs: tuple[StructuredOutput, ...] = ()


def read_file(path: str | Path) -> tuple[dict[str, Any], Declarations]:
    """Read a TOML configuration file: settings at the top, then `[[workflows]]`, `[[endpoints]]`,
    `[[structured_outputs]]` and `[plugins.<name>]`. Raises ConfigError that names the file and the place."""
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path}: not TOML: {error}") from None
    declared = {name: content.pop(name) for name in Declarations.__struct_fields__ if name in content}
    try:
        return content, msgspec.convert(declared, Declarations)
    except msgspec.ValidationError as error:
        raise ConfigError(f"configuration file {path}: {error}") from None
