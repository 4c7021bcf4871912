"""From the configuration to explanation methods and scores."""
