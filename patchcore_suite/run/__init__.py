"""Computing: datasets are prepared, cells become raw results, raw results become metrics."""
