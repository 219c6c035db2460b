"""Trains and scores the heart-sound segmentation: `python -m hsjax.segment train|evaluate`."""
