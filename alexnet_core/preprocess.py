"""From a photograph to what the network reads: one value, stored with its checkpoint, used everywhere."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

LIGHTING_STD = 0.1  # of each principal component's standard deviation (paper section 4.1, the code's reading)

SIZES = ("source_size", "full_size", "input_size")
TENSORS = ("mean", "pca_vectors", "pca_stdevs")


@dataclass(frozen=True, slots=True, eq=False)
class Preprocess:
    """Reduce to `source_size` (short side, centre square), enlarge bicubically to `full_size`, crop, subtract.

    Pixels are RGB 0-255 throughout. ``mean`` has shape (3, full_size, full_size); as in the authors' code its
    central crop is subtracted whatever the crop's offset (convdata_jpeg.py:95). ``pca_vectors`` (3, 3) holds
    the principal colour directions of the training pixels as columns, ``pca_stdevs`` (3,) their standard
    deviations in grey levels. Raises ``ValueError`` when the sizes do not fit together.
    """

    source_size: int
    full_size: int
    input_size: int
    mean: Tensor
    pca_vectors: Tensor
    pca_stdevs: Tensor

    def __post_init__(self) -> None:
        for name in ("source_size", "input_size"):
            if not 0 < getattr(self, name) <= self.full_size:
                raise ValueError(f"{name} must be 1 to full_size={self.full_size}, got {getattr(self, name)}.")
        for name, shape in (
            ("mean", (3, self.full_size, self.full_size)),
            ("pca_vectors", (3, 3)),
            ("pca_stdevs", (3,)),
        ):
            if (found := tuple(getattr(self, name).shape)) != shape:
                raise ValueError(f"{name} must have shape {shape}, got {found}.")

    def parts(self) -> tuple[dict[str, int], dict[str, Tensor]]:
        """Sizes and tensors by name, for a file; `from_parts` reads them back."""
        return {name: getattr(self, name) for name in SIZES}, {name: getattr(self, name) for name in TENSORS}

    @classmethod
    def from_parts(cls, sizes: Mapping[str, int], tensors: Mapping[str, Tensor]) -> "Preprocess":
        """The value whose `parts` these are. Raises ``KeyError`` if one lacks, ``ValueError`` if they misfit."""
        return cls(
            source_size=int(sizes["source_size"]),
            full_size=int(sizes["full_size"]),
            input_size=int(sizes["input_size"]),
            mean=tensors["mean"].float(),
            pca_vectors=tensors["pca_vectors"].float(),
            pca_stdevs=tensors["pca_stdevs"].float(),
        )

    @property
    def border(self) -> int:
        """Largest crop offset in pixels: offsets 0 to `border`, both included, all occur."""
        return self.full_size - self.input_size

    def crops(self, images: Tensor, tops: Tensor, lefts: Tensor, mirrored: Tensor) -> Tensor:
        """Crops of stored images as the network reads them, mean not yet subtracted.

        `images` (N, 3, source_size, source_size) uint8; `tops`, `lefts` (N,) offsets in enlarged pixels,
        `mirrored` (N,) bool. Returns float32 (N, 3, input_size, input_size), about 0-255: bicubic overshoot
        is kept. Enlarging, cropping and mirroring are one linear map, rows @ image @ columns.
        """
        matrix = bicubic_matrix(self.source_size, self.full_size, images.device)
        span = torch.arange(self.input_size, device=images.device)
        rows = matrix[tops[:, None] + span]  # (N, input, source)
        right_to_left = torch.where(mirrored[:, None], span.flip(0), span)
        columns = matrix[lefts[:, None] + right_to_left]
        return rows[:, None] @ images.float() @ columns[:, None].mT

    def centre(self, images: Tensor) -> Tensor:
        """Network input for the central crop: float32 (N, 3, input_size, input_size), mean subtracted."""
        offset = torch.full((len(images),), self.border // 2, device=images.device)
        plain = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        return self.subtract_mean(self.crops(images, offset, offset, plain))

    def ten_views(self, images: Tensor) -> Tensor:
        """Four corners and centre, then their mirrors, in the authors' order: (N, 10, 3, input, input)."""
        b, c = self.border, self.border // 2
        offsets = ((0, 0), (0, b), (c, c), (b, 0), (b, b)) * 2
        tops, lefts = torch.tensor(offsets, device=images.device).repeat(len(images), 1).T
        mirrored = (torch.arange(10, device=images.device) >= 5).repeat(len(images))
        views = self.crops(images.repeat_interleave(10, 0), tops, lefts, mirrored)
        return self.subtract_mean(views).view(len(images), 10, *views.shape[1:])

    def training_batch(self, images: Tensor, generator: torch.Generator, *, lighting: float) -> Tensor:
        """Random crops and mirrors with PCA lighting; `lighting` 0 switches the colour noise off.

        As in the authors' code the noisy image is divided by 1 + lighting (convdata_jpeg.py:155-179).
        """
        n, device = len(images), images.device
        tops, lefts = torch.randint(0, self.border + 1, (2, n), generator=generator).to(device)
        mirrored = (torch.rand(n, generator=generator) < 0.5).to(device)
        batch = self.subtract_mean(self.crops(images, tops, lefts, mirrored))
        if not lighting:
            return batch
        noise = self.lighting_noise(n, generator, lighting).to(device)
        return (batch + noise[:, :, None, None]) / (1 + lighting)

    def lighting_noise(self, n: int, generator: torch.Generator, lighting: float = LIGHTING_STD) -> Tensor:
        """Colour noise in grey levels, one draw per image: (n, 3) = vectors @ (N(0, 1) * stdevs * lighting)."""
        draws = torch.randn(n, 3, generator=generator) * self.pca_stdevs.cpu() * lighting
        return draws @ self.pca_vectors.cpu().T

    def subtract_mean(self, crops: Tensor) -> Tensor:
        """Subtract the central crop of the mean image."""
        c = self.border // 2
        window = slice(c, c + self.input_size)
        return crops - self.mean[:, window, window].to(crops.device)

    def describe(self) -> str:
        """What happens to a photograph, in one English sentence."""
        enlarge = "" if self.full_size == self.source_size else f", enlarged bicubically to {self.full_size} px"
        return (
            f"RGB 0-255, shorter side reduced to {self.source_size} px and the central square kept{enlarge}, "
            f"cropped to {self.input_size} px, mean image subtracted."
        )


def fit_preprocess(blocks: Iterable[Tensor], *, full_size: int, input_size: int) -> Preprocess:
    """Measure the mean image and the principal colours of training images, given as blocks (n, 3, s, s) uint8.

    Raises ``ValueError`` if there are none.
    """
    count, total, outer = 0, torch.zeros(()), torch.zeros(3, 3, dtype=torch.float64)
    for block in blocks:
        pixels = block.double()
        flat = pixels.transpose(0, 1).flatten(1)
        count, total, outer = count + len(block), total + pixels.sum(0), outer + flat @ flat.T
    if not count:
        raise ValueError("The preprocessing is measured on training images, got none.")
    mean, size = total / count, total.shape[-1]
    colour = mean.mean((1, 2))
    covariance = outer / (count * size * size) - colour.outer(colour)
    values, vectors = torch.linalg.eigh(covariance)
    matrix = bicubic_matrix(size, full_size, mean.device).double()
    return Preprocess(
        source_size=size,
        full_size=full_size,
        input_size=input_size,
        mean=(matrix @ mean @ matrix.T).float(),
        pca_vectors=vectors.float(),
        pca_stdevs=values.clamp(min=0).sqrt().float(),
    )


@lru_cache(maxsize=16)
def bicubic_matrix(source: int, target: int, device: torch.device) -> Tensor:
    """Matrix (target, source) that enlarges a row of pixels; rows sum to 1, identity when sizes are equal.

    Keys' cubic with a = -0.5, pixel centres at half-integers and weights renormalised at the border: the
    convention of Pillow's BICUBIC. Raises ``ValueError`` if asked to reduce, which would alias.
    """
    if target < source:
        raise ValueError(f"Enlargement needs target >= source, got {source} -> {target} pixels.")
    centres = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    t = (centres[:, None] - torch.arange(source, dtype=torch.float64)).abs()
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))
    return (weights / weights.sum(1, keepdim=True)).float().to(device)
