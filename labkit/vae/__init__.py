"""Variational autoencoders: flat nets, their training, and what is measured of one."""
