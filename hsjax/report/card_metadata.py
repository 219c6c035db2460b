"""What machines read of a model card: Hugging Face's metadata, results included.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from typing import Any

from hsjax.report import wording
from hsjax.report.exported import Exported, Form
from hsjax.types import ResultRow

RATES = ("macc", "sensitivity", "specificity", "auroc", "auprc", "ece")
"""Of two classes of which one is to be detected."""

MANY = ("accuracy", "macro_recall", "macro_precision", "macro_f1", "auroc", "ece")
"""Of any others."""

# What Hugging Face calls a metric; others keep their names.
_TYPES = {
    "auroc": "roc_auc",
    "sensitivity": "recall",
    "macro_recall": "recall",
    "macro_precision": "precision",
    "macro_f1": "f1",
}
_UNKNOWN = "unknown"


def metrics(exported: Exported) -> tuple[str, ...]:
    """Those that a card shows."""
    return RATES if exported.run.positive is not None else MANY


def metadata(exported: Exported, heard: bool) -> dict[str, Any]:
    """The block at the top of a card.

    Args:
      exported: the network.
      heard: whether it hears heart sounds; otherwise it reads ECGs.
    """
    run, name = exported.run, f"{exported.run.config['name']}-{exported.stage}"
    tags = ["heart-sound", "phonocardiogram"] if heard else ["ecg", "electrocardiogram"]
    tags += dict.fromkeys(variant.partition("-")[0] for variant, _ in exported.forms)
    tags += ["int8"] if any("int8" in variant for variant, _ in exported.forms) else []
    tags += ["jax", *(["synthetic-data"] if run.synthetic else [])]
    task = "audio-classification" if heard else "ecg-classification"
    found = [entry for form in exported.forms for entry in _entries(exported, form)]
    return {
        "license": run.config["license"] or _UNKNOWN,
        "library_name": "hsjax",
        **({"pipeline_tag": task} if heard else {}),
        "tags": tags,
        "datasets": [run.dataset],
        "metrics": list(dict.fromkeys(entry["type"] for entry in found)),
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": task, "name": f"{len(run.classes)} classes, per {exported.unit}"},
                        "dataset": {
                            "type": run.dataset,
                            "name": run.dataset,
                            "config": exported.protocol,
                            "split": "test",
                        },
                        "metrics": found,
                    }
                ],
            }
        ],
    }


def _entries(exported: Exported, form: Form) -> list[dict[str, Any]]:
    found = ((name, exported.find(form, name)) for name in metrics(exported))
    return [_entry(form, name, row) for name, row in found if row is not None]


def _entry(form: Form, metric: str, row: ResultRow) -> dict[str, Any]:
    extent = {"n": row.n, "n_groups": row.n_groups, "low": row.low, "high": row.high}
    return {
        "type": _TYPES.get(metric, metric),
        "name": f"{wording.metric(metric)}, {'-'.join(form)}",
        "value": row.value,
        "args": {name: value for name, value in extent.items() if value is not None},
    }
