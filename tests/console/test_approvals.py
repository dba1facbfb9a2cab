"""The approvals in the console, and the page that a link leads to, as somebody without script sees them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from riverflow import Stage, StructuredOutput, Workflow, hookimpl
from riverflow.builtin.sqlite import open_sqlite
from riverflow.models import Entry, Json
from riverflow.ports import Context, StoredRun
from riverflow.testing import FakeClock

from .clean import assert_clean
from .visitor import KEY, Seen, Visitor, river_of, served, visiting

pytestmark = pytest.mark.anyio

GENERATE = Stage(name="generate", kind="generate")
FINALISE = Stage(name="finalise", kind="finalise")
FILM: dict[str, Any] = {"title": "Inception", "year": 2010}
FILMS = StructuredOutput(
    name="film",
    schema={"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["title", "year"]},
    sample_data=FILM,
)
MARKUP = "</textarea><x-probe onclick=alert(1)>"


class ForgedStore:
    """The scheme `forged:`. SQLite, but that what is held is read as something `other`."""

    def __init__(self) -> None:
        self.other = False

    @hookimpl
    def riverflow_stores(self) -> Mapping[str, Callable[[Context], Any]]:
        return {"forged": self._open}

    def _open(self, context: Context) -> Any:
        url = context.settings.database_url.replace("forged:", "sqlite:")
        settings = msgspec.structs.replace(context.settings, database_url=url)
        store = open_sqlite(msgspec.structs.replace(context, settings=settings))
        load = store.log.load

        async def loaded(project_id: str | None, run_id: str) -> StoredRun | None:
            stored = await load(project_id, run_id)
            if stored is None or not self.other:
                return stored
            return StoredRun(run=stored.run, checkpoints=tuple(map(_forged, stored.checkpoints)))

        store.log.load = loaded  # type: ignore[method-assign]
        return store


def _forged(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, data=Json(bytes(entry.data).replace(b"Inception", b"Deception")))


class Desk:
    def __init__(self, clock: FakeClock, store: ForgedStore, visitor: Visitor, api: httpx.AsyncClient) -> None:
        self.clock = clock
        self.store = store
        self.visitor = visitor
        self.api = api

    async def hold(self, **fields: Any) -> str:
        """The id of a new approval."""
        accepted = (await self.api.post("/v1/ai/async", json={"workflow": "reviewed", **fields})).json()
        wanted = f"apr_{accepted['channel_id'].replace('-', '')}_review"
        async with self.api.stream("GET", f"/v1/ai/{accepted['channel_id']}/events") as response:
            async for line in response.aiter_lines():
                if "ai_generated" in line:
                    break
        return wanted

    async def one(self, approval_id: str) -> dict[str, Any]:
        return (await self.api.get(f"/v1/approvals/{approval_id}")).json()

    async def link(self, approval_id: str, name: str = "") -> str:
        made = await self.api.post(f"/v1/approvals/{approval_id}/link", json={"name": name})
        assert made.status_code == 201, made.text
        return str(made.json()["url"])


@asynccontextmanager
async def opened(path: Path, *, film: dict[str, Any] = FILM, timeout: float = 86_400.0) -> AsyncIterator[Desk]:
    review = Stage.approval("review", timeout=timeout)
    workflow = Workflow(
        name="reviewed",
        provider="echo",
        sample_data=film,
        structured_output_id="film",
        pipeline=(GENERATE, review, FINALISE),
    )
    clock, store = FakeClock(), ForgedStore()
    river = river_of(
        path,
        workflows=[workflow],
        structured_outputs=[FILMS],
        clock=clock,
        plugins=[store],
        database_url=f"forged:///{path}/console.db",
    )
    headers = {"authorization": f"Bearer {KEY}"}
    async with (
        served(river) as origin,
        visiting(origin) as visitor,
        httpx.AsyncClient(base_url=origin, headers=headers, trust_env=False, timeout=10) as api,
    ):
        await visitor.log_in()
        yield Desk(clock, store, visitor, api)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path) as desk:
        yield desk


async def send(visitor: Visitor, page: Seen, decision: str, **changes: Any) -> Seen:
    """Send the form of a page that says this."""
    form = next(form for form in page.forms if form.fields.get("decision") == [decision])
    return await visitor.post(str(httpx.URL(page.url).join(form.action)), form.filled(**changes))


async def test_what_waits_is_listed_and_counted(desk: Desk) -> None:
    page = await desk.visitor.see("approvals")
    assert "No pending approvals" in page.text
    ids = [await desk.hold(customer_data={"user_id": f"u{number}"}) for number in range(3)]
    page = await desk.visitor.see("approvals")
    assert "3 waiting" in page.text
    assert [link for link in page.links if "apr_" in link] == [f"./approvals/{each}" for each in ids[::-1]]
    assert "u2" in page.text
    assert "3 approvals" in (await desk.visitor.see()).text
    assert "Awaiting approval" in (await desk.visitor.see("requests")).text
    other = await desk.visitor.see("settings")  # the rail says so on every page
    (tally,) = [given for _, given in other.tags if given.get("id") == "tally-approvals"]
    assert "hidden" not in tally


async def test_it_is_approved_as_it_is(desk: Desk) -> None:
    approval_id = await desk.hold(customer_data={"user_id": "u1"})
    page = await desk.visitor.see(f"approvals/{approval_id}")
    assert "Pending" in page.text
    assert "u1" in page.text
    done = await send(desk.visitor, page, "approve")
    assert (done.status, done.url.rpartition("/")[2]) == (200, approval_id)
    assert "Approved by api_key, in the console" in done.text
    shown = await desk.one(approval_id)
    assert (shown["state"], shown["result"]) == ("approved", FILM)
    assert (shown["ruling"]["changed"], shown["ruling"]["way"]) == ([], "console")


async def test_it_is_edited(desk: Desk) -> None:
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    wrong = await send(desk.visitor, page, "approve", data='{"title": "Paprika", "year": "soon"}')
    assert wrong.status == 422
    assert "/year" in wrong.text
    assert "Paprika" in wrong.text  # nobody types twice
    broken = await send(desk.visitor, wrong, "approve", data="{nonsense")
    assert broken.status == 400
    assert "This is not JSON" in broken.text
    assert (await desk.one(approval_id))["state"] == "pending"
    done = await send(desk.visitor, broken, "approve", data='{"title": "Paprika", "year": 2006}')
    assert "Changes" in done.text
    assert (await desk.one(approval_id))["result"] == {"title": "Paprika", "year": 2006}


async def test_it_is_rejected(desk: Desk) -> None:
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    without = await send(desk.visitor, page, "reject", reason=" ")
    assert (without.status, (await desk.one(approval_id))["state"]) == (422, "pending")
    done = await send(desk.visitor, without, "reject", reason="not for children")
    assert "Rejected by api_key" in done.text
    assert "not for children" in done.text
    assert (await desk.one(approval_id))["state"] == "rejected"


async def test_who_comes_second_sees_who_was_first(desk: Desk) -> None:
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    await desk.api.post(f"/v1/approvals/{approval_id}", json={"decision": "reject", "reason": "mine"})
    late = await send(desk.visitor, page, "approve")
    assert late.status == 409
    assert "already rejected by api_key" in late.text
    assert "through the API" in late.text


async def test_a_form_of_another_page_decides_nothing(desk: Desk) -> None:
    approval_id = await desk.hold()
    url = f"{desk.visitor.base}approvals/{approval_id}"
    answer = await desk.visitor.post(url, {"decision": "approve"})
    assert (answer.status, (await desk.one(approval_id))["state"]) == (403, "pending")


@pytest.mark.parametrize("path", ["approvals/nonsense", "approvals/apr_0190a000000070008000000000000000_review"])
async def test_what_is_not_there(desk: Desk, path: str) -> None:
    assert (await desk.visitor.see(path)).status == 404


async def test_a_link_is_made_and_followed_by_somebody_without_a_login(desk: Desk) -> None:
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    made = await desk.visitor.send(page, "/link", name="Anna")
    (url,) = {word for word in made.text.split() if "/approve/rap_" in word}
    assert "content-encoding" not in made.headers
    async with visiting(url.partition("/approve/")[0]) as anna:
        seen = await anna.see(url)
        assert seen.status == 200
        assert "Anna, your decision is asked for" in seen.text
        assert "set-cookie" not in seen.headers
        assert seen.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in seen.headers["content-security-policy"]
        assert "script-src 'self'" in seen.headers["content-security-policy"]
        for tag, given in seen.tags:
            if tag in ("link", "script", "img"):
                asset = await anna.see(str(httpx.URL(url).join(given.get("href") or given.get("src") or "")))
                assert asset.status == 200
        done = await send(anna, seen, "approve", data='{"title": "Paprika", "year": 2006}')
        assert "Thank you" in done.text
        shown = await desk.one(approval_id)
        assert shown["result"] == {"title": "Paprika", "year": 2006}
        assert (shown["ruling"]["by"], shown["ruling"]["way"]) == ("Anna", "link")
        again = await anna.see(url)
        assert "This link is used up" in again.text
        assert "Inception" not in again.text
        second = await send(anna, seen, "reject", reason="I changed my mind")
        assert (second.status, (await desk.one(approval_id))["state"]) == (409, "approved")


async def test_programs_that_follow_links_decide_nothing(desk: Desk) -> None:
    approval_id = await desk.hold()
    url = await desk.link(approval_id)
    for method in ("GET", "HEAD", "GET"):
        answer = await desk.visitor.http.request(method, url, follow_redirects=True)
        assert answer.status_code == 200
    for method in ("OPTIONS", "PUT", "DELETE", "PATCH"):
        assert (await desk.visitor.http.request(method, url)).status_code == 405
    assert (await desk.visitor.http.post(url)).status_code == 400
    assert (await desk.visitor.post(url, {})).status == 400
    assert (await desk.one(approval_id))["state"] == "pending"


async def test_a_link_that_was_made_for_nobody_in_particular(desk: Desk) -> None:
    approval_id = await desk.hold()
    url = await desk.link(approval_id)
    done = await send(desk.visitor, await desk.visitor.see(url), "reject", reason="no")
    assert "Rejected by whoever has the link, by a link" in done.text


async def test_a_link_is_of_no_use_when_something_about_it_is_changed(desk: Desk) -> None:
    approval_id, other = await desk.hold(), await desk.hold()
    url, another = await desk.link(approval_id), await desk.link(other)
    base, _, secret = url.rpartition("/")
    claims, mac = secret.split(".")
    swapped = another.rpartition("/")[2].split(".")[0]
    for changed in (f"{claims}.{'A' * 32}", f"{swapped}.{mac}", claims, f"{claims}A.{mac}", "rap_x", "rap_.", mac):
        seen = await desk.visitor.see(f"{base}/{changed}")
        assert seen.status == 404, changed
        assert "Inception" not in seen.text
        assert (await desk.visitor.post(f"{base}/{changed}", {"decision": "approve"})).status == 404
    for each in (approval_id, other):
        assert (await desk.one(each))["state"] == "pending"


async def test_nobody_approves_what_is_no_longer_there(desk: Desk) -> None:
    """What is held has become another: who has seen the old one is asked to look again, whichever way he comes."""
    approval_id = await desk.hold()
    page, url = await desk.visitor.see(f"approvals/{approval_id}"), await desk.link(approval_id)
    seen, digest = await desk.visitor.see(url), (await desk.one(approval_id))["sha256"]
    desk.store.other = True
    for answer in (await send(desk.visitor, page, "approve"), await send(desk.visitor, page, "reject", reason="no")):
        assert answer.status == 409
        assert "has changed; look again" in answer.text
    for answer in (await desk.visitor.see(url), await send(desk.visitor, seen, "approve")):
        assert answer.status == 409
        assert "has changed; look again" in answer.text
        assert "ception" not in answer.text
    said = {"decision": "approve", "sha256": digest}
    refused = await desk.api.post(f"/v1/approvals/{approval_id}", json=said)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "approval_changed")
    again = await send(desk.visitor, await desk.visitor.see(f"approvals/{approval_id}"), "approve")
    assert again.status == 200
    assert (await desk.one(approval_id))["result"]["title"] == "Deception"


async def test_a_link_ends_with_the_approval(tmp_path: Path) -> None:
    async with opened(tmp_path, timeout=3600) as desk:
        approval_id = await desk.hold()
        url = await desk.link(approval_id)
        await desk.clock.advance(3600)
        seen = await desk.visitor.see(url)
        assert seen.status in (200, 410)  # before and after the run has heard of it
        assert "Inception" not in seen.text
        late = await desk.visitor.post(url, {"decision": "approve"})
        assert late.status == 410


async def test_no_link_leads_to_what_is_decided(desk: Desk) -> None:
    approval_id = await desk.hold()
    await desk.api.post(f"/v1/approvals/{approval_id}", json={"decision": "approve"})
    answer = await desk.api.post(f"/v1/approvals/{approval_id}/link", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "already_decided")


@pytest.mark.parametrize("origin", ["null", "https://evil.example"])
async def test_a_page_of_another_origin_decides_nothing_and_no_log_has_the_link(
    desk: Desk, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    approval_id = await desk.hold()
    url = await desk.link(approval_id)
    form = next(form for form in (await desk.visitor.see(url)).forms if form.fields["decision"] == ["approve"])
    with caplog.at_level(logging.INFO, "riverflow"):
        for answer in (
            await desk.visitor.post(url, form.filled(), origin=origin),
            await desk.visitor.see(url, origin=origin),
        ):
            assert answer.status == 403
            assert "Inception" not in answer.text
            assert "access-control-allow-origin" not in answer.headers
    [told] = [record.getMessage() for record in caplog.records if record.name == "riverflow.http"]
    assert origin in told
    assert "/approve/***" in told
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("riverflow")]
    assert not any(url.rpartition("/")[2] in line for line in ours)  # the visitor's own client may log it
    assert (await desk.one(approval_id))["state"] == "pending"
    mine = await desk.visitor.post(url, form.filled(), origin=url.partition("/approve/")[0])
    assert mine.status == 200
    assert (await desk.one(approval_id))["state"] == "approved"


async def test_a_link_is_for_somebody_with_a_name(desk: Desk) -> None:
    """A link with a longer one would not be read as one."""
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    for name, status in (("é" * 200, 200), ("é" * 201, 422)):
        made = await desk.visitor.send(page, "/link", name=name)
        assert made.status == status
        assert ("/approve/rap_" in made.text) == (status == 200)
    assert "at most 200 characters" in made.text


async def test_nothing_is_read_of_who_has_no_link(desk: Desk) -> None:
    url = await desk.link(await desk.hold())
    other = {"content-type": "text/plain"}
    changed = await desk.visitor.http.post(f"{url[:-32]}{'A' * 32}", content=b"x", headers=other)
    assert changed.status_code == 404
    good = await desk.visitor.http.post(url, content=b"x", headers=other)
    assert good.status_code == 400


async def test_what_the_ai_and_a_person_write_stays_text(tmp_path: Path) -> None:
    film = {"title": MARKUP, "year": 1, MARKUP: MARKUP}
    async with opened(tmp_path, film=film) as desk:
        approval_id = await desk.hold(customer_data={MARKUP: MARKUP})
        url = await desk.link(approval_id, MARKUP)
        pages = [await desk.visitor.see("approvals"), await desk.visitor.see(f"approvals/{approval_id}")]
        pages.append(await desk.visitor.see(url))
        pages.append(
            await send(desk.visitor, pages[-1], "approve", data=f'{{"title": "{MARKUP}", "year": "{MARKUP}"}}')
        )
        pages.append(await send(desk.visitor, pages[2], "approve", data=f'{{"title": "{MARKUP}2", "year": 2}}'))
        pages.append(await desk.visitor.see(f"approvals/{approval_id}"))
        assert pages[3].status == 422
        assert pages[4].status == 200
        for page in pages:
            assert_clean(page)
            assert "x-probe" in page.text


async def test_who_reloads_the_answer_to_a_form_sees_the_page_that_it_is_on(desk: Desk) -> None:
    approval_id = await desk.hold()
    page = await desk.visitor.see(f"approvals/{approval_id}")
    made = await desk.visitor.send(page, "/link", name="Anna")
    assert made.url.endswith("/link")
    again = await desk.visitor.see(made.url)
    assert (again.status, again.url) == (200, f"{desk.visitor.base}approvals/{approval_id}")
    live = await desk.visitor.see(made.url, follow=False, **{"x-riverflow-live": "1"})
    assert (live.status, "Decide" in live.text) == (200, True)
    links = {str(httpx.URL(live.url).join(link)) for link in live.links}
    assert f"{desk.visitor.base}requests/{(await desk.one(approval_id))['channel_id']}" in links


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("approvals/a/link", "approvals/a"),
        ("dead-letters/d/replay", "dead-letters/d"),
        ("requests/r/replay", "requests/r"),
        ("requests/r/deliveries/d/resend", "requests/r"),
        ("webhooks/w/test", "webhooks/w"),
        ("workflows/<x>%3F/switch", "workflows/%3Cx%3E"),
        ("playground/preview", "playground"),
    ],
)
async def test_a_form_without_a_page_leads_to_the_one_above(desk: Desk, path: str, leads_to: str) -> None:
    answer = await desk.visitor.http.get(path)
    target = answer.url.join(answer.headers["location"])
    assert (answer.status_code, str(target).partition("?")[0]) == (303, f"{desk.visitor.base}{leads_to}")


async def test_a_page_that_cannot_be_is_refused(desk: Desk) -> None:
    here = await desk.hold()
    for query in ("starting_after=nonsense", "ending_before=apr_1_x", f"starting_after={here}&ending_before={here}"):
        page = await desk.visitor.see(f"approvals?{query}")
        assert page.status == 400
        assert "No pending approvals" not in page.text
        assert_clean(page)
        refused = await desk.api.get(f"/v1/approvals?{query}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_parameter")
    assert (await desk.visitor.see(f"approvals?starting_after={here}")).status == 200


async def test_a_form_of_strangers_leads_nowhere(desk: Desk) -> None:
    assert (await desk.visitor.http.get("logout")).status_code == 405
