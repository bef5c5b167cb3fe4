"""Maps of a workspace's images: features projected onto a plane, by PCA at once, by t-SNE or UMAP beside the app.

``python -m analysis.projection WORKSPACE --method UMAP`` makes a map and keeps it in the workspace's folder.

    plan = MapPlan("t-SNE", neighbours=30, images=2000)
    open_map(workspace, plan)         -> ImageMap | None     if it was made
    make_map(workspace, plan)         -> ImageMap            computed and kept
    map.faithfulness                  -> how far neighbours on the map are neighbours in the features

What is missing or cannot be is a ``ValueError``, one sentence.
"""

from analysis.projection.layout import METHODS, Layout, Method, lay_out
from analysis.projection.maps import ImageMap, MapPlan, make_map, map_file, map_rows, open_map
from analysis.projection.measures import (
    Agreement,
    Faithfulness,
    agreement,
    correlation,
    faithfulness,
    nearest_on,
    tower_b_share,
)
from analysis.projection.sample import sample_rows

__all__ = [
    "METHODS",
    "Agreement",
    "Faithfulness",
    "ImageMap",
    "Layout",
    "MapPlan",
    "Method",
    "agreement",
    "correlation",
    "faithfulness",
    "lay_out",
    "make_map",
    "map_file",
    "map_rows",
    "nearest_on",
    "open_map",
    "sample_rows",
    "tower_b_share",
]
