"""`python -m workgraph.daemon` is the same as `wgd`."""

from workgraph.daemon.main import main

main()
