"""The command line makes the map that it is asked for; ended midway, it leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.projection import MapPlan, map_file, open_map
from analysis.projection import __main__ as command

ROOT = Path(__file__).parents[3]
SLOW = """
import sys
import time
from analysis.projection import __main__, maps
from alexnet_core import geometry

geometry.FC_UNITS, geometry.CONV_CHANNELS = 64, (16, 32, 48, 48, 32)
maps.lay_out = lambda *_, tell, **__: (tell("Placing the points"), time.sleep(60))
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_a_map_is_made_once_and_then_opened(mine, capsys):
    plan = MapPlan("t-SNE", neighbours=5, images=30)
    words = ["mine", *plan.options(), "--home", str(mine.home)]
    assert command.main(words) == 0
    first = capsys.readouterr()
    assert "Placing 30 points with t-SNE ..." in first.err
    assert first.out.splitlines()[-1] == str(map_file(mine, plan))
    assert "t-SNE of 30 images" in first.out
    assert command.main(words) == 0
    assert capsys.readouterr() == (first.out, "")


@pytest.mark.parametrize(
    "plan",
    [
        MapPlan(),
        MapPlan("UMAP", 7, 0.25, 3, 20, "val", "fc6", "cosine", 1),
        MapPlan("t-SNE", half=0, split="train"),
    ],
)
def test_the_options_of_a_plan_mean_that_plan(mine, monkeypatch, plan):
    seen = []

    def refuse(workspace, wanted):
        seen.append(wanted)
        raise ValueError("enough")

    monkeypatch.setattr(command, "open_map", refuse)
    assert command.main(["mine", *plan.options()]) == 1
    assert seen == [plan]


def test_what_is_wrong_is_one_line(mine, capsys):
    assert command.main(["nobody"]) == 1
    assert command.main(["mine", "--method", "UMAP", "--neighbours", "60"]) == 1
    problems = [line for line in capsys.readouterr().err.splitlines() if not line.endswith("...")]
    assert len(problems) == 2
    assert "no workspace 'nobody'" in problems[0]
    assert "2 to 59 neighbours" in problems[1]


def test_ended_midway_it_leaves_nothing_behind(mine):
    plan = MapPlan("UMAP", seed=42)
    arguments = [sys.executable, "-c", SLOW, "mine", *plan.options(), "--home", str(mine.home)]
    before = sorted(mine.folder.rglob("*"))
    with subprocess.Popen(
        arguments, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        while b"Placing" not in (line := process.stderr.readline()):
            assert line, "it ended by itself"
        process.terminate()
    assert process.returncode != 0
    assert sorted(mine.folder.rglob("*")) == before
    assert open_map(mine, plan) is None
