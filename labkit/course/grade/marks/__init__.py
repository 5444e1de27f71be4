"""Scores, the gradebook, feedback and exports."""
