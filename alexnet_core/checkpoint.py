"""Checkpoints: weights as safetensors, everything about them as a JSON card beside. Loading never unpickles."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from alexnet_core.config import AlexNetConfig
from alexnet_core.files import sha256_of_file
from alexnet_core.model import AlexNet
from alexnet_core.paths import checkpoints_dir
from alexnet_core.preprocess import SIZES, TENSORS, Preprocess
from alexnet_core.quantise import dequantise, quantise

SHIPPED = Path(__file__).parent / "checkpoints"
LESIONS = ".lesions.json"  # ends the name of a result that lies beside a card and is none
FORMAT_VERSION = 1
_PREFIX = "preprocess."
_REQUIRED = (
    "format_version", "name", "weights_file", "weights_sha256", "config", "preprocess", "classes", "storage_bits",
    "card_sha256",
)  # fmt: skip


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the field and what to do."""


class Checkpoint(NamedTuple):
    """A loaded checkpoint. The model is in eval mode without gradients: share it, never change it."""

    model: AlexNet
    card: dict[str, Any]
    preprocess: Preprocess

    @property
    def id(self) -> str:
        """Short content hash of weights and card: the key of every cache."""
        return str(self.card["id"])

    @property
    def class_names(self) -> list[str]:
        """Readable class names, the first synonym of each, in the order of the logits."""
        return [str(row["name"]).split(",")[0] for row in self.card["classes"]]


def list_checkpoints() -> list[str]:
    """Names that `load_checkpoint` knows: those that ship with the code, then the user's own."""
    own = checkpoints_dir()
    cards = [path for folder in (SHIPPED, own) if folder.is_dir() for path in sorted(folder.glob("*.json"))]
    return list(dict.fromkeys(path.stem for path in cards if not path.name.endswith(LESIONS)))


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Load a checkpoint by the name of a shipped or own one, or by the path of its card or weights file.

    Raises ``CheckpointError`` if it is missing, torn, altered or does not fit its own card.
    """
    path = _card_path(name_or_path)
    card = _parsed_card(path)
    weights = _read_weights(path, card)
    try:
        config = config_from_json(card["config"])
        sizes = {name: int(card["preprocess"][name]) for name in SIZES}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: 'config' or 'preprocess' is damaged ({error}).") from error
    if (found := (sizes["input_size"], len(card["classes"]))) != (config.input_size, config.num_classes):
        raise CheckpointError(
            f"{path}: 'preprocess' and 'classes' give {found[0]} px and {found[1]} classes, "
            f"'config' reads {config.input_size} px and {config.num_classes} classes."
        )
    with torch.device("meta"):  # no memory, no initialisation: the weights come from the file
        model = AlexNet(config)
    try:
        preprocess = Preprocess.from_parts(sizes, {name: weights[_PREFIX + name] for name in TENSORS})
        model.load_state_dict(_state_dict(model, weights, card["storage_bits"]), assign=True)
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path.parent / card['weights_file']} does not fit its card: {error}") from error
    return Checkpoint(model.eval().requires_grad_(False), card, preprocess)


def read_card(name_or_path: str | Path) -> dict[str, Any]:
    """A checkpoint's card, with its id, without reading the weights. Raises ``CheckpointError``."""
    return _parsed_card(_card_path(name_or_path))


def save_checkpoint(
    folder: Path,
    name: str,
    model: AlexNet,
    preprocess: Preprocess,
    classes: list[dict[str, str]],
    *,
    about: Mapping[str, Any],
    storage_bits: Mapping[str, int] | None = None,
) -> Path:
    """Write ``NAME.safetensors`` and its card ``NAME.json``, each beside and renamed, the card last.

    `classes` is a list of {"id", "name"} in logit order; `about` goes into the card as it is (data hash, seed,
    device, curve, metrics, ...). `storage_bits` maps parameter names such as ``fc6.weight`` to 4 or 8 bits;
    what it does not name is stored in float32. Returns the card's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bits = dict(storage_bits or {})
    sizes, measured = preprocess.parts()
    tensors = {_PREFIX + key: tensor for key, tensor in measured.items()}
    tensors[_PREFIX + "mean"] = measured["mean"].half()  # 0-255 to within 0.06 grey levels
    for key, weight in model.state_dict().items():
        short = key.removeprefix("stages.")
        if short in bits:
            tensors[f"{short}.codes"], tensors[f"{short}.scales"] = quantise(weight, bits[short])
        else:
            tensors[short] = weight
    weights_file = f"{name}.safetensors"
    beside = folder / f"{weights_file}.part"
    save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, beside)
    digest = sha256_of_file(beside)
    card = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "weights_file": weights_file,
        "weights_sha256": digest,
        "config": asdict(model.config),
        "preprocess": sizes | {"description": preprocess.describe()},
        "classes": classes,
        "storage_bits": bits,
        **about,
    }
    card["card_sha256"] = _seal(card)
    path = folder / f"{name}.json"
    card_beside = path.with_suffix(".json.part")
    card_beside.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    beside.replace(folder / weights_file)
    card_beside.replace(path)
    return path


def config_from_json(values: Mapping[str, Any]) -> AlexNetConfig:
    """A configuration from its JSON form, where tuples have become lists.

    Raises ``TypeError`` for unknown fields, ``ValueError`` for values out of range.
    """
    known = {item.name for item in fields(AlexNetConfig)}
    if unknown := set(values) - known:
        raise TypeError(f"unknown field(s) {sorted(unknown)}")
    fixed: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return AlexNetConfig(**fixed)


def _card_path(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".json", ".safetensors"):
        path = path.with_suffix(".json")
        if path.exists():
            return path
        raise CheckpointError(
            f"{path} does not exist; a checkpoint is a .safetensors file with a .json card beside it."
        )
    for folder in (SHIPPED, checkpoints_dir()):
        if (candidate := folder / f"{path}.json").exists():
            return candidate
    raise CheckpointError(f"There is no checkpoint {str(name_or_path)!r}; choose from {list_checkpoints()}.")


def _parsed_card(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        card: dict[str, Any] = json.loads(data)
    except ValueError as error:
        raise CheckpointError(f"{path} is not a readable card ({error}); restore it from where you got it.") from error
    if missing := [key for key in _REQUIRED if not isinstance(card, dict) or key not in card]:
        raise CheckpointError(f"{path} lacks the field(s) {missing}.")
    if card["format_version"] != FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: 'format_version' is {card['format_version']}, this code reads {FORMAT_VERSION}; update the code."
        )
    if (found := _seal(card)) != card["card_sha256"]:
        raise CheckpointError(
            f"{path} was altered after it was written: its contents give {found[:12]}..., 'card_sha256' is "
            f"{str(card['card_sha256'])[:12]}.... Restore it from where you got it."
        )
    return card | {"id": hashlib.sha256(data).hexdigest()[:16]}


def _read_weights(path: Path, card: dict[str, Any]) -> dict[str, Tensor]:
    weights_path = path.parent / Path(str(card["weights_file"])).name
    if not weights_path.exists():
        raise CheckpointError(f"{weights_path} does not exist, though the card {path.name} names it in 'weights_file'.")
    if (found := sha256_of_file(weights_path)) != card["weights_sha256"]:
        raise CheckpointError(
            f"{weights_path} is truncated or altered: its SHA-256 is {found[:12]}..., "
            f"the card's 'weights_sha256' is {str(card['weights_sha256'])[:12]}.... Download or copy it again."
        )
    try:
        return load_file(weights_path)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{weights_path} is not a safetensors file ({error}).") from error


def _state_dict(model: AlexNet, tensors: dict[str, Tensor], bits: Mapping[str, int]) -> dict[str, Tensor]:
    """Float32 weights under the model's names. Raises ``ValueError`` for a tensor that lacks or does not fit."""
    state = {}
    for key, parameter in model.state_dict().items():
        name, shape = key.removeprefix("stages."), tuple(parameter.shape)
        wanted = [f"{name}.codes", f"{name}.scales"] if name in bits else [name]
        if missing := [tensor for tensor in wanted if tensor not in tensors]:
            raise ValueError(f"it lacks {missing}.")
        if name in bits:
            try:
                state[key] = dequantise(tensors[wanted[0]], tensors[wanted[1]], shape, bits[name])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        elif tuple(tensors[name].shape) == shape:
            state[key] = tensors[name].float()
        else:
            raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}, the 'config' needs {shape}.")
    return state


def _seal(card: Mapping[str, Any]) -> str:
    """SHA-256 over all other fields of a card, whatever their order and layout."""
    content = {key: value for key, value in card.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
