"""Metrics that a dataset has to ask for: they tell methods apart whose AUROC is nearly 1. Exact, without torch."""
