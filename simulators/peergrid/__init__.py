"""Peer-to-peer electricity trading on a real distribution grid, co-simulated with mosaik."""

__version__ = "0.1.0"
