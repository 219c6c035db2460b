"""Run a config: every stage for every protocol and seed, what is finished skipped, what was interrupted resumed."""

import pathlib

from hsjax import config as run_config
from hsjax import train
from hsjax.config import ConfigDict, StageKind
from hsjax.experiment import export_stage, folder, report_stage, train_stage
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
    context.check()
    exports = run_config.stages(config, StageKind.EXPORT)
    for name in exports:
        export_stage.require_extras(name)
    _ = context.dataset  # missing data stops here
    if context.dataset.quarantined:
        terminal.note(f"{len(context.dataset.quarantined)} files of {context.dataset.name} are in quarantine")
    train.keep_freed_memory()
    folder.write_json(workdir / "config.json", config.to_dict())
    for protocol in config.protocols:
        for seed in config.seeds:
            for name in run_config.stages(config, StageKind.TRAIN):
                train_stage.run(context, protocol, seed, name)
    for name in exports:
        export_stage.run(context, name)
    for name in run_config.stages(config, StageKind.REPORT):
        page = report_stage.run(context, name)
        for protocol in config.protocols:
            title = f"{context.dataset.name}, protocol {protocol}, per test recording"
            terminal.table(report_stage.summary(context, protocol), title)
        terminal.note(f"the whole story: {page}")
    export_stage.enforce(context)
