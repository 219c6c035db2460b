"""One file per dataset: its official distribution to recordings, read as published."""
