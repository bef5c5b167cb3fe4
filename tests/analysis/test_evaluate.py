"""Evaluations against numpy on single images, zeroed weights and a workspace; resumed, refused, listed."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from alexnet_core import Checkpoint, load_checkpoint
from alexnet_core.checkpoint import save_checkpoint
from alexnet_core.files import sha256_of_file
from alexnet_core.model import AlexNet
from alexnet_core.paths import checkpoints_dir, data_home, predictions_dir
from alexnet_core.predict import probabilities
from alexnet_core.store import ImageStore
from analysis import evaluate as module
from analysis.evaluate import Evaluation, Off, accuracy, evaluate, list_evaluations, main, open_evaluation
from analysis.predictions import COLUMNS, about
from analysis.workspace import build_workspace, create_workspace, open_predictions
from tests.analysis.workspace.small_world import CLASSES, SMALL, small_checkpoint, small_store

N = 13


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    for (place, field), value in SMALL.items():
        monkeypatch.setattr(place, field, value)


@pytest.fixture
def store() -> ImageStore:
    return small_store(data_home(), "set")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return load_checkpoint(small_checkpoint(data_home(), "tiny"))


@pytest.fixture
def other() -> Checkpoint:
    return load_checkpoint(small_checkpoint(data_home(), "other", seed=1))


def one_by_one(checkpoint: Checkpoint, store: ImageStore, views: int) -> NDArray[np.float64]:
    """Probabilities (n, classes) of single images."""
    images = torch.from_numpy(np.array(store.split("val").images))
    found = [probabilities(checkpoint.model, checkpoint.preprocess, image[None], views=views) for image in images]
    return torch.cat(found).double().numpy()


def agrees(evaluation: Evaluation, p: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
    """Every column that follows from probabilities is what numpy makes of them."""
    table, n = open_evaluation(evaluation), len(p)
    order, truth = np.argsort(-p, axis=1, kind="stable"), p[range(n), labels]
    others = np.where(np.arange(p.shape[1]) == labels[:, None], -1, p).max(1)
    assert np.array(table["top_classes"].to_pylist()).tolist() == order[:, :10].tolist()
    assert np.array(table["top_probabilities"].to_pylist()) == pytest.approx(-np.sort(-p)[:, :10], abs=1e-6)
    assert table["rank"].to_pylist() == (p > truth[:, None]).sum(1).tolist()
    assert table["label"].to_pylist() == labels.tolist()
    expected = {"probability": truth, "loss": -np.log(truth), "margin": truth - others, "confidence": p.max(1)}
    for name, values in expected.items():
        assert table[name].to_numpy() == pytest.approx(values, rel=1e-5, abs=1e-5)
    assert table["guess"].to_pylist() == p.argmax(1).tolist()


def contents(home: Path | None = None) -> dict[str, bytes]:
    folder = predictions_dir(home)
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.*")) if f.suffix != ".lock"}


@pytest.mark.parametrize("views", [1, 10])
def test_every_column_equals_numpy_on_single_images(checkpoint: Checkpoint, store: ImageStore, views: int) -> None:
    (found,) = evaluate([checkpoint], store, views=[views])
    p, split = one_by_one(checkpoint, store, views), store.split("val")
    agrees(found, p, split.labels)
    table = open_evaluation(found)
    assert table["id"].to_pylist() == list(range(N))
    assert table["path"].to_pylist() == list(split.paths)
    assert set(table["views"].to_pylist()) == {views}
    told, counted = accuracy(found), (p.argmax(1) == split.labels).mean()
    assert (told.n, told.top1, told.top5) == (N, counted, 1.0)  # of three classes all are among five
    assert told.top1_interval[0] < told.top1 < told.top1_interval[1]
    manifest = json.loads(found.file.with_suffix(".json").read_bytes())
    assert (manifest["top1"]["share"], manifest["n"]) == (counted, N)
    assert manifest["sha256"] == sha256_of_file(found.file)
    assert set(manifest["software"]) == {"python", "torch", "numpy", "pyarrow", "cleanlab"}


def test_wilson_interval_of_a_published_case() -> None:
    hits = np.repeat([True, False], [81, 182])  # Newcombe 1998, table I: 81 of 263
    share, (low, high) = module._share(hits)
    assert share == pytest.approx(0.3080, abs=1e-4)
    assert (low, high) == pytest.approx((0.2553, 0.3662), abs=1e-4)


def test_from_the_central_crop_it_says_what_a_workspace_says(checkpoint: Checkpoint, store: ImageStore) -> None:
    create_workspace("mine", checkpoint="tiny", dataset="set")
    gallery = open_predictions(build_workspace("mine")).slice(21).drop_columns("id")
    (found,) = evaluate([checkpoint], store, views=[1])
    table = open_evaluation(found)
    assert table.drop_columns("id").to_pylist() == gallery.to_pylist()
    assert about(table) == about(gallery)._replace(firsts={"val": 0})


def test_several_are_averaged_over_their_softmax_outputs(
    checkpoint: Checkpoint, other: Checkpoint, store: ImageStore
) -> None:
    first, second, both = evaluate([checkpoint, other], store, views=[10])
    one, two = (one_by_one(each, store, 10) for each in (checkpoint, other))
    for evaluation, p in ((first, one), (second, two), (both, (one + two) / 2)):
        agrees(evaluation, p, store.split("val").labels)
    assert (both.title, both.checkpoint_id) == ("tiny + other, ten views", f"{checkpoint.id}+{other.id}")
    together = contents()
    evaluate([checkpoint], store, views=[10], home=data_home() / "apart")
    apart = contents(data_home() / "apart")
    assert len(apart) == 2
    assert apart == {name: together[name] for name in apart}


def test_averaging_a_network_with_itself_changes_nothing(checkpoint: Checkpoint, store: ImageStore) -> None:
    one, _, two = evaluate([checkpoint, checkpoint], store, views=[10])
    assert one.checkpoint != two.checkpoint == "tiny + tiny"
    ours, theirs = open_evaluation(one), open_evaluation(two)
    for name in ("rank", "top_classes", "label_issue"):
        assert ours[name].to_pylist() == theirs[name].to_pylist()
    assert ours["loss"].to_numpy() == pytest.approx(theirs["loss"].to_numpy(), rel=1e-6)


@pytest.mark.parametrize(("tower", "views"), [(0, 1), (1, 1), (1, 10)])
def test_a_tower_is_off_as_if_its_weights_in_conv1_and_conv2_were_zero(
    checkpoint: Checkpoint, store: ImageStore, tower: int, views: int
) -> None:
    letter: Off = "AB"[tower]  # type: ignore[assignment]
    intact, off = evaluate([checkpoint], store, views=[views], off=["none", letter])
    silent = load_checkpoint("tiny")
    with torch.no_grad():
        for number in (1, 2):
            units = silent.model.units(f"relu{number}", tower)
            for kind in ("weight", "bias"):
                silent.model.get_parameter(f"stages.conv{number}.{kind}")[units] = 0
    agrees(off, one_by_one(silent, store, views), store.split("val").labels)
    agrees(intact, one_by_one(checkpoint, store, views), store.split("val").labels)
    assert open_evaluation(off)["loss"].to_pylist() != open_evaluation(intact)["loss"].to_pylist()
    assert off.off == about(open_evaluation(off)).off == f"tower {letter} off (conv1-conv2, zero)"
    assert off.title.endswith(off.off)


def test_a_tower_cannot_be_off_where_there_is_one(checkpoint: Checkpoint, store: ImageStore) -> None:
    config = replace(checkpoint.model.config, towers=1)
    rows = [{"id": wnid, "name": wnid} for wnid in CLASSES]
    save_checkpoint(checkpoints_dir(), "single", AlexNet(config), checkpoint.preprocess, rows, about={})
    with pytest.raises(ValueError, match="only be switched off where there are 2, 'single' has 1"):
        evaluate([load_checkpoint("single")], store, off=["A"])


def test_a_limit_takes_images_evenly_over_the_split_and_keeps_their_places(
    checkpoint: Checkpoint, store: ImageStore
) -> None:
    some, whole, more = (evaluate([checkpoint], store, views=[1], limit=limit)[0] for limit in (5, None, 99))
    table, rows = open_evaluation(some), open_evaluation(whole).to_pylist()
    assert table["id"].to_pylist() == [0, 3, 6, 9, 12]
    for row in table.to_pylist():
        same = rows[row["id"]]
        for name in ("path", "label", "guess", "rank", "top_classes"):
            assert row[name] == same[name]
        assert row["loss"] == pytest.approx(same["loss"], rel=1e-5, abs=1e-6)
    assert (some.n, some.title) == (5, "tiny, central crop, 5 images")
    assert more == whole
    with pytest.raises(ValueError, match="At least 1 image is needed, 'val' has 13 and the limit is 0"):
        evaluate([checkpoint], store, limit=0)


def test_what_is_fresh_is_not_computed_again_unless_that_is_wished(
    checkpoint: Checkpoint, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evaluate([checkpoint], store, views=[1])
    before, compute = contents(), module.compute_shards
    monkeypatch.setattr(module, "compute_shards", None)
    assert evaluate([checkpoint], store, views=[1]) == first
    counted: list[int] = []
    monkeypatch.setattr(module, "compute_shards", lambda *a, **k: compute(*a, **k | {"advance": counted.append}))
    evaluate([checkpoint], store, views=[1, 10])
    assert sum(counted) == N
    evaluate([checkpoint], store, views=[1], fresh=True)
    assert sum(counted) == 2 * N
    assert {name: contents()[name] for name in before} == before


def test_an_interrupted_pass_goes_on_at_its_shard(
    checkpoint: Checkpoint, other: Checkpoint, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate([checkpoint, other], store, home=data_home() / "undisturbed")
    scores, seen = module._scores, []

    def dies(*given):  # type: ignore[no-untyped-def]
        if len(seen) == 15:  # 4 networks and views, batches of 3: in the second shard of 8
            raise KeyboardInterrupt
        seen.append(len(given[-1]))
        return scores(*given)

    monkeypatch.setattr(module, "_scores", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate([checkpoint, other], store)
    assert list_evaluations(store.hash) == []
    seen.clear()
    monkeypatch.setattr(module, "_scores", lambda *given: (seen.append(len(given[-1])), scores(*given))[1])
    evaluate([checkpoint, other], store)
    assert sum(seen) == 4 * (N - 8)
    assert contents() == contents(data_home() / "undisturbed")


def test_what_a_kill_just_before_the_end_has_left_is_cleared_away(
    checkpoint: Checkpoint, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module.ShardFolder, "remove", lambda self: None)
        evaluate([checkpoint], store)
    assert (predictions_dir() / "set" / "shards").exists()
    evaluate([checkpoint], store)
    assert not (predictions_dir() / "set" / "shards").exists()


def test_evaluations_that_are_killed_at_random_moments_end_with_the_same_bytes() -> None:
    command = [sys.executable, "-m", "tests.analysis.kill_evaluate", "--times", "4"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("killed after") == 4


def test_two_processes_do_not_evaluate_on_one_data_set_at_once(checkpoint: Checkpoint, store: ImageStore) -> None:
    with (
        module._alone(predictions_dir() / "set"),
        pytest.raises(ValueError, match="Another process evaluates on 'set'"),
    ):
        evaluate([checkpoint], store)


def test_other_classes_and_sizes_are_refused(checkpoint: Checkpoint, store: ImageStore) -> None:
    wrong = checkpoint._replace(card=checkpoint.card | {"classes": checkpoint.card["classes"][::-1]})
    with pytest.raises(ValueError, match="in order"):
        evaluate([wrong], store)
    with pytest.raises(ValueError, match="holds 32 px"):
        evaluate([checkpoint], replace(store, size=32))


def test_the_list_has_what_was_made_for_these_images_and_tells_namesakes_apart(
    checkpoint: Checkpoint, store: ImageStore
) -> None:
    evaluate([checkpoint], store, split="train", views=[1])
    evaluate([checkpoint], store, views=[1, 10], off=["none", "A"])
    evaluate([checkpoint], small_store(data_home(), "more", seed=1), views=[1])
    retrained = load_checkpoint(small_checkpoint(data_home(), "tiny", seed=2))
    evaluate([retrained], store, views=[10])
    assert [(each.title, each.n, each.split) for each in list_evaluations(store.hash)] == [
        ("tiny, central crop", 13, "val"),
        ("tiny, central crop, tower A off (conv1-conv2, zero)", 13, "val"),
        ("tiny, central crop, train", 21, "train"),
        *sorted((f"tiny, ten views ({each.id[:6]})", 13, "val") for each in (checkpoint, retrained)),
        ("tiny, ten views, tower A off (conv1-conv2, zero)", 13, "val"),
    ]
    for each in list_evaluations(store.hash):
        table = open_evaluation(each)
        assert (len(table), about(table).checkpoint_id) == (each.n, each.checkpoint_id)
    assert list_evaluations("0" * 64) == []


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)


def lacks_a_column(file: Path) -> None:
    pq.write_table(pq.read_table(file).drop_columns("entropy"), file)


def of_another_checkpoint(file: Path) -> None:
    small_checkpoint(data_home(), "other", seed=1)
    (another,) = evaluate([load_checkpoint("other")], small_store(data_home() / "b", "set"), views=[1])
    file.write_bytes(another.file.read_bytes())


@pytest.mark.parametrize("damage", [cut, flip, lacks_a_column, of_another_checkpoint, Path.unlink])
def test_a_damaged_table_is_refused_in_a_sentence_made_again_and_hides_no_other(
    checkpoint: Checkpoint, store: ImageStore, damage: Callable[[Path], None]
) -> None:
    one, ten = evaluate([checkpoint], store)
    whole = one.file.read_bytes()
    damage(one.file)
    assert one in list_evaluations(store.hash)
    with pytest.raises(ValueError, match=r"is missing, cut short or changed since it was written; delete it and run"):
        open_evaluation(one)
    assert open_evaluation(ten).num_rows == N
    assert evaluate([checkpoint], store, views=[1]) == [one]
    assert one.file.read_bytes() == whole


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "cut short or no Parquet file"),
        (lacks_a_column, r"lacks the column\(s\) \['entropy'\]"),
        (of_another_checkpoint, "was made by checkpoint"),
    ],
)
def test_a_damaged_table_is_refused_where_the_manifest_was_made_to_fit(
    checkpoint: Checkpoint, store: ImageStore, damage: Callable[[Path], None], message: str
) -> None:
    (found,) = evaluate([checkpoint], store, views=[1])
    damage(found.file)
    manifest = found.file.with_suffix(".json")
    values = json.loads(manifest.read_bytes()) | {"sha256": sha256_of_file(found.file)}
    manifest.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=message):
        open_evaluation(found)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"title": "x"}'])
def test_a_torn_manifest_is_refused_and_hides_no_other(checkpoint: Checkpoint, store: ImageStore, text: str) -> None:
    one, ten = evaluate([checkpoint], store)
    one.file.with_suffix(".json").write_text(text)
    (predictions_dir() / "set" / "foreign.json").write_text(text)
    assert list_evaluations(store.hash) == [ten]
    with pytest.raises(ValueError, match="no readable manifest"):
        open_evaluation(one)


def test_the_command_prints_what_the_tables_hold(
    checkpoint: Checkpoint, store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["tiny", "--dataset", "set", "--off", "none", "B"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("set, val: accuracy in %")
    main(["tiny", "--dataset", "set", "--off", "none", "B", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert len(lines) == 1 + len(told["rows"]) == 5
    for line, row in zip(lines[1:], told["rows"], strict=True):
        share = np.mean(pq.read_table(row["file"])["rank"].to_numpy() < 1)
        assert (row["network"], row["n"], row["top1"]) == ("tiny", N, share)
        assert f"{row['views']:2d} view(s)  n 13  top-1 {100 * share:.2f} [" in line
        assert ("tower B off" in line) == bool(row["off"])
    assert pq.read_schema(told["rows"][0]["file"]).remove_metadata() == COLUMNS


def test_the_command_says_what_is_wrong(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gone", "--dataset", "set"])
    assert "There is no checkpoint 'gone'" in capsys.readouterr().err
