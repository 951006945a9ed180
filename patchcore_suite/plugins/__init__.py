"""What the suite adds to the core by name, as entry points of the distribution: see pyproject.toml."""

CHEAPER = ("two_round", "merge_reduce", "distance_sampling")  # samplers, than the greedy coreset
