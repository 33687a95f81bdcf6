"""`teemate-runtime`, the OCI runtime, and `teemate`, the operator's command."""
