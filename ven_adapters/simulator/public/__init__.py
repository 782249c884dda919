"""Public vendors' clouds: the same cars, drivers and faults, told and taken as each vendor does."""
