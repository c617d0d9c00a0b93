"""Workflows: what the command line and a notebook call, one function a job."""
