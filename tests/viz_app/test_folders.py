"""A folder from the browser is kept inside the data home, read once, and refused with a clear sentence."""

import os
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from viz_app.folders import FEWEST, FORGOTTEN, forget, keep, look_through, uploads_dir


def picture(seed: int = 0) -> bytes:
    file = BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def folder(**classes: int) -> list[tuple[str, bytes]]:
    """Files as a browser names them."""
    return [(f"photos/{name}/{i}.png", picture(i)) for name, count in classes.items() for i in range(count)]


def test_a_folder_of_classes_is_counted() -> None:
    found = look_through(keep(folder(cats=6, dogs=5)))
    assert found.classes == {"cats": 6, "dogs": 5}
    assert found.bytes == sum(len(data) for _, data in folder(cats=6, dogs=5))
    assert (found.left_out, found.problem) == ([], "")


def test_classes_at_the_top_and_ready_made_splits_are_understood() -> None:
    flat = [(path.removeprefix("photos/"), data) for path, data in folder(cats=5, dogs=5)]
    assert look_through(keep(flat)).classes == {"cats": 5, "dogs": 5}
    split = [
        (f"photos/{part}/{path.removeprefix('photos/')}", data) for part in ("train", "val") for path, data in flat
    ]
    assert look_through(keep((path.replace("photos/", "", 1), data) for path, data in split)).classes == {
        "cats": 10,
        "dogs": 10,
    }


def test_files_that_cannot_be_read_are_named_and_left_out() -> None:
    bad = [("photos/cats/notes.txt", b"meow"), ("photos/dogs/cut.png", picture()[:100]), ("photos/dogs/empty.png", b"")]
    place = keep([*folder(cats=5, dogs=5), *bad])
    found = look_through(place)
    assert found.classes == {"cats": 5, "dogs": 5}
    assert [line.split(":")[0] for line in found.left_out] == [path for path, _ in bad]
    assert "damaged or cut short" in found.left_out[1]
    assert len([file for file in place.rglob("*") if file.is_file()]) == 10


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ({"cats": 6}, "two or more subfolders of images"),
        ({"cats": 6, "dogs": FEWEST - 1}, f"at least {FEWEST} pictures that can be read; too few are in dogs (4)."),
        ({}, "the folder must"),
    ],
    ids=["one class", "few", "nothing"],
)
def test_a_folder_that_makes_no_workspace_is_refused_in_one_sentence(classes: dict[str, int], sentence: str) -> None:
    place = keep(folder(**classes))
    problem = look_through(place).problem
    assert sentence in problem
    assert str(place) not in problem  # where it lies is no help to the visitor


def test_names_cannot_lead_out_of_the_place() -> None:
    nasty = ["../../evil.png", "/etc/evil.png", "..\\..\\evil.png", "a/../../../evil.png"]
    place = keep((name, picture()) for name in nasty)
    files = list(uploads_dir().parent.rglob("evil.png"))
    assert files
    assert all(place in file.parents for file in files)


def test_hidden_files_are_not_kept() -> None:
    place = keep([("photos/.git/a.png", picture()), ("photos/cats/.DS_Store", b"x"), *folder(cats=5, dogs=5)])
    assert look_through(place).left_out == []
    assert not list(place.rglob(".*"))


def test_a_folder_can_be_forgotten_and_old_ones_are() -> None:
    first, second = keep(folder(a=1)), keep(folder(a=1))
    forget(first)
    assert not first.exists()
    old = time.time() - FORGOTTEN - 60
    os.utime(second, (old, old))
    keep([])
    assert not second.exists()
