"""Experiments on the towers: many small trainings that differ in one thing each, and what came of them.

``python -m analysis.experiments run|status MATRIX``. A matrix (``matrices/*.toml``) names conditions and seeds;
every pair of them is one training in a process of its own, resumable, skipped once its result is kept. Results
(``results/MATRIX/CONDITION-seed-N.safetensors``) are small and stay with the code: anyone can measure them again
without training.
"""
