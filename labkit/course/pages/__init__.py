"""The pages of a run record, a Jinja template each; every one opens from disk and asks no network."""
