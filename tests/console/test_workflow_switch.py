"""A workflow is disabled and enabled with a button."""

from __future__ import annotations

from pathlib import Path

import pytest

from .clean import assert_clean
from .test_playground import api_of
from .visitor import open_console

pytestmark = pytest.mark.anyio


async def test_it_is_switched_off_and_on(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _), api_of(visitor) as api:
        await api.post("/console/workflow", json={"name": "mine", "provider": "echo", "template": "x"})
        page = await visitor.see("workflows/mine")
        off = await visitor.send(page, "/switch")
        assert_clean(off)
        assert "Workflow disabled: new requests are refused" in off.text
        assert (await api.get("/console/workflow/mine")).json()["disabled"] is True
        assert "Disabled" in (await visitor.see("workflows")).text
        refused = await visitor.send(await visitor.see("playground"), "playground", workflow="mine", message="x")
        assert refused.status == 409
        assert "is disabled and takes no new requests" in refused.text
        assert "Disabled" in (await visitor.see("playground?workflow=mine")).text
        saved = await visitor.send(off, "workflows/mine", description="still off")
        assert (await api.get("/console/workflow/mine")).json()["disabled"] is True
        wrong = await visitor.send(saved, "workflows/mine", callback_timeout="soon")
        assert (wrong.status, "Disabled" in wrong.text) == (400, True)
        on = await visitor.send(saved, "/switch")
        assert "Workflow enabled" in on.text
        assert (await api.post("/v1/ai/async", json={"workflow": "mine"})).status_code == 200


async def test_what_is_defined_in_code_has_no_switch(tmp_path: Path) -> None:
    async with open_console(tmp_path) as (visitor, _):
        page = await visitor.see("workflows/in_code")
        assert not any(form.action.endswith("/switch") for form in page.forms)
        fields = {"token": page.forms[0].fields["token"][0], "enabled": "no"}
        refused = await visitor.post(f"{visitor.base}workflows/in_code/switch", fields)
        assert (refused.status, "defined in code" in refused.text) == (409, True)
