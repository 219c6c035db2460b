"""Recordings and an exported model to probabilities: `python -m hsjax.predict MODEL FILE...`.

Runs on the device: NumPy, an audio decoder and the model's runtime, no jax, flax or tensorflow. Sounds are files or a
stream, ECGs are WFDB records or tables.
"""

from hsjax.predict.calls import load, of_file, of_record, of_window
from hsjax.predict.command import main
from hsjax.predict.electrocardiogram import Beat, Reading, RecordPrediction
from hsjax.predict.predictor import Prediction, Predictor, decide
from hsjax.predict.stream import Event, Window

__all__ = [
    "Beat",
    "Event",
    "Prediction",
    "Predictor",
    "Reading",
    "RecordPrediction",
    "Window",
    "decide",
    "load",
    "main",
    "of_file",
    "of_record",
    "of_window",
]
