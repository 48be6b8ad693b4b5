"""A scenario file becomes a wired mosaik World; simulators are named by string, none imported."""
