"""The harness of both kits (VTNs, adapters): how checks are registered, chosen, run and reported."""
