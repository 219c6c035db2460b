"""The chain on a few real recordings of every sub-dataset, both protocols, two seeds."""

import csv
import importlib.util
import pathlib
import shutil

import pytest

from hsjax.experiment import run
from hsjax.types import UserError

ROOT = pathlib.Path(__file__).parent.parent.parent
GROUPS_PER_LABEL = 5


@pytest.fixture(scope="module")
def few(real_root, tmp_path_factory):
    """A distribution of PhysioNet/CinC 2016 cut down to one recording of each of a few groups."""
    root = tmp_path_factory.mktemp("few")
    source, target = real_root / "physionet2016", root / "physionet2016"
    target.mkdir()
    with (source / "records_metadata.csv").open(newline="") as file:
        metadata = {row["record"]: row for row in csv.DictReader(file)}
    kept = []
    for letter in "abcdef":
        folder = f"training-{letter}"
        (target / folder).mkdir()
        seen: dict[str, set[str]] = {}
        lines = []
        for line in (source / folder / "REFERENCE.csv").read_text().split():
            record, label = line.split(",")
            groups = seen.setdefault(label, set())
            if len(groups) < GROUPS_PER_LABEL and metadata[record]["group"] not in set().union(*seen.values()):
                groups.add(metadata[record]["group"])
                shutil.copy(source / folder / f"{record}.wav", target / folder)
                lines.append(line)
                kept.append(metadata[record])
        (target / folder / "REFERENCE.csv").write_text("\n".join(lines) + "\n")
    with (target / "records_metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, kept[0].keys())
        writer.writeheader()
        writer.writerows(kept)
    return root


def make(root: pathlib.Path, **changes):
    spec = importlib.util.spec_from_file_location("kd", ROOT / "configs" / "kd.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config("physionet2016")
    settings = {
        "data.root": str(root), "seeds": (0, 1), "evaluate.bootstrap": 100, "stages.teacher.epochs": 1,
        "stages.student.epochs": 6, "stages.kd.epochs": 6, "stages.export.calibration": 64,
        # One of a dozen recordings may fall on the other side; segments are checked one by one.
        "stages.export.agreement": 0.9,
    }  # fmt: skip
    config.update_from_flattened_dict(settings | changes)
    return config


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.realdata
def test_both_protocols_two_seeds_files_and_page(few, tmp_path):
    config = make(few)
    run.run(config, tmp_path, ROOT / "configs" / "published.csv")
    results = rows(tmp_path / "report" / "results.csv")
    assert {row["dataset"] for row in results} == {"physionet2016"}
    assert {row["protocol"] for row in results if row["stage"] != "control"} == {"paper", "grouped"}
    controls = {row["metric"] for row in results if row["stage"] == "control"}
    assert {"subset_from_audio:accuracy", "label_from_subset:auroc"} <= controls
    difference = [
        row
        for row in results
        if (row["stage"], row["metric"], row["variant"]) == ("kd - student", "difference:macc", "jax")
    ]
    assert {(row["protocol"], row["unit"], row["seed"]) for row in difference} == {
        (protocol, unit, "all") for protocol in ("paper", "grouped") for unit in ("segment", "recording")
    }
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in difference)
    assert {row["seed"] for row in results if row["metric"] == "auroc"} == {"0", "1", "mean"}
    # Parity on real recordings: the files rank the recordings as their network does.
    auroc = {
        (row["variant"], row["input"]): float(row["value"])
        for row in results
        if (row["stage"], row["seed"], row["unit"], row["metric"], row["protocol"])
        == ("kd", "0", "recording", "auroc", "grouped")
    }
    assert len(auroc) == 11  # five forms, from features and from samples, and the network
    floats = [value for (variant, _), value in auroc.items() if "int8" not in variant]
    assert max(floats) == min(floats)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "SYNTHETIC" not in page
    groups = {"train": set(), "validation": set(), "test": set()}
    for row in rows(tmp_path / "report" / "predictions.csv"):
        if row["protocol"] == "grouped":
            groups[row["split"]].add(row["group"])
    assert not groups["validation"] & groups["test"]


@pytest.mark.realdata
def test_unknown_groups_are_refused_before_any_work(few, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(few, bare)
    (bare / "physionet2016" / "records_metadata.csv").unlink()
    with pytest.raises(UserError, match=r"records_metadata\.csv"):
        run.run(make(bare, **{"data.unknown_groups": "refuse"}), tmp_path / "run")
    assert not (tmp_path / "run" / "stages").exists()
