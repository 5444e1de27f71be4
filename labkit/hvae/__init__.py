"""The hierarchical VAE: cells, groups, training, and what is measured of one."""
