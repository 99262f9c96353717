"""The Hugging Face Hub on the command line: pushing and pulling by hand, as the cache of a run, and as where clips lie."""
