"""Whether what is configured can work with what is installed: asked at start and on every change through the API."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol

from ._directory import ENDPOINT, WORKFLOW, Directory
from .config import Settings
from .errors import ConfigError, RequestError, Unprocessable
from .models import Workflow
from .pipeline import FINALISE, HAND_OFF

__all__ = ["Checks", "Names"]


class Names(Container[str], Iterable[str], Protocol):
    """Names of what is installed."""


class Checks:
    """Knows the names of the installed providers, stage kinds and signers."""

    def __init__(self, *, providers: Names, stages: Names, signers: Names) -> None:
        self._providers = providers
        self._stages = stages
        self._signers = signers

    def workflow(self, workflow: Workflow) -> None:
        """Raises Unprocessable where a provider or a kind of stage is not installed."""
        for name in (workflow.provider, *(fallback.provider for fallback in workflow.fallbacks)):
            if name not in self._providers:
                raise _not_installed(f"workflow {workflow.name!r}: no provider {name!r}", self._providers)
        for stage in workflow.stages():
            if stage.kind not in (HAND_OFF, FINALISE) and stage.kind not in self._stages:
                raise _not_installed(f"workflow {workflow.name!r}: no stage kind {stage.kind!r}", self._stages)

    def signers(self, names: Iterable[str]) -> None:
        """Raises Unprocessable where a signer is not installed."""
        for name in names:
            if name not in self._signers:
                raise _not_installed(f"no signer {name!r}", self._signers)

    async def definitions(self, directory: Directory, settings: Settings) -> None:
        """Refuse to start with definitions that cannot work. Raises ConfigError."""
        project = directory.default_project
        endpoints = [stored.value for stored in (await directory.all(project, ENDPOINT)).values()]
        try:
            for stored in (await directory.all(project, WORKFLOW)).values():
                if stored.in_code:
                    self.workflow(stored.value)
            for endpoint in endpoints:
                self.signers(endpoint.signers)
        except RequestError as error:
            raise ConfigError(error.message) from None
        remote = [endpoint.url for endpoint in endpoints if not endpoint.url.startswith("asgi:")]
        if remote and not settings.development and not settings.public_url:
            raise ConfigError(
                f"there is a webhook endpoint ({remote[0]}), and backends must know where to call back: set public_url "
                "(RIVERFLOW_PUBLIC_URL), such as https://api.example.com/river"
            )


def _not_installed(message: str, installed: Iterable[str]) -> Unprocessable:
    return Unprocessable(f"{message} is installed; there are: {', '.join(sorted(installed))}", code="not_installed")
