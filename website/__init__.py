"""The documentation as a site; `python -m website` builds and checks it."""
