"""The claims of the papers and the speed, measured again."""
