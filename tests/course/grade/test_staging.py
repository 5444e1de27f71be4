"""What goes into a sandbox is plain files, within limits; no link is followed."""

import os
import shutil

from labkit.course.grade.sandbox.staging import MAX_FILES, copy_plain


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
