"""Executing lab notebooks headlessly; `run.run_labs` is the way in. Nothing here imports torch."""
