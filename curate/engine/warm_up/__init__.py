"""Before the first build on a machine: kernels are compiled on all cores, beside the build that needs them."""
