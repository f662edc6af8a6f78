"""Cases run as child processes, in rounds, in turns, and alternating with another commit's."""
