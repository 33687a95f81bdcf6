"""The resident zygote: an interpreter with everything imported, which forks to answer for the programs in front/."""
