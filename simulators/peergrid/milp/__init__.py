"""Mixed-integer linear programmes whose terms are written once and solved by two back ends."""
