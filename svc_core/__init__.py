"""The pipeline of svc-jobs on local paths and arrays: raw -> wav -> filelists -> sidecars -> batches -> checkpoint.

Shape letters used in every docstring: B batch, T samples at 44.1 kHz, F frames of 512 samples, N encoder frames
(50 Hz), D content width, H hidden channels, M mel bands, S speakers. Units stand in the names: `_hz _s _ms _db
_samples _frames _semitones`.
"""
