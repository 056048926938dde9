"""What ``benchmarks/*.py`` run in processes of their own."""
