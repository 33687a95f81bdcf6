"""containerd-shim-teemate-v2: the containerd shim of TeeMate (runtime io.containerd.teemate.v2)."""
