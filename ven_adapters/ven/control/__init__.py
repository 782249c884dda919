"""One cycle of control: the fleet's state in, zones planned, steps of single cars out."""
