"""`python -m riverflow.testing.simulation`: what it prints, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from riverflow.testing.simulation import Play, __main__


def said(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riverflow.testing.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.timeout(120)
def test_it_counts_seeds_faults_runs_and_violations() -> None:
    done = said("--seeds", "2", "--first", "8", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    summary = done.stdout.splitlines()[0]
    assert summary.startswith("simulation: 2 seeds tried, ")
    assert "faults injected" in summary
    assert "runs checked, 0 violations" in summary


@pytest.mark.timeout(120)
def test_no_seed_is_begun_when_the_time_is_over() -> None:
    done = said("--seconds", "0", "--jobs", "1")
    assert "simulation: 2 seeds tried" in done.stdout  # what was in hand is played to its end


def test_a_seed_that_breaks_the_promise_says_how_to_play_it_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(seed: int) -> Play:
        told: dict[str, Any] = {"runs": 1, "faults": {"killed": 2}, "seconds": 3.0, "callbacks": 4, "digest": "d"}
        return Play(seed=seed, violations=("a run is lost",), **told)

    monkeypatch.setattr(__main__, "play", broken)
    monkeypatch.setattr(sys, "argv", ["simulation", "--seed", "77"])
    assert __main__.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed=77: python -m riverflow.testing.simulation --seed 77"
    assert lines[1].strip() == "a run is lost"
    assert "1 seeds tried, 2 faults injected, 1 runs checked, 1 violations" in lines[3]
