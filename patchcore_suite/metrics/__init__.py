"""Metrics beside AUROC and PRO, of decisions, images and banks; some a dataset has to ask for. Exact, without torch."""
