"""The ``peergrid`` command: a thin layer over scenario, results and network."""
