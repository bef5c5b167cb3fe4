"""The app must start from any working directory without PYTHONPATH (style: Streamlit pitfall 1)."""

import os
import subprocess
import sys
from pathlib import Path

MAIN = Path(__file__).resolve().parents[1] / "viz_app" / "main.py"
SCRIPT = """
import sys
from streamlit.testing.v1 import AppTest
app = AppTest.from_file(sys.argv[1], default_timeout=120).run()
assert not app.exception, [error.value for error in app.exception]
print(app.title[0].value)
"""


def test_first_page_opens_from_a_foreign_directory(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(MAIN)], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip(), "the first page has no title"
