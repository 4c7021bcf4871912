"""The command line: arguments, configuration, checks, messages."""
