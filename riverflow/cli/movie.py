"""What the demo sends: the seed page's movie request, as JSON bodies. Data only."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["REQUEST", "STRUCTURED_OUTPUT", "WEBHOOK", "workflow"]

Body = dict[str, Any]

STRUCTURED_OUTPUT: Final[Body] = {
    "name": "movie",
    "description": "One movie, with what a viewer wants to know first.",
    "schema": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "year": {"type": "integer"},
            "director": {"type": "string"},
            "genre": {"type": "array", "items": {"type": "string"}},
            "rating": {"type": "number"},
        },
        "required": ["title", "year", "director", "genre", "rating"],
        "additionalProperties": False,
    },
    "sample_data": {
        "title": "Inception",
        "year": 2010,
        "director": "Christopher Nolan",
        "genre": ["Sci-Fi", "Thriller"],
        "rating": 8.8,
    },
}

WEBHOOK: Final[Body] = {"description": "The demo's backend"}

REQUEST: Final[Body] = {
    "workflow": "movie_suggestion",
    "messages": [{"role": "user", "content": "Suggest one movie for tonight. I like action and science fiction."}],
    "customer_data": {"user_id": "user_456", "preferences": "action,scifi"},
    "delivery_method": "websocket",
}


def workflow(provider: str) -> Body:
    """The seed page's workflow for a provider; the offline one needs no model."""
    return {
        "name": "movie_suggestion",
        "event_name": "new_movie_suggestion",
        "provider": provider,
        "model": "gpt-4o" if provider == "openai" else "echo",
        "structured_output_id": "movie",
    }
