"""What reports say of where their numbers come from."""

import platform
from importlib.metadata import version

from viz_app.provenance import facts_table, network_facts, software_table

CARD = {
    "config": {"mode": "paper", "towers": 2, "input_size": 127},
    "preprocess": {},
    "training": {"preset": "tiny", "batch_size": 64, "secret": "x"},
    "torch": "2.13",
}


def test_a_card_tells_the_network_and_its_training_and_nothing_that_it_lacks():
    facts = network_facts(CARD)
    assert facts["Network"] == "paper, towers: 2, input 127 px"
    assert facts["Training"] == "preset tiny, batch size 64"
    assert "According to its card" not in facts
    assert ("Input", "") not in facts_table("The network", facts).rows


def test_what_the_card_measured_is_told_with_its_number_of_images():
    metrics = {"as_stored": {"top1": 0.5, "top5": 0.75, "n": 2000}, "images": "val", "views": 10}
    told = network_facts(CARD | {"metrics": metrics})["According to its card"]
    assert told == "top-1 50.00%, top-5 75.00% right of 2,000 val images, 10 views"


def test_versions_are_those_installed():
    rows = dict(software_table(("numpy",)).rows)
    assert rows == {"Python": platform.python_version(), "numpy": version("numpy")}
