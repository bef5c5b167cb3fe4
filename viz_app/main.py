"""Entry point: ``streamlit run viz_app/main.py``. Frame of all pages: menu and choice of workspace."""

import sys
from pathlib import Path

# Streamlit puts viz_app/ on sys.path, not its parent, so the sibling packages would be missing.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

import streamlit as st

from viz_app.inputs import workspace_picker
from viz_app.menu import PAGES

st.set_page_config(page_title="AlexNet, two towers", page_icon="🗼", layout="wide")
page = st.navigation([st.Page(row.file, title=row.title, icon=row.icon, url_path=row.url or None) for row in PAGES])
with st.sidebar:
    workspace_picker()
page.run()
