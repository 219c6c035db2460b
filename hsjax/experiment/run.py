"""Run a config: every stage for every protocol and seed, what is finished skipped, what was interrupted resumed."""

import itertools
import pathlib

from hsjax import config as run_config
from hsjax import train
from hsjax.config import ConfigDict, StageKind
from hsjax.experiment import (
    checks,
    closing,
    explain_stage,
    export_stage,
    exports,
    fit_stage,
    folder,
    report_stage,
    train_stage,
    watching,
)
from hsjax.experiment.context import Context
from hsjax.report import terminal


def run(config: ConfigDict, workdir: pathlib.Path, published: pathlib.Path | None = None) -> None:
    """Run all stages of `config` in `workdir`.

    Args:
      config: as a file below configs/ makes it.
      workdir: created where missing; continued where an earlier call with the same settings was interrupted.
      published: table of published figures to print beside ours.

    Raises:
      UserError: settings, data or the folder forbid it; or the parity gate refused an exported file (after everything
        else has been done and written).
    """
    run_config.validate(config)
    context = Context(config, workdir, published)
    checks.settings(context)
    exporting = run_config.stages(config, StageKind.EXPORT)
    for name, stage in exporting.items():
        export_stage.check(name, stage)
    for name in run_config.stages(config, StageKind.EXPLAIN):
        explain_stage.check(context, name)
    watching.check(config)
    with folder.locked(workdir):
        _prepare(context)
        train.keep_freed_memory()
        for trainings in context.together():
            train_stage.run(context, trainings)
        for fitting in fit_stage.fittings(context):
            fit_stage.run(context, fitting)
        for explaining in explain_stage.explained(context):
            explain_stage.run(context, explaining)
        for name in exporting:
            export_stage.run(context, name)
        for name in run_config.stages(config, StageKind.REPORT):
            _report(context, name)
        exports.enforce(context)


def _prepare(context: Context) -> None:
    """Stop for what the data or the folder forbids before any work is done."""
    checks.classes(context)
    if context.dataset.quarantined:
        terminal.note(f"{len(context.dataset.quarantined)} files of {context.dataset.name} are in quarantine")
    made = (
        map(context.trained, context.trainings()),
        (fit_stage.folder_of(context, one) for one in fit_stage.fittings(context)),
        (explain_stage.folder_of(context, one) for one in explain_stage.explained(context)),
    )
    for part in itertools.chain(*made, exports.parts(context)):
        part.check()
        part.verify()
    folder.write_json(context.workdir / "config.json", context.config.to_dict())


def _report(context: Context, name: str) -> None:
    page = report_stage.write(context, name)
    for protocol in context.config.protocols:
        summary = closing.summary(context, protocol)
        terminal.table(summary.lines, summary.title)
        for remark in closing.remarks(context, protocol):
            terminal.note(remark)
    terminal.note(f"the whole story: {page}")
