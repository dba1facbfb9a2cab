"""Whether what is configured can work with what is installed: asked at start and on every change through the API."""

from __future__ import annotations

import ssl
import unicodedata
from collections.abc import Container, Iterable
from typing import Protocol

from ._directory import ENDPOINT, STRUCTURED_OUTPUT, WORKFLOW, Directory, Kind
from .config import Settings
from .egress import Egress
from .errors import ConfigError, HttpError, RequestError, Unprocessable
from .models import Endpoint, Workflow
from .pipeline import FINALISE, HAND_OFF
from .retry import policy_of

__all__ = ["Checks", "Names"]

MAX_NAME = 200  # characters


class Names(Container[str], Iterable[str], Protocol):
    """Names of what is installed."""


class Checks:
    """Knows the names of the installed providers, stage kinds and signers."""

    def __init__(self, *, providers: Names, stages: Names, signers: Names) -> None:
        self._providers = providers
        self._stages = stages
        self._signers = signers

    def name(self, kind: Kind, name: str) -> None:
        """Raises Unprocessable where a name could not stand in a path, or would not be seen for what it is."""
        good = 0 < len(name) <= MAX_NAME and name == name.strip() and any(map(str.isalnum, name))
        if not good or not all(map(_may_stand, name)):
            raise Unprocessable(
                f"{kind.name} {name[:MAX_NAME]!r}: a name has 1 to {MAX_NAME} characters: letters, digits, `_ - . :` "
                "and spaces inside, at least one of them a letter or a digit",
                code="invalid_name",
                extra={"param": "name"},
            )

    def workflow(self, workflow: Workflow) -> None:
        """Raises Unprocessable where a provider or a kind of stage is not installed."""
        for name in (workflow.provider, *(fallback.provider for fallback in workflow.fallbacks)):
            if name not in self._providers:
                raise _not_installed(f"workflow {workflow.name!r}: no provider {name!r}", self._providers)
        for stage in workflow.stages():
            if stage.kind not in (HAND_OFF, FINALISE) and stage.kind not in self._stages:
                raise _not_installed(f"workflow {workflow.name!r}: no stage kind {stage.kind!r}", self._stages)

    def provider(self, name: str) -> None:
        """Raises Unprocessable where a provider is not installed."""
        if name not in self._providers:
            raise _not_installed(f"no provider {name!r}", self._providers)

    def signers(self, names: Iterable[str]) -> None:
        """Raises Unprocessable where a signer is not installed."""
        for name in names:
            if name not in self._signers:
                raise _not_installed(f"no signer {name!r}", self._signers)

    def retry(self, endpoint: Endpoint) -> None:
        """Raises Unprocessable where an endpoint's retry policy is none."""
        try:
            policy_of(endpoint.retry or "modelriver")
        except ValueError as error:
            raise Unprocessable(f"retry: {error}", code="invalid_retry", extra={"param": "retry"}) from None

    def authorities(self, pem: str | None) -> None:
        """Raises Unprocessable where an endpoint's own root certificates cannot be read."""
        if pem is None:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError, TypeError):  # the last where it is no ASCII
            raise Unprocessable(
                "authorities: give root certificates in PEM (-----BEGIN CERTIFICATE-----)",
                code="invalid_certificate",
                extra={"param": "authorities"},
            ) from None

    async def definitions(self, directory: Directory, settings: Settings) -> None:
        """Refuse to start with definitions that cannot work. Raises ConfigError."""
        project = directory.default_project
        workflows = (await directory.all(project, WORKFLOW)).values()
        outputs = (await directory.all(project, STRUCTURED_OUTPUT)).values()
        endpoints = [stored.value for stored in (await directory.all(project, ENDPOINT)).values()]
        try:
            for stored in (stored for stored in workflows if stored.in_code):
                self.name(WORKFLOW, stored.name)
                self.workflow(stored.value)
            for stored in (stored for stored in outputs if stored.in_code):
                self.name(STRUCTURED_OUTPUT, stored.name)
            for endpoint in endpoints:
                self.endpoint(endpoint, settings)
        except RequestError as error:
            raise ConfigError(error.message) from None
        if endpoints and not settings.development and not settings.public_url:
            raise ConfigError(
                f"there is a webhook endpoint ({endpoints[0].url}), and backends must know where to call back: set "
                "public_url (RIVERFLOW_PUBLIC_URL), such as https://api.example.com/river"
            )

    def endpoint(self, endpoint: Endpoint, settings: Settings) -> None:
        """Raises Unprocessable where an endpoint can never be reached, or no signer of its is installed."""
        self.signers(endpoint.signers)
        self.authorities(endpoint.authorities)
        self.retry(endpoint)
        if endpoint.url.startswith(("http:", "https:")):
            try:
                Egress.of(settings).check_url(endpoint.url, "delivery")
            except HttpError as error:
                raise Unprocessable(f"endpoint {endpoint.url}: {error.message}", code="invalid_url") from None


def _may_stand(character: str) -> bool:
    """Letters and digits are those of any script, with their marks (Unicode general categories L, N and M)."""
    return character in " _-.:" or unicodedata.category(character)[0] in "LMN"


def _not_installed(message: str, installed: Iterable[str]) -> Unprocessable:
    return Unprocessable(f"{message} is installed; there are: {', '.join(sorted(installed))}", code="not_installed")
