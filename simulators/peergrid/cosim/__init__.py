"""Thin mosaik adapters: META from the attribute table, decode, one core call, encode."""
