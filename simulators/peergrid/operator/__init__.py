"""The hourly brain of the market operator, pure: ``hour(community, state, inbox)``."""
