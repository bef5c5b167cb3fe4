"""First-layer kernels: numbers per kernel from its weights, and from what it answers to."""
