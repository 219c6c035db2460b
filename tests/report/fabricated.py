"""A run that nobody made, for pages to show, and what is read of a page."""

import dataclasses
import html.parser
import json
import pathlib
import re

import numpy as np

from hsjax import evaluate
from hsjax.evaluate import Decided
from hsjax.report import tables
from hsjax.types import CurveRow, Predictions, ResultRow, RunKey

PUBLISHED = pathlib.Path(__file__).parents[2] / "configs" / "published.csv"
VOID = {"meta", "img", "br", "wbr"}
STAGES = ("student", "kd")


def segments(key, classes=("normal", "abnormal"), separation=1.0):
    rng = np.random.default_rng([STAGES.index(key.stage), key.seed, len(key.protocol)])
    recording = np.repeat(np.arange(24), 3)
    label = (recording % len(classes)).astype(np.int32)
    logits = rng.normal(size=(len(recording), len(classes))) + separation * np.eye(len(classes))[label]
    return Predictions(
        key=key,
        unit="segment",
        classes=classes,
        recording=np.array([f"r{index:02d}" for index in recording]),
        start=np.tile([0.0, 2.5, 5.0], 24),
        group=np.array([f"s{index // 2:02d}" for index in recording]),
        label=label,
        probabilities=(np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32),
    )


def fabricate(run_dir, dataset="physionet2016", seeds=(0,), classes=("normal", "abnormal")):
    """A run's folder as the report stage leaves it, with everything that is optional."""
    report = run_dir / "report"
    report.mkdir(parents=True)
    positive = 1 if len(classes) == 2 else None
    settings = {"positive": positive, "resamples": 20, "seed": 0}
    predictions, rows, curves, decided = [], [], [], {}
    for protocol in ("paper", "grouped"):
        for seed in seeds:
            for stage in STAGES:
                of_stage = segments(RunKey(dataset, protocol, stage, seed), classes)
                for one in (of_stage, evaluate.recordings(of_stage)):
                    threshold = 0.4 if positive is not None else None
                    decided[protocol, seed, stage, one.unit] = Decided(one, threshold)
                    predictions.append(one)
                    rows += evaluate.score(one, threshold=threshold, **settings)
                for metric, value in (("parameters", 43250.0), ("macs", 1620480.0), ("best_epoch", 2.0)):
                    row = ResultRow(
                        dataset, protocol, stage, seed, 0, "", "model", "jax", "features", metric, "", value
                    )
                    rows.append(row)
                for epoch in (1, 2):
                    key = (dataset, protocol, stage, seed, 0, epoch)
                    curves += [CurveRow(*key, split, "loss", 1 / epoch) for split in ("train", "validation")]
                    curves.append(CurveRow(*key, "validation", "auroc", 0.5 + epoch / 10))
        for unit in ("segment", "recording"):
            sides = ([decided[protocol, seed, stage, unit] for seed in seeds] for stage in ("kd", "student"))
            rows += evaluate.difference(*sides, "kd - student", **settings)
    network = decided["grouped", 0, "kd", "recording"]
    key = dataclasses.replace(network.predictions.key, variant="tflite-int8")
    file = Decided(dataclasses.replace(network.predictions, key=key), network.threshold)
    predictions.append(file.predictions)
    rows += evaluate.score(file.predictions, threshold=file.threshold, **settings)
    rows += evaluate.difference([file], [network], "kd", **settings)
    agreeing = (dataset, "grouped", "kd", 0, 0, "test", "recording", "tflite-int8", "features", "agreement", "", 0.9876)
    rows.append(ResultRow(*agreeing, n=24, n_groups=12))
    for metric, value in (("bytes", 47992.0), ("latency_ms", 0.0204567)):
        where = (dataset, "grouped", "kd", 0, 0, "", "model", "tflite-int8", "features")
        rows.append(ResultRow(*where, metric, "", value, volatile=int(metric != "bytes")))
    rows += [ResultRow(*where, "fits", tier, fits, volatile=1) for tier, fits in (("mobile", 1.0), ("tiny", 0.0))]
    rows += evaluate.over_seeds(rows)
    tables.write_results(report / tables.RESULTS, rows)
    tables.write_predictions(report / tables.PREDICTIONS, predictions)
    tables.write_curves(report / tables.CURVES, curves)
    config = {
        "name": "kd", "command": "python -m hsjax.launch --config=configs/kd.py", "protocols": ["paper", "grouped"],
        "seeds": list(seeds), "notes": [], "published": "song2023", "pipeline": [*STAGES, "export", "report"],
        "evaluate": {"averages": ["both = student + kd"]},
    }  # fmt: skip
    (run_dir / "config.json").write_text(json.dumps(config))
    return rows


def add_optional(run_dir):
    report = run_dir / "report"
    (report / "quarantine.csv").write_text(
        'id,path,used,reason\nr99,training-a/r99.wav,no,"silent: <b>every</b> sample is 0"\n'
    )
    check = {
        "model": "exports/kd/tflite-int8-features.tflite", "check": "same class", "value": 0.9876, "limit": 0.99,
        "passed": False, "detail": "24 recordings",
    }  # fmt: skip
    (report / "gate.json").write_text(
        json.dumps([check | {"check": "operators", "value": "builtin", "limit": None, "passed": True}, check])
    )
    np.savez(
        report / "examples.npz",
        samples=np.zeros((2, 500), np.float32),
        sample_rate=200,
        spectrogram=np.zeros((2, 33, 21), np.float32),
        max_hertz=50.0,
        features=np.zeros((2, 13, 21), np.float32),
        hop_seconds=0.125,
        title=np.array(["normal: r00", "abnormal: r01"]),
    )
    layers = [
        {"path": "conv", "type": "Conv", "shape": [4, 7, 2], "parameters": 18, "statistics": 0, "macs": 504},
        {"path": "logits", "type": "Dense", "shape": [2], "parameters": 6, "statistics": 0, "macs": 4},
    ]
    network = {"model": "<small>", "stages": ["student", "kd"], "input": [4, 7], "layers": layers}
    (report / "layers.json").write_text(json.dumps([network]))
    values = np.zeros((2, 2, 1, 2))
    values[0, 1] = [[0.25, -0.05]]
    (report / "explanations").mkdir()
    np.savez(
        report / "explanations" / "why-kd.npz",
        stage="kd", protocol="grouped", seed=0, seconds=2.0, classes=np.array(["normal", "abnormal"]),
        title=np.array(["abnormal: r01", "normal: r00"]), label=np.array([1, 0]),
        features=np.ones((2, 4, 6), np.float32), values=values,
        expected=np.array([[0.6, 0.4], [0.6, 0.4]]), output=np.array([[0.4, 0.6], [0.3, 0.7]]),
    )  # fmt: skip


class Page(html.parser.HTMLParser):
    """Elements with their attributes and text; fails on tags that do not nest."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements, self._open = [], []
        self.feed(self.source)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def rows(self, caption):
        """Cells of the one table whose caption holds these words."""
        (match,) = [part for part in self.source.split("<table>")[1:] if caption in part.split("</caption>")[0]]
        lines = match.split("</table>")[0].split("<tr>")[1:]
        return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in lines]
