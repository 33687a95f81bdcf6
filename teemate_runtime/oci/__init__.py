"""`teemate-runtime`: the OCI runtime command line.

It runs four times per container, so everything here is paid for in start-up time. Two rules follow: nothing but the
standard library, and of that only what is cheap to import. dataclasses, enum, typing, pathlib, json and socket cost 4
to 15 ms each, as much as the delegate's whole run; the code below says where it does without them.
"""
