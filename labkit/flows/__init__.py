"""Normalizing flows of codes: layers, the fused engine that trains them, and the update."""
