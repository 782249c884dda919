"""One file per automaker. None imports another, and none imports more than the contract and the transport kit."""
