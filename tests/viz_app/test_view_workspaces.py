"""Workspaces as visitors use them: choosing, building, checking, removing and making them, from any page."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import streamlit as st
import torch
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest

import analysis.workspace
from alexnet_core import Checkpoint, build_model
from alexnet_core.paths import workspaces_dir
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import CLASS_NAMES
from analysis.workspace.artefacts import Artefact, State
from analysis.workspace.progress import Progress
from analysis.workspace.registry import Workspace, find_workspace, register
from viz_app import builds, inputs, resources

MAIN = Path(__file__).resolve().parents[2] / "viz_app" / "main.py"
PAGE = "views/workspaces.py"
NAMES = ("thumbnails", "features", "predictions", "index")
READY = State(images=True, artefacts={name: Artefact("fresh", 1_500_000) for name in NAMES}, progress=None, problem="")
EMPTY = State(images=True, artefacts={name: Artefact("missing", 0) for name in NAMES}, progress=None, problem="")
STALE = State(images=True, artefacts={name: Artefact("stale", 1_500_000) for name in NAMES}, progress=None, problem="")
ABSENT = State(images=False, artefacts={name: Artefact("missing", 0) for name in NAMES}, progress=None, problem="")
RUNNING = Progress("Looking at the images: 2,000 of 5,000", 2000, 5300, 20.0)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A network in memory that knows Prism's classes."""
    model = build_model("chm145", 100, input_size=127, generator=torch.Generator().manual_seed(0))
    preprocess = Preprocess(128, 144, 127, torch.full((3, 144, 144), 110.0), torch.eye(3), torch.ones(3))
    classes = [{"id": "-".join(name.split()[::-1]), "name": name} for name in CLASS_NAMES]
    card = {"name": "prism-127", "id": "tiny", "classes": classes}
    card["metrics"] = {"views": 10, "as_stored": {"top1": 0.781, "top5": 0.968, "n": 5000}}
    return Checkpoint(model.eval().requires_grad_(False), card, preprocess)


pytestmark = pytest.mark.usefixtures("fresh_caches")


@pytest.fixture(autouse=True)
def states(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> dict[str, State]:
    """What there is of each workspace; no checkpoint and no artefact is on disk."""
    found = {"prism": READY, "tiny-imagenet": ABSENT}

    def state_of(workspace: Workspace) -> State:
        return found.get(workspace.name, EMPTY)

    for module in (analysis.workspace, inputs):
        monkeypatch.setattr(module, "state_of", state_of)
    monkeypatch.setattr(resources, "load_checkpoint", lambda name: checkpoint)
    monkeypatch.setattr(resources, "list_checkpoints", lambda: ["prism-127", "tiny-imagenet-127", "lone"])
    return found


def opened(page: str = PAGE, **query: str) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    for key, value in query.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app if page == "views/image.py" else alive(app.switch_page(page).run())


def alive(app: AppTest) -> AppTest:
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.info, *app.warning))


def bars(app: AppTest) -> list[Any]:
    return [element.proto for element in app.get("progress")]


def own(name: str, tmp_path: Path) -> Workspace:
    """A workspace of the user's own, without images."""
    workspace = Workspace(
        name=name, folder=workspaces_dir() / name, checkpoint="prism-127", dataset=name, title=name, source=tmp_path
    )
    register(workspace)
    return find_workspace(name)


def picture(seed: int = 0) -> bytes:
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


# --- the sidebar, on all pages


def test_without_any_data_prism_is_chosen_and_the_sidebar_says_what_it_is() -> None:
    app = opened("views/image.py")
    assert app.selectbox(key="workspace").value == "prism"
    assert app.selectbox(key="workspace").options == ["prism", "tiny-imagenet", "lone (checkpoint only)"]
    text = "\n".join(element.value for element in app.sidebar.caption)
    assert "top-1 78.1%, top-5 96.8% right on 5,000 validation images, from ten views of each." in text
    assert "5,000 images of 100 classes" in text
    assert any("complete" in element.value for element in app.sidebar.markdown)


def test_a_link_chooses_the_workspace_and_all_pages_follow() -> None:
    app = opened(workspace="tiny-imagenet")
    assert app.selectbox(key="workspace").value == "tiny-imagenet"
    assert "Tiny ImageNet" in app.subheader[0].value
    alive(app.switch_page("views/kernels.py").run())
    assert app.selectbox(key="workspace").value == "tiny-imagenet"


def test_a_checkpoint_that_no_workspace_uses_is_still_reached() -> None:
    app = opened("views/image.py", workspace="lone (checkpoint only)")
    assert app.selectbox(key="photo").options[0] == "Coffee"
    alive(app.switch_page(PAGE).run())
    assert app.title[0].value == "Workspaces"


def test_a_workspace_whose_network_is_missing_gets_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Checkpoint:
        raise analysis.workspace.WorkspaceError("There is no checkpoint.")

    monkeypatch.setattr(resources, "load_checkpoint", missing)
    st.cache_resource.clear()
    app = opened("views/image.py")
    assert [error.value for error in app.error] == ["This workspace cannot be used. There is no checkpoint\\."]


# --- building


def test_a_first_start_builds_prism_once_and_nothing_else(
    states: dict[str, State], started: list[tuple[str, ...]]
) -> None:
    states["prism"] = EMPTY
    for _ in range(2):
        app = opened("views/image.py")
    app.switch_page(PAGE).run()
    assert started == [("prism",)]
    assert app.title[0].value == "Workspaces"


@pytest.mark.parametrize("page", [PAGE, "views/image.py"])
def test_a_build_is_followed_on_the_page_and_content_is_there_meanwhile(
    states: dict[str, State], monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    states["prism"] = EMPTY
    monkeypatch.setattr(builds, "progress_of", lambda name: RUNNING if name == "prism" else None)
    app = opened(page)
    shown = bars(app)
    assert shown
    assert all(bar.value == 37 and "2,000 of 5,000" in bar.text and "so far" in bar.text for bar in shown)
    assert len(app.image) >= 18


def test_the_page_is_drawn_anew_when_the_build_has_ended(
    states: dict[str, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    states["prism"] = EMPTY
    answers = iter([RUNNING])

    def once(name: str) -> Progress | None:
        found = next(answers, None) if name == "prism" else None
        if found is None:
            states["prism"] = READY
        return found

    monkeypatch.setattr(builds, "progress_of", once)
    app = opened("views/image.py")
    assert not bars(app)
    assert any("complete" in element.value for element in app.sidebar.markdown)


def test_a_failure_is_one_sentence_with_a_button_to_try_again(
    states: dict[str, State], started: list[tuple[str, ...]]
) -> None:
    states["prism"] = EMPTY
    builds._asked.add("prism")
    builds._builds["prism"] = builds.Build(running=False, failed=True, said="The disk is *full*.")
    app = opened()
    assert [error.value for error in app.error] == ["The build failed. The disk is \\*full\\*\\."]
    assert app.button(key="build_prism").label == "Try again"
    alive(app.button(key="build_prism").click().run())
    assert started == [("prism",)]


def test_what_is_out_of_date_can_be_rebuilt(states: dict[str, State], started: list[tuple[str, ...]]) -> None:
    states["prism"] = STALE
    builds._asked.add("prism")
    app = opened()
    assert "thumbnails ↻ out of date, 1\\.5 MB".replace("\\", "") in words(app)
    assert app.button(key="build_prism").label == "Rebuild"
    app.button(key="build_prism").click().run()
    assert started == [("prism",)]


def test_nothing_is_downloaded_unasked_and_one_button_does_it(started: list[tuple[str, ...]]) -> None:
    app = opened(workspace="tiny-imagenet")
    assert started == []
    assert "python -m analysis.workspace build tiny-imagenet" in [block.value for block in app.code]
    buttons = [button for button in app.button if "Tiny ImageNet" in button.label]
    assert buttons[0].label == "Fetch Tiny ImageNet (about 240 MB) and build"
    buttons[0].click().run()
    assert started == [("tiny-imagenet",)]


# --- the images


def test_the_contact_sheet_shows_names_with_their_hue_and_leads_to_inspect() -> None:
    app = opened()
    links = [link.proto for link in app.get("page_link")]
    assert len(links) == len(app.image) == 24
    assert all("data:image/svg+xml" in link.label for link in links)
    row = parse_qs(links[5].query_string)["image"][0]
    name = links[5].label.rsplit(")\N{THIN SPACE}", 1)[1].rstrip("]")
    assert app.image[5].proto.imgs[0].alt == f"Image {row}: {name}"
    inspect = opened("views/image.py", image=row)
    assert inspect.selectbox(key="photo").value == f"{row}: {name}"


def test_a_link_opens_any_image_of_the_gallery_and_tells_its_truth() -> None:
    app = opened("views/image.py", image="4711")
    chosen = app.selectbox(key="photo").value
    assert chosen.startswith("4711: ")
    truth = next(text.value for text in app.markdown if text.value.startswith("Truth: "))
    assert chosen.removeprefix("4711: ") in truth
    assert "of 100, at" in truth or "the guess is right" in truth
    app.selectbox(key="photo").set_value("Coffee").run()
    assert app.selectbox(key="photo").value == "Coffee"  # the link is not obeyed for ever
    assert "image" not in app.query_params


@pytest.mark.parametrize("number", ["5000", "-1", "cat", "1e3"])
def test_a_link_to_no_image_shows_the_first_one(number: str) -> None:
    app = opened("views/image.py", image=number)
    assert app.selectbox(key="photo").value == app.selectbox(key="photo").options[0]


def test_a_link_to_a_photo_by_its_name_opens_it_as_well() -> None:
    name = opened("views/image.py", image="77").selectbox(key="photo").value
    assert opened("views/image.py", photo=name).selectbox(key="photo").value == name


def test_another_image_is_drawn_from_the_whole_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs.np.random, "default_rng", lambda: np.random.Generator(np.random.PCG64(3)))
    expected = int(np.random.Generator(np.random.PCG64(3)).integers(5000))
    app = opened("views/image.py")
    alive(app.button(key="another").click().run())
    assert app.selectbox(key="photo").value.startswith(f"{expected}: ")


# --- checking and removing


@pytest.mark.parametrize("problems", [[], ["features.npy is not as it was built."]])
def test_verify_says_what_it_found(monkeypatch: pytest.MonkeyPatch, problems: list[str]) -> None:
    monkeypatch.setattr(analysis.workspace, "verify_workspace", lambda name: problems)
    app = alive(opened().button(key="verify_prism").click().run())
    assert [error.value.replace("\\", "") for error in app.error] == problems
    assert bool(app.success) is not bool(problems)


def test_removing_says_what_it_frees_and_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(analysis.workspace, "remove_workspace", lambda name: removed.append(name) or 6_000_000)
    app = opened()
    assert "This deletes what was computed for **prism**: 6.0 MB." in words(app)
    assert removed == []
    alive(app.button(key="removal_prism").click().run())
    assert removed == ["prism"]
    assert "6.0 MB freed" in app.toast[0].value


def test_a_removal_that_is_refused_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise analysis.workspace.WorkspaceError("It is being built.")

    monkeypatch.setattr(analysis.workspace, "remove_workspace", refuse)
    app = alive(opened().button(key="removal_prism").click().run())
    assert [error.value for error in app.error] == ["It is being built\\."]


def test_the_place_on_disk_is_shown() -> None:
    app = opened()
    assert os.environ["ALEXNET_HOME"] in [block.value for block in app.code]
    assert "ALEXNET_HOME" in words(app)


# --- making one's own


def uploaded(app: AppTest, *extra: tuple[str, bytes], count: int = 5) -> AppTest:
    files = [(f"photos/{name}/{i}.png", picture(i)) for name in ("cats", "dogs") for i in range(count)]
    app.file_uploader(key="folder_0").set_value([(path, data, "image/png") for path, data in (*files, *extra)]).run()
    return alive(app)


def test_a_folder_becomes_a_workspace(started: list[tuple[str, ...]], tmp_path: Path) -> None:
    app = uploaded(opened(), ("photos/cats/notes.txt", b"meow"))
    assert "10 pictures" in words(app)
    assert "cats 5, dogs 5" in words(app)
    assert any("1 file is left out" in expander.label for expander in app.expander)
    app.text_input(key="new_name").set_value("mine")
    app.selectbox(key="new_checkpoint").set_value(app.selectbox(key="new_checkpoint").options[0])
    button = next(button for button in app.button if button.label == "Build")
    alive(button.click().run())
    ((name, *options),) = started
    assert (name, options[0], options[2]) == ("mine", "--from", "--checkpoint")
    assert len(list(Path(options[1]).rglob("*.png"))) == 10
    own("mine", tmp_path)  # what the build does first
    alive(app.run())
    assert app.selectbox(key="workspace").value == "prism"
    builds._builds["mine"].running = False
    alive(app.run())
    assert app.selectbox(key="workspace").value == "mine"


def test_the_memory_of_an_upload_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", lambda self, session, file: removed.append(file))
    uploaded(opened())
    assert len(set(removed)) == 10


def test_a_build_of_one_s_own_that_failed_is_told_and_not_chosen(started: list[tuple[str, ...]]) -> None:
    app = uploaded(opened())
    app.text_input(key="new_name").set_value("mine")
    next(button for button in app.button if button.label == "Build").click().run()
    builds._builds["mine"] = builds.Build(running=False, failed=True, said="No.")
    alive(app.run())
    assert [error.value for error in app.error] == ["The build failed. No\\."]
    assert app.selectbox(key="workspace").value == "prism"
    alive(app.button(key="retry_mine").click().run())
    assert started[-1] == ("mine",)


@pytest.mark.parametrize(
    ("name", "sentence"), [("", "letters, digits"), ("../evil", "letters, digits"), ("taken", "called taken already")]
)
def test_a_name_that_cannot_be_used_is_refused(
    started: list[tuple[str, ...]], tmp_path: Path, name: str, sentence: str
) -> None:
    own("taken", tmp_path)
    app = uploaded(opened())
    app.text_input(key="new_name").set_value(name)
    next(button for button in app.button if button.label == "Build" and "make" in str(button.key)).click().run()
    assert started == []
    assert sentence in app.error[0].value.replace("\\", "")


def test_a_folder_with_too_few_pictures_is_refused_and_can_be_given_up() -> None:
    app = uploaded(opened(), count=3)
    assert "at least 5 pictures" in app.error[0].value
    assert not any(button.label == "Build" for button in app.button)
    alive(app.button(key="another_folder").click().run())
    assert not app.error
    assert app.file_uploader


def test_one_s_own_workspace_is_listed_with_what_it_may_lose(tmp_path: Path) -> None:
    own("mine", tmp_path)
    app = opened()
    assert "mine" in app.selectbox(key="workspace").options
    assert "its entry in this list" in words(app)
