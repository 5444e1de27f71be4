"""The run record of a lab: what it ran with, what it measured and drew, what that says of each claim."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython import get_ipython
from IPython.display import Image, display
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info

from labkit import predictions
from labkit.beginning import choose_device, choose_profile, default_folder, find_reference, given_path
from labkit.claims import NEEDS_PHOTOGRAPHS, UNDECIDED, Claim, card_html, card_text, claims_html, claims_text
from labkit.errors import CheckFailed, LabkitError, nearest
from labkit.faces.faceset import FaceSet
from labkit.files import atomic_path, relative, write_json
from labkit.fit import reference as reference_of
from labkit.fit.progress import allow_time
from labkit.fit.state import seed_everything
from labkit.fit.sweep import read_arrays
from labkit.ladder import TOP, answer_of, climb, place, report
from labkit.plots import captions
from labkit.predictions import somebody_is_there
from labkit.record import (
    JOBS_VARIABLE,
    LARGEST_SEED,
    STUDY_SECONDS,
    check_language,
    clear_record,
    plain,
    versions,
)
from labkit.scheduler import SCHEDULER_VARIABLE, check_address
from labkit.waiting import say_what_waits

FIGURE_DPI = 120
# Of a lab, unless its metadata say otherwise.
BUDGET_SECONDS = {"smoke": 45.0, "cpu": 600.0, "study": STUDY_SECONDS, "gpu": 3600.0}


def start_lab(
    lab: str,
    *,
    profile: str | None = None,
    seed: int = 0,
    data: str | None = None,
    out: str | None = None,
    reference: bool = False,
) -> "Run":
    """Open the run record of a lab and seed every generator; each notebook calls it beside its imports.

    Args:
        lab: number of the lab, e.g. "01".
        profile: "smoke", "cpu", "study" or "gpu"; None means `LABKIT_PROFILE`, else by device.
        seed: for python, numpy and torch.
        data: where real data lie, handed to the loaders; None means `LABKIT_DATA`, the cache or the download.
        out: the folder of this record; None means `default_folder`.
        reference: in the profile cpu, take finished models from the kit's reference, where it fits the faces.

    Raises LabkitError: unknown profile, a seed, path or address that is none, no data where they should
        be, or a folder that cannot be written.
    """
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed <= LARGEST_SEED:
        raise LabkitError(f"SEED = {seed!r}: give a whole number from 0 to {LARGEST_SEED}, without quotes.")
    seed, folder = int(seed), given_path("OUT", out)
    if data is not None and not given_path("DATA", data).exists():
        raise LabkitError(f"DATA = {str(data)!r}: there is no such file or folder; None takes what the kit finds.")
    if reference not in (True, False):  # any text, "no" included, would be true
        raise LabkitError(f"REFERENCE = {reference!r}: give True or False, without quotes.")
    if address := os.environ.get(SCHEDULER_VARIABLE):
        check_address(address)
    try:
        check_language()
    except LabkitError as error:  # a notebook in a language that came after this kit is a lab all the same
        print(f"Hints are in English: {error}")
    profile = choose_profile(profile)
    run = Run(lab=lab, profile=profile, seed=seed, data=data, folder=folder or default_folder(lab, profile))
    reference_of.activate(find_reference(lab, seed, data, run.folder) if reference and profile == "cpu" else None)
    plt.rcdefaults()  # a matplotlibrc of the user's, e.g. text.usetex, must not decide how a lab's figures look
    seed_everything(seed)
    allow_time(BUDGET_SECONDS[profile], f"the {profile} profile")
    if (notebook := get_ipython()) and somebody_is_there():
        notebook.set_custom_exc((NotImplementedError, NameError), say_what_waits)
    print(f"Lab {lab} · profile {profile} · {run.device.type} · seed {seed} · results go to {relative(run.folder)}")
    return run


class Run:
    """One run of one lab; made by `start_lab`.

    Attributes:
        lab, profile, seed, data: as given to `start_lab`.
        folder: where everything that this run leaves behind goes.
        device: where this profile computes.
    """

    def __init__(self, *, lab: str, profile: str, seed: int, data: str | None, folder: Path) -> None:
        self.lab, self.profile, self.seed, self.data = lab, profile, seed, data
        self.folder = folder
        self._beside = Path.cwd()  # a kernel starts in the folder of its notebook
        self.device = choose_device(profile)
        self._started = time.perf_counter()
        self._sizes: dict[str, Any] = {}
        self._sources: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, str] = {}
        self._figures: dict[str, str] = {}
        self._metrics: dict[str, Any] = {}
        self._timings: dict[str, float] = {}
        self._checks: dict[str, list[dict[str, Any]]] = {}
        self._claims: dict[str, dict[str, Any]] = {}
        clear_record(folder)
        self._write_config()

    def _write_config(self) -> None:
        config = {
            "lab": self.lab,
            "profile": self.profile,
            "seed": self.seed,
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else self.device.type,
            # Sums in another order differ in their last digits, so a record says how many threads made it.
            "threads": {
                "torch": torch.get_num_threads(),
                "blas": max((each["num_threads"] for each in threadpool_info()), default=1),
            },
            "jobs": int(jobs) if (jobs := os.environ.get(JOBS_VARIABLE, "")).isdecimal() else 1,
            "sizes": plain(self._sizes),
            "data": list(self._sources.values()),
            "versions": versions(),
        }
        write_json(self.folder / "config.json", config)

    @property
    def training(self) -> dict[str, Any]:
        """What each `fit` of a lab is given: `fit(model, update, batches, epochs=…, **run.training)`."""
        return {"precision": "auto", "seed": self.seed, "progress": True}

    def sizes(
        self, *, smoke: dict[str, Any], cpu: dict[str, Any], gpu: dict[str, Any], study: dict[str, Any] | None = None
    ) -> SimpleNamespace:
        """The sizes of this run's profile, from a table for each.

        With a reference the profile cpu has the sizes of `study`, since most models need not be trained.

        Args:
            cpu: name → size.
            smoke, gpu, study: those in which these profiles differ from `cpu`.

        Raises LabkitError: one of these has a size that `cpu` has not.
        """
        tables = {"smoke": smoke, "cpu": cpu, "study": study or {}, "gpu": gpu}
        for owner, table in tables.items():
            if unknown := sorted(table.keys() - cpu.keys()):
                raise LabkitError(f"run.sizes: cpu has no {unknown[0]!r}, {owner} has{nearest(unknown[0], cpu)}")
        tables = {owner: cpu | table for owner, table in tables.items()}
        sized, found = self.profile, reference_of.active()
        if found is not None and found.about["sizes"] == plain(tables["study"]):
            sized = "study"
        elif found is not None:
            print("The reference is stale, since it has other sizes than this notebook: all models are trained here.")
            reference_of.activate(None)
        self._sizes.update(tables[sized])
        self._write_config()
        return SimpleNamespace(**tables[sized])

    def use(self, faces: FaceSet) -> FaceSet:
        """Remember where `faces` come from; each later figure, metric and claim says so. Returns `faces`."""
        origin, used = faces.provenance, faces.provenance.checksum or faces.checksum()
        kept = ("name", "label", "real", "stand_in_for", "source", "licence")
        self._sources[origin.label] = {name: getattr(origin, name) for name in kept} | {"checksum": used}
        self._pictures[origin.label] = origin.pictures if origin.real else "drawn faces"
        found = reference_of.active()
        if found is not None and used not in [each["checksum"] for each in found.about["data"]]:
            print("The reference was made of other faces than these: all models are trained here.")
            reference_of.activate(None)
        self._write_config()
        return faces

    @property
    def pictures(self) -> str:
        """What the pictures in use are: "photographs" if all are, else e.g. "drawn faces"."""
        kinds = sorted(set(self._pictures.values()))
        return next((kind for kind in kinds if kind != "photographs"), *kinds[:1] or ["no data"])

    @property
    def stand_ins(self) -> list[str]:
        """Labels of the synthetic stand-ins in use, empty when none is."""
        return [label for label, source in self._sources.items() if source["stand_in_for"]]

    @property
    def taken(self) -> int:
        """How many models were taken from the reference so far."""
        found = reference_of.active()
        return len(found.taken) if found else 0

    def find(self, path: Path) -> Path:
        """A file that a training of this lab left in its folder, where it was taken from the reference: there."""
        return path if path.exists() else reference_of.offer(path) or path

    def arrays(self, path: Path) -> dict[str, np.ndarray]:
        """The arrays of a file *.npz that a cell of a sweep left in its folder, or that the reference has of it.

        Raises LabkitError: it is missing or damaged.
        """
        return read_arrays(path, self.find(path))

    def figure(self, name: str, figure: Figure, *, alt: str = "", of_data: bool = True) -> None:
        """Save `figure` as figures/<name>.png, marked where its data are a stand-in, and show it.

        Its alternative text is the title, `alt`, and then the names of all that is drawn.

        Args:
            name: lower-case file name without ending.
            figure: a matplotlib figure; it is closed afterwards.
            alt: what a reader who cannot see it must know beyond its title and these names.
            of_data: False for what was computed without a picture, which no stand-in touches.

        Raises LabkitError: neither a title nor alt text, or a name that is no file name.
        """
        self._same_seed()
        title = captions.title(figure)
        alt = " ".join(part for part in (title and title.rstrip(".") + ".", alt.strip()) if part)
        if not alt:
            raise LabkitError(f"figure {name!r}: give it a title, or say with alt= in a sentence what it shows.")
        if not name.replace("_", "").replace("-", "").isalnum():
            raise LabkitError(f"figure {name!r}: use letters, digits, - and _ only, it becomes a file name.")
        alt = f"{alt} {captions.names(figure)}".rstrip()
        captions.stamp(figure, self.stand_ins if of_data else [], self.taken if of_data else 0)
        path = self.folder / "figures" / f"{name}.png"
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=FIGURE_DPI, bbox_inches="tight", facecolor="white")
        plt.close(figure)
        self._figures[name] = alt
        write_json(
            self.folder / "figures.json",
            [{"name": key, "file": f"figures/{key}.png", "alt": text} for key, text in self._figures.items()],
        )
        display(Image(data=path.read_bytes(), format="png", alt=alt))

    def metric(self, name: str, value: Any) -> None:
        """Record a number, text, or a dict or list of them; NaN and infinities are kept as text.

        Times do not belong here but in `timing`: two runs with one seed must give equal metrics.
        """
        self._same_seed()
        self._metrics[name] = plain(value)

    def timing(self, name: str, seconds: float) -> None:
        """Record how long something took."""
        self._timings[name] = float(seconds)

    def check(self, check: Callable[..., Iterable[Any]], *args: Any, **kwargs: Any) -> None:
        """Run a check of an exercise, print a line per property with its rung of hints, record them.

        Args:
            check: a function of `labkit.labs`; it returns properties (name, passed, hint).

        Raises CheckFailed: a property is missed; short, so that the hints are what one sees.
        """
        properties = list(check(*args, **kwargs))
        name = check.__name__
        self._checks[name] = [
            {"name": each.name, "passed": bool(each.passed), "hint": each.hint} for each in properties
        ]
        write_json(self.folder / "checks.json", self._checks)
        rung, section = None, ""
        if somebody_is_there():  # what runs a lab unattended leaves no attempts and sees the whole hint
            rung = climb(self._beside, self.lab, name, answer_of(args, properties), properties)
            section = place(self._beside, name) if rung == TOP else ""
        print("\n".join(report(properties, rung, section)))
        missed = sum(not each.passed for each in properties)
        if missed:
            raise CheckFailed(f"{name}: {missed} of {len(properties)} properties missed; see the hints above.")

    def predict(
        self, claim: Claim, question: str, *, choices: Sequence[str] = (), unit: str = "", guess: Any = None
    ) -> None:
        """Ask for a guess before a claim is measured: a form, or a line where nobody is there. It earns no points.

        Args:
            claim: the one whose measurement answers the question.
            question: short, and no hint of the answer.
            choices: to choose from; without them a number is asked for.
            guess: the guess, where there are no forms.

        Raises LabkitError: `guess` is none of the choices, or no number.
        """

        def commit(given: Any) -> str:
            if claim.id in self._claims:
                raise LabkitError("it is measured already: guess before you run what follows.")
            return predictions.keep(self.folder, claim.id, question, given, choices, unit)

        if guess is not None:
            print(f"Your guess: {question} {commit(guess)}")
        elif somebody_is_there():
            before = predictions.kept(self.folder).get(claim.id, {}).get("guess", "")
            display(predictions.form(question, choices, unit, before, commit))
        else:
            print(f"Your guess: {question} Write guess=… into this cell: {', '.join(choices) or 'a number'}.")

    def claim(self, claim: Claim, **given: Any) -> None:
        """Judge a claim of a source report by its rule, record it, and show the verdict.

        Args:
            claim: of a lab, e.g. `lab03.E1`.
            given: what its rule and its protocol read; sizes of the run need not be given.

        Raises LabkitError: it lacks what the rule reads, or knows no such name.
        """
        self._same_seed()
        data = " + ".join(self._sources) or "none"
        record = claim.record(given, self._sizes, self.pictures) | {"data": data, "from_reference": self.taken}
        self._claims[claim.id] = plain(record | self._studied(record))
        write_json(self.folder / "claims.json", list(self._claims.values()))
        shown = self._claims[claim.id]
        display({"text/html": card_html(shown), "text/plain": card_text(shown)}, raw=True)

    def _studied(self, record: dict[str, Any]) -> dict[str, Any]:
        """What the kit's own study found of a claim that this run cannot decide, where it is decided there."""
        open_still = (UNDECIDED, NEEDS_PHOTOGRAPHS)
        if record["verdict"] not in open_still or self.profile == "study":
            return {}
        try:
            same = [each for each in reference_of.verdicts(reference_of.ROOT) if each["id"] == record["id"]]
        except LabkitError:  # damaged: it would have been a line more, and this run needs none of it
            return {}
        decided = (each for each in same if each["verdict"] not in open_still)
        return next(({"study": {name: each[name] for name in ("verdict", "on", "measured")}} for each in decided), {})

    def _same_seed(self) -> None:
        """Nothing is recorded under a seed that the notebook has changed since."""
        notebook = get_ipython()
        now = notebook.user_ns.get("SEED", self.seed) if notebook else self.seed
        if now != self.seed:
            raise LabkitError(f"SEED is {now!r} now, but this run began with {self.seed}: run the notebook anew.")

    def finish(self) -> None:
        """Write what is not written yet, drop figures of earlier runs, and show guesses and the table of claims."""
        self._same_seed()
        self.timing("total", time.perf_counter() - self._started)
        self._write_config()
        metrics = {
            "data": list(self._sources),
            "profile": self.profile,
            "seed": self.seed,
            "from_reference": self.taken,
            "values": self._metrics,
        }
        write_json(self.folder / "metrics.json", metrics)
        write_json(self.folder / "timings.json", self._timings)
        write_json(self.folder / "claims.json", list(self._claims.values()))
        for path in (self.folder / "figures").glob("*.png"):
            if path.stem not in self._figures:
                path.unlink()
        if shown := predictions.beside(predictions.kept(self.folder), self._claims):
            display(shown, raw=True)
        if claims := list(self._claims.values()):
            display({"text/html": claims_html(claims), "text/plain": claims_text(claims)}, raw=True)
