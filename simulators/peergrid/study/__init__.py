"""One day of energy communities on a feeder, planned ahead under one method after the other."""
