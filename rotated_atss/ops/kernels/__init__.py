"""The same overlap and suppression as Triton kernels. Importing these modules imports triton: do it lazily."""
