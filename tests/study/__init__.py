"""Days of energy communities under one method after the other."""
