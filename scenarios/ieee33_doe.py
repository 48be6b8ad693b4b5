"""The day of ieee33_doe.toml in plain mosaik calls: those of ieee69_dfe.py, for another case.

``python scenarios/ieee33_doe.py`` takes the numbers from the TOML file and writes ieee33_doe.h5.
"""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("ieee69_dfe.py")), {"CASE": Path(__file__).stem})
