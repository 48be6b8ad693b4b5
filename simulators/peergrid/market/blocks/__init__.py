"""What couples the agents in the clearing: balance with the retailer, envelopes."""
