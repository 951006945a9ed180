"""The suite above `patchcore_core`: images become cells, raw results, tables and a report."""
