"""How long anything may take before it counts as a hang. Nothing here measures time: a busy machine needs all of it."""

PATIENCE = 300  # seconds
# For a program to end by itself when it is asked to, before it is killed: within a call that takes PATIENCE at most.
GRACE = 200
