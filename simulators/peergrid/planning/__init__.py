"""Where to put plants, storages and chargers, how big, and how they run: siting and sizing."""
