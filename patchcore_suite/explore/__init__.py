"""What the notebooks for looking around compute and show; no stage of the pipeline runs any of it.

`anomalies` and `coresets` compute, `categories` reads, `views` draws, and the panels answer to what a person chooses.
"""
