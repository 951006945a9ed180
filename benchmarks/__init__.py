"""How fast the method is, beside the machine's ceilings, plain loops and peers: `make bench`."""
