"""A webhook receiver as ModelRiver's Python pages have it: it verifies over `json.dumps` of the parsed body.

    MODELRIVER_WEBHOOK_SECRET=whsec_… MODELRIVER_API_KEY=secret PORT=3000 python examples/receiver_flask_style.py
    curl localhost:8000/console/webhook -H 'Authorization: Bearer secret' \
         -d '{"url": "http://localhost:3000/webhooks/ai", "encoding": "python-json"}'

`"encoding": "python-json"` is needed for receivers like this one, and only for them: Python writes JSON with other
spaces and escapes than JavaScript. To verify over the raw bytes (`self.rfile.read`) needs no option and is better.
"""

import hashlib
import hmac
import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = os.environ["MODELRIVER_WEBHOOK_SECRET"]
KEY = os.environ["MODELRIVER_API_KEY"]


def verify_webhook_signature(payload: Any, signature: str, secret: str) -> bool:
    expected = hmac.new(secret.encode("utf-8"), json.dumps(payload).encode("utf-8"), hashlib.sha256).hexdigest()
    return hmac.compare_digest(signature, expected)


def call_back(url: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        print("callback", response.status, flush=True)


def process(payload: dict[str, Any]) -> None:
    try:
        data = {**payload["ai_response"]["data"], "id": "mov_123", "streaming": {"netflix": True, "prime": False}}
        answer = {"data": data, "task_id": "movie_mov_123", "metadata": {"sources_checked": 3}}
    except (KeyError, TypeError) as error:
        answer = {"error": "processing_failed", "message": str(error)}
    call_back(payload["callback_url"], answer)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if not verify_webhook_signature(payload, self.headers.get("mr-signature", ""), SECRET):
            self.reply(401, {"error": "Invalid signature"})
            return
        self.reply(200, {"received": True})  # acknowledge first, work afterwards
        if payload.get("callback_required"):
            threading.Thread(target=process, args=(payload,)).start()

    def reply(self, status: int, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "3000"))), Receiver)
    print(f"http://127.0.0.1:{server.server_port}/webhooks/ai", flush=True)
    server.serve_forever()
