"""What a run leaves: files, tables, pictures, loggers."""
