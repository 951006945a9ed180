"""`params.yaml`, read once and checked as a whole, without torch."""
