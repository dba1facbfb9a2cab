"""Idle subscribers: memory of each, and what one message to all of them costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from .control import BenchError, Child
from .rig import rig

__all__ = ["Idle", "idle"]


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """`kb_each` is the server's PSS a connection (each on its own waiting run, kernel memory not included),
    `connect_us` and `push_us` its CPU to connect one and to push one message to one."""

    transport: str
    subscribers: int
    kb_each: float
    connect_us: float
    push_us: float


async def idle(folder: Path, transport: str, *, subscribers: int, size: int, say: Callable[[str], None]) -> Idle:
    """Connect subscribers to as many waiting runs (`sse` or `ws`), measure; then one message to all of one run."""
    async with rig(folder, size=size, structured=False) as set_up:
        system = await set_up.system("riverflow", "R", name=f"idle-{transport}")
        port = system.ready["port"]
        await set_up.stub.ask("silent")
        await set_up.stub.ask("submit", port=port, count=subscribers)
        await set_up.stub.ask("connect", port=port, transport=transport, count=200)  # what is made once for all
        await asyncio.sleep(2.0)
        before = await system.ask("measure")
        await set_up.stub.ask("connect", port=port, transport=transport, count=subscribers)
        await asyncio.sleep(2.0)
        after = await system.ask("measure")
        connect = (after["cpu"] - before["cpu"]) / subscribers * 1e6
        each = (after["pss"] - before["pss"]) / subscribers / 1000
        say(f"idle {transport}: {each:.1f} kB a connection, {connect:.0f} µs to connect")
        await set_up.stub.ask("disconnect")
        push = await _fan_out(set_up.stub, system, port, transport, min(subscribers, 1000))
        say(f"idle {transport}: {push:.0f} µs a message to one subscriber")
    return Idle(transport=transport, subscribers=subscribers, kb_each=each, connect_us=connect, push_us=push)


async def _fan_out(stub: Child, system: Child, port: int, transport: str, count: int) -> float:
    await stub.ask("hold", hold=True)
    await stub.ask("submit", port=port, count=1)
    await stub.ask("connect", port=port, transport=transport, count=count, one_run=True)
    await asyncio.sleep(1.0)
    before = await system.ask("measure")
    told = await stub.ask("release", messages=count)
    after = await system.ask("measure")
    if told < count:
        raise BenchError(f"only {told} of {count} subscribers were told")
    return float((after["cpu"] - before["cpu"]) / count * 1e6)
