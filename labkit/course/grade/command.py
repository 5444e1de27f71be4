"""`labkit release` and `labkit grade …`: turns words into calls; what it needs is imported when it is called."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.errors import LabkitError

if TYPE_CHECKING:
    from labkit.course.grade.layout import Place

CourseOption = Annotated[Path, typer.Option("--course", help="the course's folder")]
LabArgument = Annotated[str, typer.Argument(help="01a, lab01a or a notebook's name")]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", help="submissions at a time", min=1)]
UnsafeOption = Annotated[bool, typer.Option("--unsafe", help="run without a sandbox, with all your rights")]
ContainerOption = Annotated[bool, typer.Option("--container", help="in podman or docker instead of bubblewrap")]
AnonymousOption = Annotated[bool, typer.Option("--anonymous", help="pseudonyms; pseudonyms.csv tells who is who")]
COURSE = Path("course")

grade_app = typer.Typer(help="Grade a lab: prepare, run, ingest, feedback, export.", no_args_is_help=True)


def release(
    lab: LabArgument,
    course: CourseOption = COURSE,
    check: Annotated[bool, typer.Option("--check", help="only tell whether the copy is stale")] = False,
    lang: Annotated[str, typer.Option(help="also in another language: es or ca")] = "",
) -> None:
    """Write the student version of a lab: no solutions, no hidden tests, no outputs."""
    from labkit.course.grade.release import release as write_release
    from labkit.course.grade.release import release_in

    place = _place(lab, course)
    counted = release_in(place, lang, check=check) if lang else ""
    path = write_release(place, check=check)
    print(f"{path}{': is what the source gives today' if check else ''}")
    if lang:
        print(f"{place.release_in(lang)}: {counted}")


@grade_app.command()
def image() -> None:
    """Build the container image in which `--container` runs submissions; once, and after an update."""
    from labkit.course.grade.sandbox.container import IMAGE, build_image
    from labkit.course.run.labs import project_root

    print(f"{build_image(project_root())} has the image {IMAGE}")


@grade_app.command()
def prepare(
    lab: LabArgument,
    source: Annotated[Path, typer.Option("--from", help="a folder or zip of what was handed in")],
    course: CourseOption = COURSE,
    deadline: Annotated[str | None, typer.Option(help="2026-11-20 (to its end) or 2026-11-20T18:00")] = None,
) -> None:
    """Collect and sanitise submissions, and put right what was deleted or renamed; nothing runs."""
    from labkit.course.grade.intake.prepare import prepare as prepare_all
    from labkit.course.grade.layout import need_nbgrader

    need_nbgrader()
    result = prepare_all(_place(lab, course), source, deadline=_moment(deadline))
    if result.deadline:
        print(f"deadline: {result.deadline.astimezone():%A %Y-%m-%d %H:%M:%S, UTC%z}")
    for student, about in result.students.items():
        when = datetime.fromisoformat(about["submitted"]).astimezone() if about["submitted"] else None
        taken = f"{about['taken']!r}" if about["taken"] else "nothing"
        moment = f" of {when:%Y-%m-%d %H:%M}" if when else ", without a date"
        late = f", {about['late_seconds'] / 3600:.1f} hours late" if about["late_seconds"] else ""
        print(f"{student}: took {taken}{moment}{late}")
        for sentence in [about["refused"]] if about["refused"] else about["repairs"]:
            print(f"{student}: {'refused: ' if about['refused'] else ''}{sentence}")
    for sentence in result.left_out:
        print(f"left out: {sentence}")
    refused = sum(bool(about["refused"]) for about in result.students.values())
    if late := [student for student, about in result.students.items() if about["late_seconds"]]:
        print(f"late: {', '.join(late)}")
    print(f"{len(result.students) - refused} prepared, {refused} refused, {len(result.left_out)} left out")
    _end(result.failed)


@grade_app.command()
def run(
    lab: LabArgument,
    course: CourseOption = COURSE,
    jobs: JobsOption = 2,
    scheduler: Annotated[str | None, typer.Option(help="tcp://… of a dask scheduler: more machines")] = None,
    unsafe: UnsafeOption = False,
    container: ContainerOption = False,
    student: Annotated[str, typer.Option(help="run this one alone, once more, with more time")] = "",
) -> None:
    """Execute what is prepared and not yet run, each in a sandbox of its own."""
    from labkit.course.grade.run import run_submissions

    settings = {"jobs": jobs, "scheduler": scheduler, "unsafe": unsafe, "container": container, "student": student}
    outcomes = run_submissions(_place(lab, course), **settings)
    for outcome in outcomes:
        if outcome["status"] != "ok":
            print(f"{outcome['student']}: {outcome['reason']}")
    print(f"{len(outcomes)} submissions have an outcome")


@grade_app.command()
def ingest(
    lab: LabArgument,
    course: CourseOption = COURSE,
    late: Annotated[str | None, typer.Option(help="what lateness costs, e.g. 10%/day; none takes it back")] = None,
    grace: Annotated[str | None, typer.Option(help="how late is not late yet, e.g. 1h")] = None,
) -> None:
    """Score the outcomes into nbgrader's gradebook; what a human entered there stays."""
    from labkit.course.grade.layout import need_nbgrader
    from labkit.course.grade.marks.gradebook import ingest as ingest_all
    from labkit.course.grade.marks.score import parse_late_rule

    need_nbgrader()
    rule = parse_late_rule(late, grace) if late or grace else None
    result = ingest_all(_place(lab, course), rule)
    for student, sentence in result.left_out.items():
        print(f"{student}: {sentence}")
    print(f"{len(result.graded)} graded, {len(result.left_out) + len(result.failed)} not")
    _end(result.failed)


@grade_app.command()
def essays(lab: LabArgument, course: CourseOption = COURSE, anonymous: AnonymousOption = False) -> None:
    """Write a page of all answers that a human reads, exercise by exercise."""
    from labkit.course.grade.marks.anonymous import write_essays

    page, count, failed = write_essays(_place(lab, course), anonymous=anonymous)
    print(f"{count} answers: {page}")
    _end(failed)


@grade_app.command()
def feedback(lab: LabArgument, course: CourseOption = COURSE, anonymous: AnonymousOption = False) -> None:
    """Write a page for each student: work, properties, hints, points, comments."""
    from labkit.course.grade.marks.feedback import unread, write_feedback

    place = _place(lab, course)
    written, failed = write_feedback(place, anonymous=anonymous)
    print(f"{len(written)} pages in {course / ('feedback-anonymous' if anonymous else 'feedback')}")
    if waiting := unread(place):
        print(f"{len(waiting)} hold answers that nobody has read yet, shown with 0 points: {', '.join(waiting)}")
    _end(failed)


@grade_app.command()
def export(
    lab: LabArgument,
    course: CourseOption = COURSE,
    to: Annotated[Path | None, typer.Option(help="the file; <course>/<lab>.csv if not given")] = None,
    system: Annotated[
        str, typer.Option("--for", help="moodle, canvas or gradescope: totals as it imports them")
    ] = "",
) -> None:
    """Write a CSV table with a row per student and exercise, or of totals for a learning platform."""
    from labkit.course.grade.marks.export import export_csv
    from labkit.course.grade.marks.platforms import export_for

    place = _place(lab, course)
    if not system:
        path = to or course / f"{place.name}.csv"
        print(f"{export_csv(place, path)} rows in {path}")
        return
    path = to or course / f"{place.name}-{system}.csv"
    result = export_for(place, system, path)
    print(f"{len(result.students)} totals in {path}")
    _count(result.unknown, f"without what {system} knows them by; fill it in by hand")
    _count(result.waiting, "with an answer that nobody has read yet, which counts 0 points")
    _count(result.ungraded, "without a total, since their newest work is not graded yet")


@grade_app.command()
def overview(lab: LabArgument, course: CourseOption = COURSE) -> None:
    """Show what the class missed most, and write it as a page."""
    from labkit.course.grade.marks.export import write_overview

    _show(write_overview(_place(lab, course)))


@grade_app.command()
def similar(lab: LabArgument, course: CourseOption = COURSE) -> None:
    """Write a page of answers that are alike, side by side; alike is no proof."""
    from labkit.course.grade.marks.similar import write_similar

    page, pairs, failed = write_similar(_place(lab, course))
    print(f"{len(pairs)} pairs of answers that are alike: {page}")
    _end(failed)


@grade_app.command()
def demo(
    course: CourseOption = Path("example-course"),
    jobs: JobsOption = 2,
    unsafe: UnsafeOption = False,
    container: ContainerOption = False,
) -> None:
    """Grade an example course of a dozen submissions, from release to feedback, in a few minutes."""
    from labkit.course.grade.demo import run_demo
    from labkit.course.grade.layout import need_nbgrader
    from labkit.course.grade.run import run_submissions

    need_nbgrader()
    settings = {"jobs": jobs, "unsafe": unsafe, "container": container}
    _show(run_demo(course, lambda place: run_submissions(place, **settings)))


def _show(page: Path) -> None:
    """Print the text of a class overview, as one reads it, and where its page lies."""
    from labkit.course.grade.marks.neutral import unescaped

    print(f"{unescaped(page.with_suffix('.md').read_text(encoding='utf-8'))}\npage: {page}")


def _count(students: list[str], what: str) -> None:
    if students:
        print(f"{len(students)} {what}: {', '.join(students)}")


def _end(failed: dict[str, str]) -> None:
    """Name those whose submission failed, and end with status 1: the others are done."""
    for student, sentence in failed.items():
        print(f"{student}: {sentence}")
    if failed:
        print(f"failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _place(name: str, course: Path) -> "Place":
    """The one lab called `name`, of the project or, for the example course, of the course's own folder."""
    from labkit.course.grade.layout import Place
    from labkit.course.run.labs import choose_labs, list_labs, read_lab

    if name.removeprefix("lab") == "demo":
        if not (found := sorted(course.glob("demo_*.ipynb"))):
            raise LabkitError(f"{course}: is no example course; make one with `labkit grade demo`.")
        return Place(course, read_lab(found[0]))
    found = choose_labs([name], list_labs())
    if len(found) > 1:
        raise LabkitError(f"{name}: is {len(found)} notebooks; name one, {' or '.join(x.number for x in found)}.")
    return Place(course, found[0])


def _moment(text: str | None) -> date | None:
    """A day, which ends the deadline at its end, or a moment."""
    if text is None:
        return None
    for kind in (date, datetime):
        try:
            moment = kind.fromisoformat(text.strip())
        except ValueError:
            continue
        # Beyond these years a time zone may leave the calendar; "18.30" would be 18:00 and a third of a second.
        if 1970 < moment.year < 9999 and not getattr(moment, "microsecond", 0):
            return moment
    raise LabkitError(f"--deadline {text}: is no day and no moment; write 2026-11-20 or 2026-11-20T18:00.")
