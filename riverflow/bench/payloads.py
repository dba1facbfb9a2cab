"""What the benchmark's parties say to one another: bodies of a wanted size. Pure."""

from __future__ import annotations

import msgspec

__all__ = ["API_KEY", "EVENT", "SCHEMA", "SECRET", "Payloads", "Submitted", "hand_off_answer"]

API_KEY = "bench-api-key"
SECRET = "whsec_YmVuY2htYXJrLXNlY3JldC1iZW5jaG1hcms="
EVENT = "bench_event"

SCHEMA = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "year": {"type": "integer"},
        "genres": {"type": "array", "items": {"type": "string"}},
        "summary": {"type": "string"},
    },
    "required": ["title", "year", "summary"],
}

_TEXT = "The quick brown fox jumps over the lazy dog, and the river flows on. "
_ENVELOPE = 280  # bytes of a request or an answer beside its text


class Submitted(msgspec.Struct):
    """What a submission is answered with, as far as the benchmark cares."""

    channel_id: str
    ws_token: str = ""
    project_id: str = ""


class Payloads:
    """The bodies of one measurement. `size` is how many bytes a request and an AI answer have, about."""

    def __init__(self, size: int, structured: bool) -> None:
        text = (_TEXT * (size // len(_TEXT) + 1))[: max(size - _ENVELOPE, 16)]
        self.request = msgspec.json.encode(
            {
                "workflow": "bench",
                "messages": [
                    {"role": "system", "content": "You answer about films, briefly."},
                    {"role": "user", "content": text},
                ],
                "temperature": 0.7,
                "customer_data": {"user_id": "user_12345", "session": "sess_67890"},
            }
        )
        answer = {"title": "Inception", "year": 2010, "genres": ["sci-fi", "thriller"], "summary": text}
        content = msgspec.json.encode(answer).decode() if structured else text
        self.completion = msgspec.json.encode(
            {
                "id": "chatcmpl-benchmark",
                "object": "chat.completion",
                "created": 1_700_000_000,
                "model": "gpt-4o-mini",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": content},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 120, "completion_tokens": 180, "total_tokens": 300},
            }
        )
        self.callback = msgspec.json.encode(hand_off_answer(text))


def hand_off_answer(text: str) -> dict[str, object]:
    """What the backend calls back with: the AI's answer enriched."""
    return {
        "data": {"id": "mov_12345", "title": "Inception", "summary": text, "saved": True},
        "task_id": "task_12345",
        "metadata": {"processing_time_ms": 12},
    }
