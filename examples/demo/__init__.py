"""`make demo`: sixteen containers in one shared enclave, and the same sixteen with an enclave each."""
