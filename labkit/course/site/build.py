"""A static site of an executed run: read from file://, without a network."""

import base64
import html
import io
import json
import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from labkit.claims import BADGES, claims_html, measured_text
from labkit.course.run.labs import list_labs, project_root, read_notebook
from labkit.errors import LabkitError
from labkit.files import read_json, write_json
from labkit.fit import reference
from labkit.plots import browser
from labkit.record import NOTEBOOK, STATE, read_record

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION[^\n]*", re.S | re.M)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS[^\n]*\n?", re.S | re.M)
EMPTY_HEADER = re.compile(r"<th([^>]*)>(?:\s|&nbsp;)*</th>")  # pandas writes them; a screen reader stumbles
HERE = Path(__file__).parent
REFERENCE = "reference"  # the name of its run
CONTENTS = "site.json"  # names of the files and folders that make a site, in its folder
WIDTH = 1200  # pixels; a figure on a page is never shown wider
EXPLORER = """# Explorer

A latent is a list of numbers from which a model draws a face. Move one and see the face change. The models run in
this page.

"""

OPEN_IN = (
    "[Colab](https://colab.research.google.com/github/{place}/blob/{tag}/{file}), "
    "[Kaggle](https://kaggle.com/kernels/welcome?src={address}/blob/{tag}/{file}) or "
    "[Binder](https://mybinder.org/v2/gh/{place}/{tag}?labpath={file})"
)


def newest_run(runs: Path) -> Path | None:
    """The newest run of a profile under runs/ that holds an executed notebook; None if there is none."""
    found = [file for name in ("study", "gpu", "cpu", "smoke") for file in (runs / name).glob(f"*/{NOTEBOOK}")]
    return max(found, key=lambda file: file.stat().st_mtime).parent.parent if found else None


def build_site(run: Path | None, out: Path, students: bool = False) -> Path:
    """Write the site of a run (runs/<profile>) to `out`, and return its index.html.

    Args:
        run: holds a folder for each lab. None takes the notebooks as they are, and the claims of the reference.
        out: where a site is, its pages are replaced; what others put beside them stays. Of a link, where it leads.

    Raises LabkitError: the run holds no executed lab, Sphinx is missing, or `out` holds something else.
    """
    if run is None:
        with tempfile.TemporaryDirectory() as place:
            return build_site(_reference_run(Path(place, REFERENCE)), out, students)
    executed = sorted(file.parent for file in run.glob(f"*/{NOTEBOOK}"))
    labs = [lab for lab in executed if read_record(lab, STATE, {}).get("state", "ok") == "ok"]
    if not labs:
        raise LabkitError(f"{run}: holds no complete lab; run `make run` first, or name a run with --run.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "searchindex.js").is_file():
        raise LabkitError(f"{out}: holds something other than a site; name another folder with --out.")
    try:
        from sphinx.application import Sphinx
    except ImportError as error:
        raise LabkitError('Sphinx is missing; install it with `pip install -e ".[site]"`.') from error
    with tempfile.TemporaryDirectory() as place:
        source, built = Path(place, "source"), Path(place, "site")
        pictures = source / "extra" / "pictures"
        pictures.mkdir(parents=True)
        for lab in labs:
            try:
                page = _lab_page(lab, pictures, students)
                if found := repository(project_root()):
                    file = f"notebooks/{lab.name}.ipynb"
                    words = f"[Edit this page]({found['address']}/edit/main/{file}) · open it in "
                    words += OPEN_IN.format(**found, file=file)
                    cells = [cell for cell in page["cells"] if cell.get("id") != "open"]  # the notebook's own links
                    links = {"cell_type": "markdown", "id": "links", "metadata": {}, "source": words}
                    page["cells"] = [*cells[:1], links, *cells[1:]]
            except (LabkitError, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
                remedy = "run the lab again with `labkit run --force`"
                raise LabkitError(f"{lab / NOTEBOOK}: is damaged ({error!r}); {remedy}.") from error
            (source / f"{lab.name}.ipynb").write_text(json.dumps(page), encoding="utf-8")
        shutil.copy(HERE / "glossary.md", source)
        (source / "_static").mkdir()
        shutil.copy(HERE / "site.css", source / "_static")
        decoders = _decoders(labs)
        shown = {
            "labs": [lab.name for lab in labs],
            "more": ["claims", *["explorer"] * bool(decoders), "glossary", *_readme_pages(source)],
            "executed": any((lab / STATE).is_file() for lab in executed),
            "broken": [lab.name for lab in executed if lab not in labs],
            "picture": _title_picture(pictures),
            "by_verdict": _by_verdict(labs),
            "badges": BADGES,
        }
        for name in ("index", "claims"):
            (source / f"{name}.md").write_text(_rendered(name, shown), encoding="utf-8")
        if decoders:
            text = EXPLORER + browser.page(decoders, source / "extra" / "explorer")
            (source / "explorer.md").write_text(text, encoding="utf-8")
        Sphinx(
            source, None, built, Path(place, "trees"), "html", _settings(), status=None, warning=io.StringIO()
        ).build()
        shutil.rmtree(built / "_sources", ignore_errors=True)
        _replace(out.resolve(), built)
    return out / "index.html"


def _replace(out: Path, built: Path) -> None:
    """Put a site where an older one may be. Hosts keep files of their own there, such as CNAME or .git."""
    out.mkdir(parents=True, exist_ok=True)
    names = sorted(file.name for file in built.iterdir())
    before = read_json(out / CONTENTS)
    for name in set(map(str, before if isinstance(before, list) else names)) - {"", ".", ".."}:
        old = out / Path(name).name
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
    for name in names:
        shutil.move(built / name, out / name)
    write_json(out / CONTENTS, names)


def _decoders(labs: list[Path]) -> list[Path]:
    """The explorer's scripts: of each lab's run where it wrote any, else of the reference; later labs draw better."""
    found = []
    for lab in reversed(labs):
        mine, theirs = (sorted(place.glob("explorer/*.js")) for place in (lab, reference.ROOT / lab.name))
        found += mine or theirs
    return found


def _reference_run(run: Path) -> Path:
    """A run's folder of notebooks that nobody has executed, with the claims of the reference."""
    known = reference.verdicts()
    for lab in list_labs():
        folder = run / lab.stem
        folder.mkdir(parents=True)
        claims = [claim for claim in known if claim["lab"] == lab.number]
        write_json(folder / "claims.json", claims)
        notebook = read_notebook(lab.path)
        if claims:
            table = {"output_type": "display_data", "data": {"text/html": claims_html(claims)}, "metadata": {}}
            hidden = {"cell_type": "code", "source": "", "metadata": {"tags": ["remove-input"]}, "outputs": [table]}
            heading = {"cell_type": "markdown", "source": "## What the reference found", "metadata": {}}
            notebook["cells"] += [heading | {"id": "found"}, hidden | {"id": "claims", "execution_count": None}]
        write_json(folder / NOTEBOOK, notebook)
    return run


def repository(root: Path) -> dict[str, str] | None:
    """Where pyproject.toml of a project says that it lies: address, place (owner/name) and this version's tag."""
    file = root / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {}) if file.is_file() else {}
    address = project.get("urls", {}).get("Repository", "").removesuffix(".git")
    if not (address and "version" in project):
        return None
    return {"address": address, "place": re.sub(r"^https://[^/]+/", "", address), "tag": f"v{project['version']}"}


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this: formulas as MathML, which needs no script from the network."""
    app.add_html_math_renderer("mathml", (_math("inline"), None), (_math("block"), None))
    return {"parallel_read_safe": True}


def _math(display: str) -> Any:
    from docutils.nodes import SkipNode

    from labkit.course.pages.notebook_page import mathml

    def visit(writer: Any, node: Any) -> None:
        formula = mathml(node.astext(), display)
        # One wider than a phone scrolls, by keyboard too.
        writer.body.append(formula.replace("<math", '<math tabindex="0"', 1) if display == "block" else formula)
        raise SkipNode

    return visit


def _settings() -> dict[str, Any]:
    return {
        "project": "labkit",
        "extensions": ["myst_nb", "labkit.course.site.build"],
        "html_theme": "sphinx_book_theme",
        "html_title": "labkit",
        "html_math_renderer": "mathml",
        "html_extra_path": ["extra"],
        "html_copy_source": False,
        "html_static_path": ["_static"],
        "html_css_files": ["site.css"],
        "html_use_index": False,
        "html_show_search_summary": False,  # it would fetch the pages, which a page from file:// may not
        "html_context": {"default_mode": "auto"},  # follows the system, until the reader presses the switch
        # Without the logo, which lies outside every landmark; the start page leads the list instead.
        "html_sidebars": {"**": ["search-button-field.html", "sbt-sidebar-nav.html"]},
        "html_theme_options": {
            "use_download_button": False,
            "home_page_in_toc": True,
            "navbar_persistent": [],  # else a second search box
            "footer_content_items": [],
        },
        "exclude_patterns": ["extra"],
        "myst_enable_extensions": ["dollarmath", "amsmath"],
        "myst_update_mathjax": False,
        "nb_execution_mode": "off",
        "nb_code_prompt_show": "Show the solution",  # nothing else is folded away
        "nb_code_prompt_hide": "Hide the solution",
        "nb_ipywidgets_js": {},
    }


def _lab_page(lab: Path, pictures: Path, students: bool) -> dict[str, Any]:
    """The executed notebook of a lab, its figures as WebP files in `pictures`."""
    notebook = read_notebook(lab / NOTEBOOK)
    notebook["metadata"].pop("widgets", None)
    # What papermill injects are paths of the machine that ran the lab.
    notebook["cells"] = [
        cell for cell in notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", [])
    ]
    for number, cell in enumerate(notebook["cells"]):
        if "### BEGIN SOLUTION" in cell["source"] and cell["cell_type"] == "code":
            if students:
                cell["source"] = SOLUTION.sub(r"\1# your code", cell["source"])
            else:
                cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-input"]
        cell["source"] = HIDDEN.sub("", cell["source"])
        cell["outputs"] = [each for each in cell.get("outputs", []) if each.get("name") != "stderr"]
        for place, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if "text/html" in data:
                data["text/html"] = EMPTY_HEADER.sub(r"<td\1></td>", "".join(data["text/html"]))
            if "image/png" in data:
                alt = output["metadata"].get("image/png", {}).get("alt") or "figure"
                name = f"{lab.name}-{number}-{place}.webp"
                width, height = _webp(base64.b64decode("".join(data.pop("image/png"))), pictures / name)
                size = f'width="{width}" height="{height}" class="labkit-figure" loading="lazy"'
                data["text/html"] = f'<img src="pictures/{name}" alt="{html.escape(alt)}" {size}>'
        if cell["cell_type"] != "code":
            cell.pop("outputs")
    return notebook


def _webp(png: bytes, path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image = image.convert("RGB")
        image.thumbnail((WIDTH, 10 * WIDTH))
        image.save(path, quality=80)
        return image.size


def _by_verdict(labs: list[Path]) -> list[tuple[str, list[Any]]]:
    """Verdict → for each claim its lab, itself, and (run, seed, claim) of each run that has it, this run first."""
    found: dict[str, list[Any]] = {verdict: [] for verdict in BADGES}
    for lab in labs:
        run = lab.parent
        others = [place / lab.name for place in sorted(run.parent.iterdir()) if place != run and place.is_dir()]
        runs = [_judged(each) for each in (lab, *others)]
        if run.name != REFERENCE:
            runs.append((REFERENCE, *_judged(reference.ROOT / lab.name)[1:]))
        for claim in runs[0][2]:
            same = [(name, seed, each) for name, seed, claims in runs for each in claims if each["id"] == claim["id"]]
            found.setdefault(claim["verdict"], []).append((lab.name, claim, same))
    return [(verdict, claims) for verdict, claims in found.items() if claims]


def _judged(lab: Path) -> tuple[str, Any, list[dict[str, Any]]]:
    """The run's name, its seed, and the lab's claims."""
    about = read_record(lab, reference.ABOUT, {})
    config = about or read_record(lab, "config.json", {})
    return lab.parent.name, config.get("seed", "–"), about.get("claims") or read_record(lab, "claims.json", [])


def _rendered(name: str, shown: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader

    pages = Environment(loader=PackageLoader("labkit.course.site", ""), autoescape=True, trim_blocks=True)
    pages.filters["measured"] = measured_text
    return pages.get_template(f"{name}.md.j2").render(shown)


def _readme_pages(source: Path) -> list[str]:
    """Pages for instructors and engineers: chapters of README.md and CONTRIBUTING.md, links to files as words."""
    files = [project_root() / name for name in ("README.md", "CONTRIBUTING.md")]
    text = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
    written = []
    for chapter in re.split(r"^## ", text, flags=re.M)[1:]:
        for who in ("instructors", "engineers"):
            if chapter.lower().startswith(f"for {who}"):
                words = re.sub(r"(?<!!)\[([^\]]+)\]\((?!http)[^)]*\)", r"\1", chapter)
                words = re.sub(r"^###", "##", words, flags=re.M)
                (source / f"{who}.md").write_text(f"# {words}", encoding="utf-8")
                written.append(who)
    return written


def _title_picture(pictures: Path) -> tuple[int, int] | None:
    picture = project_root() / "notebooks" / "images" / "labkit.png"
    return _webp(picture.read_bytes(), pictures / "labkit.webp") if picture.is_file() else None
