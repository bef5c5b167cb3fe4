"""What a stage of a network gives for every image of a data set, kept in shards and read as one array.

``python -m analysis.features CHECKPOINT DATA --stage fc7``, under torchrun too. Row i is image i of the splits in the
order of the image store. Pages and other modules take everything from here:

    extract(checkpoint, images, ["fc7"])             -> [FeatureStore]   what is not there yet is computed
    open_features_of(checkpoint, images, "fc7")      -> FeatureStore     store[3:7], store[[8, 1]], store.labels()
    open_feature_store(folder)                       -> FeatureStore
    list_feature_stores(images.hash)                 -> [FeatureStore]

The readers raise ``ValueError``, one sentence, for what is missing, damaged or about something else.
"""

from analysis.features.extraction import extract
from analysis.features.store import (
    FeatureStore,
    list_feature_stores,
    open_feature_store,
    open_features_of,
    tap_of,
)

__all__ = ["FeatureStore", "extract", "list_feature_stores", "open_feature_store", "open_features_of", "tap_of"]
