"""The stage kind `generate`: asks the plan's provider, then its fallbacks, until an answer satisfies the plan.

It keeps nothing between runs and writes nothing: what happened is in the outcome it returns.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ...codec import from_python
from ...errors import ProviderError
from ...hookspecs import hookimpl
from ...models import Completed, Credential, Failed, Fallback, GenerateRequest, Generation, Plan, Record
from ...ports import Context, Provider, StageContext, StageRunner
from ...retry import RetryPolicy
from ...schema import SchemaError, Validator, validator
from ...time_limit import TimeLimit
from .account import Account
from .answer import answered

__all__ = ["ROUNDS", "Generate"]

ROUNDS = RetryPolicy(delays=(0, 0.4, 0.8))
"""Up to 3 rounds over the targets, 400 and 800 ms apart: the hosted service's published example."""

_log = logging.getLogger("riverflow.generate")


class Generate:
    """ports.StageRunner: each target (the plan's provider and model, then its fallbacks by position) in turn, each
    within the plan's `provider_timeout`; where all have failed, those that may do better later are tried again, in
    `ROUNDS`.

    Completed: `data` is the value that the plan's schema describes, or the provider's own object where there is no
    schema or the model calls tools. Failed: code and message of the last try; `details` has its upstream `status`. Both
    carry a `meta` that tells of every try.
    """

    def __init__(self, context: Context) -> None:
        self._providers = context.providers
        self._clock = context.clock
        self._credentials = context.credentials

    async def run(self, context: StageContext) -> Completed | Failed:
        """Ask until one answers."""
        plan = context.record.plan
        try:
            wanted = validator(plan.schema) if plan.schema is not None else None
        except SchemaError as error:  # before anybody is asked and paid
            return Failed(code="invalid_schema", message=f"the structured output cannot be checked: {error}")
        account = Account(plan, self._clock)
        targets, number = _targets(plan), 0
        while True:
            number += 1
            found = await self._round(context.record, targets, wanted, account)
            if isinstance(found, Completed):
                return found
            targets, last = found
            delay = ROUNDS.delay_after(number)
            if not targets or delay is None:
                return _failed(last, account)
            await self._clock.sleep(delay)

    async def _round(
        self, record: Record, targets: list[Fallback], wanted: Validator | None, account: Account
    ) -> Completed | tuple[list[Fallback], ProviderError]:
        """Try each target once: the first good answer, or the targets worth another round and the last error."""
        again: list[Fallback] = []
        last = ProviderError("there is nobody to ask", code="unknown_provider", again=False)
        for target in targets:
            begun = self._clock.monotonic()
            try:
                generation = await self._ask(target, record)
                data = answered(generation, wanted)
            except ProviderError as error:
                last = error
                account.failed(target, begun, error.code)
                if error.again:
                    again.append(target)
            else:
                return Completed(data=data, meta=account.succeeded(target, generation.model, begun, generation.usage))
        return again, last

    async def _ask(self, target: Fallback, record: Record) -> Generation:
        provider = self._providers.get(target.provider)
        if provider is None:
            raise _unknown(target.provider, self._providers)
        seconds = record.plan.provider_timeout
        credential = await self._credentials(record.run.project_id, target.provider)
        try:
            with TimeLimit(seconds):
                return await provider.generate(_request(target, record, credential))
        except ProviderError:
            raise
        except TimeoutError:
            raise ProviderError(f"no answer within {seconds:g} s", code="timeout") from None
        except Exception as error:
            # A provider that breaks its contract must not keep the fallbacks from answering.
            # Its text may quote anything (a key, a host inside), and a run's error is public: the log alone has it.
            _log.exception("provider %r failed with an undeclared exception", target.provider)
            text = "the provider failed with an undeclared error"
            raise ProviderError(text, code="provider_error", again=False) from error


def _targets(plan: Plan) -> list[Fallback]:
    first = Fallback(provider=plan.provider, model=plan.model, position=0)
    return [first, *sorted(plan.fallbacks, key=lambda fallback: fallback.position)]


def _request(target: Fallback, record: Record, credential: Credential | None) -> GenerateRequest:
    plan = record.plan
    return GenerateRequest(
        channel_id=record.run.id,
        model=target.model,
        request=record.request,
        timeout=plan.provider_timeout,
        instructions=plan.instructions,
        schema=plan.schema,
        template=plan.template,
        sample_data=plan.sample_data,
        credential=credential,
        project_id=record.run.project_id,
    )


def _unknown(name: str, providers: Mapping[str, Provider]) -> ProviderError:
    installed = ", ".join(sorted(providers)) or "none"
    message = f"no provider {name!r} is installed; installed are: {installed}"
    return ProviderError(message, code="unknown_provider", again=False)


def _failed(error: ProviderError, account: Account) -> Failed:
    details = from_python({"status": error.upstream_status, "message": error.message})
    return Failed(code=error.code, message=error.message, details=details, meta=account.failure())


@hookimpl
def riverflow_stages() -> Mapping[str, Callable[[Context], StageRunner]]:
    return {"generate": Generate}
