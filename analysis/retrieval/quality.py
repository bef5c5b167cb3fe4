"""How good the nearest neighbours in a feature space are: precision@k, MAP@R and hubness, by tower and by scaling.

Neighbours are exact: squared Euclidean distances from float32 matrix products, block by block, equal ones in the order
of their rows. Memory does not grow with the number of images, apart from the results; whitened features are kept in a
temporary file. A query that is in the gallery never finds itself (leave-one-out). Relevant are the gallery images with
the query's label; queries without any are not counted.

- precision@k: share of relevant images among the k nearest.
- MAP@R: average precision of the R nearest, where R is the number of relevant images: the mean over ranks 1..R of
  precision@rank, irrelevant ranks counting 0; then the mean over queries (Musgrave, Belongie and Lim 2020, "A Metric
  Learning Reality Check"). Average precision of the whole ranking would need a full sort per query.
- Hubness: skewness of N_10, how often each gallery image is among a query's ten nearest (Radovanović, Nanopoulos and
  Ivanović 2010, "Hubs in Space", JMLR 11); 0 for a symmetric spread, large where few images are near to all.

Features are compared as a whole ("all") and by tower, of which each has an equal part of the units, in order.
Scalings: "raw"; "L2", each vector to length 1, so that the order is that of the cosine; "whitened", principal
components of a sample of the gallery to unit variance; "whitened + L2", both (Jégou and Chum, ECCV 2012).

The halves of fc7 are what each tower computes in its last hidden layer, but conv3, fc6 and fc7 read both towers: each
half has seen what both computed. A difference between them is no difference between two separate networks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from tqdm import tqdm

from alexnet_core.checkpoint import load_checkpoint
from alexnet_core.prism import CLASS_NAMES, hue_of, shape_of
from analysis.features import open_features_of
from analysis.retrieval.metrics import Features
from analysis.stats import Interval
from analysis.workspace import Workspace, WorkspaceError, about, open_features, open_images, open_predictions
from analysis.workspace.artefacts import read_card
from analysis.workspace.registry import checkpoint_place

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

KS = (1, 5, 10)
WHOLE = "all"
COMPONENTS = 256  # of the whitened features, at most
SAMPLE = 16_384  # gallery images that principal components are fitted on, at most
HUB_K = 10
MEMORY = 2**26  # bytes for distances and the nearest so far
_BLOCK = 1024  # gallery images compared at a time
_RESAMPLES = 1000
_RESAMPLED = 100  # held at a time


class Kind(NamedTuple):
    """Features that images are compared by."""

    part: str  # `WHOLE`, "tower A" or "tower B"
    scaling: str  # "raw", "L2", "whitened" or "whitened + L2"


PAPER = Kind(WHOLE, "raw")  # Krizhevsky, Sutskever and Hinton 2012, section 6.1: Euclidean distance in the last layer


class Estimate(NamedTuple):
    """A number with its 95 % bootstrap interval."""

    value: float
    interval: Interval


class Whitening(NamedTuple):
    """The principal components of one part."""

    part: str
    components: int
    variance: float  # their share of the sample's
    sample: int  # gallery images that they were fitted on


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What every query scored, by every kind of features."""

    ks: tuple[int, ...]
    n_queries: int
    n_gallery: int
    left_out: int  # queries that are in the gallery and must not find themselves
    kinds: tuple[Kind, ...]
    relevant: Mapping[str, Ints]  # by factor, (queries,): R
    scores: Mapping[str, Floats]  # by factor, (queries, kinds, measures)
    occurrences: Ints  # (kinds, n_gallery): N_10
    whitenings: tuple[Whitening, ...]

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the last axis of the scores."""
        return (*(f"P@{k}" for k in self.ks), "MAP@R")

    def counted(self, factor: str) -> NDArray[np.bool_]:
        """Queries with at least one relevant image, (queries,)."""
        return self.relevant[factor] > 0

    def chance(self, factor: str) -> float:
        """Expected precision@k of a random order of the gallery."""
        return float(self.relevant[factor][self.counted(factor)].mean() / (self.n_gallery - (self.left_out > 0)))


class Row(NamedTuple):
    """Means over the queries for one kind of features."""

    factor: str
    kind: Kind
    means: tuple[Estimate, ...]  # as `Quality.measures`


class Difference(NamedTuple):
    """What one kind of features scores more than another on the same queries."""

    factor: str
    kind: Kind
    less: Kind
    means: tuple[Estimate, ...]  # as `Quality.measures`


class Hubs(NamedTuple):
    """How unevenly gallery images are found."""

    kind: Kind
    skewness: Estimate  # of N_10; the interval is by bootstrap over gallery images
    most: int  # N_10 of the largest hub
    never: float  # share of the gallery that is among nobody's ten nearest


def retrieval_quality(
    features: Features,
    factors: Mapping[str, Ints],
    queries: Ints,
    gallery: range,
    *,
    ks: Sequence[int] = KS,
    towers: int = 2,
    components: int = COMPONENTS,
    progress: bool = False,
) -> Quality:
    """Score the nearest neighbours among `gallery` (rows, step 1) of each row in `queries`, by every kind of features.

    `features` (n, d) are finite; the d columns belong to `towers` equal parts in order.
    `factors` are labels (n,) from 0 by name. Whitened features are the first `components` principal components, fewer
    where there are fewer columns or images. Raises ``ValueError`` for what cannot be compared.
    """
    asked = _ask(features, factors, np.asarray(queries, np.int64), gallery, ks)
    if features.shape[1] % towers:
        raise ValueError(f"{features.shape[1]} units cannot be shared equally by {towers} towers.")
    if components < 1:
        raise ValueError(f"Whitened features need at least 1 principal component, got {components}.")
    found = []
    for space in _spaces(features, gallery, towers, components, progress):
        found.append((space.kinds, space.whitening, *_answers(space, asked, progress)))
        del space  # its temporary file is given back
    return Quality(
        ks=asked.ks,
        n_queries=len(asked.queries),
        n_gallery=len(gallery),
        left_out=int(np.isin(asked.queries, gallery).sum()),
        kinds=tuple(kind for kinds, *_ in found for kind in kinds),
        relevant=asked.relevant,
        scores={name: np.concatenate([scores[name] for *_, scores, _ in found], axis=1) for name in factors},
        occurrences=np.concatenate([occurrences for *_, occurrences in found]),
        whitenings=tuple(whitening for _, whitening, *_ in found if whitening),
    )


def workspace_quality(
    workspace: Workspace,
    *,
    stage: str = "fc7",
    ks: Sequence[int] = KS,
    n_queries: int | None = None,
    components: int = COMPONENTS,
    progress: bool = False,
) -> Quality:
    """Score a workspace's features: its last split asks, the others are the gallery; a lone split asks itself.

    Features of a `stage` other than fc7 must have been computed by `analysis.features`. Of the queries
    `n_queries` are taken, evenly spread, else all. Factors: class; shape and hue where the classes are Prism's.
    Raises ``WorkspaceError`` for what is missing or cannot be compared.
    """
    table, features = open_predictions(workspace), _features(workspace, stage)
    told, labels = about(table), table["label"].to_numpy().astype(np.int64)
    last = max(told.firsts.values())
    queries = np.arange(last, len(labels))
    if n_queries is not None:
        queries = queries[np.linspace(0, len(queries) - 1, min(max(n_queries, 0), len(queries))).astype(np.int64)]
    factors = {"class": labels}
    if told.class_names == CLASS_NAMES:
        factors |= {"shape": shape_of(labels), "hue": hue_of(labels)}
    towers = 1 if stage == "fc8" else read_card(workspace)["config"]["towers"]  # fc8's units are classes
    gallery = range(last or len(labels))
    try:
        return retrieval_quality(
            features, factors, queries, gallery, ks=ks, towers=towers, components=components, progress=progress
        )
    except ValueError as error:
        raise WorkspaceError(f"Workspace {workspace.name!r}: {error}") from error


def rows(quality: Quality, rng: np.random.Generator) -> list[Row]:
    """Means over the queries, by factor and kind.

    The intervals (percentiles of a bootstrap over queries) say what other queries would give, not what another
    gallery or network would.
    """
    found = []
    for factor in quality.scores:
        means, draws = _means(quality, factor, rng)
        found += [Row(factor, kind, _estimates(means[i], draws[:, i])) for i, kind in enumerate(quality.kinds)]
    return found


def differences(
    quality: Quality, rng: np.random.Generator, pairs: Sequence[tuple[Kind, Kind]] | None = None
) -> list[Difference]:
    """What the first of each pair of kinds scores more than the second, with intervals as in `rows`, paired by query.

    Without `pairs`: every kind less the paper's, and tower B less tower A for each scaling.
    """
    found = []
    place = {kind: i for i, kind in enumerate(quality.kinds)}
    for factor in quality.scores:
        means, draws = _means(quality, factor, rng)
        for kind, less in usual_pairs(quality.kinds) if pairs is None else pairs:
            i, j = place[kind], place[less]
            found.append(Difference(factor, kind, less, _estimates(means[i] - means[j], draws[:, i] - draws[:, j])))
    return found


def usual_pairs(kinds: Sequence[Kind]) -> list[tuple[Kind, Kind]]:
    """Every kind with the paper's, then tower B with tower A for each scaling."""
    by_part = [[kind for kind in kinds if kind.part == part] for part in ("tower B", "tower A")]
    return [(kind, PAPER) for kind in kinds if kind != PAPER] + list(zip(*by_part, strict=True))


def hubs(quality: Quality, rng: np.random.Generator) -> list[Hubs]:
    """Hubness by kind of features."""
    found = []
    for kind, occurrences in zip(quality.kinds, quality.occurrences, strict=True):
        counts = np.bincount(occurrences)
        draws = rng.multinomial(len(occurrences), counts / counts.sum(), size=_RESAMPLES)
        (skewness,) = _estimates(_skewness(counts[None]), _skewness(draws)[:, None])
        found.append(Hubs(kind, skewness, len(counts) - 1, float(counts[0] / counts.sum())))
    return found


def chance_skewness(quality: Quality) -> float:
    """Skewness of N_10 if every query found ten gallery images at random: that of the binomial distribution."""
    share = HUB_K / quality.n_gallery
    return float((1 - 2 * share) / np.sqrt(quality.n_queries * share * (1 - share)))


def _features(workspace: Workspace, stage: str) -> Features:
    """Features whose row i is image i of the workspace."""
    if stage == "fc7":
        return open_features(workspace)
    checkpoint, images = load_checkpoint(checkpoint_place(workspace)), open_images(workspace)
    splits = workspace.splits or tuple(images.splits)
    try:
        found = open_features_of(checkpoint, images, stage, splits=splits, home=workspace.home)
    except ValueError as error:
        raise WorkspaceError(str(error)) from error
    if tuple(found.splits) != splits:
        raise WorkspaceError(f"The features of {stage} are in the order {tuple(found.splits)}, the images in {splits}.")
    return found


class _Asked(NamedTuple):
    """Which images are sought for which, the same for all features."""

    factors: Mapping[str, Ints]  # labels (n,)
    queries: Ints
    gallery: range
    ks: tuple[int, ...]
    relevant: Mapping[str, Ints]  # (queries,)
    depth: int  # neighbours that the scores need


class _Space(NamedTuple):
    """Features of which one matrix product serves several kinds: distances add up over sets of columns."""

    features: Features  # (n, d)
    cuts: Sequence[slice]  # sets of columns
    parts: Mapping[str, slice]  # the cuts that make up each part
    scalings: tuple[str, str]  # as they are, and to length 1
    whitening: Whitening | None = None

    @property
    def kinds(self) -> list[Kind]:
        """Every part in both scalings."""
        return [Kind(part, scaling) for part in self.parts for scaling in self.scalings]


def _ask(features: Features, factors: Mapping[str, Ints], queries: Ints, gallery: range, ks: Sequence[int]) -> _Asked:
    if not factors or any(len(labels) != features.shape[0] for labels in factors.values()):
        raise ValueError(f"At least one factor is needed, with a label for each of the {features.shape[0]} images.")
    among = len(gallery) - bool(np.isin(queries, gallery).any())
    if not len(queries) or among < max((HUB_K, *ks)) or min(ks, default=0) < 1:
        raise ValueError(
            f"There must be queries, k of at least 1, and max(k, {HUB_K}) images to find; "
            f"got {len(queries)} queries, k {list(ks)} and {among} images."
        )
    relevant = {name: _relevant(labels, queries, gallery) for name, labels in factors.items()}
    if lonely := [name for name, found in relevant.items() if not found.any()]:
        raise ValueError(f"No query shares its {' or '.join(lonely)} with another image of the gallery.")
    depth = max(HUB_K, *ks, *(int(found.max()) for found in relevant.values()))
    return _Asked(factors, queries, gallery, tuple(ks), relevant, depth)


def _relevant(labels: Ints, queries: Ints, gallery: range) -> Ints:
    """How many gallery images other than itself share each query's label, (queries,)."""
    counts = np.bincount(labels[gallery.start : gallery.stop], minlength=int(labels.max()) + 1)
    found: Ints = counts[labels[queries]] - np.isin(queries, gallery)
    return found


def _spaces(features: Features, gallery: range, towers: int, components: int, progress: bool) -> Iterator[_Space]:
    """The features themselves, then each part whitened, in a temporary file for as long as it is needed."""
    width = features.shape[1] // towers
    cuts = [slice(i * width, (i + 1) * width) for i in range(towers)]
    parts = {WHOLE: slice(towers)}
    if towers > 1:
        parts |= {f"tower {ascii_uppercase[i]}": slice(i, i + 1) for i in range(towers)}
    yield _Space(features, cuts, parts, ("raw", "L2"))
    for part, some in parts.items():
        columns = slice(cuts[some][0].start, cuts[some][-1].stop)
        with TemporaryFile() as file:
            yield _whitened(features, part, columns, gallery, components, file, progress)


def _whitened(
    features: Features, part: str, columns: slice, gallery: range, components: int, file: IO[bytes], progress: bool
) -> _Space:
    """Principal components of some columns of all rows, fitted on a sample of the gallery, each of unit variance."""
    spread = np.linspace(gallery.start, gallery.stop - 1, min(SAMPLE, len(gallery))).astype(np.int64)
    sample = np.asarray(features[spread][:, columns], np.float32)
    pca = PCA(min(components, sample.shape[1], len(sample) - 1), whiten=True, svd_solver="covariance_eigh").fit(sample)
    whitened = np.memmap(file, np.float32, "w+", shape=(features.shape[0], pca.n_components_))
    for start in tqdm(range(0, features.shape[0], _BLOCK), desc=f"{part}, whitening", disable=not progress):
        block = np.asarray(features[start : start + _BLOCK][:, columns], np.float32)
        whitened[start : start + _BLOCK] = pca.transform(block)
    told = Whitening(part, int(pca.n_components_), float(pca.explained_variance_ratio_.sum()), len(sample))
    return _Space(whitened, [slice(None)], {part: slice(1)}, ("whitened", "whitened + L2"), told)


def _answers(space: _Space, asked: _Asked, progress: bool) -> tuple[dict[str, Floats], Ints]:
    """Scores (queries, kinds, measures) by factor, and how often each gallery image was found (kinds, n_gallery)."""
    n, kinds = len(asked.queries), len(space.kinds)
    scores: dict[str, Floats] = {name: np.empty((n, kinds, len(asked.ks) + 1)) for name in asked.factors}
    occurrences: Ints = np.zeros((kinds, len(asked.gallery)), np.int64)
    size = max(1, MEMORY // (8 * (kinds * asked.depth + 4 * _BLOCK)))
    title = f"{', '.join(space.parts)}: {space.scalings[0]}"
    with tqdm(total=n, desc=title, unit="query", disable=not progress) as bar:
        for some in (slice(start, min(start + size, n)) for start in range(0, n, size)):
            for i, nearest in enumerate(_nearest(space, asked.queries[some], asked.gallery, asked.depth)):
                occurrences[i] += np.bincount(nearest[:, :HUB_K].ravel(), minlength=len(asked.gallery))
                for name, labels in asked.factors.items():
                    hits = labels[asked.gallery.start + nearest] == labels[asked.queries[some], None]
                    scores[name][some, i] = _scores(hits, asked.relevant[name][some], asked.ks)
            bar.update(some.stop - some.start)
    return scores, occurrences


def _nearest(space: _Space, queries: Ints, gallery: range, count: int) -> Ints:
    """Positions in the gallery of the `count` nearest images for each kind and query, (kinds, queries, count)."""
    asked = np.asarray(space.features[queries], np.float32)
    norms = _square_norms(space, asked)
    best = np.full((len(space.kinds), len(queries), count), np.iinfo(np.int64).max)
    for start in range(gallery.start, gallery.stop, _BLOCK):
        block = np.asarray(space.features[start : min(start + _BLOCK, gallery.stop)], np.float32)
        own = np.nonzero((queries >= start) & (queries < start + len(block)))[0]
        for i, distances in enumerate(_distances(space, asked, norms, block)):
            distances[own, queries[own] - start] = np.inf
            best[i] = _smallest(best[i], distances, start - gallery.start)
    best.sort(axis=2)
    best &= 0xFFFF_FFFF
    return best


def _square_norms(space: _Space, features: Floats) -> Floats:
    """Squared length of each cut of some rows, (cuts, rows)."""
    norms = np.stack([np.einsum("ij,ij->i", features[:, cut], features[:, cut]) for cut in space.cuts])
    if not np.isfinite(norms).all():
        raise ValueError("The features hold values that are not finite; build them again.")
    return norms


def _distances(space: _Space, asked: Floats, norms: Floats, block: Floats) -> Iterator[Floats]:
    """Squared Euclidean distances (queries, block) for each kind in turn."""
    products = np.stack([asked[:, cut] @ block[:, cut].T for cut in space.cuts])
    block_norms = _square_norms(space, block)
    for cuts in space.parts.values():
        product, first, second = products[cuts].sum(0), norms[cuts].sum(0)[:, None], block_norms[cuts].sum(0)
        yield np.maximum(first + second - 2 * product, 0)
        cosine = product * (_inverse_root(first) * _inverse_root(second))
        yield np.maximum(np.float32(first > 0) + np.float32(second > 0) - 2 * cosine, 0)


def _inverse_root(squares: Floats) -> Floats:
    """1 / sqrt; 0 stays 0, as a vector without length has none to be divided by."""
    return np.divide(1, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)


def _smallest(best: Ints, distances: Floats, first: int) -> Ints:
    """The smallest of the keys so far and of new distances, of the positions from `first` on, in no order.

    A key is a distance's bits, which rise with it, above its position: equal distances rank by position.
    """
    count = best.shape[1]
    keys = np.empty((len(best), count + distances.shape[1]), np.int64)
    keys[:, :count] = best
    keys[:, count:] = distances.view(np.int32)
    keys[:, count:] <<= 32
    keys[:, count:] |= np.arange(first, first + distances.shape[1])
    keys.partition(count - 1, axis=1)
    return keys[:, :count]


def _scores(hits: NDArray[np.bool_], relevant: Ints, ks: Sequence[int]) -> Floats:
    """precision@k for each k, then average precision at R, (queries, len(ks) + 1), of hits (queries, count) by rank."""
    found, ranks = hits.cumsum(1), np.arange(1, hits.shape[1] + 1)
    counted = hits & (ranks <= relevant[:, None])
    average = (counted * found / ranks).sum(1) / np.maximum(relevant, 1)
    return np.column_stack([*(found[:, k - 1] / k for k in ks), average])


def _means(quality: Quality, factor: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Means over the queries (kinds, measures), and of resampled queries (resamples, kinds, measures)."""
    scores = quality.scores[factor][quality.counted(factor)]
    n, flat = len(scores), scores.reshape(len(scores), -1)
    shares = np.full(n, 1 / n)
    draws = [rng.multinomial(n, shares, size=_RESAMPLED) / n @ flat for _ in range(0, _RESAMPLES, _RESAMPLED)]
    return scores.mean(0), np.concatenate(draws).reshape(-1, *scores.shape[1:])


def _estimates(values: Floats, draws: Floats) -> tuple[Estimate, ...]:
    """Values (m,) with the 95 % percentile intervals of their draws (resamples, m)."""
    ends = np.quantile(draws, (0.025, 0.975), axis=0).T
    pairs = zip(values.tolist(), ends.tolist(), strict=True)
    return tuple(Estimate(value, Interval(low, high)) for value, (low, high) in pairs)


def _skewness(counts: Ints) -> Floats:
    """E[(N - mean)^3] / sd^3 of whole numbers N = 0, 1, ..., given how often each occurs (..., numbers)."""
    shares = counts / counts.sum(-1, keepdims=True)
    numbers = np.arange(counts.shape[-1])
    centred = numbers - (shares @ numbers)[..., None]
    variance, third = ((shares * centred**power).sum(-1) for power in (2, 3))
    skewness: Floats = np.divide(third, variance**1.5, out=np.zeros_like(third), where=variance > 0)
    return skewness
