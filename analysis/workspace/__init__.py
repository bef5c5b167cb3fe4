"""Workspaces: one checkpoint, one labelled image set, and all that was computed from the two.

``python -m analysis.workspace build|list|show|verify|remove NAME``. Row i of every artefact is image i of the
gallery: the workspace's splits in order, the images of each in store order. Pages and other modules take
everything from here:

    find_workspace("prism")            -> Workspace      list_workspaces(), default_workspace()
    create_workspace("my-photos", checkpoint="tiny-imagenet-127", images=Path("photos"))
    build_workspace("prism", report=print)               what is missing or stale, and nothing else
    state_of(workspace)                -> State          per artefact fresh, stale or missing, with its bytes
    manifest_of(workspace)             -> Manifest|None  hashes, rates, and how good a linear head is
    read_progress(workspace)           -> Progress|None  of a build in any process, but for the fetching of images
    open_images(workspace)             -> ImageStore     the images themselves
    open_predictions(workspace)        -> pyarrow.Table  see analysis.predictions; about(table) gives the classes
    open_features(workspace)           -> float16 (n, 4096), memory-mapped: relu7 of the central crop
    open_thumbnails(workspace)         -> Thumbnails     [i] is a JPEG
    open_index(workspace)              -> Index          Euclidean distance between features, see analysis.retrieval
    open_head(workspace)               -> Head | None    None where the classes are the checkpoint's

The readers raise ``WorkspaceError``, one sentence, for what is missing, stale or damaged.
"""

from analysis.predictions import About, about
from analysis.workspace.artefacts import (
    Artefact,
    Manifest,
    State,
    manifest_of,
    open_features,
    open_head,
    open_index,
    open_predictions,
    open_thumbnails,
    state_of,
    verify_workspace,
)
from analysis.workspace.building import build_workspace, create_workspace, own_images, remove_workspace
from analysis.workspace.head import Head
from analysis.workspace.progress import Progress, read_progress
from analysis.workspace.registry import (
    BUILT_IN,
    Workspace,
    WorkspaceError,
    default_workspace,
    find_workspace,
    list_workspaces,
    open_images,
    workspace_folder,
)
from analysis.workspace.thumbnails import Thumbnails

__all__ = [
    "BUILT_IN",
    "About",
    "Artefact",
    "Head",
    "Manifest",
    "Progress",
    "State",
    "Thumbnails",
    "Workspace",
    "WorkspaceError",
    "about",
    "build_workspace",
    "create_workspace",
    "default_workspace",
    "find_workspace",
    "list_workspaces",
    "manifest_of",
    "open_features",
    "open_head",
    "open_images",
    "open_index",
    "open_predictions",
    "open_thumbnails",
    "own_images",
    "read_progress",
    "remove_workspace",
    "state_of",
    "verify_workspace",
    "workspace_folder",
]
