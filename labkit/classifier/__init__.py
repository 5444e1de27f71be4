"""Attribute classifiers: nets, augmentation, training, and reading attributes of generated faces."""
