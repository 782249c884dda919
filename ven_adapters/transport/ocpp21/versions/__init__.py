"""The versions of OCPP that stations speak, each as a translation at the edge: behind it everything is OCPP 2.1."""
