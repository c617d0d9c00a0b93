"""Registry: fitted models as bundles on disk, and runs that can be made again."""
