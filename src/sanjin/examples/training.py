"""Train a small neural network that can be stopped at any moment and go on at another site, to the same weights.

After each epoch the state is written to the checkpoint, whole or not at all: weights, the optimizer's moments, the
losses so far. Asked to stop (SIGTERM) it ends after the epoch under way. Every epoch draws its order from the seed and
its own number, so a run that was stopped and one that was not come to the same weights, bit for bit, on machines whose
NumPy adds up alike.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sanjin.examples import common

Array = NDArray[np.float64]
SAMPLES, FEATURES, HIDDEN, CLASSES, BATCH = 4096, 32, 48, 6, 128
STATE = "state.npz"
LOSSES = "losses.csv"


@dataclass(slots=True)
class State:
    """Where the training stands. ``losses`` holds (epoch, loss on held-out samples, site) of each that is done."""

    weights: list[Array]
    moments: list[Array]
    losses: list[tuple[int, float, str]] = field(default_factory=list[tuple[int, float, str]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How far the training came. ``accuracy`` is on held-out samples."""

    epochs: int
    loss: float
    accuracy: float
    sites: tuple[str, ...]
    """The sites of the epochs, each once for as long as it stayed there."""


def train(
    folder: Path | None, *, epochs: int, seed: int = 7, pace_s: float = 0.0, stopped: Callable[[], bool] | None = None
) -> tuple[State, bool]:
    """Train from what ``folder`` holds. The state, and whether all epochs are done.

    ``pace_s`` is the least that an epoch lasts, wall seconds. ``stopped`` says whether to end after an epoch.
    """
    data, labels = _samples(seed)
    cut = SAMPLES * 7 // 8
    state = read_state(folder) or _first(seed)
    for epoch in range(len(state.losses), epochs):
        began = time.monotonic()
        order = np.random.default_rng((seed, epoch)).permutation(cut)
        for at in range(0, cut, BATCH):
            batch = order[at : at + BATCH]
            _step(state, data[batch], labels[batch])
        state.losses.append((epoch, _loss(state.weights, data[cut:], labels[cut:]), os.environ.get("SANJIN_SITE", "")))
        if folder is not None:
            write_state(folder, state)
        while time.monotonic() - began < pace_s and not (stopped and stopped()):
            time.sleep(min(0.05, pace_s))
        if stopped and stopped():
            return state, epoch + 1 == epochs
    return state, True


def _samples(seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Samples of noisy classes, on curved sheets so that no plane parts them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, SAMPLES)
    centres = rng.normal(0, 1.1, (CLASSES, 6))
    inner = centres[labels] + rng.normal(0, 0.7, (SAMPLES, 6))
    data = np.tanh(inner @ rng.normal(0, 1, (6, FEATURES))) + rng.normal(0, 0.25, (SAMPLES, FEATURES))
    return data, labels


def _first(seed: int) -> State:
    rng = np.random.default_rng((seed, 1 << 20))
    weights = [
        rng.normal(0, FEATURES**-0.5, (FEATURES, HIDDEN)), np.zeros(HIDDEN),
        rng.normal(0, HIDDEN**-0.5, (HIDDEN, CLASSES)), np.zeros(CLASSES),
    ]  # fmt: skip
    return State(weights, [np.zeros_like(w) for w in weights])


def _forward(weights: list[Array], data: Array) -> tuple[Array, Array]:
    hidden = np.tanh(data @ weights[0] + weights[1])
    scores = hidden @ weights[2] + weights[3]
    scores -= scores.max(axis=1, keepdims=True)
    chances = np.exp(scores)
    return hidden, chances / chances.sum(axis=1, keepdims=True)


def _step(state: State, data: Array, labels: NDArray[np.int64], rate: float = 0.001, momentum: float = 0.9) -> None:
    """One step of stochastic gradient descent with momentum."""
    hidden, chances = _forward(state.weights, data)
    chances[np.arange(len(labels)), labels] -= 1
    chances /= len(labels)
    back = (chances @ state.weights[2].T) * (1 - hidden**2)
    slopes = [data.T @ back, back.sum(axis=0), hidden.T @ chances, chances.sum(axis=0)]
    for weight, moment, slope in zip(state.weights, state.moments, slopes, strict=True):
        moment *= momentum
        moment += slope
        weight -= rate * moment


def _loss(weights: list[Array], data: Array, labels: NDArray[np.int64]) -> float:
    _, chances = _forward(weights, data)
    return float(-np.log(chances[np.arange(len(labels)), labels]).mean())


def accuracy(state: State, seed: int) -> float:
    """The share of held-out samples that are told right."""
    data, labels = _samples(seed)
    cut = SAMPLES * 7 // 8
    return float((_forward(state.weights, data[cut:])[1].argmax(axis=1) == labels[cut:]).mean())


def read_state(folder: Path | None) -> State | None:
    """The state in a checkpoint; None where there is none."""
    if folder is None or not (folder / STATE).exists():
        return None
    with np.load(folder / STATE) as kept:
        losses = list(zip(kept["epochs"].tolist(), kept["losses"].tolist(), kept["sites"].tolist(), strict=True))
        return State([kept[f"w{i}"] for i in range(4)], [kept[f"m{i}"] for i in range(4)], losses)


def write_state(folder: Path, state: State) -> None:
    """Put the state in place of the last, in one step."""
    arrays = {f"w{i}": w for i, w in enumerate(state.weights)} | {f"m{i}": m for i, m in enumerate(state.moments)}
    epochs, losses, sites = zip(*state.losses, strict=True)
    coming = folder / f"{STATE}.coming.npz"
    np.savez(
        coming, allow_pickle=False, epochs=np.array(epochs), losses=np.array(losses), sites=np.array(sites), **arrays
    )
    os.replace(coming, folder / STATE)


def result_of(state: State, seed: int) -> Result:
    """What a state came to."""
    sites = [site for _, _, site in state.losses]
    stays = tuple(s for i, s in enumerate(sites) if i == 0 or sites[i - 1] != s)
    return Result(epochs=len(sites), loss=state.losses[-1][1], accuracy=accuracy(state, seed), sites=stays)


def write_losses(path: Path, state: State) -> None:
    """The losses as CSV: epoch, loss, site."""
    lines = [f"{epoch},{loss!r},{site}" for epoch, loss, site in state.losses]
    path.write_text("\n".join(["epoch,loss,site", *lines]) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a job."""
    options = common.parser(__doc__, size=40, size_help="epochs", seed=7)
    options.add_argument("--pace", type=float, default=0.0, help="seconds that an epoch lasts at least")
    given = options.parse_args(argv)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    kept = os.environ.get("SANJIN_CHECKPOINT")
    folder = Path(kept) if kept else None
    state, whole = train(folder, epochs=given.size, seed=given.seed, pace_s=given.pace, stopped=lambda: bool(asked))
    if not whole:
        print(f"training: stopped after {len(state.losses)} of {given.size} epochs", flush=True)
        return 0
    write_losses(common.outputs() / LOSSES, state)
    result = result_of(state, given.seed)
    line = f"loss {result.loss:.4f}, accuracy {result.accuracy:.3f} after {result.epochs} epochs"
    common.finish("training", asdict(result), line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
