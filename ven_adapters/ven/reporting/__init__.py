"""What the VTN is told: report bodies, and when each falls due."""
