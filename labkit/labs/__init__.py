"""Checks and claims of the labs, one folder each."""
