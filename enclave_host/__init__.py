"""The host daemon: builds enclaves, grants leases on their compartments, recovers and scrubs them."""
