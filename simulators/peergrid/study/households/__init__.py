"""The day of ten households and a school on a branch of the 119-bus feeder, planned by the MILP."""
