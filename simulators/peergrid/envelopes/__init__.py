"""What each connection point may do, per hour; set by the network operator alone."""
