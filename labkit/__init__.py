"""labkit: a course kit on deep generative models of faces."""

from labkit.errors import LabkitError
