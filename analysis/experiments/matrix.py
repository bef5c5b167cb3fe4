"""A matrix of experiments: conditions, seeds, and the training that each pair of them means."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from alexnet_core.paths import runs_dir
from alexnet_core.train import PRESETS, TrainConfig

MATRICES = Path(__file__).with_name("matrices")
RESULTS = Path(__file__).with_name("results")


class Condition(NamedTuple):
    """One row of a matrix: what it asks, and what it changes about the preset's training."""

    name: str
    asks: str
    changes: Mapping[str, Any]  # fields of TrainConfig; those of its network are added to the preset's


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Conditions times seeds."""

    name: str
    source: str  # what `load_matrix` was given
    title: str
    preset: str
    seeds: tuple[int, ...]
    conditions: tuple[Condition, ...]

    def cells(self) -> Iterator["Cell"]:
        """All trainings, seed by seed, so that a matrix that is cut short has some of every condition."""
        return (Cell(self, condition, seed) for seed in self.seeds for condition in self.conditions)

    def cell(self, condition: str, seed: int) -> "Cell":
        """One training. Raises ``ValueError`` if the matrix has no such condition; any seed will do."""
        for row in self.conditions:
            if row.name == condition:
                return Cell(self, row, seed)
        raise ValueError(f"{self.name} has the conditions {[row.name for row in self.conditions]}, not {condition!r}.")


class Cell(NamedTuple):
    """One training of a matrix."""

    matrix: Matrix
    condition: Condition
    seed: int

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.condition.name}-seed-{self.seed}"

    @property
    def config(self) -> TrainConfig:
        """How it is trained."""
        preset = PRESETS[self.matrix.preset]
        changes = dict(self.condition.changes)
        network = preset.network | changes.pop("network", {})
        return replace(preset, seed=self.seed, network=network, **changes)

    def folder(self, home: Path | None = None) -> Path:
        """Where the run is kept while it is trained, and after."""
        return runs_dir(home) / "experiments" / self.matrix.name / self.name

    def file(self, results: Path = RESULTS) -> Path:
        """Where its result is, or will be."""
        return results / self.matrix.name / f"{self.name}.safetensors"


def list_matrices() -> list[str]:
    """Names of the matrices that come with the code."""
    return sorted(file.stem for file in MATRICES.glob("*.toml"))


def load_matrix(name: str) -> Matrix:
    """A matrix by its name, or from a TOML file of one's own.

    Raises ``ValueError``, one sentence, if there is none, or if it names what a training does not know.
    """
    file = Path(name) if name.endswith(".toml") else MATRICES / f"{name}.toml"
    try:
        values = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise ValueError(f"There is no matrix {name!r}; choose from {list_matrices()} or give a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is no TOML file: {error}.") from error
    try:
        common = values.get("all", {})
        matrix = Matrix(
            name=file.stem,
            source=name,
            title=str(values["title"]),
            preset=str(values["preset"]),
            seeds=tuple(map(int, values["seeds"])),
            conditions=tuple(_condition(key, row, common) for key, row in values["conditions"].items()),
        )
    except KeyError as error:
        raise ValueError(f"{file} lacks {error}.") from error
    _check(file, matrix)
    return matrix


def _condition(name: str, row: Mapping[str, Any], common: Mapping[str, Any]) -> Condition:
    changes = {key: value for key, value in {**common, **row}.items() if key != "asks"}
    return Condition(name, str(row["asks"]), changes)


def _check(file: Path, matrix: Matrix) -> None:
    if matrix.preset not in PRESETS:
        raise ValueError(f"{file}: preset must be one of {list(PRESETS)}, got {matrix.preset!r}.")
    known = {field.name for field in fields(TrainConfig)} - {"preset", "seed"}
    for condition in matrix.conditions:
        if unknown := set(condition.changes) - known:
            raise ValueError(f"{file}: {condition.name} changes {sorted(unknown)}, a training has {sorted(known)}.")
