"""The sample photos are there without a download, and their makers are named."""

import pytest

from viz_app.samples import SAMPLES, sample, sample_names
from viz_app.uploads import read_picture


@pytest.mark.parametrize("name", sample_names())
def test_a_sample_can_be_shown_and_names_its_maker_and_licence(name: str) -> None:
    found = sample(name)
    assert read_picture(found.data, 64).stored.float().std() > 10  # a picture, not a blank
    assert "CC" in found.credit or "public domain" in found.credit
    assert found.credit.endswith(".")


def test_all_samples_ship_with_the_packages_that_are_required() -> None:
    assert sample_names() == tuple(row.name for row in SAMPLES)


def test_an_unknown_sample_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="choose from"):
        sample("Dog")
