"""Covariance of patches against numpy's on patches cut out one by one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from alexnet_core.preprocess import Preprocess
from analysis.kernels import patches
from analysis.kernels.indices import chroma_energy, weighted_chroma
from analysis.kernels.patches import patch_covariance

RNG = np.random.default_rng(0)
PREPROCESS = Preprocess(
    source_size=24,
    full_size=24,
    input_size=22,
    mean=torch.rand(3, 24, 24) * 255,
    pca_vectors=torch.eye(3),
    pca_stdevs=torch.ones(3),
)
IMAGES = RNG.integers(0, 256, (5, 3, 24, 24), np.uint8)


def test_the_covariance_is_that_of_the_patches_cut_out_one_by_one(monkeypatch):
    monkeypatch.setattr(patches, "BATCH", 2)
    read = IMAGES[:, :, 1:23, 1:23] - PREPROCESS.mean[:, 1:23, 1:23].numpy()
    rows = [
        image[:, top : top + 7, left : left + 7].ravel()
        for image in read
        for top in range(0, 16, 3)
        for left in range(0, 16, 3)
    ]
    expected = np.cov(np.array(rows, np.float64).T, bias=True)
    np.testing.assert_allclose(patch_covariance(IMAGES, PREPROCESS, size=7, stride=3), expected, atol=0.02)


def test_it_says_how_much_a_kernel_varies_over_the_patches():
    kernel = RNG.normal(size=(1, 3, 7, 7))
    covariance = patch_covariance(IMAGES, PREPROCESS, size=7, stride=3)
    batch = PREPROCESS.centre(torch.from_numpy(IMAGES))
    answers = torch.nn.functional.conv2d(batch, torch.from_numpy(kernel).float(), stride=3)
    flat = kernel.ravel()
    assert flat @ covariance @ flat == pytest.approx(float(answers.var(correction=0)), rel=1e-4)


def test_grey_photographs_leave_no_weighted_chroma_and_white_noise_leaves_the_plain_one():
    kernels = RNG.normal(size=(4, 3, 7, 7))
    flat = replace(PREPROCESS, mean=torch.zeros(3, 24, 24))
    grey = np.repeat(IMAGES[:, :1], 3, axis=1)
    np.testing.assert_allclose(weighted_chroma(kernels, patch_covariance(grey, flat, size=7)), 0, atol=1e-6)
    np.testing.assert_allclose(weighted_chroma(kernels, 4 * np.eye(147)), chroma_energy(kernels))


def test_no_images_have_no_covariance():
    with pytest.raises(ValueError, match="at least one image"):
        patch_covariance(IMAGES[:0], PREPROCESS)
