"""Published networks measured in the same way: table numbers to set beside one's own (specialisation 4.6)."""

from typing import NamedTuple

from analysis.stats import Interval


class Reference(NamedTuple):
    """Chroma energy of the 96 first-layer kernels of a network; tower B is the colour tower."""

    name: str
    source: str
    mean_chroma: tuple[float, float]
    difference: float
    interval: Interval  # bootstrap 95 % over kernels
    null_95: float
    null_999: float
    null_largest: float  # of 100,000 permutations: p <= 1e-5
    auc: float
    auc_interval: Interval
    threshold: float  # Otsu's
    colour: tuple[int, int]  # kernels above it, by tower
    share_of_colour: float
    share_of_tower: float
    mutual_information: float  # bits
    purity_p: float  # hypergeometric, at the threshold
    chroma_in_b: float  # share of the total chroma energy that lies in tower B
    luma_in_a: float  # share of the total luma energy that lies in tower A
    delta_frequency: float  # Cliff's delta of the centroid frequency, tower B against A
    delta_norm: float


REFERENCES = (
    Reference(
        name="AlexNet, figure of 2012",
        source="96 kernels as printed in figure 3 of the paper, 8-bit JPEG, one network",
        mean_chroma=(0.086, 0.562),
        difference=0.476,
        interval=Interval(0.34, 0.60),
        null_95=0.165,
        null_999=0.275,
        null_largest=0.345,
        auc=0.763,
        auc_interval=Interval(0.66, 0.86),
        threshold=0.44,
        colour=(3, 29),
        share_of_colour=0.91,
        share_of_tower=0.60,
        mutual_information=0.265,
        purity_p=1.4e-8,
        chroma_in_b=0.95,
        luma_in_a=0.80,
        delta_frequency=-0.39,
        delta_norm=-0.36,
    ),
    Reference(
        name="CaffeNet",
        source="BVLC CaffeNet, float32 kernels, one network",
        mean_chroma=(0.055, 0.740),
        difference=0.685,
        interval=Interval(0.59, 0.78),
        null_95=0.167,
        null_999=0.281,
        null_largest=0.354,
        auc=0.959,
        auc_interval=Interval(0.91, 0.99),
        threshold=0.49,
        colour=(1, 37),
        share_of_colour=0.97,
        share_of_tower=0.77,
        mutual_information=0.507,
        purity_p=2.7e-15,
        chroma_in_b=0.94,
        luma_in_a=0.92,
        delta_frequency=-0.61,
        delta_norm=-0.39,
    ),
)
