"""Models: every one a Forecaster, from climatology to the calibrated pool."""
