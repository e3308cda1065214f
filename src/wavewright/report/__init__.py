"""Turn experiments' folders into one page that needs no other file, with the thesis's results beside ours.

`reading` checks the folders, `sections` and `learning` decide what is shown, and `figures` and `drawing` draw it.
`inline` gives drawings the page's colours.
`export` also writes the page's figures, sounds and numbers to files of their own.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from wavewright.errors import WavewrightError, need
from wavewright.files import atomic_file

ORDER = ("variations", "overfit", "piano", "piano-roll", "rooms", "search", "speed")  # the thesis's
NEEDS = {"jinja2": "experiments", "matplotlib": "train"}  # extras of this package that install each library


def report(folders: Sequence[Path], out: Path, files: Path | None = None) -> dict[str, Any]:
    """Write the page of some experiments to `out` and return a summary. The same folders give the same bytes.

    Where the folder `files` is given, the figures, sounds and numbers are also written there one by one.

    Raises:
        WavewrightError: a folder is no experiment or is damaged, or a library is missing.
    """
    _check_libraries()
    from wavewright.report import figures
    from wavewright.report.export import export
    from wavewright.report.reading import read
    from wavewright.report.sections import section

    if not folders:
        raise WavewrightError("report: give at least one folder of `wavewright experiment`")
    experiments = sorted((read(folder) for folder in folders), key=lambda e: ORDER.index(e.header.experiment))
    originals = [experiment.original for experiment in experiments if experiment.original]
    sampling = [figures.rates(originals[0]), figures.resolutions(originals[0])] if originals else []
    sections = [section(experiment) for experiment in experiments]
    page = _render(sampling=sampling, sections=sections).encode(errors="replace")  # for odd bytes of file names
    with atomic_file(out) as temporary:
        temporary.write_bytes(page)
    if files:
        export(files, sampling, sections)
    return {
        "page": str(out),
        "bytes": len(page),
        "experiments": [experiment.header.experiment for experiment in experiments],
        "figures": len(sampling) + sum(len(group) for section in sections for group in section.figures),
        "players": sum(len(sounds.cards) for section in sections for sounds in section.sounds),
        "unfinished": [str(e.folder / "trials" / name) for e in experiments for name in e.unfinished],
    }


def _check_libraries() -> None:
    for name, extra in NEEDS.items():
        need(extra, name)


def _render(**parts: Any) -> str:
    import jinja2
    from markupsafe import Markup

    from wavewright.report.inline import inliner

    files = resources.files(__name__)
    scripts = [files.joinpath(name).read_text(encoding="utf-8") for name in ("vendor/wavesurfer.min.js", "page.js")]
    inline = inliner()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["inline"] = lambda svg, description: Markup(inline(svg, description))  # text is escaped there
    template = environment.from_string(files.joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        **parts,
        # Only our script and the vendored player are left as they are. Neither holds "</script".
        style=Markup(files.joinpath("style.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        hashes=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        licence=files.joinpath("vendor/LICENSE").read_text(encoding="utf-8"),
    )
