"""Preprocessing against Pillow, torchvision, brute force and algebra on random pictures."""

from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from alexnet_core.preprocess import Preprocess, bicubic_matrix, fit_preprocess

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(n: int, size: int = 64, *, seed: int = 0) -> Tensor:
    """Random pixels, uint8."""
    return torch.randint(0, 256, (n, 3, size, size), generator=seeded(seed), dtype=torch.uint8)


@pytest.fixture
def starter() -> Preprocess:
    """The sizes of the starter, a random mean image and random colours."""
    return Preprocess(
        source_size=64,
        full_size=144,
        input_size=127,
        mean=255 * torch.rand(3, 144, 144, generator=seeded(1)),
        pca_vectors=torch.linalg.qr(torch.randn(3, 3, generator=seeded(2))).Q,
        pca_stdevs=torch.tensor([20.0, 37.0, 122.0]),
    )


def enlarged(image: Tensor, size: int) -> Tensor:
    """One picture enlarged as a whole by Pillow, channel by channel in floating point."""
    channels = [Image.fromarray(channel.numpy()) for channel in image.float()]
    resized = [np.asarray(channel.resize((size, size), Image.Resampling.BICUBIC)) for channel in channels]
    return torch.from_numpy(np.stack(resized))


@pytest.mark.parametrize(("source", "target"), [(64, 144), (32, 144), (48, 49), (5, 37)])
def test_enlargement_is_that_of_pillow(source: int, target: int) -> None:
    image, matrix = pictures(1, source)[0], bicubic_matrix(source, target, CPU)
    torch.testing.assert_close(matrix @ image.float() @ matrix.T, enlarged(image, target), rtol=0, atol=2e-3)


@pytest.mark.parametrize(("source", "target"), [(64, 144), (32, 144), (48, 49), (5, 37)])
def test_enlargement_is_that_of_pytorch_s_antialiased_bicubic(source: int, target: int) -> None:
    image, matrix = pictures(1, source).float(), bicubic_matrix(source, target, CPU)
    other = F.interpolate(image, size=(target, target), mode="bicubic", antialias=True)
    torch.testing.assert_close(matrix @ image @ matrix.T, other, rtol=0, atol=2e-3)


def test_equal_sizes_leave_every_pixel_alone() -> None:
    assert torch.equal(bicubic_matrix(64, 64, CPU), torch.eye(64))


def test_a_flat_picture_stays_flat_up_to_its_border() -> None:
    torch.testing.assert_close(bicubic_matrix(64, 144, CPU).sum(1), torch.ones(144))


def test_reducing_is_refused_because_it_would_alias() -> None:
    with pytest.raises(ValueError, match="64 -> 63"):
        bicubic_matrix(64, 63, CPU)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_is_cut_from_the_enlarged_picture(starter: Preprocess, mirrored: bool) -> None:
    images = pictures(4)
    tops, lefts = torch.tensor([0, 17, 5, 9]), torch.tensor([17, 0, 3, 9])
    crops = starter.crops(images, tops, lefts, torch.full((4,), mirrored))
    for image, crop, top, left in zip(images, crops, tops.tolist(), lefts.tolist(), strict=True):
        cut = enlarged(image, 144)[:, top : top + 127, left : left + 127]
        torch.testing.assert_close(crop, cut.flip(2) if mirrored else cut, rtol=0, atol=2e-3)


def test_bicubic_overshoot_is_kept(starter: Preprocess) -> None:
    edge = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    edge[..., 32:] = 255
    corner = torch.zeros(1, dtype=torch.long)
    crop = starter.crops(edge, corner, corner, corner.bool())
    assert crop.min() < -5
    assert crop.max() > 260


def test_central_crop_is_that_of_torchvision(starter: Preprocess, torchvision: ModuleType) -> None:
    functional, bicubic = torchvision.transforms.v2.functional, torchvision.transforms.InterpolationMode.BICUBIC
    images, border = pictures(2), 17 // 2
    whole = functional.resize(images.float(), [144, 144], bicubic)
    mean = starter.mean[:, border : border + 127, border : border + 127]
    expected = functional.crop(whole, border, border, 127, 127) - mean
    torch.testing.assert_close(starter.centre(images), expected, rtol=0, atol=2e-3)


def test_ten_views_are_those_of_torchvision_in_the_order_of_the_authors(torchvision: ModuleType) -> None:
    preprocess = Preprocess(64, 144, 128, torch.zeros(3, 144, 144), torch.eye(3), torch.ones(3))
    functional, bicubic = torchvision.transforms.v2.functional, torchvision.transforms.InterpolationMode.BICUBIC
    images = pictures(2)
    whole = functional.resize(images.float(), [144, 144], bicubic)
    views = functional.ten_crop(whole, [128, 128])  # corners TL, TR, BL, BR, centre, then of the mirrored picture
    plain, mirror = views[:5], views[5:]
    ours = [plain[i] for i in (0, 1, 4, 2, 3)] + [mirror[i] for i in (1, 0, 4, 3, 2)]
    torch.testing.assert_close(preprocess.ten_views(images), torch.stack(ours, 1), rtol=0, atol=2e-3)


def test_ten_views_are_five_offsets_and_their_mirrors(starter: Preprocess) -> None:
    image = pictures(1)
    views = starter.ten_views(image)[0]
    assert views.shape == (10, 3, 127, 127)
    whole, centre = enlarged(image[0], 144), starter.mean[:, 8:135, 8:135]
    for i, (top, left) in enumerate([(0, 0), (0, 17), (8, 8), (17, 0), (17, 17)]):
        cut = whole[:, top : top + 127, left : left + 127]
        torch.testing.assert_close(views[i], cut - centre, rtol=0, atol=2e-3)
        torch.testing.assert_close(views[i + 5], cut.flip(2) - centre, rtol=0, atol=2e-3)


def test_mirrors_come_about_as_often_as_not(starter: Preprocess) -> None:
    ramp = torch.arange(64, dtype=torch.uint8).expand(200, 3, 64, 64)
    batch = starter.training_batch(ramp, seeded(), lighting=0) + starter.mean[:, 8:135, 8:135]
    mirrored = batch[:, 0, 64, 0] > batch[:, 0, 64, -1]
    assert 80 < int(mirrored.sum()) < 120


def test_a_training_batch_is_decided_by_its_generator(starter: Preprocess) -> None:
    images = pictures(3)
    first, again, other = (starter.training_batch(images, seeded(seed), lighting=0.1) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_lighting_adds_one_of_the_principal_colours_combinations_to_the_same_crops(starter: Preprocess) -> None:
    images = pictures(4)
    plain = starter.training_batch(images, seeded(), lighting=0)
    noise = 1.1 * starter.training_batch(images, seeded(), lighting=0.1) - plain
    torch.testing.assert_close(noise, noise[:, :, :1, :1].expand_as(noise), rtol=0, atol=1e-3)
    shares = noise[:, :, 0, 0] @ starter.pca_vectors / starter.pca_stdevs  # N(0, 0.1) each
    assert 0.02 < float(shares.std()) < 0.3


def test_lighting_noise_grows_with_its_strength(starter: Preprocess) -> None:
    weak, strong = (starter.lighting_noise(5, seeded(), lighting) for lighting in (0.1, 0.3))
    torch.testing.assert_close(strong, 3 * weak)


def test_inputs_are_not_changed(starter: Preprocess) -> None:
    images, mean = pictures(2), starter.mean.clone()
    before = images.clone()
    starter.training_batch(images, seeded(), lighting=0.1)
    starter.ten_views(images)
    assert torch.equal(images, before)
    assert torch.equal(starter.mean, mean)


def test_a_measured_mean_is_the_enlarged_mean_picture() -> None:
    images = pictures(30, 16)
    preprocess = fit_preprocess([images], full_size=36, input_size=31)
    mean = torch.from_numpy(images.numpy().mean(0, dtype=np.float64).astype(np.float32))
    torch.testing.assert_close(preprocess.mean, enlarged(mean, 36), rtol=0, atol=2e-3)


def test_measured_colours_are_those_of_numpy() -> None:
    mixing = torch.tensor([[1.0, 0.2, 0.0], [0.5, 0.7, 0.1], [0.4, 0.1, 0.3]])
    images = torch.einsum("ij,njhw->nihw", mixing, pictures(30, 16).float()).clamp(0, 255).byte()
    preprocess = fit_preprocess([images], full_size=16, input_size=16)
    values, vectors = np.linalg.eigh(np.cov(images.transpose(0, 1).flatten(1).numpy(), bias=True))
    np.testing.assert_allclose(preprocess.pca_stdevs.numpy(), np.sqrt(values), rtol=1e-5)
    agreement = np.abs((preprocess.pca_vectors.numpy() * vectors).sum(0))  # columns, up to their sign
    np.testing.assert_allclose(agreement, 1, rtol=1e-5)


def test_blocks_of_any_size_are_measured_alike() -> None:
    images = pictures(30, 16)
    whole = fit_preprocess([images], full_size=36, input_size=31)
    split = fit_preprocess(images.split(7), full_size=36, input_size=31)
    torch.testing.assert_close(split.mean, whole.mean)
    torch.testing.assert_close(split.pca_stdevs, whole.pca_stdevs)


def test_pictures_without_colour_have_two_silent_principal_colours() -> None:
    grey = pictures(5, 16)[:, :1].expand(-1, 3, -1, -1)
    preprocess = fit_preprocess([grey], full_size=16, input_size=16)
    assert preprocess.pca_stdevs[:2].abs().max() < 1e-2
    torch.testing.assert_close(preprocess.pca_vectors[:, 2].abs(), torch.full((3,), 3**-0.5))


def test_nothing_can_be_measured_on_no_pictures() -> None:
    with pytest.raises(ValueError, match="got none"):
        fit_preprocess([], full_size=36, input_size=31)


def test_parts_for_a_file_give_back_the_same_value(starter: Preprocess) -> None:
    again = Preprocess.from_parts(*starter.parts())
    images = pictures(2)
    assert torch.equal(again.ten_views(images), starter.ten_views(images))
    assert torch.equal(again.lighting_noise(3, seeded()), starter.lighting_noise(3, seeded()))


@pytest.mark.parametrize("lacking", ["source_size", "mean"])
def test_a_missing_part_is_named(starter: Preprocess, lacking: str) -> None:
    sizes, tensors = starter.parts()
    sizes.pop(lacking, None)
    tensors.pop(lacking, None)
    with pytest.raises(KeyError, match=lacking):
        Preprocess.from_parts(sizes, tensors)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_size", 145),
        ("mean", torch.zeros(3, 127, 127)),
        ("pca_vectors", torch.zeros(3)),
        ("pca_stdevs", torch.zeros(3, 3)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_by_name(starter: Preprocess, field: str, value: object) -> None:
    sizes, tensors = starter.parts()
    with pytest.raises(ValueError, match=field):
        Preprocess(**(sizes | tensors | {field: value}))  # type: ignore[arg-type]


def test_a_stored_size_above_the_enlarged_one_is_refused(starter: Preprocess) -> None:
    sizes, tensors = starter.parts()
    with pytest.raises(ValueError, match="source_size"):
        Preprocess.from_parts(sizes | {"source_size": 145}, tensors)


def test_the_description_names_every_size(starter: Preprocess) -> None:
    assert all(str(size) in starter.describe() for size in (64, 144, 127))
    plain = Preprocess(256, 256, 224, torch.zeros(3, 256, 256), torch.eye(3), torch.ones(3))
    assert "enlarged" not in plain.describe()
