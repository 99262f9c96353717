"""The Hugging Face Hub from the command line: pushes and pulls by hand, the cache of a run, and where clips lie."""
