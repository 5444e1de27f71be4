"""The factor oracle: a small net that reads the factors of a drawn face."""
