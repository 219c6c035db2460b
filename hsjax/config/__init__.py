"""The base config, the stages it is made of, and the checks that stop a run before any work.

A config file (`configs/NAME.py`) starts from `base()`, adds stages made by `train_stage`, `export_stage` and
`report_stage`, and changes values.
"""

from ml_collections import ConfigDict

from hsjax.config.choices import Cut, LearnsFrom, Placement, StageKind, UnknownGroups, Viewer, WholeFilter, choice
from hsjax.config.compression import compressed, keeps_ranges, keeps_zeros, prunes, shrinkings
from hsjax.config.keys import (
    base,
    classical_stage,
    cluster_stage,
    explain_stage,
    export_stage,
    report_stage,
    train_stage,
    unknown_key,
)
from hsjax.config.sweeps import AT, grid, members, of_member
from hsjax.config.training import NO_GROUPS, earlier, pairs, predicts, teachers
from hsjax.config.validation import averages, differences, stages, validate

__all__ = [
    "AT",
    "NO_GROUPS",
    "ConfigDict",
    "Cut",
    "LearnsFrom",
    "Placement",
    "StageKind",
    "UnknownGroups",
    "Viewer",
    "WholeFilter",
    "averages",
    "base",
    "choice",
    "classical_stage",
    "cluster_stage",
    "compressed",
    "differences",
    "earlier",
    "explain_stage",
    "export_stage",
    "grid",
    "keeps_ranges",
    "keeps_zeros",
    "members",
    "of_member",
    "pairs",
    "predicts",
    "prunes",
    "report_stage",
    "shrinkings",
    "stages",
    "teachers",
    "train_stage",
    "unknown_key",
    "validate",
]
