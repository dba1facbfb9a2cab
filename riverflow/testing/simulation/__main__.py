"""`python -m riverflow.testing.simulation`: plays seeds for so long, or one seed again, and counts.

It judges nothing itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count, islice
from multiprocessing import get_context

from .world import Play, play

__all__ = ["main"]


def main() -> int:
    """The command: 1 where a promise was broken."""
    options = _options()
    began = time.monotonic()
    if options.seed is not None:
        plays = iter([play(options.seed)])
    else:
        plays = _played(options.first, options.seeds, options.seconds, options.jobs)
    seeds = runs = broken = 0
    faults: Counter[str] = Counter()
    for each in plays:
        seeds += 1
        runs += each.runs
        broken += len(each.violations)
        faults.update(each.faults)
        _show(each, whole=options.seed is not None)
    _sum_up(seeds, runs, broken, faults, time.monotonic() - began)
    return 1 if broken or not seeds else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m riverflow.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this one seed again")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--seeds", type=int, help="so many seeds (default: as many as there is time for)")
    parser.add_argument("--seconds", type=float, default=60.0, help="no seed is begun after so many (default: 60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    return parser.parse_args()


def _played(first: int, seeds: int | None, seconds: float, jobs: int) -> Iterator[Play]:
    """Plays as they are done, on several cores."""
    ends_at = time.monotonic() + seconds
    numbers = count(first) if seeds is None else iter(range(first, first + seeds))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        working: set[Future[Play]] = {pool.submit(play, seed) for seed in islice(numbers, 2 * jobs)}
        while working:
            done, working = wait(working, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
            if time.monotonic() < ends_at:
                working |= {pool.submit(play, seed) for seed in islice(numbers, len(done))}


def _show(each: Play, *, whole: bool) -> None:
    if each.violations or whole:
        print(f"seed={each.seed}: python -m riverflow.testing.simulation --seed {each.seed}")
        for violation in each.violations:
            print(f"    {violation}")
    if whole:
        print(f"    {each.seconds:.0f} simulated seconds, {each.callbacks} callbacks, digest {each.digest}")


def _sum_up(seeds: int, runs: int, broken: int, faults: Counter[str], seconds: float) -> None:
    told = ", ".join(f"{name} {number}" for name, number in sorted(faults.items()))
    print(
        f"simulation: {seeds} seeds tried, {faults.total()} faults injected, {runs} runs checked, "
        f"{broken} violations ({seconds:.0f} s)"
    )
    print(f"faults: {told or 'none'}")


if __name__ == "__main__":
    sys.exit(main())
