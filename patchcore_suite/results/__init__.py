"""What a run found: metrics of studies as tables, formats and sentences."""
