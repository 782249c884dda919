"""What all test folders share; this file also makes the modules beside it importable (`vtn_process`)."""
