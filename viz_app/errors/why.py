"""The card of one image: what the network said of it, and all that may tell why."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import streamlit as st
from numpy.typing import NDArray

from alexnet_core import Checkpoint
from alexnet_core.geometry import receptive_field
from alexnet_core.prism.store import is_prism
from analysis.activations import Activations
from analysis.attribution import LAST_MAPS
from analysis.errors.selection import in_split
from analysis.retrieval.spaces import Space
from analysis.workspace import WorkspaceError
from viz_app.errors.subject import Subject
from viz_app.figures import captions, image
from viz_app.figures.lesions import change_text, knows_factors, titled
from viz_app.figures.theme import TOWER_MARKS
from viz_app.grid import Item, thumbnail_grid
from viz_app.inputs import figure_config
from viz_app.resources import (
    activations_of,
    contributions_of,
    current_checkpoint,
    evidence_of,
    found_by,
    gallery_photo,
    judge_of,
    picture_of,
    space_of,
)
from viz_app.retrieval.terms import Terms
from viz_app.uploads import Photo, frame_of

BARS = 5
TRAINED_ON = "train"
COLUMNS = [
    "path", "label", "guess", "confidence", "rank", "probability", "top_classes", "top_probabilities", "split",
    "label_quality", "label_issue",
]  # fmt: skip
LABEL_HELP = (
    "Confident learning (Northcutt et al. 2021, by cleanlab) compares the network with the labels. For each class it "
    "notes how sure the network usually is of the images that bear its label. A label is suspect where the network is "
    "surer of another class than it usually is of that class's own images. The quality is 1/2 where both are equally "
    "likely, less where the other class is ahead. A suspected label may be wrong, or the image may just be hard."
)
TOWERS_HELP = (
    "A tower that is off gives zeros behind its ReLUs in conv1 and conv2, so that conv3 reads the other one alone. The "
    "Towers page has other ways to switch a tower off."
)
ALIKE_HELP = (
    "The images with the smallest Euclidean distance in fc7, the last hidden layer: what the network finds alike, "
    "whatever it shows."
)


class Case(NamedTuple):
    """One image and the network that looks at it now."""

    subject: Subject
    row: int  # in the gallery
    told: dict[str, Any]  # of the table
    checkpoint: Checkpoint  # with the linear head in it, if that is the judge
    photo: Photo

    @property
    def names(self) -> list[str]:
        """Readable classes."""
        return self.subject.names

    @property
    def rivals(self) -> tuple[int, int]:
        """The truth, and the class that was guessed in its place; if it was guessed, the next best."""
        others = [label for label in self.told["top_classes"] if label != self.told["label"]]
        return self.told["label"], others[0]

    def seen(self, colours: str = "original") -> Activations:
        """All stages for the central crop."""
        return activations_of(self.checkpoint.id, self.photo.sha256, colours, 0, self.checkpoint, self.photo)


def card(subject: Subject, position: int) -> None:
    """All about one image."""
    row = subject.gallery_row(position)
    told = subject.table.select(COLUMNS).slice(position, 1).to_pylist()[0]
    with st.container(border=True, key="why"):
        heading(subject, row, told)
        try:
            checkpoint = judge_of(subject.checkpoint, subject.workspace, subject.about.judge)
        except WorkspaceError as error:
            st.warning(captions.escaped(str(error)))
            return
        case = Case(subject, row, told, checkpoint, gallery_photo(subject.gallery.key, row, subject.gallery))
        left, right = st.columns([2, 3], gap="large")
        with left:
            picture(case)
        with right:
            answer(case)
            label_text(case)
        evidence(case)
        changes(case)
        neighbours(case)


def heading(subject: Subject, row: int, told: dict[str, Any]) -> None:
    """Which image it is, and the way to Inspect."""
    truth, guess = (captions.with_swatch(subject.names[told[key]]) for key in ("label", "guess"))
    said = "guessed right" if told["rank"] == 0 else f"taken for **{guess}**"
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(f"#### Image {row:,}: **{truth}**, {said}", width="content")
        st.page_link(
            "views/image.py",
            label="Open in Inspect",
            icon=":material/image_search:",
            query_params={"workspace": subject.workspace.name, "image": str(row)},
        )


def picture(case: Case) -> None:
    """The image, large."""
    shown = picture_of(case.photo.sha256, case.checkpoint.preprocess.source_size, case.photo).shown
    caption = " · ".join(part for part in (case.told["path"], case.photo.credit) if part)
    st.image(shown, caption=captions.escaped(caption), alt=f"Image {case.photo.name}.", width="stretch")


def answer(case: Case) -> None:
    """The five best guesses and the truth, as they are in the table."""
    told, names = case.told, case.names
    labels, values = list(told["top_classes"][:BARS]), list(told["top_probabilities"][:BARS])
    if told["label"] not in labels:
        labels, values = [*labels, told["label"]], [*values, told["probability"]]
    listed = [names[label] for label in labels]
    marked = [f"✓ {name}" if label == told["label"] else name for label, name in zip(labels, listed, strict=True)]
    if told["rank"] >= BARS:
        marked[-1] += f" (guess {told['rank'] + 1} of {len(names)})"
    bars("answer", case, marked, values, listed)
    st.caption(answer_text(case))


def bars(key: str, case: Case, marked: list[str], values: Any, names: list[str]) -> None:
    """A chart of guesses."""
    st.plotly_chart(
        image.guess_bars(marked, np.asarray(values), [captions.swatch(name) for name in names]),
        key=f"why_{key}",
        config=figure_config(f"{case.photo.name}-{key}"),
        alt=", ".join(f"{name} {value:.1%}" for name, value in zip(marked, values, strict=True)),
    )


def answer_text(case: Case) -> str:
    """What the bars are, and what the rest of the card is where that differs."""
    about = case.subject.about
    start = "✓ = the label."
    if case.subject.is_own:
        return f"{start} Central crop, both towers on."
    best = int(case.seen().probabilities.argmax())
    name, own = captions.escaped(case.names[best]), captions.escaped(str(case.checkpoint.card["name"]))
    views = "the central crop" if about.views == 1 else f"{about.views} views"
    made = f"{captions.escaped(about.checkpoint)}, {views}{f', {about.off}' if about.off else ''}"
    return (
        f"{start} These bars are the chosen predictions: {made}. All else on this card is computed for the central "
        f"crop with both towers of {own} on, which says **{name}** ({case.seen().probabilities[best]:.0%})."
    )


def label_text(case: Case) -> None:
    """How far the label can be believed."""
    told, split = case.told, in_split(case.subject.table, case.told["split"])
    count = pc.sum(split["label_issue"]).as_py()
    verdict = "suspects the label" if told["label_issue"] else "does not suspect the label"
    told_of = f"it suspects {count:,} of the {len(split):,} {captions.escaped(told['split'])} images"
    text = f"Label quality {told['label_quality']:.2f} of 1. Confident learning **{verdict}**; {told_of}, "
    if is_prism(case.subject.gallery.store.name):
        text += "all of them wrongly: labels of rendered images are right."
    else:
        text += "some of which are just hard; the weaker the network, the more."
    if told["split"] == TRAINED_ON and case.subject.about.judge == "fc8":
        text += " The network was trained on this image: it has learnt the label, right or wrong, and doubts it less."
    st.markdown(text, help=LABEL_HELP)


def evidence(case: Case) -> None:
    """Grad-CAM for the truth and for its rival, on one scale."""
    st.markdown("**What speaks for each of the two?** Both on one scale.", help=captions.EVIDENCE_HELP)
    checkpoint, read = case.checkpoint, case.seen()
    shown = picture_of(case.photo.sha256, checkpoint.preprocess.source_size, case.photo)
    frame, field = frame_of(shown, checkpoint.preprocess), receptive_field(checkpoint.model.config, LAST_MAPS)
    found = [evidence_of(checkpoint.id, case.photo.sha256, rival, checkpoint, read) for rival in case.rivals]
    scale = image.full_scale(np.stack(found))
    for place, rival, maps, tick in zip(st.columns(2, gap="large"), case.rivals, found, ("✓ ", ""), strict=True):
        title = tick + captions.evidence_title(case.names[rival], float(read.probabilities[rival]), maps)
        with place:
            st.plotly_chart(
                image.evidence_figure(shown, maps, frame, field, title, scale=scale),
                key=f"why_evidence_{'truth' if tick else 'rival'}",
                config=figure_config(f"{case.photo.name}-evidence-{case.names[rival]}"),
                alt=f"{title}, as a map over image {case.photo.name}.",
            )


def changes(case: Case) -> None:
    """The five best guesses intact, without each tower, and in grey."""
    intact, *without = contributions_of(case.checkpoint.id, case.photo.sha256, case.checkpoint, case.photo)
    marks = TOWER_MARKS[: len(without)]
    kinds = dict(zip((f"{mark.glyph} {titled(mark.name)} off" for mark in marks), without, strict=True))
    kinds["In grey"] = case.seen("grey").probabilities
    st.markdown("**What do the towers contribute, and colour?**", help=TOWERS_HELP)
    first, *others = st.columns(1 + len(kinds), gap="medium")
    with first:
        st.markdown("**As it is**  \nboth towers, in colour")
        guess_list(case, "intact", intact)
    for place, (kind, probabilities) in zip(others, kinds.items(), strict=True):
        with place:
            st.markdown(f"**{kind}**  \n{change(case, intact, probabilities)}")
            guess_list(case, kind, probabilities)


def change(case: Case, before: NDArray[np.float32], after: NDArray[np.float32]) -> str:
    """Whether the best guess is another one."""
    first, second = (case.names[int(row.argmax())] for row in (before, after))
    text = change_text(first, second, "", knows_factors(case.names))
    return text if first == second else f"**{text}**"


def guess_list(case: Case, kind: str, probabilities: NDArray[np.float32]) -> None:
    """The five best guesses, the truth ticked."""
    best = captions.best(probabilities, BARS)
    names = [case.names[label] for label in best]
    marked = [f"✓ {name}" if label == case.told["label"] else name for label, name in zip(best, names, strict=True)]
    bars(kind, case, marked, probabilities[best], names)


def neighbours(case: Case) -> None:
    """The six training images that the network finds most alike."""
    subject = case.subject
    trained = TRAINED_ON in subject.gallery.splits
    terms = Terms(split=TRAINED_ON if trained else "")
    st.markdown(f"**Most alike in fc7{' among the training images' if trained else ''}**", help=ALIKE_HELP)
    try:
        features = space_of(subject.workspace, Space()).features_
        found = found_by(
            subject.workspace, Space(), str(case.row), terms, (case.row,), features[case.row], subject.gallery
        ).found
    except ValueError as error:
        st.caption(captions.escaped(str(error)))
        return
    truth, rival = (case.names[label] for label in case.rivals)
    labels = [subject.gallery.label(each.row) for each in found]
    items = [
        Item(
            position=each.row,
            jpeg=subject.small_picture(each.row),
            title=("✓ " if label == truth else "✕ " if label == rival else "") + label,
            lines=(f"distance {each.distance:.1f}",),
            alt=f"Image {each.row}, labelled {label}, at distance {each.distance:.1f}.",
        )
        for each, label in zip(found, labels, strict=True)
    ]
    thumbnail_grid(items, "neighbours", on_click=open_row)
    st.caption(neighbours_text(case, labels, trained))


def neighbours_text(case: Case, labels: list[str], trained: bool) -> str:
    """How the neighbours vote, and where they are from."""
    truth, rival = (case.names[label] for label in case.rivals)
    text = (
        f"{labels.count(truth)} of {len(labels)} bear this image's label (✓ {captions.escaped(truth)}), "
        f"{labels.count(rival)} that of its rival (✕ {captions.escaped(rival)})."
    )
    if not trained:
        text += " This workspace has no training images; these are others of its own."
    if case.subject.checkpoint.id != (own := current_checkpoint()).id:
        text += f" Distances are by the workspace's network, {captions.escaped(str(own.card['name']))}."
    return text


def open_row(row: int) -> None:
    """Callback: open an image of the gallery."""
    st.session_state.picture = row
