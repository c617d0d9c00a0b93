"""The neural forecaster's parts: what it sees, the networks, their training, and their way into production."""
