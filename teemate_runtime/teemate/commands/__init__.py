"""One file per subcommand, imported when it is called."""
