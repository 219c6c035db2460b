"""The section on what models get wrong: which recordings, how surely, how long and how noisy they are."""

from hsjax.evaluate.errors import BY_CONFIDENCE, BY_SNR
from hsjax.report import html, members
from hsjax.report.cells import caption, number, rate, size
from hsjax.report.cells import stage as name_cell
from hsjax.report.html import Content, element
from hsjax.report.run import Run
from hsjax.types import ErrorRow

_MOST_LINES = 40  # a protocol; all are in errors.csv
_OF = {BY_CONFIDENCE: "probability of the decided class", BY_SNR: "signal to noise, dB"}


def section(run: Run) -> html.Section | None:
    """Errors by sample and in sum, of the models of the first seed; None for runs that do not list them."""
    rates = [row for row in (*run.results, *run.folds) if row.metric in _OF]
    if not rates:
        return None
    words = (
        "What the models of the first seed decide wrongly, the surest errors first. The ratio of signal to noise is "
        "an estimate from the recording alone: the mean power beyond that of its quietest moments (the tenth part of "
        "all frames of 50 ms), over the latter. All errors of all seeds are in errors.csv."
    )
    content: list[Content] = [html.paragraph(words)]
    for protocol in run.protocols:
        seeds = [row.seed for row in rates if row.protocol == protocol and isinstance(row.seed, int)]
        if seeds:
            content += [element("h3", f"Protocol {protocol}"), *_summary(run, protocol, min(seeds))]
            content += _listed(run, protocol, min(seeds))
    return html.Section("errors", "Errors by sample", content)


def _summary(run: Run, protocol: str, seed: int) -> list[Content]:
    found = [
        row for row in (*run.results, *run.folds) if row.metric in _OF and (row.protocol, row.seed) == (protocol, seed)
    ]
    lines: list[list[Content]] = [
        [name_cell(row.stage), str(row.fold), _OF[row.metric], row.label, rate(row), size(row)] for row in found
    ]
    header = ["stage", "fold", "sorted by", "range", "part that is wrong", "n (groups)"]
    words = f"Protocol {protocol}, seed {seed}: errors against confidence and noise, per {run.units(protocol)[0]}."
    return [html.folded_table(f"Errors against confidence and noise, {protocol}", caption(run, words), header, lines)]


def _listed(run: Run, protocol: str, seed: int) -> list[Content]:
    own = [row for row in run.errors if (row.protocol, row.seed) == (protocol, seed)]
    if not own:
        return [html.paragraph("No error.")]
    surest = sorted(own, key=lambda row: -row.confidence)[:_MOST_LINES]
    more = f" The surest {len(surest)} of {len(own)}." if len(surest) < len(own) else ""
    words = f"Protocol {protocol}, seed {seed}: what is decided wrongly.{more}"
    header = ["recording", "from, s", "stage", "true", "decided", "its probability", "lasts, s", "signal to noise, dB"]
    title = f"{len(surest)} errors, {protocol}"
    return [html.folded_table(title, caption(run, words), header, [_line(row) for row in surest])]


def _line(row: ErrorRow) -> list[Content]:
    return [
        row.recording, f"{row.start:.1f}", name_cell(members.short(row.stage)), row.label, row.predicted,
        number(row.confidence), f"{row.seconds:.1f}", f"{row.snr_db:.1f}",
    ]  # fmt: skip
