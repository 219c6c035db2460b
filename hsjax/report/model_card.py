"""The model card beside every exported network: what it is, what it was tested on, what it is not for."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import yaml

from hsjax.data.download import register
from hsjax.report import card_metadata, members, reading, wording
from hsjax.report.exported import EXPORTS, Exported, Form, models
from hsjax.report.run import MODEL, NETWORK
from hsjax.runtime import Aggregation, Input, Sidecar
from hsjax.types import ResultRow

CARD = "README.md"
"""What Hugging Face shows of a folder."""

_NETWORK: Form = (NETWORK, str(Input.FEATURES))
_OTHER_SITES = "leave-one-subset-out"
# Of a stage's `select`: it keeps its last epoch.
_LAST = "last"
_WEIGHED = {Aggregation.MEAN: "", Aggregation.CONFIDENCE: ", in which those of unsure ones count for less"}


def build(run_dir: pathlib.Path) -> list[pathlib.Path]:
    """Writes a card into the folder of every exported network, whole or not at all.

    Args:
      run_dir: with config.json, exports/ and what `page.build` reads.

    Returns:
      Paths of the cards. A network none of whose files is what its sidecar says gets none: the gate has refused it.

    Raises:
      UserError: a table is missing or damaged.
    """
    if not (run_dir / EXPORTS).is_dir():
        return []
    written = []
    for exported in models(run_dir, reading.load(run_dir, None)):
        path = exported.directory / CARD
        if not exported.sidecars:
            path.unlink(missing_ok=True)
            continue
        partial = path.with_name(path.name + ".partial")
        partial.write_text(card(exported), encoding="utf-8")
        os.replace(partial, path)
        written.append(path)
    return written


def card(exported: Exported) -> str:
    """The whole text of a card."""
    described = next(iter(exported.sidecars.values()))
    heard = described.beats is None
    metadata = yaml.safe_dump(card_metadata.metadata(exported, heard), sort_keys=False, allow_unicode=True)
    sections = [
        f"# {exported.run.config['name']}: {members.short(exported.stage)}",
        *_banner(exported),
        _lead(exported, described),
        "**Not a medical device.** Nobody has tested it clinically, and no authority has seen it: no decision about "
        "anybody's health may rest on it.",
        _files(exported),
        _metrics(exported),
        _use(exported, described),
        _data(exported),
        _protocol(exported),
        _limits(exported, described),
        _licence(exported),
        _citation(exported),
        _made_by(exported, described),
    ]
    return f"---\n{metadata}---\n\n" + "\n\n".join(sections) + "\n"


def _banner(exported: Exported) -> list[str]:
    if not exported.run.synthetic:
        return []
    return [
        "**SYNTHETIC DATA.** It was trained and tested on generated signals: its figures show that the chain works, "
        "and say nothing about people."
    ]


def _lead(exported: Exported, described: Sidecar) -> str:
    parameters, macs = (exported.find(_NETWORK, name, MODEL) for name in ("parameters", "macs"))
    amounts = [f"{_count(row)} {word}" for row, word in ((parameters, "parameters"), (macs, "multiply-adds")) if row]
    trained = exported.trained
    teacher = f" from `{trained['teacher']}`" if trained["teacher"] else ""
    seconds = described.window / described.sample_rate
    taken = (
        f"windows of {seconds:g} s at {described.sample_rate:,} Hz"
        if described.beats is None
        else f"single beats of an ECG, {seconds:g} s at {described.sample_rate:,} Hz around each R peak"
    )
    classes = ", ".join(described.labels)
    return (
        f"A `{trained['model']}` ({', '.join(amounts)}) that tells the classes {classes} from {taken}. It is stage "
        f"`{exported.stage}` of the experiment `{exported.run.config['name']}`: objective "
        f"{trained['objective']}{teacher}, seed {described.seed}."
    )


def _files(exported: Exported) -> str:
    rows = []
    for form in exported.forms:
        failed = [check.check for check in exported.checks(form) if not check.passed]
        verdict = f"**failed**: {', '.join(failed)}" if failed else "passed"
        size, macs, time = (exported.find(form, name, MODEL) for name in ("bytes", "macs", "median_microseconds"))
        rows.append(
            [
                f"`{'-'.join(form)}`",
                _count(size),
                _count(macs),
                _amount(time),
                _rate(exported.find(form, "agreement")),
                verdict,
            ]
        )
    ends = (one.front_end.file for one in exported.sidecars.values() if one.front_end)
    front_end = next(ends, "its front end")
    words = (
        f"A file from `features` needs `{front_end}` beside it, whose size and time come on top; one from `samples` "
        "needs nothing but its sidecar (`.json`). Times are medians of one window, threads: "
        f"{exported.deployed['threads']}, on the machine that exported them. Agreement is the part of the test "
        f"{exported.unit}s that a file decides as its network does; the gate is what each file was held against before "
        "anybody may use it."
    )
    header = ["file", "bytes", "multiply-adds", "time, µs", "agreement", "gate"]
    return f"## Files\n\n{_table(header, rows)}\n\n{words}"


def _metrics(exported: Exported) -> str:
    names = [name for name in card_metadata.metrics(exported) if exported.find(_NETWORK, name)]
    forms = {_NETWORK: "network"} | {form: f"`{'-'.join(form)}`" for form in exported.forms}
    rows = [[called, *(_rate(exported.find(form, name)) for name in names)] for form, called in forms.items()]
    scored = (exported.find(form, names[0]) for form in forms)
    extent = next(f", n = {row.n:,} of {row.n_groups:,} groups" for row in scored if row)
    words = (
        f"Per {exported.unit} of the test part of protocol `{exported.protocol}`{extent}, "
        f"{wording.decided(exported.run.positive)}; in brackets 95 % bootstrap intervals over groups. All other "
        "figures are in `report/results.csv` of the run."
    )
    return f"## Metrics\n\n{_table(['file', *map(wording.metric, names)], rows)}\n\n{words}"


def _use(exported: Exported, described: Sidecar) -> str:
    what = "heart sounds" if described.beats is None else "ECGs"
    recording = "recording.wav" if described.beats is None else "record.hea"
    first = next(iter(exported.sidecars.values())).model
    decided = (
        f"`{described.positive}` is said from a probability of {described.threshold:.3f} on"
        if described.threshold is not None
        else "the likeliest class is said"
    )
    judged = (
        f"A recording's probabilities are the mean of those of its windows{_WEIGHED[described.aggregation]}"
        if described.beats is None
        else "Every beat that is found is judged by itself"
    )
    return (
        f"## Intended use\n\nResearch on, and development of, software that listens to {what}: to measure, compare and "
        "teach. Not for diagnosis, triage or monitoring, nor to reassure anybody.\n\n"
        f"    python -m hsjax.predict {first} {recording}\n\n"
        f"{judged}; {decided}. The sidecar beside each file says how to feed it without hsjax."
    )


def _data(exported: Exported) -> str:
    data, origin = exported.run.data, register.origin(exported.run.dataset)
    assert data is not None
    named = f"{origin.title}, version {origin.version} ({origin.source})" if origin else f"`{exported.run.dataset}`"
    groups = "groups unknown" if data["groups"] is None else f"{data['groups']:,} groups"
    words = [f"{named}: {data['recordings']:,} recordings, {data['hours']:.1f} hours, {groups}."]
    words += [f"Where groups come from: {data['grouping']}"] if data["grouping"] else []
    parts = exported.division["parts"]
    rows = [
        [name, *(f"{part[unit]:,}" for unit in ("examples", "recordings", "groups")), _classes(part["groups_by_class"])]
        for name, part in parts.items()
    ]
    table = _table(["part", "examples", "recordings", "groups", "groups by class"], rows)
    return f"## Data\n\n{' '.join(words)}\n\n{table}"


def _protocol(exported: Exported) -> str:
    name = exported.protocol
    fold = "" if exported.fold == 0 else f", fold {exported.fold}"
    found = [f"`{name}`{fold}. {wording.PROTOCOLS.get(name, '')}".strip()]
    found += [f"{exported.division['note']}."] if exported.division["note"] else []
    chosen = [] if exported.trained["select"] == _LAST else [f"the epoch, by {exported.trained['select']},"]
    chosen += ["the threshold"] if exported.run.positive is not None else []
    found.append(f"Chosen on the validation part: {' and '.join(chosen) or 'nothing'}.".replace(",.", "."))
    return f"## Protocol and leakage\n\n{' '.join(found)}\n\n{exported.verdict}"


def _limits(exported: Exported, described: Sidecar) -> str:
    origin = register.origin(exported.run.dataset)
    found = [
        f"It knows the classes {', '.join(described.labels)} and no others: whatever it is given it calls one of them, "
        "noise and silence too.",
        f"It was tested on `{exported.run.dataset}` alone; other devices, places and people are another matter.",
        *([exported.division["warning"]] if exported.division["warning"] else []),
        *_elsewhere(exported),
        *_controls(exported),
        *exported.run.config["notes"],
        *(origin.faults if origin else ()),
    ]
    return "## Limits\n\n" + "\n".join(f"* {one}" for one in found)


def _elsewhere(exported: Exported) -> list[str]:
    """What the same network comes to in sub-datasets that it has not heard, if the run has tried."""
    metric, unit = exported.run.headline_metric, exported.run.unit
    leading = exported.run.leading(_OTHER_SITES, exported.stage) if _OTHER_SITES in exported.run.protocols else None
    row = exported.run.find(leading, unit, metric) if leading else None
    if row is None:
        return []
    return [
        f"The same network, trained without the sub-dataset that it is then tested on, comes to "
        f"{wording.metric(metric)} {_rate(row)} per {unit}, the mean over sub-datasets."
    ]


def _controls(exported: Exported) -> list[str]:
    """How far the label could be told without hearing the disease."""
    found = {row.metric: row for row in exported.run.controls if not row.label}
    words = {
        "label_from_subset:auroc": "From the sub-dataset alone, without any sound, the label can be told with AUROC",
        "subset_from_audio:auroc": "The sub-dataset can be told from the sound with AUROC",
    }
    return [f"{word} {_rate(found[name])}." for name, word in words.items() if name in found]


def _licence(exported: Exported) -> str:
    chosen, origin = exported.run.config["license"], register.origin(exported.run.dataset)
    of_files = f"These files: {chosen}." if chosen else "These files: none chosen yet (`config.license`)."
    of_data = f" The recordings they were made of: {origin.licence}." if origin else ""
    return f"## Licence\n\n{of_files} hsjax, which made them: Apache-2.0.{of_data}"


def _citation(exported: Exported) -> str:
    paper, origin = wording.CITATIONS.get(exported.run.config["published"]), register.origin(exported.run.dataset)
    found = [*([f"Method: {paper}"] if paper else []), *([f"Data: {origin.citation}"] if origin else [])]
    found.append(f"Files: made by hsjax {next(iter(exported.sidecars.values())).versions['hsjax']}.")
    return "## Citation\n\n" + "\n".join(f"* {one}" for one in found)


def _made_by(exported: Exported, described: Sidecar) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in described.versions.items())
    rows = [[f"`{one.model}`", f"`{one.sha256}`"] for one in exported.sidecars.values()]
    command = exported.run.config["command"]
    return f"## How it was made\n\n    {command}\n\nWith {versions}.\n\n{_table(['file', 'SHA-256'], rows)}"


def _classes(groups: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in groups.items())


def _rate(row: ResultRow | None) -> str:
    """Three digits, and the interval in brackets."""
    if row is None:
        return "-"
    if row.low is None or row.high is None:
        return f"{row.value:.3f}"
    return f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"


def _count(row: ResultRow | None) -> str:
    return "-" if row is None else f"{row.value:,.0f}"


def _amount(row: ResultRow | None) -> str:
    return "-" if row is None else f"{row.value:.3g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown; what cells hold may not hold its bars."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
