"""Weights that others have trained, for the networks here."""
