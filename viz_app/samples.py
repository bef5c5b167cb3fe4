"""Sample photographs that came with scikit-learn and scikit-image; nothing is downloaded."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from viz_app.uploads import Photo, photo


class Sample(NamedTuple):
    """A sample photo: its name on the page, its file inside a package, whom to thank."""

    name: str
    package: str
    file: str
    credit: str


SAMPLES = (
    Sample("Coffee", "skimage", "data/coffee.png", "Pikolo Espresso Bar, by Rachel Michetti, CC0"),
    Sample("Cat", "skimage", "data/chelsea.png", "Chelsea, by Stéfan van der Walt, CC0"),
    Sample("Flower", "sklearn", "datasets/images/flower.jpg", "by vultilion (Flickr), CC BY 2.0"),
    Sample("Temple", "sklearn", "datasets/images/china.jpg", "by danielbuechele (Flickr), CC BY 2.0"),
    Sample("Astronaut", "skimage", "data/astronaut.png", "Eileen Collins, by NASA, public domain"),
    Sample("Rocket", "skimage", "data/rocket.jpg", "DSCOVR launch, by SpaceX, public domain"),
    Sample("Galaxies", "skimage", "data/hubble_deep_field.jpg", "Hubble eXtreme Deep Field, by NASA, public domain"),
    Sample("Photographer (grey)", "skimage", "data/camera.png", "by Lav Varshney, CC0"),
    Sample("Brick wall (grey)", "skimage", "data/brick.png", "CC0 Textures, CC0"),
)


@cache
def sample_names() -> tuple[str, ...]:
    """Names of the samples that this installation has."""
    return tuple(row.name for row in SAMPLES if _path(row).is_file())


@cache
def sample(name: str) -> Photo:
    """The sample of this name. Raises ``ValueError`` if there is none."""
    for row in SAMPLES:
        if row.name == name:
            return photo(name, _path(row).read_bytes(), f"Photo: {row.credit}.")
    raise ValueError(f"There is no sample {name!r}; choose from {list(sample_names())}.")


def _path(row: Sample) -> Path:
    """Where the package keeps the file; found without importing the package, which would take a second."""
    spec = find_spec(row.package)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0] if folders else "") / row.file
