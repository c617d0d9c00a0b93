"""Forecasts over HTTP: the service, its store and its page."""
