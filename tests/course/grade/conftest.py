"""What all tests of the grading room share."""

from functools import cache

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_version_of_the_gradebook():
    """nbgrader asks a process for the version of each new gradebook; here it asks once, and that takes seconds."""
    try:
        from nbgrader import api
    except ImportError:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "get_alembic_version", cache(api.get_alembic_version))
        yield
