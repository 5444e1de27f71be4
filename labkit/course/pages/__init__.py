"""The pages of a run record."""
