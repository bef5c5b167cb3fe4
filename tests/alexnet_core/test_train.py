"""Training on an easy set with a tiny network: it learns, and neither a signal nor a kill changes the result."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet_core import train
from alexnet_core.data import fetch, open_dataset
from alexnet_core.paths import runs_dir
from alexnet_core.preprocess import Preprocess
from alexnet_core.prism import store as prism_store
from alexnet_core.schedule import Phase
from alexnet_core.store import ImageStore
from alexnet_core.train import PRESETS, Run, TrainConfig, read_state, with_prefix

pytestmark = pytest.mark.usefixtures("slim")

CPU = torch.device("cpu")
TINY = TrainConfig(
    preset="tiny",
    dataset="easy",
    network={"input_size": 63, "conv_std": [0.01, 0.03, 0.06, 0.06, 0.06], "fc_std": [0.15, 0.15, 0.15]},
    full_size=70,
    batch_size=8,
    epochs=3,  # of four steps each
    held_out=8,
    schedule="cosine",
    precision="fp32",
)


@pytest.fixture
def easy(make_store: Callable[[str], ImageStore]) -> ImageStore:
    return make_store("easy")


def trained(
    folder: Path, config: TrainConfig, store: ImageStore, kind: type[Run] = Run, *, resume: bool = False
) -> Run:
    folder.mkdir(exist_ok=True)
    run = kind(folder, config, store, CPU, resume=resume)
    run.train()
    return run


class Killed(BaseException):
    """Stands for a process that ends without a word."""


def stops(at: int, stop: Callable[[], None]) -> type[Run]:
    """A run in which `stop` is called before step `at` is taken."""

    class Stopping(Run):
        def _step(self, phase: Phase) -> Tensor:
            if self.progress.step == at:
                stop()
            return super()._step(phase)

    return Stopping


def kill() -> None:
    raise Killed


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def same_run(one: Path, other: Path) -> None:
    """Weights, velocities, snapshots and all that is known of the course of a run are equal, bit for bit."""
    (tensors, state), (other_tensors, other_state) = read_state(one), read_state(other)
    assert tensors.keys() == other_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, other_tensors[name]), name
    for known in (state, other_state):
        known["progress"].pop("seconds")
        for row in known["progress"]["curve"]:
            row.pop("seconds")
            row.pop("training_loss")  # of an interrupted epoch: the mean since it was taken up
    assert state == other_state


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_easy_set_is_learned(tmp_path: Path, easy: ImageStore, precision: str) -> None:
    run = trained(tmp_path, replace(TINY, epochs=8, precision=precision), easy)
    losses = [row["training_loss"] for row in run.progress.curve]
    assert losses[-1] < 0.5 * losses[0]
    assert run.progress.curve[-1]["held_out_error"] == 0


SHORT_PLATEAU = replace(TINY, schedule="plateau", patience=1)


@pytest.mark.parametrize("config", [TINY, SHORT_PLATEAU], ids=["cosine", "plateau"])
@pytest.mark.parametrize("at", [4, 6, 11], ids=["behind an epoch", "amid an epoch", "at the last step"])
def test_an_interrupted_run_ends_with_the_same_bits(
    tmp_path: Path, easy: ImageStore, config: TrainConfig, at: int
) -> None:
    trained(tmp_path / "whole", config, easy)
    with pytest.raises(SystemExit, match="--resume"):
        trained(tmp_path / "split", config, easy, stops(at, interrupt))
    assert read_state(tmp_path / "split")[1]["progress"]["step"] == at + 1
    trained(tmp_path / "split", config, easy, resume=True)
    same_run(tmp_path / "split", tmp_path / "whole")


@pytest.mark.parametrize("at", [1, 6])
def test_a_killed_run_loses_no_more_than_one_interval_and_ends_with_the_same_bits(
    tmp_path: Path, easy: ImageStore, at: int
) -> None:
    config = replace(TINY, save_minutes=0)
    trained(tmp_path / "whole", config, easy)
    with pytest.raises(Killed):
        trained(tmp_path / "split", config, easy, stops(at, kill))
    assert read_state(tmp_path / "split")[1]["progress"]["step"] == at
    trained(tmp_path / "split", config, easy, resume=True)
    same_run(tmp_path / "split", tmp_path / "whole")


def test_a_run_killed_while_it_writes_keeps_its_last_whole_state(
    tmp_path: Path, easy: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, TINY, easy, CPU)
    run.train()
    before = (tmp_path / train.STATE_FILE).read_bytes()

    def torn(_: dict[str, Tensor], path: Path, **__: Any) -> None:
        path.write_bytes(before[: len(before) // 2])
        raise Killed

    monkeypatch.setattr(train, "save_file", torn)
    with pytest.raises(Killed):
        run.save()
    assert (tmp_path / train.STATE_FILE).read_bytes() == before


KILLED_SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from alexnet_core import geometry, train
geometry.FC_UNITS, geometry.CONV_CHANNELS = {sizes!r}
train.use_compiled = lambda: None  # as in this process, and compiling takes longer than the run
train.PRESETS["tiny"] = train.TrainConfig(**{config!r})
train.main(["--preset", "tiny", "--folder", {folder!r}, "--device", "cpu"])
"""


def test_kill_9_in_the_middle_of_a_real_process_changes_nothing(
    tmp_path: Path, easy: ImageStore, narrow: int, slim: tuple[int, ...]
) -> None:
    config, folder = replace(TINY, epochs=20, save_minutes=0), tmp_path / "killed"
    script = KILLED_SCRIPT.format(sizes=(narrow, slim), config=asdict(config), folder=str(folder))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(train.__file__).parents[1])},
        stderr=subprocess.DEVNULL,
    )
    while not (folder / train.LOG_FILE).exists():  # the first epoch has been judged
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    step = read_state(folder)[1]["progress"]["step"]
    assert step >= 3
    trained(folder, config, easy, resume=True)
    trained(tmp_path / "whole", config, easy)
    same_run(folder, tmp_path / "whole")


def test_the_signal_handler_is_put_back(tmp_path: Path, easy: ImageStore) -> None:
    before = signal.getsignal(signal.SIGINT)
    trained(tmp_path, replace(TINY, epochs=1), easy)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_log_has_one_row_per_epoch_and_is_the_curve(tmp_path: Path, easy: ImageStore) -> None:
    run = trained(tmp_path, TINY, easy)
    rows = [json.loads(line) for line in (tmp_path / train.LOG_FILE).read_text().splitlines()]
    assert rows == run.progress.curve
    assert [(row["epoch"], row["step"]) for row in rows] == [(1, 4), (2, 8), (3, 12)]


def test_the_log_of_a_killed_and_resumed_run_repeats_no_epoch(tmp_path: Path, easy: ImageStore) -> None:
    with pytest.raises(SystemExit):
        trained(tmp_path, TINY, easy, stops(2, interrupt))
    with pytest.raises(Killed):  # the log knows two epochs, the saved state none
        trained(tmp_path, TINY, easy, stops(9, kill), resume=True)
    trained(tmp_path, TINY, easy, resume=True)
    rows = [json.loads(line) for line in (tmp_path / train.LOG_FILE).read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]


def test_conv1_is_kept_at_the_start_at_log_spaced_steps_and_at_the_end(tmp_path: Path, easy: ImageStore) -> None:
    fresh = Run(tmp_path, TINY, easy, CPU).model.kernels("conv1").half()
    run = trained(tmp_path, TINY, easy)
    assert run.progress.snapshot_steps == [0, 10, 12]
    assert torch.equal(run.snapshots[0], fresh)
    assert torch.equal(run.snapshots[-1], run.model.kernels("conv1").half())
    assert {tuple(snapshot.shape) for snapshot in run.snapshots} == {(16, 3, 11, 11)}


def test_snapshot_steps_are_four_to_a_decade() -> None:
    assert sorted(train.SNAPSHOT_STEPS)[:9] == [0, 10, 18, 32, 56, 100, 178, 316, 562]


def test_what_is_left_of_conv1_s_noise_is_the_product_over_its_rates(tmp_path: Path, easy: ImageStore) -> None:
    config = replace(TINY, weight_decay=0.1)
    run = trained(tmp_path, config, easy)
    left, expected = 1.0, {0: 1.0}
    for step in range(12):
        rate = 0.01 * 0.5 * (1 + math.cos(math.pi * step / 12)) if step / 12 < 0.8 else 0.0
        left *= 1 - rate * 0.1
        expected[step + 1] = left
    assert run.progress.conv1_decay == pytest.approx(left, rel=1e-12)
    assert run.progress.snapshot_decays == pytest.approx([expected[step] for step in (0, 10, 12)], rel=1e-12)


def test_conv1_stands_still_in_the_quiet_share_while_the_rest_learns(tmp_path: Path, easy: ImageStore) -> None:
    run = trained(tmp_path, TINY, easy)
    first, tenth, last = run.snapshots  # the quiet share begins at step 9.6
    assert torch.equal(tenth, last)
    assert not torch.equal(first, last)


def test_every_epoch_uses_every_training_image_once_and_no_held_out_one(tmp_path: Path, easy: ImageStore) -> None:
    batches: list[Tensor] = []

    class Watched(Run):
        def _fetch(self, chosen: Tensor) -> Tensor:
            if self.model.training:  # not while the held-out images are judged
                batches.append(chosen)
            return super()._fetch(chosen)

    run = Watched(tmp_path, TINY, easy, CPU)
    batches.clear()  # those on which the preprocessing was measured
    run.train()
    epochs = torch.cat(batches).view(3, 32).tolist()
    held_out = set(run.held_out.tolist())
    assert len(held_out) == 8
    assert all(set(epoch) == set(range(40)) - held_out for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_the_preprocessing_is_measured_on_the_training_images_alone(tmp_path: Path, easy: ImageStore) -> None:
    run = Run(tmp_path, replace(TINY, full_size=63), easy, CPU)
    chosen = sorted(set(range(40)) - set(run.held_out.tolist()))
    mean = easy.split("train").images[chosen].astype(np.float64).mean((0, 2, 3))
    np.testing.assert_allclose(run.preprocess.mean.mean((1, 2)), mean, atol=0.5)  # enlarging moves the border a bit
    everything = easy.split("train").images.astype(np.float64).mean((0, 2, 3))
    assert np.abs(mean - everything).max() > 1e-3


def test_the_seed_decides_the_run_but_not_which_images_are_held_out(tmp_path: Path, easy: ImageStore) -> None:
    config = replace(TINY, epochs=1)
    runs = [trained(tmp_path / str(i), replace(config, seed=seed), easy) for i, seed in enumerate((0, 0, 1))]
    same_run(tmp_path / "0", tmp_path / "1")
    assert not torch.equal(runs[0].model.kernels("conv1"), runs[2].model.kernels("conv1"))
    assert torch.equal(runs[0].held_out, runs[2].held_out)


def test_the_plateau_schedule_ends_a_run_before_its_last_epoch(tmp_path: Path, easy: ImageStore) -> None:
    run = trained(tmp_path, replace(SHORT_PLATEAU, epochs=30), easy)
    assert run.schedule.finished
    assert len(run.progress.curve) < 30
    assert [row["rate"] for row in run.progress.curve] == sorted((r["rate"] for r in run.progress.curve), reverse=True)
    assert run.progress.curve[-1]["rate"] == 1e-5


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path: Path, easy: ImageStore) -> None:
    trained(tmp_path, TINY, easy)
    tensors, _ = read_state(tmp_path)
    trained(tmp_path, TINY, easy, resume=True)
    again, state = read_state(tmp_path)
    assert all(torch.equal(tensor, again[name]) for name, tensor in tensors.items())
    assert state["progress"]["snapshot_steps"] == [0, 10, 12]


@pytest.mark.parametrize("change", [{"seed": 5}, {"rate": 0.02}, {"network": {"input_size": 67}}])
def test_a_run_is_not_resumed_with_another_recipe(tmp_path: Path, easy: ImageStore, change: dict[str, Any]) -> None:
    trained(tmp_path, TINY, easy)
    with pytest.raises(ValueError, match=f"other values of .*{next(iter(change))}"):
        Run(tmp_path, replace(TINY, **change), easy, CPU, resume=True)


def test_a_run_on_other_images_is_not_resumed(
    tmp_path: Path, easy: ImageStore, make_store: Callable[..., ImageStore]
) -> None:
    trained(tmp_path, replace(TINY, epochs=1), easy)
    with pytest.raises(ValueError, match="other images"):
        Run(tmp_path, TINY, make_store("other", seed=1), CPU, resume=True)


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path, easy: ImageStore) -> None:
    with pytest.raises(FileNotFoundError, match="no run was saved"):
        Run(tmp_path, TINY, easy, CPU, resume=True)


def test_an_unknown_schedule_is_refused_with_the_choices(tmp_path: Path, easy: ImageStore) -> None:
    with pytest.raises(ValueError, match=r"plateau.*cosine.*'steps'"):
        Run(tmp_path, replace(TINY, schedule="steps"), easy, CPU)


def test_too_few_images_for_one_batch_are_refused(tmp_path: Path, easy: ImageStore) -> None:
    with pytest.raises(ValueError, match=r"held_out.*40"):
        Run(tmp_path, replace(TINY, held_out=33), easy, CPU)


def test_a_state_tells_how_it_came_to_be(tmp_path: Path, easy: ImageStore) -> None:
    trained(tmp_path, replace(TINY, epochs=1), easy)
    tensors, state = read_state(tmp_path)
    assert TrainConfig(**state["config"]) == replace(TINY, epochs=1)
    assert (state["data_hash"], state["torch"]) == (easy.hash, torch.__version__)
    assert state["device"].startswith("CPU, 1 threads")
    assert with_prefix(tensors, "model.").keys() == {
        f"stages.{name}.{kind}"
        for name in (*(f"conv{i}" for i in range(1, 6)), "fc6", "fc7", "fc8")
        for kind in ("weight", "bias")
    }


def test_presets_follow_the_recipe_of_net_145() -> None:
    for preset, config in PRESETS.items():
        assert config.preset == preset
        assert (config.mode, config.batch_size, config.momentum, config.weight_decay) == ("chm145", 128, 0.9, 5e-4)
        assert config.held_out == (2000 if preset == "prism-127" else 5000)  # of 60,000 and of 100,000 or more
    starter = PRESETS["tiny-imagenet-127"]
    assert (starter.network["input_size"], starter.full_size) == (127, 144)
    assert (PRESETS["chm145"].full_size, PRESETS["chm145"].epochs, PRESETS["chm145"].schedule) == (256, 90, "plateau")


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch, easy: ImageStore) -> list[str]:
    """Arguments that train the tiny network on the easy set."""
    monkeypatch.setitem(train.PRESETS, "tiny", TINY)
    monkeypatch.setattr(train, "use_compiled", lambda: None)  # it holds for the whole process, and takes long
    return ["--preset", "tiny", "--device", "cpu"]


def test_the_command_trains_into_the_data_home(tiny_preset: list[str]) -> None:
    train.main([*tiny_preset, "--epochs", "1", "--seed", "7"])
    _, state = read_state(runs_dir() / "tiny")
    assert (state["config"]["epochs"], state["config"]["seed"], state["progress"]["step"]) == (1, 7, 4)


def test_the_command_overwrites_no_run(
    tmp_path: Path, tiny_preset: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*tiny_preset, "--epochs", "1", "--folder", str(tmp_path)]
    train.main(arguments)
    before = (tmp_path / train.STATE_FILE).read_bytes()
    with pytest.raises(SystemExit, match="2"):
        train.main(arguments)
    assert "already holds a run: add --resume" in capsys.readouterr().err
    assert (tmp_path / train.STATE_FILE).read_bytes() == before


def test_the_command_resumes(tmp_path: Path, tiny_preset: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [*tiny_preset, "--folder", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(train, "Run", stops(6, interrupt))
        with pytest.raises(SystemExit, match="Continue with --resume"):
            train.main(arguments)
    train.main([*arguments, "--resume"])
    assert read_state(tmp_path)[1]["progress"]["step"] == 12


@pytest.mark.parametrize(
    ("extra", "message"),
    [(["--dataset", "nowhere"], "'nowhere' is not in"), (["--resume"], "no run was saved")],
)
def test_the_command_says_what_is_missing(
    tiny_preset: list[str], extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        train.main([*tiny_preset, *extra])
    assert message in capsys.readouterr().err


def test_images_rendered_on_the_fly_train_the_network_that_those_on_disk_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prism_store, "COUNTS", {"train": 100, "val": 100})
    prism_store.factor_labels.cache_clear()
    config = replace(TINY, dataset="prism-63", batch_size=16, epochs=1)
    lazy = trained(tmp_path / "lazy", config, open_dataset("prism-63"))
    kept = fetch("prism", size=63, progress=False)
    assert type(kept) is not type(lazy.store)
    trained(tmp_path / "kept", config, open_dataset("prism-63"))
    prism_store.factor_labels.cache_clear()
    same_run(tmp_path / "lazy", tmp_path / "kept")


def test_a_run_trained_on_grey_images_sees_no_colour(tmp_path: Path, easy: ImageStore) -> None:
    run = trained(tmp_path / "run", replace(TINY, colours="grey", epochs=1), easy)
    seen = run._fetch(torch.arange(4))
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 0], seen[:, 2])
    assert not torch.equal(seen, torch.from_numpy(np.array(easy.split("train").images[:4])))
    assert torch.allclose(run.preprocess.mean[0], run.preprocess.mean[2])


def test_a_run_on_one_class_of_two_has_one_output_and_only_its_images(tmp_path: Path, easy: ImageStore) -> None:
    run = trained(tmp_path / "run", replace(TINY, classes=1, images=18, epochs=1, held_out=2), easy)
    labels = torch.from_numpy(np.array(easy.split("train").labels))
    used = torch.cat([run.training, run.held_out])
    assert len(used) == 18
    assert labels[used].unique().tolist() == [0]
    assert run.model.config.num_classes == 1


@pytest.mark.parametrize(("jitter", "strengths"), [(True, {0.1, 0.0}), (False, {0.0})])
def test_without_jitter_no_step_has_colour_noise(
    tmp_path: Path, easy: ImageStore, monkeypatch: pytest.MonkeyPatch, jitter: bool, strengths: set[float]
) -> None:
    seen, ordinary = set(), Preprocess.training_batch

    def recorded(self: Preprocess, images: Tensor, generator: torch.Generator, *, lighting: float) -> Tensor:
        seen.add(lighting)
        return ordinary(self, images, generator, lighting=lighting)

    monkeypatch.setattr(Preprocess, "training_batch", recorded)
    trained(tmp_path / "run", replace(TINY, jitter=jitter), easy)
    assert seen == strengths


def test_a_run_begun_before_the_conditions_were_known_is_resumed(
    tmp_path: Path, easy: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def older(value: Any) -> dict[str, Any]:
        return {key: field for key, field in asdict(value).items() if key not in ("colours", "jitter", "start")}

    with monkeypatch.context() as patched:
        patched.setattr(train, "asdict", older)
        trained(tmp_path / "run", replace(TINY, epochs=1), easy)
    trained(tmp_path / "run", replace(TINY, epochs=2), easy, resume=True)
    with pytest.raises(ValueError, match="colours"):
        trained(tmp_path / "run", replace(TINY, colours="grey"), easy, resume=True)
