"""The parts of the benchmark: networks and photographs, methods, measuring, tables."""
