"""Siting and sizing from a scenario file, and back into one."""
