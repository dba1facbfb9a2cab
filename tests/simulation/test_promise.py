"""The promise under simulated faults: each seed another scenario, each the same on every replay."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from riverflow.testing.simulation import play

SEEDS = range(int(os.environ.get("RIVERFLOW_TEST_SEEDS", "80")))
AT_ONCE = 8

REGRESSIONS = (
    5,  # an append whose answer was lost: what it had leased stayed on a living process's lease
    6,  # a process whose lease had lapsed claimed the run it was at, and tripped over itself
    35,  # a claim whose answer was lost: what it had leased stayed on a living process's lease
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", SEEDS[::AT_ONCE])
def test_nothing_is_lost(first: int) -> None:
    for seed in SEEDS[first : first + AT_ONCE]:
        assert play(seed).violations == (), f"python -m riverflow.testing.simulation --seed {seed}"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", REGRESSIONS)
def test_nothing_is_lost_where_it_once_was(seed: int) -> None:
    """Seeds in which the defects that the simulation has found show again where they are put back."""
    assert play(seed).violations == ()


@pytest.mark.timeout(120)
def test_a_seed_plays_the_same_in_every_process() -> None:
    """Nothing hangs on addresses, on the hashes of strings, on the clock or on what was played before."""
    here = [play(seed).digest for seed in (8, 35)]
    code = "from riverflow.testing.simulation import play; print(*(play(seed).digest for seed in (8, 35)))"
    for hashes in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        assert there.stdout.split() == here


def test_seeds_differ() -> None:
    assert len({play(seed).digest for seed in range(3)}) == 3
