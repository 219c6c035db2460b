"""What is said of compressed networks and of devices beside their code is what the committed tables say."""

import csv
import math
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
COMPRESS, PREDICT = ((ROOT / "hsjax" / room / "README.md").read_text() for room in ("compress", "predict"))
RESULTS = ROOT / "configs" / "results"

PEER = "scipy + librosa + onnxruntime"
COMPRESSED = """\
| stage | bytes | zipped | arena | AUROC, int8 file | int8 file minus float student | LiteRT, µs | ONNX Runtime, µs |
|---|---|---|---|---|---|---|---|
"""


def rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def compressed() -> str:
    """The table of every way to make Song's student smaller."""
    found = {(row["stage"], row["variant"], row["unit"], row["metric"]): row
             for row in rows("compression-physionet2016.csv")}  # fmt: skip
    stages = dict.fromkeys(
        stage for stage, variant, _, metric in found if (variant, metric) == ("tflite-int8", "bytes")
    )
    lines = []
    for stage in sorted(
        stages, key=lambda name: (name != "student", float(found[name, "tflite-int8", "model", "bytes"]["value"]))
    ):

        def count(metric: str, stage: str = stage) -> str:
            row = found.get((stage, "tflite-int8", "model", metric))
            return f"{float(row['value']):,.0f}" if row else "-"

        def times(floats: str, integers: str, stage: str = stage) -> str:
            return " / ".join(
                f"{float(found[stage, variant, 'model', 'median_microseconds']['value']):.0f}"
                for variant in (floats, integers)
            )

        auroc = found[stage, "tflite-int8", "recording", "auroc"]
        value, low, high = (f"{float(auroc[name]):.3f}" for name in ("value", "low", "high"))
        against = found.get((f"{stage} - student", "tflite-int8", "recording", "difference:auroc"))
        gain = "-"
        if against:
            gain = "{} ({} to {})".format(*(f"{float(against[name]):+.3f}" for name in ("value", "low", "high")))
        cells = [count("bytes"), count("zipped_bytes"), count("arena_bytes"), f"{value} ({low} to {high})", gain]
        cells += [times("tflite-float32", "tflite-int8"), times("onnx-float32", "onnx-int8-static")]
        lines.append(f"| {stage} | {' | '.join(cells)} |\n")
    return COMPRESSED + "".join(lines)


def test_the_table_of_compressed_students_is_that_of_the_committed_run():
    assert compressed() in COMPRESS


def test_what_is_said_of_files_and_emulation_is_so():
    found = rows("compression-physionet2016.csv")
    agreements = [row for row in found if row["metric"] == "emulation-agreement" and row["variant"] == "tflite-int8"]
    (n,) = {row["n"] for row in agreements}
    least = min(float(row["value"]) for row in agreements)
    text = " ".join(COMPRESS.split())
    assert f"of {int(n):,} test windows at least {int(10_000 * least) / 100} %" in text
    own = [row for row in found if " - " not in row["stage"] and row["variant"] == "tflite-int8"]
    drops = [row for row in own if row["metric"] == "difference:auroc"]
    low, high = min(float(row["low"]) for row in drops), max(float(row["high"]) for row in drops)
    assert f"all within {math.floor(1e4 * low) / 1e4:+.4f} to {math.ceil(1e4 * high) / 1e4:+.4f}" in text


def test_ratios_beside_the_peer_are_the_measured_ones():
    found = {(row["work"], row["peer"]): row for row in rows("devices-speed.csv") if row["unit"] == "ms of CPU"}
    text = " ".join(PREDICT.split())
    for network in ("song-student", "mobilenetv3-small"):
        alone, together = (
            [found[f"{network}, {seconds} s recording, one core", peer] for seconds in (6, 21, 122)]
            for peer in (PEER, f"{PEER}, windows at once")
        )
        ranges = [
            "{:.1f} ({:.1f} to {:.1f})".format(*(float(row[name]) for name in ("ratio", "ratio_low", "ratio_high")))
            for row in alone
        ]
        assert f"{ranges[0]}, {ranges[1]} and {ranges[2]} times" in text
        first, second, third = (float(row["ratio"]) for row in together)
        last = f"{third:.1f}" if third >= 1 else f"{third:.2f}"
        assert f"{first:.1f}, {second:.1f} and {last} for" in text


def test_the_table_of_ecg_cells_is_the_committed_one():
    found = {
        (row["stage"], row["metric"]): row for row in rows("ecg-cells-mitdb.csv") if row["label"] == "" and row["value"]
    }
    cells = {
        "float": ("mobilenet", ".934"),
        "quantised": ("mobilenet-q", ".895"),
        "pruned": ("mobilenet-p", ".900"),
        "pruned, clustered": ("mobilenet-pc", "-"),
        "quantised, pruned": ("mobilenet-qp", ".895"),
    }
    for name, (stage, published) in cells.items():
        value, low, high = (f"{float(found[stage, 'accuracy'][end]):.3f}" for end in ("value", "low", "high"))
        zipped = found.get((stage, "zipped_bytes"))
        size = "-" if zipped is None else f"{float(zipped['value']):,.0f}"
        recall = f"{float(found[stage, 'macro_recall']['value']):.3f}"
        assert f"| {name} | {value} ({low} to {high}) | {published} | {recall} | {size} |" in COMPRESS


def test_the_table_of_ecg_networks_is_the_committed_one():
    names = {"mobilenet-qp": "MobileNetV2", "efficientnet-qp": "EfficientNetB0"}
    text = " ".join(COMPRESS.split())
    for row in rows("ecg-compression.csv"):
        accuracies = (row[f"accuracy_{which}"] for which in ("before", "emulated", "file"))
        cells = [f"{float(value):.3f}" for value in accuracies]
        cells += [f"{int(row[name]):,}" for name in ("bytes", "zipped_bytes")]
        assert f"| {names[row['stage']]}, {row['protocol']} | {' | '.join(cells)} |" in COMPRESS
        assert f"{int(row['n']):,}" in text
