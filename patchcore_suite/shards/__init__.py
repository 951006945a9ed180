"""Patch features in shards, in other processes or on disk: the picks and neighbours of one machine."""
