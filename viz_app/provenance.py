"""What a report says of where its numbers come from: the network, the software."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from viz_app.frame import Table

TRAINING = ("preset", "dataset", "epochs", "batch_size", "schedule", "seed", "device")  # of a card


def facts_table(caption: str, facts: Mapping[str, str]) -> Table:
    """Facts by name, as a table; empty ones are left out."""
    return Table(caption, ("What", "Which"), [(name, value) for name, value in facts.items() if value])


def network_facts(card: Mapping[str, Any]) -> dict[str, str]:
    """What the card of a checkpoint says of the network and its training."""
    config, training, metrics = card["config"], card.get("training", {}), card.get("metrics", {})
    facts = {
        "Network": f"{config['mode']}, towers: {config['towers']}, input {config['input_size']} px",
        "Input": str(card["preprocess"].get("description", "")),
        "Training": ", ".join(f"{name.replace('_', ' ')} {training[name]}" for name in TRAINING if name in training),
        "Trained by": ", ".join(f"{name} {card[name]}" for name in ("commit", "torch") if name in card),
    }
    if stored := metrics.get("as_stored"):
        facts["According to its card"] = (
            f"top-1 {stored['top1']:.2%}, top-5 {stored['top5']:.2%} right of {stored['n']:,} {metrics['images']} "
            f"images, {metrics['views']} views"
        )
    return facts


def software_table(packages: Sequence[str]) -> Table:
    """The versions that made a report."""
    facts = {"Python": platform.python_version()} | {name: version(name) for name in packages}
    return facts_table("The software that made this report", facts)
