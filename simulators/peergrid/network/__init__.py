"""A radial feeder and its physics.

Reading and finding networks: ``from_pandapower``, ``library``. The columns all models share:
``feeder``. Models: ``power_flow`` (exact), ``linear`` (LinDistFlow).
"""
