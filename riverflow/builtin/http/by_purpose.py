"""Several HTTP clients as one: each request goes to the client of its purpose.

It sends nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...ports import HttpClient, HttpRequest, HttpResponse
from ...urls import Purpose

__all__ = ["ByPurpose"]


class ByPurpose:
    """ports.HttpClient over one client for each purpose. `clients` must name every purpose."""

    def __init__(self, clients: Mapping[Purpose, HttpClient]) -> None:
        self.clients = clients

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send by the purpose's client."""
        return await self.clients[request.purpose].send(request)

    async def aclose(self) -> None:
        """Close them all."""
        for client in self.clients.values():
            await client.aclose()
