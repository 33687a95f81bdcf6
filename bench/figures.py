"""What a benchmark found: medians side by side, kept as JSON."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.harness.paths import BUILD

DIRECTORY = BUILD / "bench"


@dataclass(frozen=True)
class Figure:
    """
    `ratio` is measured divided by baseline: 1 is equal, less is faster. It is the median of the rounds' ratios, not the
    ratio of the medians: where a machine's speed drifts, the two values of a round still saw the same machine.
    """

    name: str
    unit: str
    baseline: str
    baseline_median: float
    measured: str
    measured_median: float
    ratio: float
    samples: int
    target: float | None = None  # the ratio to stay below


@dataclass(frozen=True)
class Suite:
    name: str
    title: str
    figures: list[Figure]

    def write(self) -> Path:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        path = DIRECTORY / f"{self.name}.json"
        rows = [dataclasses.asdict(figure) for figure in self.figures]
        path.write_text(json.dumps({"title": self.title, "figures": rows}, indent=2) + "\n")
        return path


def interleaved(rounds: int, pause: float = 0.0, **sources: Callable[[], float]) -> dict[str, list[float]]:
    """One value of each source in turn, so that a slow moment of the machine falls on all of them.

    Before each, `pause` seconds in which nothing happens.
    """
    samples: dict[str, list[float]] = {name: [] for name in sources}
    for source in sources.values():
        source()  # warm
    for _ in range(rounds):
        for name, source in sources.items():
            time.sleep(pause)
            samples[name].append(source())
    return samples


def compare(
    name: str,
    *,
    unit: str,
    rounds: int,
    baseline: tuple[str, Callable[[], float]],
    measured: tuple[str, Callable[[], float]],
    target: float | None = None,
    pause: float = 0.0,
) -> Figure:
    samples = interleaved(rounds, pause, baseline=baseline[1], measured=measured[1])
    return figure(
        name,
        unit=unit,
        baseline=(baseline[0], samples["baseline"]),
        measured=(measured[0], samples["measured"]),
        target=target,
    )


def figure(
    name: str,
    *,
    unit: str,
    baseline: tuple[str, Sequence[float]],
    measured: tuple[str, Sequence[float]],
    target: float | None = None,
) -> Figure:
    """From the values of as many rounds, in order."""
    return Figure(
        name=name,
        unit=unit,
        baseline=baseline[0],
        baseline_median=median(baseline[1]),
        measured=measured[0],
        measured_median=median(measured[1]),
        ratio=median(after / before for before, after in zip(baseline[1], measured[1], strict=True)),
        samples=len(baseline[1]),
        target=target,
    )
