"""The one exception of the kit that a person is meant to read."""


class LabkitError(Exception):
    """Bad input, met at the door: one sentence that names the file, what is wrong, and what to do.

    The command line prints it without a trace and exits with status 2.
    """
