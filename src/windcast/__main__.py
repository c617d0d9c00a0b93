"""`python -m windcast` is the command line."""

from windcast.cli import main

main()
