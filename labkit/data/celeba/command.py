"""`labkit data celeba`: from what a student has to a prepared folder, told in a few lines."""

from pathlib import Path
from typing import Any

from labkit.data.celeba.download import download_celeba
from labkit.data.celeba.prepare import prepare
from labkit.data.celeba.shelf import Job
from labkit.data.celeba.source import open_source
from labkit.errors import LabkitError
from labkit.faces.size import parse_size
from labkit.files import data_root


def prepare_celeba(source: Path | None, download: str | None, size: str, replace: bool) -> str:
    """Prepare one size of CelebA into the cache; what was done, for a reader.

    Args:
        source: a folder or zip of CelebA; None with `download`.
        download: "gdrive" or "kaggle".
        size: see `parse_size`.
        replace: throw away what was prepared before.

    Raises:
        LabkitError: neither or both of source and download; all that `open_source`, `download_celeba` and `prepare`
            raise.
    """
    height, width = parse_size(size)
    if (source is None) == (download is None):
        raise LabkitError("labkit data celeba: give either --from PATH or --download gdrive|kaggle.")
    if download is not None:
        source = download_celeba(download, data_root() / "celeba" / "download")
    job = Job(open_source(source), height, width, data_root() / "celeba")
    return _told(prepare(job, replace=replace), job)


def _told(report: dict[str, Any], job: Job) -> str:
    lines = [f"CelebA {job.size}: {report['images']:,} images, {report['with attributes']:,} with attributes"]
    if decoded := report.get("decoded"):
        rate = decoded / report["seconds"]
        lines[0] += f"; {decoded:,} decoded in {report['seconds']:.1f} s, {rate:,.0f} a second"
    lines += [f"  left out: {count:,} × {why}" for why, count in report["dropped"].items()]
    lines += [f"  labels: {count:,} × {what}" for what, count in report["labels"].items() if count]
    lines += [f"  {job.faces}", f"  every file left out and why: {job.report}"]
    return "\n".join(lines)
