"""What goes into a sandbox and comes out is plain files, within limits; no link is followed."""

import os
import shutil
from pathlib import Path

import pytest

from labkit.course.grade.sandbox.staging import MAX_FILES, copy_plain, replace_content, throw_away
from labkit.errors import LabkitError


def test_copies_hold_plain_files_only(tmp_path):
    source, secret = tmp_path / "source", tmp_path / "other" / "secret"
    secret.parent.mkdir()
    secret.write_text("of someone else")
    (source / "artefacts").mkdir(parents=True)
    (source / "artefacts" / "array.npz").write_bytes(b"array")
    (source / "link").symlink_to(secret)
    (source / "folder").symlink_to(secret.parent)
    os.mkfifo(source / "pipe")
    left_out = copy_plain(source, tmp_path / "target", 1000)
    assert left_out == ["folder", "link", "pipe"]
    assert [path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*.*")] == [
        "artefacts/array.npz"
    ]
    assert (shutil.copytree(source / "folder", tmp_path / "naive") / "secret").read_text() == "of someone else"


def test_copies_stop_at_their_limits(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("a", 600), ("b", 600), ("c", 300)):
        (source / name).write_bytes(b"x" * size)
    with open(source / "sparse", "wb") as stream:
        stream.truncate(10**7)
    assert copy_plain(source, tmp_path / "target", 1000) == ["b", "sparse"]
    deep = source.joinpath(*["deeper"] * 12)
    deep.mkdir(parents=True)
    for number in range(MAX_FILES + 5):
        (source / f"many-{number}").touch()
    left_out = copy_plain(source, tmp_path / "again", 10**6)
    assert "/".join(["deeper"] * 9) in left_out
    assert len(list((tmp_path / "again").iterdir())) <= MAX_FILES


def test_a_folder_gets_new_content_without_following_its_links(tmp_path):
    folder, fresh, outside = tmp_path / "folder", tmp_path / "fresh", tmp_path / "outside"
    for path in (folder, fresh, outside):
        path.mkdir()
    (outside / "kept").write_text("kept")
    (folder / "link").symlink_to(outside)
    (folder / "old").write_text("old")
    (fresh / "new").write_text("new")
    replace_content(folder, fresh)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert (outside / "kept").read_text() == "kept"


def test_only_a_throw_away_folder_gets_new_content(tmp_path, monkeypatch):
    (tmp_path / "fresh").mkdir()
    (tmp_path / "work" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work" / "below")
    refused = [tmp_path / "work", tmp_path / "link", tmp_path / "none"]
    for folder in (*refused, Path(""), Path.cwd(), Path.home(), Path("/")):
        with pytest.raises(LabkitError, match="no throw-away copy"):
            throw_away(folder)
    with pytest.raises(LabkitError, match="no throw-away copy"):
        replace_content(tmp_path / "work", tmp_path / "fresh")
    assert (tmp_path / "work" / "below").is_dir()
