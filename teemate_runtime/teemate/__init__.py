"""`teemate`: the operator's command."""
