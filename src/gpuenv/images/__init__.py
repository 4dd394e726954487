"""``make images``: plan, key and build the image of a variant and flavor, and read what a failed build says."""
