"""A webhook receiver in Flask that acknowledges at once and works afterwards: verified, stored, worked on by a thread.

    MODELRIVER_WEBHOOK_SECRET=whsec_… MODELRIVER_API_KEY=secret flask --app examples/receiver_flask run --port 3000
    curl localhost:8000/console/webhook -H 'Authorization: Bearer secret' \
         -d '{"url": "http://localhost:3000/webhooks/ai"}'          # answers the secret, once

What is acknowledged is in a file by then: whatever dies, the thread of the next process goes on with it. It may answer
twice, then; riverflow takes the same answer twice for one.
"""

import json
import os
import sqlite3
import threading
import urllib.error
import urllib.request

from flask import Flask

from riverflow.webhooks import CallbackRequest, Message, Receiver, SQLiteReplays
from riverflow.webhooks.flask import webhook_view

receiver = Receiver(os.environ["MODELRIVER_WEBHOOK_SECRET"], replays=SQLiteReplays("replays.db"))
app = Flask(__name__)
arrived = threading.Event()


def inbox() -> sqlite3.Connection:
    db = sqlite3.connect("inbox.db", isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS inbox (id TEXT PRIMARY KEY, dialect TEXT, payload TEXT)")
    return db


@app.post("/webhooks/ai")
@webhook_view(receiver)
def webhook(message: Message) -> dict[str, bool]:
    row = (message.id, message.dialect, json.dumps(message.payload))
    db = inbox()
    db.execute("INSERT OR IGNORE INTO inbox VALUES (?, ?, ?)", row)
    db.close()
    arrived.set()
    return {"received": True}


def enrich(message: Message) -> CallbackRequest:
    """Your own work, at its own pace: the answer is due within the workflow's callback_timeout."""
    key = os.environ["MODELRIVER_API_KEY"]
    try:
        movie = {**message.data, "id": "mov_123", "streaming": {"netflix": True, "prime": False}}
        return message.answer(movie, task_id="movie_mov_123", metadata={"sources_checked": 3}, api_key=key)
    except Exception as error:
        return message.failure("processing_failed", str(error), api_key=key)


def send(callback: CallbackRequest) -> bool:
    """Whether riverflow has heard it."""
    request = urllib.request.Request(callback.url, callback.body, callback.headers)
    try:
        with urllib.request.urlopen(request, timeout=10):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # refused: too late, or answered otherwise before
    except OSError:
        return False


def work() -> None:
    db = inbox()
    while True:
        arrived.clear()
        for id_, dialect, payload in db.execute("SELECT * FROM inbox").fetchall():
            message = Message(id=id_, dialect=dialect, payload=json.loads(payload), body=b"")
            if not message.callback_required or send(enrich(message)):
                db.execute("DELETE FROM inbox WHERE id = ?", (id_,))
        arrived.wait(5)


threading.Thread(target=work, daemon=True).start()
