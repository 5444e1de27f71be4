"""Decoders that run in the reader's browser."""
