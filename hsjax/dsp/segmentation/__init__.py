"""Heart-sound segmentation: where S1, systole, S2 and diastole lie in a recording."""
