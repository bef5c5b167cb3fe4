import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from analysis.retrieval import RetrievalError
from analysis.retrieval.work import Work


def test_without_a_folder_everything_is_made_again() -> None:
    work, made = Work(), []
    for _ in range(2):
        with work.at_hand():
            work.array("a", lambda: made.append(1) or np.arange(3))
    assert made == [1, 1]


def test_what_is_kept_is_not_made_again_and_is_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        work = Work(tmp_path / "work", "key")
        with work.at_hand():
            array = work.array("a", lambda: np.random.default_rng().random(5))
    with work.at_hand():
        assert (work.array("a", lambda: np.zeros(5)) == array).all()
    work.remove()
    assert list((tmp_path / "work").iterdir()) == []


def test_what_another_fit_has_kept_is_deleted(tmp_path: Path) -> None:
    for key in ("one", "other"):
        work = Work(tmp_path, key)
        with work.at_hand():
            assert work.array(key, lambda: np.zeros(1)).size
    assert sorted(file.name for file in (tmp_path / "unfinished").iterdir()) == ["key", "other.npy"]


def test_files_of_others_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.npy").write_bytes(b"1")
    work = Work(tmp_path, "key")
    with work.at_hand():
        work.array("a", lambda: np.zeros(1))
    work.remove()
    assert [file.name for file in tmp_path.iterdir()] == ["mine.npy"]


def test_two_fits_at_work_in_one_folder_are_refused(tmp_path: Path) -> None:
    work = Work(tmp_path, "key")
    with FileLock(tmp_path / "unfinished.lock"), pytest.raises(RetrievalError, match="Another fit"), work.at_hand():
        pass


def test_a_fit_that_is_killed_at_random_moments_goes_on_and_ends_as_if_it_had_not_been() -> None:
    command = [sys.executable, "-m", "tests.analysis.retrieval.kill_fit", "--times", "3"]
    run = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("as if it had not been killed") == 2
