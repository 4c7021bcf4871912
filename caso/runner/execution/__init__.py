"""One run: its processes, devices and batches."""
