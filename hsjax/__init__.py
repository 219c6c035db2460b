"""hsjax: heart-sound and ECG recordings in, small verified int8 models and the evidence for them out."""

__version__ = "0.1.0"
