"""Are the two towers' kernels of two kinds? ``python -m analysis.towers CHECKPOINT``, or for kernels of any source::

result = measure(kernels, towers, np.random.default_rng(0))   # (n, 3, k, k) in raw RGB, n labels 0 or 1
result.difference, result.interval, result.p_value, result.verdict
"""

from analysis.towers.comparison import TowerResult, measure

__all__ = ["TowerResult", "measure"]
