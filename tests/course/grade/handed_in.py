"""What a class hands in, for the tests of its intake."""

import io
import zipfile


def packed(files, dates=()):
    """A zip of files, each dated after the one before it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for place, (name, content) in enumerate(files.items()):
            moment = dates[place] if dates else (2026, 11, 20, 10, 0, 2 * place)
            archive.writestr(zipfile.ZipInfo(name, moment), content)
    return data.getvalue()
