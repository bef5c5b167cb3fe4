"""The menu as rows; the first one is the home page, whose address Streamlit keeps empty."""

from typing import NamedTuple


class Row(NamedTuple):
    """One page: its script under viz_app/, its title, its Material icon and its address."""

    file: str
    title: str
    icon: str
    url: str


PAGES = (
    Row("views/image.py", "Inspect", ":material/image_search:", ""),
    Row("views/kernels.py", "Kernels", ":material/grid_view:", "kernels"),
    Row("views/towers.py", "Towers", ":material/cell_tower:", "towers"),
    Row("views/errors.py", "Errors", ":material/error:", "errors"),
    Row("views/retrieval.py", "Retrieval", ":material/travel_explore:", "retrieval"),
    Row("views/workspaces.py", "Workspaces", ":material/folder_open:", "workspaces"),
)
