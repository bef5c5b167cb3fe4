"""Retrieval by features: indexes, exact and approximate, and how good the neighbours are.

    Index("auto", metric="euclidean", memory=400_000_000, recall=0.95).fit(features, queries=held_out)   -> Index
    Index(on_disk=True).fit(features, progress=tell, work=folder)      lists in a file; a killed fit goes on
    index.search(queries, k, allowed=rows or mask)   -> Hits(rows (q, k), distances (q, k)), nearest first
    index.add(longer_features), index.remove(rows)   -> Index; removed rows keep their numbers and are never found
    index.save(folder), Index.open(folder, features, source=...)
    index.explanation, index.choice_, index.tuning_, index.measured_, len(index)
    choose_index(n, d, memory=..., recall=...)             -> Choice(kind, reason, bytes)
    read_manifest(folder)                            -> Manifest, without opening the index
    distances_to(query, vectors, metric)             -> what all distances are

Metrics: "euclidean" (not squared), "cosine" (1 - cosine), "inner product" (the largest is the nearest). Of equals the
smaller row is found first. Features are anything (n, d) that gives slices and arrays of rows; they are not copied.
Whatever cannot be is a ``RetrievalError``, one sentence. How good neighbours are: `analysis.retrieval.quality`.
"""

from analysis.retrieval.checks import RetrievalError
from analysis.retrieval.choose import Choice, choose_index
from analysis.retrieval.index import Index
from analysis.retrieval.measure import AT, Measured
from analysis.retrieval.metrics import METRICS, Features, Hits, Metric, distances_to
from analysis.retrieval.rerank import Tuning
from analysis.retrieval.saved import Manifest, read_manifest
from analysis.retrieval.work import Progress

__all__ = [
    "AT",
    "METRICS",
    "Choice",
    "Features",
    "Hits",
    "Index",
    "Manifest",
    "Measured",
    "Metric",
    "Progress",
    "RetrievalError",
    "Tuning",
    "choose_index",
    "distances_to",
    "read_manifest",
]
