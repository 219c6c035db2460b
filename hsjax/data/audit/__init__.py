"""Near-duplicates, groups made of them, and what a split or the metadata give away."""
