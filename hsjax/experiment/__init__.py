"""A run: named stages over protocols and seeds, each done once, all resumable."""
