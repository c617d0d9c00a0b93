"""What can be said of the Terraform files without an account: `python -m infra.checks`, or `make infra`."""
