"""The original two-tower AlexNet: network, preprocessing, data, training, checkpoints."""

from alexnet_core.checkpoint import Checkpoint, CheckpointError, list_checkpoints, load_checkpoint
from alexnet_core.config import MODES, AlexNetConfig
from alexnet_core.lrn import local_response_norm
from alexnet_core.model import AlexNet, build_model

__all__ = [
    "MODES",
    "AlexNet",
    "AlexNetConfig",
    "Checkpoint",
    "CheckpointError",
    "build_model",
    "list_checkpoints",
    "load_checkpoint",
    "local_response_norm",
]
