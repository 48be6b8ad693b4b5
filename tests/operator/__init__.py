"""The operator's hour, its memory, and what it learns from meters."""
