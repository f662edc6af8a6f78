"""Cases as child processes, in rounds, in turns with another commit's."""
