"""What several benchmarks measure with: CPU time of other processes, the product's server in a process of its own."""
