"""The power grid's part of the table of wire names."""

from peergrid.cosim.wire import Model, given, taken

GRID_MODELS = (
    Model(
        "Grid",
        (
            given("P_loss[MW]", "active losses of lines and transformers"),
            given("Q_loss[MVar]", "reactive losses"),
            given("converged", "whether the power flow of this step converged"),
        ),
        params=(
            "net",
            "json",
            "network",
            "slack_vm_pu",
            "impedance_scale",
            "impedance_spread",
            "seed",
        ),
    ),
    Model(
        "Bus",
        (
            taken("P_gen[MW]", "generation to add at the bus"),
            taken("P_load[MW]", "load to add at the bus"),
            taken("Q_gen[MVar]", "reactive generation to add at the bus"),
            taken("Q_load[MVar]", "reactive load to add at the bus"),
            given("P[MW]", "net active power, load positive"),
            given("Q[MVar]", "net reactive power, load positive"),
            given("Vm[pu]", "voltage magnitude"),
            given("Va[deg]", "voltage angle"),
        ),
        public=False,
    ),
    Model(
        "Line",
        (
            given("I[kA]", "current, the larger of both ends"),
            given("loading[%]", "current over rating"),
            given("P_loss[MW]", "active losses"),
        ),
        public=False,
    ),
    Model(
        "Trafo",
        (
            given("I[kA]", "current at the high-voltage side"),
            given("loading[%]", "current over rating"),
            given("P_loss[MW]", "active losses"),
        ),
        public=False,
    ),
    Model(
        "ExternalGrid",
        (
            given("P[MW]", "active power, import positive"),
            given("Q[MVar]", "reactive power, import positive"),
        ),
        public=False,
    ),
)
