"""DCGAN: nets, its two updates, and the monitor of its health."""
