"""A request as code to paste: curl, Python and JavaScript, with a placeholder where the key belongs.

It writes text that does what the playground did; it knows no key, and sends nothing.
"""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from .. import codec
from ._markup import json_text

__all__ = ["KEY", "Snippet", "snippets"]

KEY: Final = "RIVERFLOW_API_KEY"
"""The environment variable in which the snippets look for the key."""

_CURL: Final = """\
curl -X POST {url} \\
  -H "Authorization: Bearer ${key}" \\
  -H 'Content-Type: application/json' \\
  -d {body}
"""

_PYTHON: Final = """\
import os

import httpx

response = httpx.post(
    {url},
    headers={{"Authorization": f"Bearer {{os.environ['{key}']}}"}},
    json={body},
)
response.raise_for_status()
print(response.json()["channel_id"])
"""

_JAVASCRIPT: Final = """\
const response = await fetch({url}, {{
  method: "POST",
  headers: {{
    Authorization: `Bearer ${{process.env.{key}}}`,
    "Content-Type": "application/json",
  }},
  body: JSON.stringify({body}),
}});
if (!response.ok) throw new Error(await response.text());
console.log((await response.json()).channel_id);
"""


class Snippet(msgspec.Struct, frozen=True):
    """A text in one language; `id` names its place in the page."""

    id: str
    name: str
    text: str


def snippets(base_url: str, request: Mapping[str, Any]) -> tuple[Snippet, ...]:
    """`POST {base_url}/v1/ai/async` with this body, once in each language."""
    url = f"{base_url}/v1/ai/async"
    text = json_text(dict(request))
    quoted = codec.encode(url).decode()
    return (
        Snippet("curl", "curl", _CURL.format(url=_shell(url), key=KEY, body=_shell(text))),
        Snippet("python", "Python", _PYTHON.format(url=quoted, key=KEY, body=_python(request))),
        Snippet("javascript", "JavaScript", _JAVASCRIPT.format(url=quoted, key=KEY, body=_indented(text, 2))),
    )


def _shell(text: str) -> str:
    """One word of a POSIX shell, whatever is in it."""
    return "'" + text.replace("'", "'\\''") + "'"


def _python(request: Mapping[str, Any]) -> str:
    return _indented(pprint.pformat(dict(request), width=88, sort_dicts=False), 4 + len("json="))


def _indented(text: str, by: int) -> str:
    """Every line but the first."""
    return text.replace("\n", "\n" + " " * by)
