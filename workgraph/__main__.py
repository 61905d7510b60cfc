"""`python -m workgraph`: the same as `wg`."""

from workgraph.wg import main

main()
