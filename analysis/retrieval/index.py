"""An index of feature vectors: fitted, searched, grown, thinned out, saved and opened."""

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alexnet_core.files import sha256_of_values
from analysis.retrieval.checks import RetrievalError, as_mask, as_queries, check_same, fingerprint, shape_of
from analysis.retrieval.choose import FLAT, Choice, choose_index
from analysis.retrieval.codes import BLOCK, Codes
from analysis.retrieval.exact import search_exact, squared_lengths
from analysis.retrieval.measure import AT, Measured, batch_ms, recall_at, single_ms
from analysis.retrieval.metrics import METRICS, Features, Hits, Metric
from analysis.retrieval.rerank import Tuning, search_codes, tuned
from analysis.retrieval.saved import Manifest, read_index, write_index
from analysis.retrieval.work import MEASURING, READING, Progress, Work

AUTO = "auto"
FEWEST = 100  # vectors that codes are learned from
QUERIES = 200  # that are held out
FEW_BYTES = 32 << 20  # of features that are sooner compared than an index is searched


class Index:
    """Nearest neighbours among features (n, d), found by their row; distances are always exact (`distances_to`).

    `kind` is "flat" (exact), a factory string of FAISS such as "PCA256,IVF1024,SQ8", "PCA256,HNSW32_SQ8" or
    "OPQ32,IVF256,PQ32np" (codes say which rows to compare, the features decide), or "auto" (see `choose_index`).
    `memory` is a limit in bytes for "auto"; `recall` is the wanted recall@10, which approximate kinds are tuned to.
    The features stay where they are and are read by slices and arrays of rows. `on_disk` leaves inverted lists (kinds
    with "IVF") in a file, of which a search reads what it probes; `memory` then is for the rest.

    `fit` learns ``choice_`` (kind and why), ``tuning_``, ``measured_`` and ``live_`` (n,). Searching is safe in
    threads; fitting, adding and removing is not. FAISS and torch use the threads they are set to (OMP_NUM_THREADS).
    """

    features_: Features
    squares_: NDArray[np.float32]
    live_: NDArray[np.bool_]

    def __init__(
        self,
        kind: str = AUTO,
        *,
        metric: Metric = "euclidean",
        memory: int | None = None,
        recall: float = 0.95,
        seed: int = 0,
        on_disk: bool = False,
    ) -> None:
        self.kind = kind
        self.metric = metric
        self.memory = memory
        self.recall = recall
        self.seed = seed
        self.on_disk = on_disk

    def fit(
        self,
        features: Features,
        *,
        queries: ArrayLike | None = None,
        source: str = "",
        progress: Progress | None = None,
        work: Path | None = None,
    ) -> Self:
        """Build the index over all rows, tune it, and measure it on queries that it does not hold.

        `queries` (q, d) are such, of which 200 are used; by default some rows are held out and added last. `source`
        says what the features follow from, such as a hash; who opens the index can ask for it. `progress` is told the
        phase, how much of it is done, and of how much (see `analysis.retrieval.work`). `work` is a folder for what is
        done so far, from which the same fit goes on if it was killed; `save` deletes it. Lists on disk need one. Raises
        ``RetrievalError`` for features or a kind that cannot be.
        """
        vars(self).pop("measured_", None)  # not fitted until it is measured
        n, d = shape_of(features)
        self.choice_ = self._choice(n, d)
        if self.on_disk and self.choice_.kind != FLAT and (work is None or "IVF" not in self.choice_.kind):
            raise RetrievalError(
                f"Lists on disk need a kind with 'IVF' and a folder to work in, got {self.choice_.kind!r} and {work}: "
                "use Index('auto', on_disk=True).fit(features, work=folder)."
            )
        how = self.choice_.kind, self.metric, self.seed, queries is None, BLOCK
        self.work_ = Work(work, sha256_of_values(how, n, d, source, fingerprint(features, n)), progress)
        with self.work_.at_hand():
            self._fit(features, queries, source)
        return self

    def search(self, queries: ArrayLike, k: int, *, allowed: ArrayLike | None = None) -> Hits:
        """The k nearest rows of queries (q, d) or (d,), which are read as float32, and their exact distances.

        `allowed` are the rows that may be found: their numbers, or a mask (n,). Where they are few, all of them are
        compared. Where an approximate search finds fewer than it should, an exact one takes its place.
        """
        self._check_fitted()
        if k < 1:
            raise RetrievalError(f"The number of neighbours must be 1 or more, got {k}.")
        asked = as_queries(queries, self.features_.shape[1])
        mask = self.live_ if allowed is None else self.live_ & as_mask(allowed, len(self.live_))
        count = int(np.count_nonzero(mask))
        few = 4 * count * self.features_.shape[1] <= FEW_BYTES or count <= self.tuning_.candidates(k)
        if self.codes_ is None or few:
            return self._exact(asked, k, mask)
        return self._by_codes(self.codes_, asked, k, mask if count < len(mask) else None)

    def add(self, features: Features) -> Self:
        """Add the rows by which `features` (m, d) is longer than those known, which must be as they were."""
        self._check_fitted()
        n, d = len(self.live_), self.features_.shape[1]
        check_same(features, n, d, fingerprint(self.features_, n))
        squares = _squares(features, n)
        if self.codes_ is not None:
            self.codes_.add(features, np.arange(n, features.shape[0]))
        self.features_ = features
        self.squares_ = np.concatenate([self.squares_, squares])
        self.live_ = np.concatenate([self.live_, np.ones(len(squares), np.bool_)])
        return self

    def remove(self, rows: ArrayLike) -> Self:
        """Never find these rows again (their numbers, or a mask). The others keep their numbers, the index its size."""
        self._check_fitted()
        self.live_ = self.live_ & ~as_mask(rows, len(self.live_))
        return self

    def save(self, folder: Path) -> None:
        """Write the index to a folder; if that is broken off, the one that was there stays. Features are not copied."""
        self._check_fitted()
        n, d = len(self.live_), self.features_.shape[1]
        manifest = Manifest(
            kind=self.kind,
            metric=self.metric,
            memory=self.memory,
            recall=self.recall,
            seed=self.seed,
            on_disk=self.on_disk,
            shape=(n, d),
            fingerprint=fingerprint(self.features_, n),
            source=self.source_,
            choice=self.choice_,
            tuning=self.tuning_,
            measured=self.measured_,
        )
        write_index(folder, manifest, self.codes_, squares=self.squares_, live=self.live_)
        self.work_.remove()

    @classmethod
    def open(cls, folder: Path, features: Features, *, source: str | None = None) -> Self:
        """The index in a folder, of these features, which may have grown since (see `add`).

        Raises ``RetrievalError`` if there is none, it is damaged, or of other features or another `source`.
        """
        manifest, codes, arrays = read_index(folder)
        if source is not None and source != manifest.source:
            raise RetrievalError(f"The index in {folder} is of {manifest.source!r}, not {source!r}: fit it again.")
        n, d = manifest.shape
        check_same(features, n, d, manifest.fingerprint)
        index = cls(
            manifest.kind,
            metric=manifest.metric,
            memory=manifest.memory,
            recall=manifest.recall,
            seed=manifest.seed,
            on_disk=manifest.on_disk,
        )
        index.work_ = Work()
        index.features_, index.source_, index.codes_ = features, manifest.source, codes
        index.squares_, index.live_ = arrays["squares"], arrays["live"]
        index.choice_, index.tuning_, index.measured_ = manifest.choice, manifest.tuning, manifest.measured
        return index

    def __len__(self) -> int:
        """How many rows can be found."""
        self._check_fitted()
        return int(np.count_nonzero(self.live_))

    @property
    def explanation(self) -> str:
        """One sentence: what the index is, why, and what was measured."""
        self._check_fitted()
        found = self.measured_
        cost = (
            f"{found.single_ms:,.1f} ms a query alone, {found.batch_ms:,.2f} ms among 100, {found.bytes / 1e6:,.1f} MB"
        )
        if self.codes_ is None:
            return f"{self.choice_.reason}; measured: {cost}."
        short = "" if found.recall[1] >= self.recall else f" (asked for: {self.recall:g})"
        if found.disk_bytes:
            cost += f" in memory, {found.disk_bytes / 1e6:,.1f} MB on disk"
        return (
            f"{self.choice_.reason}; measured with {found.queries} queries that it does not hold: "
            f"recall@10 {found.recall[1]:.3f}{short}, before re-ranking {found.recall_of_codes[1]:.3f}; {cost}."
        )

    def _fit(self, features: Features, queries: ArrayLike | None, source: str) -> None:
        start, work = perf_counter(), self.work_
        n, d = features.shape
        squares = work.array("squares", lambda: _squares(features, work=work))
        held = np.empty(0, np.int64) if queries is not None else _sample(n, min(QUERIES, max(1, n // 10)), self.seed)
        asked = as_queries(features[held] if queries is None else np.asarray(queries)[:QUERIES], d)
        self.features_, self.source_, self.squares_ = features, source, squares
        self.live_, self.tuning_ = np.ones(n, np.bool_), Tuning(effort=1, factor=1)
        self.codes_: Codes | None = None
        if self.choice_.kind == FLAT:
            work.tell(MEASURING, 0, 1)
            self.measured_ = self._measured_flat(asked, perf_counter() - start)
            work.tell(MEASURING, 1, 1)
            return
        self.live_[held] = False  # until they have been looked for
        codes = self._learned(np.flatnonzero(self.live_), work)
        work.tell(MEASURING, 0, 1)
        self.measured_ = self._measured_codes(codes, asked, perf_counter() - start)
        work.tell(MEASURING, 1, 1)
        self.live_[held] = True
        codes.add(features, held)
        self.codes_ = codes

    def _choice(self, n: int, d: int) -> Choice:
        if self.metric not in METRICS:
            raise RetrievalError(f"The metric must be one of {list(METRICS)}, got {self.metric!r}.")
        if self.kind != AUTO:
            return Choice(self.kind, f"{self.kind}, as asked for {n:,} vectors of {d:,}", None)
        try:
            return choose_index(n, d, memory=self.memory, recall=self.recall, on_disk=self.on_disk)
        except ValueError as error:
            raise RetrievalError(str(error)) from error

    def _learned(self, rows: NDArray[np.int64], work: Work) -> Codes:
        """Codes of some rows, which need not be all."""
        if len(rows) < FEWEST:
            raise RetrievalError(
                f"{self.choice_.kind!r} is learned from {FEWEST} vectors, got {len(rows)}: use 'flat'."
            )
        try:
            codes = Codes.learn(self.choice_.kind, self.features_, rows, self.metric, seed=self.seed, work=work)
            codes.fill(self.features_, rows, work, on_disk=self.on_disk)
        except (ValueError, RuntimeError) as error:  # FAISS raises RuntimeError
            raise RetrievalError(f"{self.choice_.kind!r} cannot be built: {error}") from error
        return codes

    def _measured_flat(self, asked: NDArray[np.float32], build_s: float) -> Measured:
        whole = (1.0,) * len(AT)
        return Measured(
            queries=len(asked),
            recall=whole,
            recall_of_codes=whole,
            single_ms=single_ms(self._flat, asked),
            batch_ms=batch_ms(self._flat, asked),
            bytes=self._bytes(None),
            disk_bytes=0,
            build_s=build_s,
        )

    def _measured_codes(self, codes: Codes, asked: NDArray[np.float32], build_s: float) -> Measured:
        """Tune the search, then measure it, among the live rows, which are those of the codes."""
        true = self._exact(asked, min(max(AT), len(codes.rows)), self.live_).rows
        self.tuning_ = tuning = tuned(codes, self.features_, asked, true, self.recall)
        search = partial(self._by_codes, codes)
        near = [codes.candidates(asked, tuning.candidates(k), tuning.effort) for k in AT]
        return Measured(
            queries=len(asked),
            recall=tuple(recall_at(k, search(asked, k).rows, true, first=k) for k in AT),
            recall_of_codes=tuple(recall_at(k, rows, true, first=k) for k, rows in zip(AT, near, strict=True)),
            single_ms=single_ms(search, asked),
            batch_ms=batch_ms(search, asked),
            bytes=self._bytes(codes),
            disk_bytes=codes.disk.bytes[0] if codes.disk else 0,
            build_s=build_s,
        )

    def _by_codes(
        self, codes: Codes, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_] | None = None
    ) -> Hits:
        """Approximate among some rows, by default all live ones; exact for queries for which too few are found."""
        hits = search_codes(codes, self.features_, queries, k, self.tuning_, mask)
        if len(short := np.flatnonzero(hits.rows[:, -1] < 0)):
            live = self.live_ if mask is None else mask
            hits.rows[short], hits.distances[short] = self._exact(queries[short], k, live)
        return hits

    def _flat(self, queries: NDArray[np.float32], k: int) -> Hits:
        return self._exact(queries, k, self.live_)

    def _exact(self, queries: NDArray[np.float32], k: int, mask: NDArray[np.bool_]) -> Hits:
        return search_exact(self.features_, queries, k, self.metric, squares=self.squares_, allowed=mask)

    def _bytes(self, codes: Codes | None) -> int:
        return self.squares_.nbytes + self.live_.nbytes + (codes.bytes if codes else 0)

    def _check_fitted(self) -> None:
        if not hasattr(self, "measured_"):
            raise RetrievalError(
                "This index has nothing in it yet: call fit(features), or Index.open(folder, features)."
            )


def _squares(features: Features, start: int = 0, work: Work | None = None) -> NDArray[np.float32]:
    tell = partial((work or Work()).tell, READING)
    try:
        return squared_lengths(features, start, tell)
    except ValueError as error:
        raise RetrievalError(str(error)) from error


def _sample(n: int, count: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).choice(n, count, replace=False))
