"""The command line: `labkit …` or `python -m labkit …`. Thin: it turns words into calls and errors into exits.

Each command imports what it needs when it is called, so that help and refusals take no time.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from labkit.course.grade.command import grade_app, release
from labkit.errors import LabkitError
from labkit.files import absolute, atomic_path, no_pipes, relative
from labkit.record import LARGEST_SEED, OUT_VARIABLE, check_language

app = typer.Typer(
    help="Labs on deep generative models of faces.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(release)
app.add_typer(grade_app, name="grade")
reference_app = typer.Typer(help="The finished models and verdicts that come with the kit.", no_args_is_help=True)
app.add_typer(reference_app, name="reference")


@app.command()
def run(
    labs: Annotated[list[str] | None, typer.Argument(help="01, lab01 or a notebook's name; none means all")] = None,
    profile: Annotated[str, typer.Option(help="smoke, cpu, study or gpu", envvar="LABKIT_PROFILE")] = "cpu",
    data: Annotated[Path | None, typer.Option(help="where real data lie")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="where results go; runs/ of the project if not given", envvar=OUT_VARIABLE),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="labs at a time")] = 1,
    seed: Annotated[int, typer.Option(help="for every random generator")] = 0,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="a further parameter of the notebook")
    ] = None,
    budget_factor: Annotated[float, typer.Option(help="more time for a slow machine, e.g. 3")] = 1.0,
    force: Annotated[bool, typer.Option("--force", help="run also labs that are up to date")] = False,
    scheduler: Annotated[
        str | None, typer.Option(help="address of a dask scheduler whose workers run the labs, all at once")
    ] = None,
) -> None:
    """Execute labs and write a report page; labs that are up to date are skipped."""
    from labkit.course.run.labs import choose_labs, list_labs
    from labkit.course.run.results import Console, results_table
    from labkit.course.run.run import RunConfig, announcement, run_labs, validate

    chosen = choose_labs(labs or [], list_labs())
    config = RunConfig(
        profile=profile,
        out=out or _runs(),
        data=data,
        seed=seed,
        jobs=jobs,
        extra=dict(_parameter(text) for text in parameter or []),
        budget_factor=budget_factor,
        force=force,
        scheduler=scheduler,
    )
    config = validate(config, chosen)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    print(announcement(chosen, config), flush=True)
    results = run_labs(chosen, config, Console())
    print(f"\n{results_table(results)}\n\nreport: {config.out / config.profile / 'index.html'}")
    stopped = {"interrupted", "not run"} & {result.state for result in results}
    raise typer.Exit(130 if stopped else int(not all(result.fine for result in results)))


@app.command()
def demo() -> None:
    """Show in a minute what the labs are like: faces, a failed check with its hint, a verdict."""
    from labkit.course.demo import show
    from labkit.course.run.results import Console

    print(f"open {show(Console())}")


@reference_app.command("build")
def build_reference(
    labs: Annotated[list[str] | None, typer.Argument(help="01a or a notebook's name; none means all")] = None,
    run: Annotated[
        Path | None, typer.Option(help="folder of the run; study/ in that of all runs if not given")
    ] = None,
) -> None:
    """Make data/reference/ from a finished run of the profile study, see `make study`."""
    from labkit.course.run.labs import choose_labs, list_labs
    from labkit.fit.reference import build

    source = run or _runs() / "study"
    chosen = [lab for lab in choose_labs(labs or [], list_labs()) if labs or (source / lab.stem).is_dir()]
    if not chosen:
        raise LabkitError(f"{source}: holds no lab; run `make study` first, or name a run with --run.")
    refused = []
    for lab in chosen:
        try:
            size = build(source / lab.stem, models="REFERENCE" in lab.parameters)
        except LabkitError as error:  # a lab that was stopped keeps no other one out
            refused.append(str(error))
        else:
            print(f"{lab.stem}: {size / 2**20:.1f} MB")
    if refused:
        raise LabkitError("\n".join(refused))


@reference_app.command("table")
def reference_table() -> None:
    """Print the verdicts of the reference as the tables of the README: of the course, and on photographs."""
    from labkit.claims import claims_markdown
    from labkit.fit.reference import on_photographs, verdicts

    print(claims_markdown(verdicts()), claims_markdown(on_photographs()), sep="\n\n")


@app.command()
def labs(
    markdown: Annotated[bool, typer.Option("--markdown", help="as the table of the README")] = False,
) -> None:
    """List the labs with the minutes each takes per profile."""
    from labkit.course.run.labs import STATED, labs_markdown, list_labs

    found = list_labs()
    if markdown:
        print(labs_markdown(found))
        return
    for lab in found:
        minutes = ", ".join(f"{profile} {lab.minutes[profile]:g}" for profile in STATED)
        print(f"{lab.stem:<30}{lab.title}  (minutes: {minutes})")


@app.command()
def notebooks(folder: Annotated[Path, typer.Argument(help="where the folder notebooks/ shall lie")] = Path()) -> None:
    """Copy the notebooks that came with labkit to FOLDER/notebooks; files that are there already stay as they are."""
    target = absolute(folder) / "notebooks"
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(__file__).with_name("notebooks").glob("*")):
        if path.is_file() and not (target / path.name).exists():
            shutil.copyfile(path, target / path.name)
    print(f"{relative(target)}: go there, or to the folder above, and type `labkit lab` or `labkit run 00`")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(
    context: typer.Context,
    source: Annotated[bool, typer.Option("--source", help="open notebooks/ with the solutions, not work/")] = False,
) -> None:
    """Open JupyterLab on your copies of the labs, in work/; further options, e.g. --no-browser, are JupyterLab's."""
    from labkit.course.run.labs import list_labs, project_root

    folder, page = project_root() / "notebooks", "/lab"
    if not source:
        from labkit.course.work import fill, first_page

        folder = project_root() / "work"
        for said in fill(folder, list_labs()):
            print(said)
        page = first_page(folder)
    # Without this a kernel called python3 of another environment would be taken before this one's.
    environment = dict(os.environ, JUPYTER_PREFER_ENV_PATH="1")
    where = [f"--ServerApp.root_dir={folder}", f"--LabApp.default_url={page}"]
    command = [sys.executable, "-m", "jupyterlab", *where, *context.args]
    server = subprocess.Popen(command, env=environment)
    while True:
        try:
            raise typer.Exit(server.wait())
        except KeyboardInterrupt:
            # Ctrl-C reaches the server as well, which asks whether it is meant.
            continue


@app.command()
def check(notebook: Annotated[Path, typer.Argument(help="your copy of a lab, as in work/")]) -> None:
    """Say what is undone in a notebook and how grading will take it; status 1 if something is still to be written."""
    from labkit.course.grade.run import choose_kernel
    from labkit.course.handing_in import look_through, run_checks
    from labkit.course.run.labs import list_labs

    found = list_labs()
    said, done = look_through(notebook, found)
    print("\n".join(said))
    try:
        kernel = choose_kernel()
    except LabkitError:
        print("The checks are not run, since there is no sandbox here: run the notebook's cells to see them.")
    else:
        print("The checks run in the sandbox, where the whole notebook takes a minute or two …", flush=True)
        print("\n".join(run_checks(notebook, found, kernel)))
    raise typer.Exit(0 if done else 1)


@app.command()
def submit(notebook: Annotated[Path, typer.Argument(help="your copy of a lab, as in work/")]) -> None:
    """Write a zip of a notebook beside it, ready to hand in; with your attempts at it, which your feedback shows."""
    from labkit.course.handing_in import look_through, pack
    from labkit.course.run.labs import list_labs

    found = list_labs()
    packed, (said, _) = pack(notebook, found), look_through(notebook, found)
    print("\n".join([*said[:-1], f"hand in {packed}"]))


@app.command()
def solutions(lab: Annotated[str, typer.Argument(help="01a, lab01a or a notebook's name")]) -> None:
    """Show the solutions of the exercises that you have passed, or tried with five different answers."""
    from labkit.course.handing_in import solutions as of
    from labkit.course.run.labs import choose_labs, list_labs, project_root

    for chosen in choose_labs([lab], list_labs()):
        print("\n\n".join([f"# lab {chosen.number}", *of(chosen, project_root() / "work")]))


@app.command()
def translate(lab: Annotated[str, typer.Argument(help="01a, lab01a or a notebook's name")]) -> None:
    """Bring a lab's .po files up to its source; then fill in what they lack, in any editor for such files."""
    from labkit.course.run.labs import choose_labs, list_labs
    from labkit.course.translate import update

    for chosen in choose_labs([lab], list_labs()):
        for counted in update(chosen):
            print(f"{counted.path.name}: {counted}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="a run's folder, such as runs/cpu")],
    second: Annotated[Path, typer.Argument(help="another")],
    page: Annotated[Path | None, typer.Option(help="write it as HTML to this file, too")] = None,
) -> None:
    """Two runs side by side: what made them differ, which verdicts changed, which numbers moved."""
    from labkit.course.run.compare import compare_runs

    print(compare_runs(first, second, page))


@app.command()
def doctor() -> None:
    """Show what this machine has: versions, device, memory, disk, data."""
    from labkit.doctor import examine

    table = examine()
    width = max(map(len, table.index))
    for name, row in table.iterrows():
        print(f"{name:<{width}}  {row['value']}" + (f"  ({row['advice']})" if row["advice"] else ""))


data_app = typer.Typer(help="Data sets: prepare, list, check.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("celeba")
def data_celeba(
    source: Annotated[
        Path | None, typer.Option("--from", help="a folder or zip of CelebA, as published or from Kaggle")
    ] = None,
    download: Annotated[str | None, typer.Option(help="gdrive or kaggle: get it from there first, 1.4 GB")] = None,
    size: Annotated[str, typer.Option(help="64, 64x48 (height x width), 128 or 218x178")] = "64",
) -> None:
    """Prepare CelebA once: one memory-mapped array per size and one table of labels, into data/celeba."""
    from labkit.data.celeba.celeba import prepare_celeba

    print(prepare_celeba(source, download, size))


@data_app.command("list")
def data_list() -> None:
    """Show each data set: real or stand-in, how many images, checksum, where."""
    from labkit.data.inventory import inventory

    for entry in inventory():
        instead = ", faces are drawn instead" if entry.kind == "absent" else ""
        print(f"{entry.name:<24}{entry.kind}{instead}" + (f"; {entry.advice}" if entry.advice else ""))
        if entry.images:
            print(f"{'':<24}{entry.images:,} images, SHA-256 {entry.checksum[:16]}…, {entry.where}")


@data_app.command("verify")
def data_verify() -> None:
    """Read every data file again and compare it with the checksum taken when it was made."""
    from labkit.data.inventory import verify

    problems = 0
    for file, problem in verify():
        problems += bool(problem)
        print(f"{'✗' if problem else '✓'} {file}" + (f": {problem}" if problem else ""))
    raise typer.Exit(1 if problems else 0)


oracle_app = typer.Typer(help="The network that reads factors off faces.", no_args_is_help=True)
app.add_typer(oracle_app, name="oracle")


@oracle_app.command("train")
def oracle_train(
    out: Annotated[Path | None, typer.Option(help="the weights' file; the kit's own if not given")] = None,
    seed: Annotated[int, typer.Option(help="of the faces and the weights", min=0, max=LARGEST_SEED)] = 0,
) -> None:
    """Train the oracle on drawn faces (about ten minutes on one core) and print what it can read."""
    from labkit.course.oracle.table import oracle_table, table_text
    from labkit.course.oracle.training import save_oracle, train_oracle
    from labkit.oracle.oracle import WEIGHTS, load_oracle

    with atomic_path(out or WEIGHTS) as place:  # opened first: ten minutes are too long to learn that it cannot be
        save_oracle(train_oracle(seed=seed, progress=True), place)
    print(f"{table_text(oracle_table(load_oracle(path=out)))}\n\nwritten to {out or WEIGHTS}")


@oracle_app.command("table")
def oracle_show() -> None:
    """Print what the oracle can read, measured on freshly drawn faces."""
    from labkit.course.oracle.table import oracle_table, table_text
    from labkit.oracle.oracle import load_oracle

    print(table_text(oracle_table(load_oracle())))


def main() -> None:
    """Entry point: a LabkitError is one sentence on standard error and status 2; so is an error of the system.

    Ctrl-C is one, too, with status 130.
    """
    _open_streams()
    try:
        os.getcwd()
    except FileNotFoundError:
        _refuse("the working folder is not there any more; go into another, or into it anew.")
    try:
        sys.argv[1:] = [_as_typed(each) for each in sys.argv[1:]]
        for name in ("LABKIT_DATA", "LABKIT_CACHE", OUT_VARIABLE):
            if path := os.environ.get(name):
                # Notebooks run in their own folder, where a relative path would mean another place.
                os.environ[name] = str(absolute(path))
        check_language()
        try:
            with no_pipes():
                app()
        except SystemExit as ended:
            if isinstance(getattr(ended.__context__, "__cause__", None), KeyboardInterrupt):
                print("labkit: stopped; the same command begins again.", file=sys.stderr)
            raise
        finally:
            sys.stdout.flush()
    except LabkitError as error:
        _refuse(str(error))
    except OSError as error:
        # What cannot be flushed now cannot be at the end either, where Python would print a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where, why = error.filename or "standard output", error.strerror or error
        _refuse(f"{where}: {why}; correct the path, its permissions, or make room there.")


def _as_typed(argument: str) -> str:
    """An argument with ~ as the home folder, which a shell leaves as it is behind `--course=` and in quotes.

    Raises LabkitError: it is empty, which would mean the working folder, or everybody; or there is no such home.
    """
    option, value = re.fullmatch(r"(--[\w-]+=|)(.*)", argument, re.DOTALL).groups()
    if not value:
        said = (
            f"{option or 'an argument'} is empty, perhaps by a variable of the shell that is not set; give a value."
        )
        raise LabkitError(said)
    return option + str(absolute(value)) if value.startswith("~") else argument


def _open_streams() -> None:
    """Make both streams take any text: closed ones (`>&-`), a Windows console, a bare C locale."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - it is the stream from now on
        getattr(sys, name).reconfigure(errors="replace")


def _refuse(sentence: str) -> NoReturn:
    print(f"labkit: {sentence}", file=sys.stderr)
    sys.exit(2)


@app.command()
def site(
    run: Annotated[Path | None, typer.Option(help="runs/<profile>; else the newest, else the reference")] = None,
    out: Annotated[Path, typer.Option(help="folder of the site")] = Path("site"),
    students: Annotated[bool, typer.Option("--students", help="leave solutions out")] = False,
) -> None:
    """Make a static site of an executed run; where there is none, of the notebooks and the reference."""
    from labkit.course.site.build import build_site, newest_run

    print(f"site: {build_site(run or newest_run(_runs()), out, students)}")


def _runs() -> Path:
    """The folder of all runs: what one command writes there, another one reads."""
    from labkit.course.run.labs import project_root

    return Path(os.environ.get(OUT_VARIABLE) or project_root() / "runs")


def _parameter(text: str) -> tuple[str, Any]:
    """NAME=VALUE as name and Python value; what is no Python literal is text."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise LabkitError(f"-p {text}: is not NAME=VALUE; write for example -p EPOCHS=20.")
    value = {"true": "True", "false": "False", "null": "None"}.get(value.lower(), value)  # as text all were true
    try:
        value = ast.literal_eval(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        # Of a file here: a notebook runs in its own folder, where a relative path would mean another place.
        return name, str(absolute(value)) if os.path.exists(value) else value
    try:
        json.dumps(value, allow_nan=False)  # as the run record will hold it
    except (ValueError, TypeError) as error:
        raise LabkitError(f"-p {text}: a parameter is a finite number, a text, a list or a dict of them.") from error
    return name, value
