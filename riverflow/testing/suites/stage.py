"""The conformance suite of ports.StageRunner.

It asks only what the port promises to the engine; what a stage makes of its data, its own tests say.
"""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from ...codec import canonical, decode
from ...models import Completed, Failed, Waiting
from ...ports import StageContext, StageRunner
from ..context import stage_context

__all__ = ["StageRunnerSuite"]


class StageRunnerSuite:
    """Subclass it in a test module, and give it a runner and a run through its fixtures::

        class TestMine(StageRunnerSuite):
            @pytest.fixture
            async def runner(self):
                yield MyStage(make_context())

            @pytest.fixture
            def context(self):
                return stage_context(Stage(name="mine", kind="mine"), outputs=[...])

    `runner` brings `context` to an outcome, `failing` to Failed. `stuck` sets the event `asked` (a fixture too) when it
    has begun, and never ends. What is left out is skipped.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def runner(self) -> StageRunner:
        """A runner that comes to an outcome; to be overridden."""
        raise NotImplementedError("override the fixture `runner`")

    @pytest.fixture
    def failing(self) -> StageRunner:
        """A runner whose stage fails for good."""
        pytest.skip("this stage does not fail")

    @pytest.fixture
    def asked(self) -> asyncio.Event:
        """Set it where `stuck` has begun to wait."""
        return asyncio.Event()

    @pytest.fixture
    def stuck(self) -> StageRunner:
        """A runner whose stage never ends."""
        pytest.skip("this stage always ends at once")

    @pytest.fixture
    def context(self) -> StageContext:
        """The run that the runner works on."""
        return stage_context()

    async def test_it_comes_to_an_outcome(self, runner: StageRunner, context: StageContext) -> None:
        assert isinstance(await runner.run(context), Completed | Failed | Waiting)

    async def test_what_it_produces_is_js_canonical(self, runner: StageRunner, context: StageContext) -> None:
        outcome = await runner.run(context)
        for value in (getattr(outcome, name, None) for name in ("data", "meta", "metadata", "details")):
            assert value is None or bytes(canonical(value)) == bytes(value)

    async def test_meta_is_an_object(self, runner: StageRunner, context: StageContext) -> None:
        meta = getattr(await runner.run(context), "meta", None)
        assert meta is None or isinstance(decode(meta), dict)

    async def test_it_may_be_called_again_after_a_crash(self, runner: StageRunner, context: StageContext) -> None:
        first = await runner.run(context)
        second = await runner.run(msgspec.structs.replace(context, attempt=context.attempt + 1))
        assert type(first) is type(second)

    async def test_runs_do_not_wait_for_one_another(self, runner: StageRunner, context: StageContext) -> None:
        outcomes = await asyncio.gather(*(runner.run(context) for _ in range(8)))
        assert {type(outcome) for outcome in outcomes} <= {Completed, Failed, Waiting}

    async def test_a_failure_has_a_code_and_words(self, failing: StageRunner, context: StageContext) -> None:
        outcome = await failing.run(context)
        assert isinstance(outcome, Failed)
        assert outcome.code
        assert outcome.message

    async def test_a_failure_never_says_success(self, failing: StageRunner, context: StageContext) -> None:
        # The browser takes `meta.status == "success"` for success, whatever else is said.
        outcome = await failing.run(context)
        meta = getattr(outcome, "meta", None)
        assert meta is None or decode(meta).get("status") != "success"

    async def test_it_can_be_cancelled(self, stuck: StageRunner, context: StageContext, asked: asyncio.Event) -> None:
        running = asyncio.ensure_future(stuck.run(context))
        await asyncio.wait_for(asked.wait(), 5)
        assert not running.done()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, 5)
