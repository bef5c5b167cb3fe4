"""Checkpoints come back as they were saved, and whatever is torn, altered or foreign is refused by name."""

import hashlib
import json
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from alexnet_core import checkpoint as module
from alexnet_core.checkpoint import (
    Checkpoint,
    CheckpointError,
    config_from_json,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from alexnet_core.config import MODES
from alexnet_core.model import AlexNet, build_model
from alexnet_core.paths import checkpoints_dir
from alexnet_core.preprocess import Preprocess

pytestmark = pytest.mark.usefixtures("slim")

BITS = {f"conv{i}.weight": 8 for i in range(1, 6)} | {"fc6.weight": 4, "fc7.weight": 4, "fc8.weight": 8}
CLASSES = [{"id": f"n{i}", "name": f"class {i}, synonym"} for i in range(5)]


def network(seed: int = 0, **changes: Any) -> AlexNet:
    return build_model("chm145", 5, generator=torch.Generator().manual_seed(seed), **{"input_size": 63, **changes})


def preprocess() -> Preprocess:
    generator = torch.Generator().manual_seed(9)
    mean = 255 * torch.rand(3, 72, 72, generator=generator)
    return Preprocess(16, 72, 63, mean, torch.randn(3, 3, generator=generator), torch.rand(3, generator=generator))


def save(folder: Path, name: str = "tiny", *, model: AlexNet | None = None, **options: Any) -> Path:
    return save_checkpoint(
        folder, name, model or network(), preprocess(), CLASSES, about={"seed": 7, "curve": [1.5, 0.5]}, **options
    )


@pytest.fixture
def card_path(tmp_path: Path) -> Path:
    """A good checkpoint in few bits."""
    return save(tmp_path, storage_bits=BITS)


def edit(card_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Another card that seals itself."""
    card = json.loads(card_path.read_text())
    change(card)
    content = {key: value for key, value in card.items() if key != "card_sha256"}
    seal = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    card_path.write_text(json.dumps(content | {"card_sha256": seal} if "card_sha256" in card else content))


def read_weights(card_path: Path) -> dict[str, Tensor]:
    """Copies: the file itself is written over by some tests."""
    return {name: tensor.clone() for name, tensor in load_file(card_path.with_suffix(".safetensors")).items()}


def replace_weights(card_path: Path, tensors: dict[str, Tensor]) -> None:
    """Other contents, with a card that vouches for them."""
    path = card_path.with_suffix(".safetensors")
    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(card_path, lambda card: card.update(weights_sha256=digest))


def refused(card_path: Path, *words: str) -> None:
    """Loading fails with one error that has all the words, in any order."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(card_path)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("mode", MODES)
def test_float32_weights_come_back_bit_for_bit(tmp_path: Path, mode: str) -> None:
    model = build_model(mode, 5, input_size=63, generator=torch.Generator().manual_seed(3))
    loaded = load_checkpoint(save(tmp_path, model=model)).model
    assert loaded.config == model.config
    assert list(loaded.stages) == list(model.stages)
    for name, weights in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weights), name
    images = 60 * torch.randn(2, 3, 63, 63, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(images), model.eval()(images))


def test_few_bits_stay_within_half_a_step_of_each_group(card_path: Path) -> None:
    loaded, model = load_checkpoint(card_path).model.state_dict(), network().state_dict()
    for name, weights in model.items():
        bits = BITS.get(name.removeprefix("stages."))
        if bits is None:
            assert torch.equal(loaded[name], weights), name
        elif bits == 8:
            assert (loaded[name] - weights).abs().max() <= 0.51 * weights.abs().max() / 127, name
        else:
            assert (loaded[name] - weights).norm() < 0.15 * weights.norm(), name


def test_few_bits_make_a_small_file(tmp_path: Path) -> None:
    small, large = (save(tmp_path, name, storage_bits=bits) for name, bits in (("small", BITS), ("large", {})))
    preprocessing = 3 * 72 * 72 * 2
    sizes = [path.with_suffix(".safetensors").stat().st_size - preprocessing for path in (small, large)]
    assert sizes[0] < 0.3 * sizes[1]


def test_the_preprocessing_comes_back(card_path: Path) -> None:
    found, expected = load_checkpoint(card_path).preprocess, preprocess()
    assert (found.source_size, found.full_size, found.input_size) == (16, 72, 63)
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=0.0626)  # stored as float16
    assert torch.equal(found.pca_vectors, expected.pca_vectors)
    assert torch.equal(found.pca_stdevs, expected.pca_stdevs)


def test_the_card_tells_what_was_saved(card_path: Path) -> None:
    checkpoint = load_checkpoint(card_path)
    card = json.loads(card_path.read_text())
    assert (card["name"], card["seed"], card["curve"]) == ("tiny", 7, [1.5, 0.5])
    assert card["classes"] == CLASSES
    assert card["storage_bits"] == BITS
    assert card["weights_sha256"] == hashlib.sha256(card_path.with_suffix(".safetensors").read_bytes()).hexdigest()
    assert "cropped to 63 px" in card["preprocess"]["description"]
    assert {key: checkpoint.card[key] for key in card} == card
    assert checkpoint.class_names == [f"class {i}" for i in range(5)]


def test_a_loaded_model_is_for_reading(card_path: Path) -> None:
    model = load_checkpoint(card_path).model
    assert not any(part.training for part in model.modules())
    assert not any(p.requires_grad or p.is_meta for p in model.parameters())


def test_the_id_depends_on_the_contents_alone(tmp_path: Path, card_path: Path) -> None:
    copy = tmp_path / "copy" / card_path.name
    shutil.copytree(tmp_path, copy.parent, ignore=shutil.ignore_patterns("copy"))
    first, again = load_checkpoint(card_path).id, load_checkpoint(copy).id
    other_weights = load_checkpoint(save(tmp_path / "other", model=network(1), storage_bits=BITS)).id
    edit(copy, lambda card: card.update(seed=8))
    assert first == again
    assert len({first, other_weights, load_checkpoint(copy).id}) == 3


def test_a_checkpoint_is_found_by_name_card_or_weights_file() -> None:
    path = save(checkpoints_dir(), "mine.v2")
    ids = {load_checkpoint(key).id for key in ("mine.v2", path, path.with_suffix(".safetensors"), str(path))}
    assert len(ids) == 1


def test_shipped_and_own_checkpoints_are_listed_shipped_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list_checkpoints() == sorted(path.stem for path in module.SHIPPED.glob("*127.json"))  # no results beside
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "shipped")
    assert list_checkpoints() == []
    for folder, name in ((checkpoints_dir(), "b"), (checkpoints_dir(), "a"), (tmp_path / "shipped", "z")):
        save(folder, name)
    save(checkpoints_dir(), "z", model=network(1))
    assert list_checkpoints() == ["z", "a", "b"]
    shipped = load_checkpoint(tmp_path / "shipped" / "z.json")
    assert load_checkpoint("z").id == shipped.id


def test_nothing_half_written_is_left(card_path: Path) -> None:
    assert sorted(path.name for path in card_path.parent.iterdir() if path.is_file()) == [
        "tiny.json",
        "tiny.safetensors",
    ]


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    save(checkpoints_dir(), "mine")
    with pytest.raises(CheckpointError, match=r"'yours'.*'mine'"):
        load_checkpoint("yours")


def test_a_missing_card_or_weights_file_is_named(tmp_path: Path, card_path: Path) -> None:
    with pytest.raises(CheckpointError, match=re.escape(str(tmp_path / "absent.json"))):
        load_checkpoint(tmp_path / "absent.safetensors")
    weights = card_path.with_suffix(".safetensors")
    weights.unlink()
    refused(card_path, str(weights), "does not exist", "'weights_file'")


def flip_a_bit(data: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:-1], id="last byte gone"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data + b"\0", id="longer"),
        pytest.param(flip_a_bit, id="one bit flipped"),
        pytest.param(lambda data: b"\0" * len(data), id="zeros"),
    ],
)
def test_damaged_weights_are_refused_by_their_checksum(card_path: Path, damage: Callable[[bytes], bytes]) -> None:
    weights = card_path.with_suffix(".safetensors")
    weights.write_bytes(damage(weights.read_bytes()))
    refused(card_path, str(weights), "truncated or altered", "'weights_sha256'")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: b"\xff\xfe" + data, id="not UTF-8"),
        pytest.param(lambda data: data.replace(b":", b";", 1), id="no JSON"),
    ],
)
def test_an_unreadable_card_is_refused(card_path: Path, damage: Callable[[bytes], bytes]) -> None:
    card_path.write_bytes(damage(card_path.read_bytes()))
    refused(card_path, str(card_path), "not a readable card")


@pytest.mark.parametrize(
    "field",
    [
        "format_version",
        "name",
        "weights_file",
        "weights_sha256",
        "config",
        "preprocess",
        "classes",
        "storage_bits",
        "card_sha256",
    ],
)
def test_a_missing_field_is_named(card_path: Path, field: str) -> None:
    edit(card_path, lambda card: card.pop(field))
    refused(card_path, str(card_path), field)


def test_a_card_that_is_a_list_is_refused(card_path: Path) -> None:
    card_path.write_text("[]")
    refused(card_path, str(card_path), "config")


def test_a_card_of_another_format_is_refused(card_path: Path) -> None:
    edit(card_path, lambda card: card.update(format_version=2))
    refused(card_path, str(card_path), "'format_version' is 2", "update the code")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("config", {"towers": 3}, ["towers must be 1, 2 or 4"]),
        ("config", {"colour": 1}, ["config", "colour"]),
        ("config", {"input_size": "63"}, ["config"]),
        ("config", {"layer1": ["conv1", "sigmoid1"]}, ["layer1"]),
        ("config", {"num_classes": 6}, ["5 classes", "6 classes"]),
        ("config", {"input_size": 64}, ["63 px", "64 px"]),
        ("preprocess", {"full_size": None}, ["preprocess"]),
        ("preprocess", {"full_size": 71}, ["mean", "71"]),
        ("preprocess", {"source_size": 73}, ["source_size", "73"]),
    ],
)
def test_a_value_in_a_card_that_cannot_be_right_is_named(
    card_path: Path, field: str, value: dict[str, Any], words: list[str]
) -> None:
    edit(card_path, lambda card: card[field].update(value))
    refused(card_path, str(card_path.with_suffix("")), *words)


def test_another_number_of_classes_is_refused(card_path: Path) -> None:
    edit(card_path, lambda card: card["classes"].pop())
    refused(card_path, str(card_path), "'classes'", "4 classes")


def test_a_card_of_another_network_is_refused_with_the_first_weights_that_do_not_fit(card_path: Path) -> None:
    edit(card_path, lambda card: card["config"].update(towers=4))
    refused(card_path, str(card_path.with_suffix(".safetensors")), "(32, 4, 5, 5)")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "another"),
        ("seed", 8),
        ("classes", None),
        ("classes", [{"id": "n0"}] * 5),
        ("config", []),
        ("preprocess", []),
        ("storage_bits", None),
        ("storage_bits", BITS | {"fc6.weight": 5}),
        ("weights_file", ""),
        ("weights_sha256", None),
        ("card_sha256", "0" * 64),
    ],
)
def test_a_card_altered_in_any_field_is_refused(card_path: Path, field: str, value: object) -> None:
    card = json.loads(card_path.read_text())
    card_path.write_text(json.dumps(card | {field: value}))
    refused(card_path, str(card_path), "altered", "'card_sha256'")


def test_a_constant_changed_in_the_card_is_noticed(card_path: Path) -> None:
    card = json.loads(card_path.read_text())
    card["config"]["lrn_k"] = 1.0
    card_path.write_text(json.dumps(card))
    refused(card_path, str(card_path), "altered", "'card_sha256'")


def test_the_layout_of_a_card_does_not_matter(card_path: Path) -> None:
    card = json.loads(card_path.read_text())
    card_path.write_text(json.dumps(dict(sorted(card.items(), reverse=True)), indent=8))
    load_checkpoint(card_path)


@pytest.mark.parametrize(
    "missing",
    ["conv3.bias", "fc6.weight.scales", "conv1.weight.codes", "preprocess.mean", "preprocess.pca_stdevs"],
)
def test_weights_that_lack_a_tensor_are_refused_by_its_name(card_path: Path, missing: str) -> None:
    tensors = read_weights(card_path)
    del tensors[missing]
    replace_weights(card_path, tensors)
    refused(card_path, str(card_path.with_suffix(".safetensors")), missing.removeprefix("preprocess."))


@pytest.mark.parametrize("wrong", ["conv3.bias", "fc6.weight.codes", "fc7.weight.scales", "preprocess.mean"])
def test_weights_of_another_shape_are_refused_by_name(card_path: Path, wrong: str) -> None:
    tensors = read_weights(card_path)
    replace_weights(card_path, tensors | {wrong: tensors[wrong][:-1].contiguous()})
    path = card_path.with_suffix(".safetensors")
    refused(card_path, str(path), wrong.removeprefix("preprocess.").removesuffix(".codes").removesuffix(".scales"))


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("writer", [pickle.dump, torch.save])
def test_a_pickle_is_refused_without_being_run(
    tmp_path: Path, card_path: Path, writer: Callable[[Any, Any], None]
) -> None:
    proof, weights = tmp_path / "proof", card_path.with_suffix(".safetensors")
    with weights.open("wb") as file:
        writer(Payload(proof), file)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    edit(card_path, lambda card: card.update(weights_sha256=digest))
    refused(card_path, str(weights), "not a safetensors file")
    assert not proof.exists()
    data = BytesIO(weights.read_bytes())
    torch.load(data, weights_only=False) if writer is torch.save else pickle.load(data)
    assert proof.exists()  # so it was a working payload


def test_a_card_cannot_point_outside_its_folder(tmp_path: Path, card_path: Path) -> None:
    save(tmp_path / "elsewhere", "secret")
    edit(card_path, lambda card: card.update(weights_file="elsewhere/secret.safetensors"))
    refused(card_path, str(tmp_path / "secret.safetensors"), "does not exist")


def test_a_configuration_survives_json() -> None:
    for config in MODES.values():
        changed = replace(config, towers=4, num_classes=7)
        values = json.loads(json.dumps({name: getattr(changed, name) for name in changed.__dataclass_fields__}))
        assert config_from_json(values) == changed


def test_loading_gives_a_named_value(card_path: Path) -> None:
    assert Checkpoint._fields == ("model", "card", "preprocess")
    assert isinstance(load_checkpoint(card_path), Checkpoint)
