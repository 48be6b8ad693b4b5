"""Somebody else's battery: takes part in the market and imports nothing of peergrid."""

import mosaik_api_v3

META = {"api_version": "3.0", "type": "time-based"}
META["models"] = {
    "Cell": {
        "public": True,
        "params": ["kwh", "kw"],
        "attrs": ["P_set[MW]", "P[MW]", "flexibility"],
    }
}
ETA, STEP, HOURS = 0.95, 3600, 24  # efficiency each way; step [s]; horizon [h]


class ForeignBattery(mosaik_api_v3.Simulator):
    def __init__(self):
        super().__init__(META)

    def create(self, num, model, kwh, kw):
        self.kwh, self.kw = kwh, kw
        self.cells = {f"Cell-{k}": {"e": kwh / 2, "p": 0.0} for k in range(num)}
        return [{"eid": eid, "type": model} for eid in self.cells]

    def step(self, time, inputs, max_advance):
        self.time = time
        for (
            eid,
            cell,
        ) in self.cells.items():  # set-point in MW, injection positive; one hour, so kW = kWh
            asked = sum(v or 0.0 for v in inputs.get(eid, {}).get("P_set[MW]", {}).values()) * 1000
            lowest, highest = (cell["e"] - self.kwh) / ETA, cell["e"] * ETA  # full; empty
            cell["p"] = min(max(asked, -self.kw, lowest), self.kw, highest)
            cell["e"] -= cell["p"] / ETA if cell["p"] > 0 else cell["p"] * ETA
        return time + STEP

    def flexibility(self, cell):
        message = {"schema": "peergrid.flexibility/1", "kind": "FRBC", "t0_s": self.time + STEP}
        power = {"p_min_kw": [-self.kw] * HOURS, "p_max_kw": [self.kw] * HOURS}
        energy = {"e_min_kwh": [0.0] * (HOURS + 1), "e_max_kwh": [self.kwh] * (HOURS + 1)}
        losses = {"eta_charge": ETA, "eta_discharge": ETA}
        return {**message, **power, **energy, **losses, "dt_s": STEP, "e_now_kwh": cell["e"]}

    def get_data(self, outputs):
        return {
            eid: {
                "P[MW]": self.cells[eid]["p"] / 1000,
                "flexibility": self.flexibility(self.cells[eid]),
            }
            for eid in outputs
        }
