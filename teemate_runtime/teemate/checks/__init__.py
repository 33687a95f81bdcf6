"""What `teemate doctor` looks at: one file per subject, each with `run(...) -> list[Finding]`."""
