"""OpenADR 3.0.1 objects made of 3.1 objects and back: pure translation, with one 3.1 store behind both versions."""
