"""Ten nearest neighbours among many features: exact, compressed, in memory and on disk, and by other libraries.

    python -m analysis.benchmarks.retrieval [WORKSPACE] [--parts peers million ten-million] [--folder DIR] [--json]

peers        the workspace's own features, at most 100,000: scikit-learn, FAISS, usearch if it is installed, and ours
million      1,000,000 made-up vectors like them (how like is in a table), 4096 values each, in under 400 MB
ten-million  10,000,000 of those after a PCA to 256 values, the inverted lists on disk

Every table is made in one run with the same threads; all times are medians, of queries that no index holds and none was
tuned with. Exact search reads the float16 file block by block; the ratios are to its queries per second. What is made
is kept in the folder (8 and 16 GB), so that a run that was broken off goes on; delete it when you have finished.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors
from tqdm import tqdm

from alexnet_core.data import open_dataset
from alexnet_core.paths import data_home
from analysis.benchmarks.synthetic import AXES, BLOCK, NEAREST, SAMPLE, Mixer, Statistics, statistics, write_vectors
from analysis.retrieval import Features, Hits, Index, RetrievalError
from analysis.retrieval.lists import load_faiss
from analysis.retrieval.measure import BATCH, Search, batch_ms, recall_at, single_ms
from analysis.workspace import WorkspaceError, find_workspace, open_features

K = 10
TUNED = 200  # queries that an index is tuned with
ALONE = 5  # queries that exact search is timed with, one by one
REAL = 100_000  # real vectors, at most
MEMORY = 400_000_000  # bytes that an index of a million may take
KEPT = 256  # values of a vector after the PCA
HELD_OUT = 1 << 30  # number of the block that queries are drawn from
STREAMED = 16_384  # vectors that FAISS compares at once
PARTS = ("peers", "million", "ten-million")
MB = 1e6
EXACT = "ours, exact, float16 on disk"  # what ratios are to


class Row(NamedTuple):
    """One way of searching."""

    name: str
    build_s: float
    memory_mb: float  # what is kept in memory to search
    disk_mb: float  # of inverted lists
    recall: float  # at 10
    single_ms: float  # a query alone
    batch_ms: float  # a query among 100


class Likeness(NamedTuple):
    """One statistic of real and of made-up vectors."""

    name: str
    real: float
    made_up: float

    @property
    def difference(self) -> float:
        """Relative to the real."""
        return self.made_up / self.real - 1


@dataclass(frozen=True)
class Table:
    """The rows of one part; the ratios are to our exact search."""

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    likeness: list[Likeness] = field(default_factory=list)


class Real(NamedTuple):
    """Features of a workspace: the gallery, and those of other images."""

    name: str
    features: NDArray[np.float16]
    labels: NDArray[np.int64]
    queries: NDArray[np.float32]


def real_features(name: str, n: int = REAL, home: Path | None = None) -> Real:
    """At most n of the first split of a workspace, and 300 of its last one, evenly spread.

    Raises ``WorkspaceError`` if there is none, and ``ValueError`` if it has only one split.
    """
    workspace = find_workspace(name, home)
    images, features = open_dataset(workspace.dataset, home), open_features(workspace)
    first, last = workspace.splits[0], workspace.splits[-1]
    if first == last:
        raise ValueError(f"{name!r} has only {first!r}: queries must be of another split; choose another workspace.")
    count = images.splits[first].count
    asked = np.linspace(len(features) - images.splits[last].count, len(features) - 1, TUNED + BATCH).astype(np.int64)
    n = min(n, count)
    labels = np.asarray(images.split(first).labels[:n], np.int64)
    return Real(workspace.name, features[:count][:n], labels, np.asarray(features[asked], np.float32))


def peers(real: Real) -> Table:
    """The workspace's own features by several libraries."""
    features, tuned, asked = real.features, real.queries[:TUNED], real.queries[TUNED:]
    exact = Index("flat").fit(features, queries=tuned)
    true = exact.search(asked, K).rows
    lists = 2 ** round(np.log2(4 * len(features) ** 0.5))
    index = Index(f"PCA{KEPT},IVF{lists},SQ8").fit(features, queries=tuned)
    rows = [
        *_libraries(features, asked, true),
        _own(EXACT, exact, asked, true),
        _own(f"ours, {index.kind}", index, asked, true),
    ]
    return Table(f"{len(features):,} real features of {real.name}, {features.shape[1]:,} values", rows)


def million(real: Real, n: int, folder: Path) -> Table:
    """Made-up vectors, all values kept, the index in memory."""
    mixer, d = Mixer(real.features, real.labels), real.features.shape[1]
    vectors = _written(folder / f"vectors-{n}.npy", mixer.draw, n, d)
    like = likeness(statistics(real.features), statistics(vectors[: len(real.features)]))
    asked = mixer.draw(HELD_OUT, TUNED + BATCH).astype(np.float32)
    title = f"{n:,} made-up vectors like those of {real.name}, {d:,} values"
    return _scaled(title, vectors, asked, folder / f"index-{n}", like, memory=MEMORY)


def ten_million(real: Real, n: int, folder: Path) -> Table:
    """Made-up vectors along their principal axes, the lists on disk."""
    mixer, d = Mixer(real.features, real.labels), real.features.shape[1]
    kept = min(KEPT, d)
    mean, axes = _principal(mixer, kept)

    def project(block: int, count: int = BLOCK) -> NDArray[np.float16]:
        drawn = torch.from_numpy(mixer.draw(block, count)).float()
        projected: NDArray[np.float16] = ((drawn - mean) @ axes).half().numpy()
        return projected

    vectors = _written(folder / f"projected-{n}.npy", project, n, kept)
    asked = project(HELD_OUT, TUNED + BATCH).astype(np.float32)
    title = f"{n:,} made-up vectors like those of {real.name}, {kept} principal values, lists on disk"
    return _scaled(title, vectors, asked, folder / f"index-projected-{n}", [], on_disk=True)


def likeness(real: Statistics, made_up: Statistics) -> list[Likeness]:
    """The statistics side by side."""
    names = [
        "share of zeros",
        "length, mean",
        "length, standard deviation",
        *(f"variance along {axes} principal axes" for axes in AXES),
        *(f"distance to neighbour {k} / median distance" for k in NEAREST),
    ]
    pairs = zip(names, _flat(real), _flat(made_up), strict=True)
    return [Likeness(name, one, other) for name, one, other in pairs]


def _flat(values: Statistics) -> list[float]:
    return [values.zeros, values.length, values.length_spread, *values.shares, *values.nearest]


def _scaled(
    title: str, vectors: NDArray[np.float16], asked: NDArray[np.float32], place: Path, like: list[Likeness], **how: Any
) -> Table:
    """Exact search and an index that is chosen, of a file of vectors."""
    tuned, asked = asked[:TUNED], asked[TUNED:]
    exact = Index("flat").fit(vectors, queries=tuned)
    true = exact.search(asked, K).rows
    peak, held = _fitted(place, vectors, tuned, **how)
    before = _anonymous_mb()
    start = perf_counter()
    index = Index.open(place, vectors)
    notes = [index.explanation, f"opened in {perf_counter() - start:.1f} s"]
    if before is not None:
        notes[-1] += f", with {(_anonymous_mb() or 0) - before:,.0f} MB of memory that no file backs"
    if peak:
        notes.append(f"built with {peak:,.0f} MB of memory that no file backs at most, {held:,.0f} MB of it before")
    streamed = _row("FAISS flat, in blocks", _streamed(vectors), asked, true, build_s=0, memory=0, alone=ALONE)
    return Table(
        title,
        [
            streamed,
            _own(EXACT, exact, asked, true, alone=ALONE),
            _own(f"ours, {index.choice_.kind}", index, asked, true),
        ],
        notes,
        like,
    )


def _fitted(
    place: Path, vectors: NDArray[np.float16], tuned: NDArray[np.float32], **how: Any
) -> tuple[float | None, float]:
    """Fit and save an index that is not there yet; the most memory, and the memory before."""
    held = [_anonymous_mb() or 0.0]
    with suppress(RetrievalError):
        Index.open(place, vectors)
        return None, held[0]
    with tqdm(bar_format="{desc}", leave=False, disable=None) as bar:

        def tell(phase: str, done: int, total: int) -> None:
            held.append(_anonymous_mb() or 0.0)
            bar.set_description_str(f"{phase}: {done:,} of {total:,}")

        Index(**how).fit(vectors, queries=tuned, work=place.with_name(f"{place.name}-work"), progress=tell).save(place)
    return max(held), held[0]


def _own(name: str, index: Index, asked: NDArray[np.float32], true: NDArray[np.int64], *, alone: int = BATCH) -> Row:
    found = index.measured_
    return _row(
        name,
        index.search,
        asked,
        true,
        build_s=found.build_s,
        memory=found.bytes,
        disk=found.disk_bytes,
        alone=alone,
    )


def _libraries(features: NDArray[np.float16], asked: NDArray[np.float32], true: NDArray[np.int64]) -> Iterator[Row]:
    """Those that others have written; each is forgotten before the next is built."""
    dense = np.asarray(features, np.float32)
    ways: dict[str, Callable[[], tuple[Search, float]]] = {
        "scikit-learn NearestNeighbors, float32": partial(_scikit, dense),
        "FAISS IndexFlatL2, float32": partial(_faiss, dense),
    }
    if find_spec("usearch"):
        ways["usearch HNSW, float16"] = partial(_usearch, features)
    for name, build in tqdm(ways.items(), desc="libraries", leave=False, disable=None):
        start = perf_counter()
        search, memory = build()
        yield _row(name, search, asked, true, build_s=perf_counter() - start, memory=memory)
        del search


def _row(
    name: str,
    search: Search,
    asked: NDArray[np.float32],
    true: NDArray[np.int64],
    *,
    build_s: float,
    memory: float,
    disk: float = 0,
    alone: int = BATCH,
) -> Row:
    rows = search(asked, K).rows
    return Row(
        name=name,
        build_s=build_s,
        memory_mb=memory / MB,
        disk_mb=disk / MB,
        recall=recall_at(K, rows, true, first=K),
        single_ms=single_ms(search, asked[:alone], K),
        batch_ms=median(batch_ms(search, asked, K) for _ in range(3)),
    )


def _scikit(vectors: NDArray[np.float32]) -> tuple[Search, float]:
    fitted = NearestNeighbors(algorithm="brute").fit(vectors)

    def search(queries: NDArray[np.float32], k: int) -> Hits:
        distances, rows = fitted.kneighbors(queries, k)
        return Hits(rows, distances)

    return search, vectors.nbytes


def _faiss(vectors: NDArray[np.float32]) -> tuple[Search, float]:
    index = load_faiss().IndexFlatL2(vectors.shape[1])
    index.add(vectors)

    def search(queries: NDArray[np.float32], k: int) -> Hits:
        squares, rows = index.search(queries, k)
        return Hits(rows, np.sqrt(squares))

    return search, vectors.nbytes


def _streamed(vectors: Features) -> Search:
    """FAISS's flat search of one block after the other."""
    faiss = load_faiss()

    def search(queries: NDArray[np.float32], k: int) -> Hits:
        squares, rows = np.full((len(queries), 0), 0, np.float32), np.full((len(queries), 0), 0)
        for start in range(0, vectors.shape[0], STREAMED):
            block = torch.from_numpy(np.array(vectors[start : start + STREAMED])).float().numpy()
            near, found = faiss.knn(queries, block, min(k, len(block)))
            squares, rows = np.hstack([squares, near]), np.hstack([rows, found + start])
            best = np.argsort(squares, 1, kind="stable")[:, :k]
            squares, rows = np.take_along_axis(squares, best, 1), np.take_along_axis(rows, best, 1)
        return Hits(rows, np.sqrt(squares))

    return search


def _usearch(vectors: NDArray[np.float16]) -> tuple[Search, float]:
    from usearch.index import Index as Graph

    graph, threads = Graph(ndim=vectors.shape[1], metric="l2sq", dtype="f16"), torch.get_num_threads()
    graph.add(np.arange(len(vectors)), np.asarray(vectors), threads=threads)

    def search(queries: NDArray[np.float32], k: int) -> Hits:
        found = graph.search(queries.astype(np.float16), k, threads=threads)
        return Hits(found.keys.reshape(-1, k).astype(np.int64), np.sqrt(found.distances.reshape(-1, k)))

    return search, float(graph.memory_usage)


def _principal(mixer: Mixer, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean (d,) and the first principal axes (d, count) of made-up vectors."""
    sample = torch.from_numpy(
        np.concatenate([mixer.draw(HELD_OUT + 1 + number) for number in range(SAMPLE // BLOCK)])
    ).float()
    mean = sample.mean(0)
    _, axes = torch.linalg.eigh((sample - mean).T @ (sample - mean))
    return mean, axes.flip(1)[:, :count]


def _written(file: Path, draw: Callable[[int], NDArray[np.float16]], n: int, d: int) -> NDArray[np.float16]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tqdm(total=n, desc=f"drawing {file.name}", leave=False, disable=None) as bar:
        return write_vectors(file, draw, n, d, bar.update)


def _anonymous_mb() -> float | None:
    """Memory of this process that no file backs, where Linux tells."""
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next((int(line.split()[1]) * 1024 / MB for line in lines if line.startswith("RssAnon")), None)
    return None


def text(tables: Sequence[Table]) -> str:
    """The tables as text."""
    return "\n\n".join(_text(table) for table in tables)


def _text(table: Table) -> str:
    exact = next(row for row in table.rows if row.name == EXACT)
    head = f"{'build s':>8} {'memory MB':>10} {'disk MB':>9} {'recall@10':>10} {'ms alone':>10} {'ms of 100':>10}"
    lines = [table.title, f"{'':<40} {head} {'alone':>8} {'of 100':>8}"]
    for row in table.rows:
        name, build, memory, disk, recall, single, batch = row
        ratios = f"{exact.single_ms / single:>7,.1f}x {exact.batch_ms / batch:>7,.1f}x"
        lines.append(
            f"{name:<40} {build:>8,.1f} {memory:>10,.1f} {disk:>9,.1f} {recall:>10.3f} {single:>10,.2f} "
            f"{batch:>10,.3f} {ratios}"
        )
    lines += table.notes
    if table.likeness:
        lines.append(f"{'':<44} {'real':>9} {'made up':>9} {'difference':>11}")
    lines += [f"{one.name:<44} {one.real:>9.4f} {one.made_up:>9.4f} {one.difference:>+10.1%}" for one in table.likeness]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure how quickly, how well, and with how much memory neighbours are found."""
    parser = argparse.ArgumentParser(prog="python -m analysis.benchmarks.retrieval", description=main.__doc__)
    parser.add_argument(
        "workspace", nargs="?", default="tiny-imagenet", help="with two splits, whose features are built"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--real", type=int, default=REAL, help="real features, at most")
    parser.add_argument("--n", type=int, default=1_000_000, help="vectors of the part 'million'")
    parser.add_argument("--projected", type=int, default=10_000_000, help="vectors of the part 'ten-million'")
    parser.add_argument("--folder", type=Path, help="for what is made (default: retrieval-benchmark in $ALEXNET_HOME)")
    parser.add_argument("--home", type=Path, metavar="DIR", help="instead of $ALEXNET_HOME")
    parser.add_argument("--threads", type=int, help="torch's default if left out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    load_faiss().omp_set_num_threads(torch.get_num_threads())
    folder = options.folder or (options.home or data_home()) / "retrieval-benchmark"
    try:
        real = real_features(options.workspace, options.real, options.home)
        parts: dict[str, Callable[[], Table]] = {
            "peers": lambda: peers(real),
            "million": lambda: million(real, options.n, folder),
            "ten-million": lambda: ten_million(real, options.projected, folder),
        }
        tables = [parts[part]() for part in options.parts]
    except (FileNotFoundError, ValueError, WorkspaceError) as problem:
        parser.error(str(problem))
    threads = torch.get_num_threads()
    if options.json:
        sys.stdout.write(json.dumps({"threads": threads, "tables": [_values(table) for table in tables]}) + "\n")
    else:
        sys.stdout.write(f"{threads} thread(s), {BATCH} queries\n\n{text(tables)}\n")


def _values(table: Table) -> dict[str, Any]:
    named = {name: [row._asdict() for row in getattr(table, name)] for name in ("rows", "likeness")}
    return asdict(table) | named


if __name__ == "__main__":
    main()
