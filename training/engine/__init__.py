"""nanotron 0.4 behind one door: ``training.engine.door``. Nothing outside this package imports nanotron."""
